"""A hub of the tests' own."""

from support.hub_fixtures import hub, model_files  # noqa: F401
