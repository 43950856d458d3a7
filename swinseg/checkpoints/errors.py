"""The error of this package."""

from __future__ import annotations

from swinseg.errors import UserError


class CheckpointError(UserError):
    """A weight file cannot be read, is of no known format, or does not fit the model."""
