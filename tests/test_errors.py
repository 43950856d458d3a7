"""What counts as exhausted memory, and that every place which meets it agrees."""

from __future__ import annotations

import errno

import cv2
import numpy as np
import pytest
import torch

from swinseg.engine import TrainingError
from swinseg.engine.memory import memory_advice
from swinseg.errors import DataError, is_out_of_memory
from swinseg.inference import slide
from swinseg.inference.window_batches import in_batches


def _raised(call) -> Exception:
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


def _cv2_error(code: int, text: str) -> cv2.error:
    error = cv2.error(text)
    error.code, error.err = code, text
    return error


def _named(name: str) -> type[Exception]:
    """Return a class of the name of one of rasterio's, which is not always installed."""
    return type(name, (Exception,), {})


REAL = {
    'CPU tensor': lambda: torch.empty(2**60, dtype=torch.uint8),
    'NumPy array': lambda: np.empty(2**60, np.uint8),
    'bytes': lambda: bytes(2**60),
}
MADE = {
    'CUDA, class': torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.'),
    'class without a text': torch.OutOfMemoryError(),
    'Python': MemoryError(),
    'CUDA driver': RuntimeError(
        'CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported'
    ),
    'CPU, Linux': RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
        'to allocate 9 bytes. Error code 12 (Cannot allocate memory)'
    ),
    'CPU, Windows': RuntimeError(
        '[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate'
    ),
    'cuDNN': RuntimeError('cuDNN error: CUDNN_STATUS_ALLOC_FAILED'),
    'cuBLAS': RuntimeError(
        'CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`'
    ),
    'HIP': RuntimeError('HIP out of memory. Tried to allocate 2.00 GiB'),
    'MPS': RuntimeError(
        'MPS backend out of memory (MPS allocated: 9.00 GB, max allowed: 9.07 GB).'
    ),
    'MPS, one tensor': RuntimeError('Invalid buffer size: 24.00 GiB'),
    'XPU': RuntimeError('XPU out of memory. Tried to allocate 2.00 GiB'),
    'Level Zero': RuntimeError(
        'level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)'
    ),
    'C++': RuntimeError('std::bad_alloc'),
    'C++, Windows': RuntimeError('bad allocation'),
    'ONNX Runtime': RuntimeError(
        'Failed to allocate memory for requested buffer of size 9000000000'
    ),
    'OpenCV': _cv2_error(cv2.Error.StsNoMem, 'Insufficient memory (Failed to allocate 9 bytes)'),
    'OpenCV, text': cv2.error(
        'OpenCV(4.10.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes in '
        "function 'OutOfMemoryError'"
    ),
    'libtiff': _named('CPLE_AppDefinedError')('Failed to allocate memory for "TileOffsets" array'),
    'GDAL': _named('CPLE_OutOfMemoryError')('cannot allocate 4000000 bytes'),
    'system': OSError(errno.ENOMEM, 'Cannot allocate memory'),
}
OTHERS = {
    'shapes': RuntimeError('mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)'),
    'illegal access': RuntimeError('CUDA error: an illegal memory access was encountered'),
    'memory format': RuntimeError('unsupported memory format option ChannelsLast'),
    'shared memory of data workers': RuntimeError(
        'DataLoader worker (pid 9) is killed by signal: Bus error. It is possible that dataloader\'s workers are '
        'out of shared memory. Please try to raise your shared memory limit.'
    ),
    'cuDNN, other': RuntimeError('cuDNN error: CUDNN_STATUS_NOT_SUPPORTED'),
    'OpenCV, other': _cv2_error(cv2.Error.StsAssert, 'scn == 3 || scn == 4'),
    'disk': OSError(errno.ENOSPC, 'No space left on device'),
    'a file of such a name': FileNotFoundError(errno.ENOENT, 'No such file', 'out of memory.jpg'),
    'a sentence of our own': DataError('image out of memory.jpg is truncated; copy it again'),
    'a value': ValueError('out of memory'),
}  # fmt: skip


@pytest.mark.parametrize('call', REAL.values(), ids=REAL)
def test_is_out_of_memory__real_allocations(call):
    assert is_out_of_memory(_raised(call))


@pytest.mark.parametrize('error', MADE.values(), ids=MADE)
def test_is_out_of_memory__however_it_is_said(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize('error', OTHERS.values(), ids=OTHERS)
def test_is_out_of_memory__other_errors(error):
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    ('error', 'is_memory'),
    [*((error, True) for error in MADE.values()), *((error, False) for error in OTHERS.values())],
    ids=[*MADE, *OTHERS],
)
def test_is_out_of_memory__training_windows_and_batches_agree(error, is_memory):
    def fails(*_):
        raise error

    def fails_for_several(items):
        if len(items) > 1:
            raise error
        return items

    with pytest.raises(TrainingError if is_memory else type(error)), memory_advice():
        fails()
    windows = slide(fails_for_several, torch.zeros(1, 8, 16), window=8, stride=8, batch_size=2)
    batches = in_batches(fails_for_several, [1, 2], key=lambda item: 0, batch_size=2)
    if is_memory:
        assert [rows for rows, _ in windows] == [0]
        assert list(batches) == [1, 2]
        return
    with pytest.raises(type(error)):
        list(windows)
    with pytest.raises(type(error)):
        list(batches)
