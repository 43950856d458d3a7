"""Exported files, opened in ONNX Runtime and OpenVINO."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swinseg_runtime.errors import ModelFileError
from swinseg_runtime.metadata import Metadata
from swinseg_runtime.openvino_core import openvino_core

INPUT_NAME = 'image'
DEVICES = ('auto', 'cpu', 'gpu')

# Of OpenVINO's rt_info.
_SECTION = 'swinseg'
# TensorRT is not among them: it takes minutes to begin.
_ONNX_GPU = (
    'CUDAExecutionProvider', 'ROCMExecutionProvider', 'MIGraphXExecutionProvider', 'DmlExecutionProvider',
    'CoreMLExecutionProvider',
)  # fmt: skip
_ONNX_CPU = 'CPUExecutionProvider'
_OPENVINO_PRECISIONS = {
    'float32': ('f32', 'FP32'),
    'bfloat16': ('bf16', 'BF16'),
    'float16': ('f16', 'FP16'),
}
# Devices that are made of others, which OpenVINO does not list.
_OPENVINO_META = ('AUTO', 'MULTI', 'HETERO', 'BATCH')


class Session(ABC):
    """An exported file, opened in its runtime.

    Attributes:
        path: of the file.
        metadata: what it says of itself.
        outputs: names of what :meth:`run` returns.
        is_on_gpu: whether it computes on something else than the processor.
    """

    path: Path
    metadata: Metadata
    outputs: tuple[str, ...]
    is_on_gpu: bool

    @abstractmethod
    def run(self, given: NDArray) -> dict[str, NDArray]:
        """Run the graph on an input and return its outputs by their names."""

    def _describe(
        self,
        entries: Mapping[str, str],
        inputs: Sequence[tuple[str, str]],
        outputs: Sequence[tuple[str, str]],
    ) -> None:
        """Read the metadata, or say what goes in and out of a file that has none."""
        if 'swinseg_version' not in entries:
            takes, gives = (', '.join(f'{n} {s}' for n, s in each) for each in (inputs, outputs))
            raise ModelFileError(
                f'{self.path} was not written by swinseg export, so nothing says what its numbers mean: it takes '
                f'{takes[:300]} and gives {gives[:300]}; export a checkpoint with swinseg export'
            )
        self.metadata = Metadata.parse(entries, name=str(self.path))


class OnnxSession(Session):
    """An ``.onnx`` file in ONNX Runtime.

    Args:
        path: of the file.
        content: of another form of it, to be run in its place; None for the file itself. Weights beside the file
            are found in either case.
        device: ``'cpu'``, ``'gpu'``, or ``'auto'`` for a GPU where ONNX Runtime has one.
        threads: of one operation on the processor; None for as many as it has cores.
        providers: ONNX Runtime's execution providers, the preferred first, in the place of ``device``.

    Raises:
        ModelFileError: ONNX Runtime is not installed, has no such provider or cannot open the file, or the file is
            not swinseg's.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        content: bytes | None = None,
        device: str = 'auto',
        threads: int | None = None,
        providers: Sequence[str] | None = None,
    ) -> None:
        self.path = _existing(path)
        _check_device(device, threads)
        onnxruntime = _import('onnxruntime')
        wanted = _onnx_providers(onnxruntime.get_available_providers(), device, providers)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        # A plan of all tensors in one piece costs half as much memory again, and saves no time.
        options.enable_mem_pattern = False
        if content is not None:
            options.add_session_config_entry(
                'session.model_external_initializers_file_folder_path', str(self.path.parent)
            )
        with _opening(self.path, 'ONNX Runtime'):
            source = str(self.path) if content is None else content
            self._session = onnxruntime.InferenceSession(source, options, providers=wanted)
        in_use = self._session.get_providers()
        # It goes on without a provider whose libraries are not there.
        if wanted[0] not in in_use and (providers or device == 'gpu'):
            raise ModelFileError(
                f'ONNX Runtime cannot start {wanted[0]} for {self.path} and would use {", ".join(in_use)}; '
                'install the libraries that it needs, or take device cpu'
            )
        self.is_on_gpu = in_use[0] != _ONNX_CPU
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self.outputs = tuple(each.name for each in outputs)
        shapes = ([(x.name, f'{_shape(x.shape)} {x.type}') for x in xs] for xs in (inputs, outputs))
        self._describe(self._session.get_modelmeta().custom_metadata_map, *shapes)

    def run(self, given: NDArray) -> dict[str, NDArray]:
        """Run the graph on an input and return its outputs by their names."""
        found = self._session.run(None, {INPUT_NAME: np.ascontiguousarray(given)})
        return dict(zip(self.outputs, found, strict=True))


