"""Programs that PyTorch runs without the model's code: ``torch.export``, TorchScript and AOTInductor.

Each returns its outputs and, last, the logits, which have a sixteenth of the pixels and are computed anyway.
"""

from __future__ import annotations

import json
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swinseg.errors import ExportedFileError
from swinseg.runtimes.base import in_user_errors
from swinseg_runtime import Metadata

EXTRA = 'config.txt'
"""The file inside one of ``torch.export`` or TorchScript that describes it, as JSON: that of Ultralytics."""

PT2 = '.pt2'
TORCHSCRIPT = '.torchscript'

_Program = Callable[[Tensor], Sequence[Tensor]]


class TorchProgram(ABC):
    """A written program on the processor, which is opened when something is first asked of it.

    Args:
        path: of the file.
        device: ``'cpu'``, or ``'auto'``, which is the same here.
        threads: for all that PyTorch runs, which has one number of them; None for as many as it has.
        providers: must be None.
        dtype: must be ``'float32'``: the file says in what it computes.

    Raises:
        ExportedFileError: another device, provider or precision is asked for; later, when something is asked of
            it: there is no such file, it is damaged, or not swinseg's.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = 'auto',
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        dtype: str = 'float32',
    ) -> None:
        self.name = os.fspath(path)
        if device not in ('auto', 'cpu') or providers:
            raise ExportedFileError(
                f'{self.name} was exported for the processor, found {providers or device}; take device cpu'
            )
        if dtype != 'float32':
            raise ExportedFileError(
                f'{self.name} computes in what it was exported for, and not in {dtype}; leave dtype out'
            )
        if threads is not None and threads != torch.get_num_threads():
            torch.set_num_threads(threads)

    @property
    def metadata(self) -> Metadata:
        """What the file says about itself."""
        return self._opened[1]

    @property
    def is_on_gpu(self) -> bool:
        """No."""
        return False

    @torch.inference_mode()
    def outputs(self, given: NDArray) -> Sequence[NDArray]:
        """Run the file, without the logits."""
        return [output.numpy() for output in self._run(given)[:-1]]

    @torch.inference_mode()
    def logits(self, inputs: Sequence[NDArray]) -> list[NDArray[np.float32]]:
        """Return the (B, K, h, w) scores inside the file for each of several inputs."""
        return [self._run(given)[-1].numpy() for given in inputs]

    def _run(self, given: NDArray) -> Sequence[Tensor]:
        program = self._opened[0]
        return program(torch.from_numpy(np.ascontiguousarray(given)))

    @cached_property
    def _opened(self) -> tuple[_Program, Metadata]:
        if not os.path.isfile(self.name):
            raise ExportedFileError(
                f'there is no file {self.name}; name one that swinseg export wrote'
            )
        try:
            program, entries = self._open()
        except Exception as error:  # Each format has errors of its own.
            reason = ' '.join(str(error).split())[:300] or type(error).__name__
            raise ExportedFileError(
                f'{self.name} cannot be opened by PyTorch {torch.__version__}: {reason}; export it again'
            ) from error
        if 'swinseg_version' not in entries:
            raise ExportedFileError(
                f'{self.name} was not written by swinseg export, so nothing says what its numbers mean; export a '
                'checkpoint with swinseg export'
            )
        with in_user_errors():
            return program, Metadata.parse(entries, name=self.name)

    @abstractmethod
    def _open(self) -> tuple[_Program, Mapping[str, str]]:
        """Return the program and what its file says of it."""


class TorchExport(TorchProgram):
    """A ``.pt2`` file with a program of ``torch.export``."""

    def _open(self) -> tuple[_Program, Mapping[str, str]]:
        extra: dict[str, Any] = {EXTRA: ''}
        program = torch.export.load(self.name, extra_files=extra)
        return program.module(), json.loads(extra[EXTRA] or '{}')


class TorchScript(TorchProgram):
    """A ``.torchscript`` file."""

    def _open(self) -> tuple[_Program, Mapping[str, str]]:
        extra: dict[str, Any] = {EXTRA: ''}
        program = torch.jit.load(self.name, map_location='cpu', _extra_files=extra)
        return program, json.loads(extra[EXTRA] or '{}')


class AotInductor(TorchProgram):
    """A ``.pt2`` file with a library that AOTInductor compiled."""

    def _open(self) -> tuple[_Program, Mapping[str, str]]:
        library: Any = torch._inductor.aoti_load_package(self.name)
        return library, library.get_metadata()


def open_pt2(path: str | os.PathLike[str], **options: Any) -> TorchProgram:
    """Return what runs a ``.pt2`` file, be it a program of ``torch.export`` or AOTInductor's library.

    Args:
        path: of the file.
        options: as :class:`TorchProgram` takes them.

    Raises:
        ExportedFileError: as :class:`TorchProgram`.
    """
    kind = AotInductor if is_aotinductor(Path(path)) else TorchExport
    return kind(path, **options)


def is_aotinductor(path: Path) -> bool:
    """Whether a file is an archive with a compiled library inside."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any('/aotinductor/' in name for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False  # Opening it says what it is.
