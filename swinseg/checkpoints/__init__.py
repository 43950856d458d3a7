"""Weight files: reading them safely, converting between libraries, and loading them into a model."""

from swinseg.checkpoints.architecture import infer_architecture
from swinseg.checkpoints.formats import FORMATS, detect, from_mmseg, register_format, to_mmseg
from swinseg.checkpoints.loading import (
    Receipt,
    checkpoint_meta,
    load_backbone_weights,
    load_weights,
    read_checkpoint,
    state_dict_of,
)
from swinseg.errors import CheckpointError

__all__ = [
    'FORMATS',
    'CheckpointError',
    'Receipt',
    'checkpoint_meta',
    'detect',
    'from_mmseg',
    'infer_architecture',
    'load_backbone_weights',
    'load_weights',
    'read_checkpoint',
    'register_format',
    'state_dict_of',
    'to_mmseg',
]
