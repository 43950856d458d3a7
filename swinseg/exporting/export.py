"""Exporting a model: written, run beside PyTorch, and only then given its name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmseg.models import EncoderDecoder
from torch import Tensor

from swinseg.config.pipelines import pipeline_of
from swinseg.config.untrusted import prediction_config
from swinseg.errors import ConfigError, ExportError
from swinseg.exporting import onnx_file
from swinseg.exporting.checking import (
    LABEL_LIMITS,
    OPEN_SIZES,
    SCALED_SIZES,
    TOLERANCE,
    Case,
    compare,
)
from swinseg.exporting.gate import MAX_DROP, Accuracy, Gate
from swinseg.exporting.graph import Graph, float32_on_cpu
from swinseg.exporting.quantizing.calibration import CALIBRATION_IMAGES
from swinseg.exporting.quantizing.int8 import Quantization, write_int8
from swinseg.exporting.scale import scale_of, without_resize
from swinseg.exporting.targets import TARGETS, DType, Settings, Target, TargetName, require_target
from swinseg.files import OutputError, atomic_path, make_folder, write_text
from swinseg.hub.folder import config_text
from swinseg.hub.resolve import resolve
from swinseg.predictor.building import load_model
from swinseg.runtimes.base import INPUTS, OUTPUTS, Input, Output
from swinseg.runtimes.metadata import Metadata
from swinseg.runtimes.protocol import protocol_of
from swinseg.versions import installed_versions
from swinseg.visualization.palette import palette_or_default

OPSET = 17

# A graph is written twice before it has its name; beside its weights it has less than this.
_COPIES, _GRAPH_BYTES = 2, 2**24


@dataclass(frozen=True)
class Exported:
    """What was exported, and how far it is from the model.

    Attributes:
        path: the file; its suffix is that of its target.
        target: what it was exported to.
        dtype: that it computes in.
        files: it, what belongs to it, and the receipt, which says what is said here as JSON.
        size_in_bytes: of the first two.
        nodes: operations of the graph.
        opset: of ONNX, from which OpenVINO's graph is made, too; None where there is none.
        seconds: that it took.
        cases: the comparisons with PyTorch.
        accuracy: what model and file are worth on the data that was given; None without.
        quantization: how the file came to its int8; None for other types.
    """

    path: Path
    target: TargetName
    dtype: DType
    files: tuple[Path, ...]
    size_in_bytes: int
    nodes: int
    opset: int | None
    seconds: float
    cases: tuple[Case, ...]
    accuracy: Accuracy | None = None
    quantization: Quantization | None = None

    def __str__(self) -> str:
        """Return lines to print."""
        opset = '' if self.opset is None else f'opset {self.opset}, '
        lines = [
            f'{self.path}: {self.dtype}, {self.size_in_bytes / 2**20:.1f} MiB, {self.nodes} nodes, {opset}'
            f'{self.seconds:.0f} s',
            f'largest differences of {TARGETS[self.target].runtime_name} from PyTorch, at batch x height x width:',
            *(f'  {case}' for case in self.cases),
            *([] if self.accuracy is None else [str(self.accuracy)]),
            f'receipt: {self.files[-1]}',
        ]
        return '\n'.join(lines)


def export(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    to: TargetName = 'onnx',
    input: Input = 'tensor',
    output: Output = 'labels',
    resize: bool = False,
    size: Sequence[int] | None = None,
    opset: int = OPSET,
    dtype: DType = 'float32',
    data: str | os.PathLike[str] | Config | None = None,
    max_drop: float = MAX_DROP,
    calibration_images: int = CALIBRATION_IMAGES,
    config: str | os.PathLike[str] | Config | None = None,
    trust: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Export a checkpoint, and run the file beside PyTorch before it gets its name.

    Args:
        model: a checkpoint, a folder with a model, an address, or a name, as for ``Predictor.from_pretrained``.
        out: the file: ``.onnx``; ``.xml`` for OpenVINO, which has its weights in ``.bin`` beside it; ``.pt2``; or
            ``.torchscript``. A receipt is written beside it, too, ``.json`` added to its name.
        to: ``'onnx'``, ``'openvino'``, ``'torch-export'``, ``'torchscript'`` or ``'aotinductor'``, a library that
            is compiled for the processor at hand.
        input: ``'tensor'``, normalized (B, 3, H, W) float32, or ``'image'``, (B, H, W, 3) uint8 RGB, whose
            normalization is in the graph.
        output: all at the size of the input: ``'labels'``, (B, H, W) uint8 (int64 of more than 256 classes);
            ``'confidence'``, the labels and the probability of each, (B, H, W) float32; or ``'probabilities'``,
            (B, K, H, W) float32.
        resize: whether an ``'image'`` is resized in the graph as the config's test pipeline says, to the bytes
            that OpenCV makes of it; what comes out has the image's own size.
        size: height and width of the images that the graph is for, with a batch of 1; None for a graph for any
            batch, height and width.
        opset: of ONNX, 17 to 20.
        dtype: that it computes in between the normalized image and the logits: ``'float32'``, ``'float16'``,
            ``'bfloat16'`` or, for ONNX and OpenVINO, ``'int8'``. OpenVINO stores weights in float16 of both half
            precisions, and computes in bfloat16 or in what the device prefers; ONNX has no bfloat16.
        data: a config, or its path, on whose test set the model and the file are measured before the file gets its
            name. Int8 needs one, and its training set for the calibration.
        max_drop: points of mIoU by which the file may be worth less there.
        calibration_images: of the training set that int8 is calibrated on, evenly spread over it.
        config: as for ``Predictor.from_pretrained``.
        trust: whether the config inside the checkpoint may name any class and import any module.
        overwrite: replace the file if it is there.

    Raises:
        ArchitectureError: a part of the model cannot be exported.
        CheckpointError: there is no such model, or it cannot be read.
        ConfigError: the config is wrong, or one inside the checkpoint is not to be trusted.
        ExportError: a package is not installed, the arguments do not fit, or the file does not compute what the
            model does: logits that differ by more than 1e-4 of the largest of them (of 1 where all are smaller),
            or labels that rounding does not explain; in half precision, too large a share of other labels; or the
            file is worth less than the model on the data.
        OutputError: the file is there already, or cannot be written.
        PredictorError: config or class names are nowhere to be found.
    """
    path = _checked_path(out, require_target(to, dtype), overwrite=overwrite)
    _check_arguments(
        to, dtype=dtype, input=input, output=output, resize=resize, size=size, opset=opset
    )
    _check_calibration(dtype, data, calibration_images)
    source = resolve(model)
    loaded = load_model(source.read(with_config=config is None), model, config, trust=trust)
    weights = Path(source.weights)
    return export_model(
        loaded.model,
        path,
        classes=loaded.classes,
        palette=loaded.palette,
        config=loaded.cfg,
        checkpoint_sha256=sha256_of(weights) if weights.is_file() else None,
        to=to,
        input=input,
        output=output,
        resize=resize,
        size=size,
        opset=opset,
        dtype=dtype,
        data=data,
        max_drop=max_drop,
        calibration_images=calibration_images,
        overwrite=overwrite,
    )