class OpenVinoSession(Session):
    """An ``.xml`` file in OpenVINO.

    Args:
        path: of the file; its weights are in ``.bin`` beside it.
        output: name of a tensor inside the graph that takes the place of its outputs; None for those.
        device: ``'cpu'``, ``'gpu'``, or ``'auto'`` for a GPU where OpenVINO has one.
        threads: of the processor; None for as many as it has cores.
        providers: OpenVINO's devices, such as ``'GPU'`` or ``'AUTO:GPU,CPU'``, in the place of ``device``; of
            several each takes the operations that those before it cannot do.
        dtype: ``'float32'``, for what the file was compared with the model in: float32, or bfloat16 where it says
            so; ``'bfloat16'`` and ``'float16'`` are faster where the device has them.

    Raises:
        ModelFileError: OpenVINO is not installed, has no such device or precision or cannot open the file, or the
            file is not swinseg's.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        output: str | None = None,
        device: str = 'auto',
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        dtype: str = 'float32',
    ) -> None:
        self.path = _existing(path)
        _check_device(device, threads)
        _existing(self.path.with_suffix('.bin'), belongs_to=self.path)
        openvino = _import('openvino')
        core = openvino_core()
        target = _openvino_device(core.available_devices, device, providers)
        entries = {}
        with _opening(self.path, 'OpenVINO'):
            model = core.read_model(self.path)
            if model.has_rt_info([_SECTION]):
                section = model.get_rt_info([_SECTION]).astype(dict)
                entries = {key: str(value.value) for key, value in section.items()}
        self._describe(entries, *(_described(ports) for ports in (model.inputs, model.outputs)))
        if dtype == 'float32' and self.metadata.dtype == 'bfloat16':
            dtype = 'bfloat16'
        precision = _openvino_precision(core, target, dtype)
        if output is not None:
            model = openvino.Model([self._inner(model, output)], model.get_parameters())
        settings: dict[str, Any] = {'INFERENCE_PRECISION_HINT': precision}
        if threads is not None:
            settings['INFERENCE_NUM_THREADS'] = threads
        self.is_on_gpu = target != 'CPU'
        with _opening(self.path, f'OpenVINO on {target}'):
            self._compiled = core.compile_model(model, target, settings)
        self.outputs = tuple(port.get_any_name() for port in self._compiled.outputs)

    def run(self, given: NDArray) -> dict[str, NDArray]:
        """Run the graph on an input and return its outputs by their names."""
        found = self._compiled([np.ascontiguousarray(given)])
        # The memory of the results is that of the next call, too.
        return {name: found[i].copy() for i, name in enumerate(self.outputs)}

    def _inner(self, model: Any, name: str) -> Any:
        ports = (port for each in model.get_ops() for port in each.outputs())
        found = next((port for port in ports if name in port.get_names()), None)
        if found is None:
            raise ModelFileError(f'{self.path} has no {name} inside; export the model again')
        return found


def open_session(path: str | os.PathLike[str], **options: Any) -> Session:
    """Open an exported file by its suffix.

    Args:
        path: of the file.
        **options: as :class:`OnnxSession` and :class:`OpenVinoSession` take them.

    Raises:
        ModelFileError: there is no such file, or as those two say.
    """
    kinds = {'.onnx': OnnxSession, '.xml': OpenVinoSession}
    suffix = Path(path).suffix.lower()
    if suffix not in kinds:
        raise ModelFileError(
            f'expected a file that ends in {" or ".join(kinds)}, as swinseg export writes it, found {path}'
        )
    session: Session = kinds[suffix](path, **options)
    return session


def _check_device(device: str, threads: int | None) -> None:
    if device not in DEVICES:
        raise ModelFileError(
            f'device of an exported file must be one of {", ".join(DEVICES)}, not {device!r}; name others as '
            'providers'
        )
    if threads is not None and threads < 1:
        raise ModelFileError(f'threads must be at least 1, or None, not {threads}')


def _existing(path: str | os.PathLike[str], *, belongs_to: Path | None = None) -> Path:
    found = Path(path)
    if not found.is_file():
        what = '' if belongs_to is None else f', which holds the weights of {belongs_to.name}'
        raise ModelFileError(f'there is no file {found}{what}; check the path, or export it again')
    return found


def _import(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError as error:
        extra = name.removesuffix('runtime')
        raise ModelFileError(
            f'this file needs the package {name}, which cannot be imported ({error}); install it with: '
            f'pip install {name}, or "swinseg[{extra}]"'
        ) from error


@contextlib.contextmanager
def _opening(path: Path, runtime: str) -> Iterator[None]:
    """Say in one sentence what a runtime, each of which has errors of its own, has against a file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        # Theirs begin with much else, and end with what is missing.
        reason = ' '.join(str(error).split())[:800]
        raise ModelFileError(
            f'{runtime} cannot open {path}: {reason}; copy it again with the files beside it, or export it again'
        ) from error


