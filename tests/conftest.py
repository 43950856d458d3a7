"""Shared fixtures. swinseg comes first: it repairs the packages that the tests import after it."""

import swinseg  # noqa: F401
