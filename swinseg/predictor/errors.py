"""The error of the predictor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from swinseg.errors import UserError


class PredictorError(UserError):
    """A model cannot be set up from a checkpoint and config, or an image cannot be segmented."""


@contextlib.contextmanager
def build_errors_in_one_sentence(part: str) -> Iterator[None]:
    """Say in one sentence what a class has against the arguments that a config gives it in the block.

    Args:
        part: of the config that is built.

    Raises:
        PredictorError: it cannot be built.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # Each class has errors of its own for arguments that make no sense.
        reason = ' '.join(str(error).split())[:300] or type(error).__name__
        raise PredictorError(
            f'the {part} of the config cannot be built: {reason}; '
            'use the one that the weights were trained with'
        ) from error