def _onnx_providers(
    available: Sequence[str], device: str, providers: Sequence[str] | None
) -> list[str]:
    if providers:
        missing = [name for name in providers if name not in available]
        if missing:
            raise ModelFileError(
                f'this ONNX Runtime has no execution provider {missing[0]}; it has {", ".join(available)}'
            )
        return list(providers)
    gpu = [name for name in _ONNX_GPU if name in available]
    if device == 'gpu' and not gpu:
        raise ModelFileError(
            f'this ONNX Runtime has no GPU, only {", ".join(available)}; install onnxruntime-gpu, or take device '
            'cpu'
        )
    return [_ONNX_CPU] if device == 'cpu' else [*gpu[:1], _ONNX_CPU]


def _openvino_device(available: Sequence[str], device: str, providers: Sequence[str] | None) -> str:
    for name in providers or ():
        plain = name.partition(':')[0].partition('.')[0]
        if plain not in _OPENVINO_META and plain not in {
            each.partition('.')[0] for each in available
        }:
            raise ModelFileError(
                f'OpenVINO has no device {name} here; it has {", ".join(available)}'
            )
    if providers:
        return providers[0] if len(providers) == 1 else f'HETERO:{",".join(providers)}'
    has_gpu = any(name.startswith('GPU') for name in available)
    if device == 'gpu' and not has_gpu:
        raise ModelFileError(
            f'OpenVINO finds no GPU here, only {", ".join(available)}; install its driver, or take device cpu'
        )
    return 'GPU' if has_gpu and device != 'cpu' else 'CPU'


def _openvino_precision(core: Any, device: str, dtype: str) -> str:
    if dtype not in _OPENVINO_PRECISIONS:
        raise ModelFileError(
            f'dtype must be one of {", ".join(_OPENVINO_PRECISIONS)}, not {dtype!r}'
        )
    hint, capability = _OPENVINO_PRECISIONS[dtype]
    if dtype != 'float32' and ':' not in device:
        has = core.get_property(device, 'OPTIMIZATION_CAPABILITIES')
        if capability not in has:
            raise ModelFileError(
                f'OpenVINO on this {device} does not compute in {dtype}, only in {", ".join(has)}; take float32'
            )
    return hint


def _described(ports: Sequence[Any]) -> list[tuple[str, str]]:
    return [
        (next(iter(port.get_names()), '?'), f'{port.get_partial_shape()} {port.get_element_type()}')
        for port in ports
    ]


def _shape(sides: Sequence[Any]) -> str:
    return f'({", ".join(str(side) for side in sides)})'
