"""Exporting a model: written, run beside PyTorch, and only then given its name."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmseg.models import EncoderDecoder
from torch import Tensor

from swinseg.errors import ExportError
from swinseg.exporting.arguments import OPSET, check_arguments, check_calibration
from swinseg.exporting.checking import OPEN_SIZES, SCALED_SIZES, Case, compare
from swinseg.exporting.description import metadata_of
from swinseg.exporting.exported import Exported, receipt
from swinseg.exporting.gate import MAX_DROP, Gate
from swinseg.exporting.graph import Graph, float32_on_cpu
from swinseg.exporting.quantizing.calibration import CALIBRATION_IMAGES
from swinseg.exporting.quantizing.int8 import write_int8
from swinseg.exporting.scale import scale_of, without_resize
from swinseg.exporting.staging import check_room, checked_path, move, receipt_of, staging
from swinseg.exporting.targets import DType, Settings, TargetName, require_target
from swinseg.files import make_folder, write_text
from swinseg.hub.resolve import resolve
from swinseg.models.multi_label import refuse_multi_label
from swinseg.predictor.building import load_model
from swinseg.runtimes.base import Input, Output
from swinseg.visualization.palette import palette_or_default


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
    path = checked_path(out, require_target(to, dtype), overwrite=overwrite)
    check_arguments(
        to, dtype=dtype, input=input, output=output, resize=resize, size=size, opset=opset
    )
    check_calibration(dtype, data, calibration_images)
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
    refuse_multi_label(model, 'files are exported')
    start = time.perf_counter()
    target = require_target(to, dtype)
    path = checked_path(out, target, overwrite=overwrite)
    check_arguments(
        to, dtype=dtype, input=input, output=output, resize=resize, size=size, opset=opset
    )
    check_calibration(dtype, data, calibration_images)
    scale = scale_of(config or {}) if resize else None
    if len(classes) != model.num_classes:
        raise ExportError(
            f'the model predicts {model.num_classes} classes, but {len(classes)} class names are given; give one '
            'for each'
        )
    fixed = None if size is None else (int(size[0]), int(size[1]))
    reference = float32_on_cpu(model)
    graph = Graph(reference, input=input, output=output, scale=scale).eval()
    metadata = metadata_of(
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
    check_room(graph, path)
    with staging(path) as folder:
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
                receipt_of(path),
            ),
            size_in_bytes=sum(file.stat().st_size for file in written),
            nodes=nodes,
            opset=opset if 'onnx' in target.needs else None,
            seconds=time.perf_counter() - start,
            cases=tuple(cases),
            accuracy=accuracy,
            quantization=quantization,
        )
        written_receipt = receipt(exported, metadata, checksum=sha256_of(staged))
        # What belongs to the file comes before it: where it is, all is.
        for file in written[:-1]:
            move(file, path.with_name(file.name))
        write_text(exported.files[-1], written_receipt)
        move(staged, path)
    return exported


def sha256_of(path: Path) -> str:
    """Return the checksum of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