def export_model(
    model: EncoderDecoder,
    out: str | os.PathLike[str],
    *,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]] | None = None,
    config: Config | None = None,
    checkpoint_sha256: str | None = None,
    to: TargetName = 'onnx',
    input: Input = 'tensor',
    output: Output = 'labels',
    resize: bool = False,
    size: Sequence[int] | None = None,
    opset: int = OPSET,
    dtype: DType = 'float32',
    data: str | os.PathLike[str] | Config | None = None,
    max_drop: float = MAX_DROP,
    calibration_images: int = CALIBRATION_IMAGES,
    overwrite: bool = False,
) -> Exported:
    """Export a segmentor with its weights; else as :func:`export`.

    Args:
        model: it stays as it was.
        out: as for :func:`export`, as is all that is not named here.
        classes: K names.
        palette: K RGB colors; None makes some.
        config: of the model; what prediction needs of it is put into the file, so that
            ``Predictor.from_exported`` needs no other. None leaves that out, and cannot be with ``resize``.
        checkpoint_sha256: of the file of the weights, to be put into the exported one.
    """
    start = time.perf_counter()
    target = require_target(to, dtype)
    path = _checked_path(out, target, overwrite=overwrite)
    _check_arguments(
        to, dtype=dtype, input=input, output=output, resize=resize, size=size, opset=opset
    )
    _check_calibration(dtype, data, calibration_images)
    scale = scale_of(config or {}) if resize else None
    if len(classes) != model.num_classes:
        raise ExportError(
            f'the model predicts {model.num_classes} classes, but {len(classes)} class names are given; give one '
            'for each'
        )
    fixed = None if size is None else (int(size[0]), int(size[1]))
    reference = float32_on_cpu(model)
    graph = Graph(reference, input=input, output=output, scale=scale).eval()
    metadata = _metadata_of(
        graph,
        classes=classes,
        palette=palette_or_default(palette, num_classes=len(classes)).tolist(),
        size=fixed,
        config=without_resize(config) if config and resize else config,
        checkpoint_sha256=checkpoint_sha256,
        dtype=dtype,
    )
    gate = None
    if data is not None:
        gate = Gate(data, reference, classes=classes, max_drop=max_drop, resizes=resize)
    sizes = [(1, *fixed)] * 2 if fixed else SCALED_SIZES if resize else OPEN_SIZES
    make_folder(path.parent)
    _check_room(graph, path)
    with _staging(path) as folder:
        staged = folder / path.name

        def compared(
            file: Path, dtype: DType, inputs: Sequence[Tensor] | None = None
        ) -> list[Case]:
            return compare(
                lambda: target.runtime(file, device='cpu', threads=torch.get_num_threads()),
                graph,
                reference,
                sizes=sizes,
                name=target.runtime_name,
                dtype=dtype,
                inputs=inputs,
            )

        def write(file: Path, dtype: DType) -> tuple[int, list[Case]]:
            settings = Settings(size=fixed, opset=opset, dtype=dtype)
            return target.write(graph, file, metadata, settings), compared(file, dtype)

        quantization, accuracy = None, None
        if dtype == 'int8':
            assert gate is not None
            assert target.quantizer is not None
            quantization = write_int8(
                graph,
                reference,
                staged,
                write_float=lambda file: write(file, 'float32'),
                quantizer=target.quantizer,
                gate=gate,
                images=calibration_images,
                size=fixed,
                example_sizes=sizes,
            )
            nodes, accuracy = quantization.nodes, quantization.accuracy
            cases = compared(staged, dtype, quantization.examples)
        else:
            nodes, cases = write(staged, dtype)
            accuracy = None if gate is None else gate.measure(staged)
        if gate is not None and accuracy is not None:
            gate.require(accuracy)
        written = sorted(folder.iterdir(), key=lambda file: file == staged)
        exported = Exported(
            path=path,
            target=to,
            dtype=dtype,
            files=(
                path,
                *(path.with_name(file.name) for file in written[:-1]),
                _receipt_of(path),
            ),
            size_in_bytes=sum(file.stat().st_size for file in written),
            nodes=nodes,
            opset=opset if 'onnx' in target.needs else None,
            seconds=time.perf_counter() - start,
            cases=tuple(cases),
            accuracy=accuracy,
            quantization=quantization,
        )
        receipt = _receipt(exported, metadata, checksum=sha256_of(staged))
        # What belongs to the file comes before it: where it is, all is.
        for file in written[:-1]:
            _move(file, path.with_name(file.name))
        write_text(exported.files[-1], receipt)
        _move(staged, path)
    return exported


