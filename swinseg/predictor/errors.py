"""The error of the predictor."""

from __future__ import annotations

from swinseg.errors import UserError


class PredictorError(UserError):
    """A model cannot be set up from a checkpoint and config, or an image cannot be segmented."""
