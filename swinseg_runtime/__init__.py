"""Exported models without PyTorch: NumPy, Pillow, and ONNX Runtime or OpenVINO.

import swinseg_runtime

model = swinseg_runtime.Model('mini.onnx')
result = model('photo.jpg')
result.labels  # (H, W)
result.save('photo_labels.png')

or ``python -m swinseg_runtime mini.onnx photo.jpg --out masks``. A package beside ``swinseg``, because importing
anything of that loads PyTorch; this folder alone is enough to run what ``swinseg export`` writes.
"""

from swinseg_runtime.errors import ModelFileError
from swinseg_runtime.metadata import Metadata
from swinseg_runtime.model import Model, Result
from swinseg_runtime.sessions import (
    DEVICES,
    INPUT_NAME,
    OnnxSession,
    OpenVinoSession,
    Session,
    open_session,
)

__all__ = [
    'DEVICES', 'INPUT_NAME', 'Metadata', 'Model', 'ModelFileError', 'OnnxSession', 'OpenVinoSession', 'Result',
    'Session', 'open_session',
]  # fmt: skip