def _metadata_of(
    graph: Graph,
    *,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    size: tuple[int, int] | None,
    config: Config | None,
    checkpoint_sha256: str | None,
    dtype: DType,
) -> Metadata:
    """Return what is to be said of a graph."""
    normalization = graph.normalization
    is_bgr = normalization.is_bgr and graph.input == 'tensor'
    step = -1 if is_bgr else 1
    return Metadata(
        classes=tuple(classes),
        palette=tuple(tuple(int(value) for value in color) for color in palette),
        mean=tuple(round(value, 6) for value in normalization.mean[::step]),
        std=tuple(round(value, 6) for value in normalization.std[::step]),
        channel_order='BGR' if is_bgr else 'RGB',
        input=graph.input,
        output=graph.output,
        resizes=graph.scale is not None,
        size=size,
        stride=graph.backbone.patch * 2 ** (len(graph.backbone.stages) - 1),
        checkpoint_sha256=checkpoint_sha256,
        threshold=graph.threshold,
        protocol=None if config is None else protocol_of(config),
        config=None if config is None else _config_inside(config),
        dtype=dtype,
    )


def _config_inside(config: Config) -> str | None:
    """Return the text of what prediction needs of a config, or None where it names classes that are not known.

    Whoever gets the file trusts it as little as a checkpoint, and reads the text by the same rules.
    """
    parts = {
        'model': {key: value for key, value in config['model'].items() if key != 'auxiliary_head'},
        'test_pipeline': list(pipeline_of(config)),
        'tta_pipeline': config.get('tta_pipeline'),
    }
    try:
        return config_text(prediction_config(Config(parts).to_dict(), name='the config'))
    except ConfigError:
        return None


