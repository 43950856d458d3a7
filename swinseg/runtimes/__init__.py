"""Runtimes other than PyTorch's eager mode, and what an exported file says about itself."""

from swinseg.runtimes.base import INPUT_NAME, LOGITS_NAME, OUTPUT_NAMES, Input, Output, Runtime
from swinseg.runtimes.metadata import Metadata
from swinseg.runtimes.opening import is_exported, open_exported

__all__ = [
    'INPUT_NAME', 'LOGITS_NAME', 'OUTPUT_NAMES', 'Input', 'Metadata', 'Output', 'Runtime', 'is_exported',
    'open_exported',
]  # fmt: skip
