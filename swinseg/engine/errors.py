"""The errors of this package."""

from __future__ import annotations

from swinseg.errors import UserError


class ConfigError(UserError):
    """A config cannot be read, or says something that nothing understands."""


class TrainingError(UserError):
    """Training cannot go on."""