def _checked_path(out: str | os.PathLike[str], target: Target, *, overwrite: bool) -> Path:
    path = Path(out)
    if path.suffix != target.suffix:
        raise ExportError(
            f'a file for {target.runtime_name} must end in {target.suffix}, found {path.name!r}; name it '
            f'{path.stem}{target.suffix}'
        )
    companions = [] if target.companion is None else [target.companion(path)]
    there = [str(each) for each in (path, *companions, _receipt_of(path)) if each.exists()]
    if there and not overwrite:
        raise OutputError(
            f'{there[0]} is there already; name another file, or replace it with overwrite (--overwrite)'
        )
    return path


def _receipt_of(path: Path) -> Path:
    return path.with_name(f'{path.name}.json')


def _check_arguments(
    to: str,
    *,
    dtype: str,
    input: str,
    output: str,
    resize: bool,
    size: Sequence[int] | None,
    opset: int,
) -> None:
    if dtype not in TARGETS[to].dtypes:
        raise ExportError(
            f'{to} has no form in {dtype!r} here; dtype must be one of {", ".join(TARGETS[to].dtypes)}'
        )
    for name, value, known in (('input', input, INPUTS), ('output', output, OUTPUTS)):
        if value not in known:
            raise ExportError(f'{name} must be one of {", ".join(known)}, not {value!r}')
    if resize and input != 'image':
        raise ExportError(
            f'resize=True (--resize) is for images as they are in a file, not for input={input!r}; give '
            "input='image' (--input image) with it"
        )
    if opset not in onnx_file.OPSETS:
        raise ExportError(
            f'opset must be from {onnx_file.OPSETS[0]} to {onnx_file.OPSETS[-1]}, not {opset}; {OPSET} is read by '
            'most runtimes'
        )
    if size is not None and (len(size) != 2 or any(int(side) < 1 for side in size)):
        raise ExportError(
            f'size must be a height and a width of at least 1 pixel, not {tuple(size)}'
        )


def _check_calibration(
    dtype: str, data: str | os.PathLike[str] | Config | None, images: int
) -> None:
    if dtype != 'int8':
        return
    if data is None:
        raise ExportError(
            'int8 is calibrated and measured on images: give the config that the model was trained with as data '
            '(--data CONFIG)'
        )
    if images < 1:
        raise ExportError(f'int8 is calibrated on one image at least, not {images}')


def _check_room(graph: Graph, path: Path) -> None:
    weights = sum(each.numel() * each.element_size() for each in graph.state_dict().values())
    needed = _COPIES * (weights + _GRAPH_BYTES)
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise OutputError(
            f'cannot write {path}: {needed / 2**20:,.0f} MiB are needed while it is made, {free / 2**20:,.0f} MiB '
            'are free; make room, or name another folder'
        )


@contextlib.contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """Give a folder beside ``path`` that is gone after the block, and say in one sentence that a disk is full."""
    try:
        with tempfile.TemporaryDirectory(
            dir=path.parent, prefix='.export', suffix='.partial'
        ) as folder:
            yield Path(folder)
    except OSError as error:
        raise OutputError(
            f'cannot write {path}: {error.strerror or error}; make room, or name another folder'
        ) from error


def _move(staged: Path, final: Path) -> None:
    with atomic_path(final) as temporary:
        os.replace(staged, temporary)


def _receipt(exported: Exported, metadata: Metadata, *, checksum: str) -> str:
    target = TARGETS[exported.target]
    entries = {
        'file': exported.path.name,
        'sha256': checksum,
        'bytes': exported.size_in_bytes,
        'nodes': exported.nodes,
        'opset': exported.opset,
        'target': exported.target,
        'dtype': exported.dtype,
        'model': asdict(metadata),
        'runtime': target.runtime_name,
        'versions': installed_versions(('swinseg', 'torch', *target.needs)),
        'tolerance': TOLERANCE if exported.dtype == 'float32' else None,
        'label_tolerance': LABEL_LIMITS.get(exported.dtype),
        'compared': [asdict(case) for case in exported.cases],
        'accuracy': None if exported.accuracy is None else asdict(exported.accuracy),
        'quantization': None if exported.quantization is None else exported.quantization.record(),
        'seconds': round(exported.seconds, 1),
    }
    return json.dumps(entries, indent=2, ensure_ascii=False) + '\n'


def sha256_of(path: Path) -> str:
    """Return the checksum of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
