"""An exported file with what stands before and after it.

Shapes: H, W = size of the given image; K = classes (1 score for a binary head).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinseg_runtime.errors import ModelFileError
from swinseg_runtime.images import (
    ImageLike,
    nearest,
    read_pixels,
    resize_pixels,
    resize_scores,
    resized_size,
)
from swinseg_runtime.sessions import open_session


@dataclass(frozen=True, eq=False)
class Result:
    """The labels of one image.

    Attributes:
        labels: (H, W) class indices, uint8 up to 256 classes, else uint16.
        classes: K names.
        palette: (K, 3) uint8 RGB.
        confidence: (H, W) float32 in [0, 1], the probability of the label; None where the file gives labels only.
        probabilities: (K, H, W) float32 in [0, 1]; None where the file does not give them.
    """

    labels: NDArray[np.uint8] | NDArray[np.uint16]
    classes: tuple[str, ...]
    palette: NDArray[np.uint8]
    confidence: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float32] | None = None

    def color(self) -> NDArray[np.uint8]:
        """Return the labels in the palette's colors, (H, W, 3) uint8 RGB."""
        return self.palette[self.labels]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the labels as a PNG whose palette has their colors, or of 16 bits from 257 classes on.

        Raises:
            ModelFileError: the file cannot be written.
        """
        picture = Image.fromarray(self.labels)
        if self.labels.dtype == np.uint8:
            picture.putpalette(self.palette.tobytes())
        target = Path(path)
        try:
            with tempfile.TemporaryDirectory(dir=target.parent, prefix='.swinseg') as folder:
                picture.save(Path(folder) / 'labels.png', format='PNG')
                os.replace(Path(folder) / 'labels.png', target)
        except OSError as error:
            raise ModelFileError(
                f'cannot write {target}: {error.strerror or error}; name another folder, or make room'
            ) from error


class Model:
    """An exported file; call it with an image.

    Images are prepared as the protocol in the file says: resized as OpenCV does it, to the bit, and normalized. In
    mode ``'slide'`` the probabilities of overlapping windows are averaged; the package averages the logits, so
    that a few labels differ from its. What comes out is at the size of the given image: probabilities of a resized
    image are resized bilinearly, labels of one to the nearest, where the package resizes the logits. Without
    windows and resize the labels are those of the package.

    Args:
        path: ``.onnx``, or ``.xml`` of OpenVINO.
        device: ``'cpu'``, ``'gpu'``, or ``'auto'`` for a GPU where the runtime has one.
        threads: of the processor; None for as many as it has cores.
        providers: ONNX Runtime's execution providers or OpenVINO's devices, in the place of ``device``.

    Raises:
        ModelFileError: the runtime or the device is not there, the file cannot be read or is not swinseg's, or its
            protocol has steps that this module does not do.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = 'auto',
        threads: int | None = None,
        providers: Sequence[str] | None = None,
    ) -> None:
        self.session = open_session(path, device=device, threads=threads, providers=providers)
        self.metadata = self.session.metadata
        self.palette = np.array(self.metadata.palette, np.uint8)
        self._protocol = self.metadata.protocol or {'resize': None, 'mode': 'whole'}
        if len(self.metadata.mean) != 3:
            raise ModelFileError(
                f'{path} takes images of {len(self.metadata.mean)} channels, but this module reads RGB; use '
                'swinseg.Predictor.from_exported'
            )
        if self._protocol.get('other_steps'):
            raise ModelFileError(
                f'{path} is for images that are prepared by {", ".join(self._protocol["other_steps"])}, which '
                'this module does not do; use swinseg.Predictor.from_exported'
            )

    def __call__(self, image: ImageLike) -> Result:
        """Segment one image.

        Args:
            image: a path, an (H, W, 3) uint8 RGB array, or a PIL image; EXIF orientation of the latter two is
                applied.

        Raises:
            ModelFileError: it is no image, or of a size that the file does not take.
        """
        pixels = read_pixels(image)
        size = pixels.shape[:2]
        resize = self._protocol['resize']
        if resize is not None:
            width, height = resized_size(pixels.shape[:2], **resize)
            pixels = resize_pixels(pixels, height, width)
        return self._result(self._predict(pixels), size)

    def _predict(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray]:
        """Return the outputs of an image, without the batch."""
        height, width = pixels.shape[:2]
        if self._protocol['mode'] == 'slide':
            rows, columns = self._protocol['crop_size']
            if height > rows or width > columns:
                return {'probabilities': self._mean_of_windows(pixels)}
        return self._run(pixels)

    def _run(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray]:
        size = self.metadata.size
        if size is not None and pixels.shape[:2] != size:
            raise ModelFileError(
                f'{self.session.path} takes images of {size[0]} x {size[1]} pixels (height x width), found '
                f'{pixels.shape[0]} x {pixels.shape[1]}; resize the image, or export for any size'
            )
        given: NDArray = pixels
        if self.metadata.input == 'tensor':
            ordered = pixels[..., ::-1] if self.metadata.channel_order == 'BGR' else pixels
            mean, std = (np.array(x, np.float32) for x in (self.metadata.mean, self.metadata.std))
            given = ((ordered - mean) / std).transpose(2, 0, 1)
        return {name: array[0] for name, array in self.session.run(given[None]).items()}

    def _mean_of_windows(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Average the probabilities of overlapping windows, which lie where mmseg's lie."""
        if self.metadata.output != 'probabilities':
            raise ModelFileError(
                f'{self.session.path} is for sliding windows, which need probabilities, but gives '
                f'{self.metadata.output}; export it with --output probabilities, or use '
                'swinseg.Predictor.from_exported'
            )
        height, width = pixels.shape[:2]
        rows, columns = (
            _windows(*each)
            for each in zip(
                (height, width), self._protocol['crop_size'], self._protocol['stride'], strict=True
            )
        )
        total: NDArray[np.float32] | None = None
        count = np.zeros((height, width), np.float32)
        for row in rows:
            for column in columns:
                found = self._run(pixels[row, column])['probabilities']
                if total is None:
                    total = np.zeros((len(found), height, width), np.float32)
                total[:, row, column] += found
                count[row, column] += 1
        assert total is not None
        total /= count
        return total

    def _result(self, outputs: Mapping[str, NDArray], size: tuple[int, ...]) -> Result:
        height, width = size
        probabilities = outputs.get('probabilities')
        if probabilities is not None:
            probabilities = resize_scores(probabilities, height, width)
            if len(probabilities) == 1:
                labels = probabilities[0] > (self.metadata.threshold or 0.0)
                probabilities = np.concatenate([1 - probabilities, probabilities])
                confidence = np.where(labels, probabilities[1], probabilities[0])
            else:
                labels, confidence = probabilities.argmax(0), probabilities.max(0)
        else:
            rows, columns = (
                nearest(*each) for each in zip(outputs['labels'].shape, size, strict=True)
            )
            labels = outputs['labels'][rows[:, None], columns]
            given = outputs.get('confidence')
            confidence = None if given is None else given[rows[:, None], columns]
        dtype = np.uint8 if len(self.metadata.classes) <= 256 else np.uint16
        return Result(
            labels.astype(dtype),
            self.metadata.classes,
            self.palette,
            confidence,
            probabilities,
        )


def _windows(length: int, window: int, stride: int) -> list[slice]:
    """Return the windows along one axis; the last one is moved back to end with the image."""
    count = max(length - window + stride - 1, 0) // stride + 1
    ends = [min(i * stride + window, length) for i in range(count)]
    return [slice(max(end - window, 0), end) for end in ends]
