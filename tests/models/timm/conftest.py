"""A hub of the tests' own, for weights that timm publishes."""

from support.hub_fixtures import hub  # noqa: F401
