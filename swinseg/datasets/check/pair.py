"""Inspection of an image and its label, in one reading of the two files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from mmcv.transforms import BaseTransform

from swinseg.datasets.files import images as image_files
from swinseg.datasets.files.band_choice import Choice
from swinseg.datasets.files.several_pictures import several_pictures_of_file
from swinseg.datasets.files.value_range import ValueRange
from swinseg.datasets.labels.colors import decode_by_rule, decode_colors
from swinseg.datasets.labels.faults import size_sentence
from swinseg.datasets.labels.map import Color, LabelRule
from swinseg.datasets.labels.multi_label import MultiLabelRule, Planes, load_planes
from swinseg.datasets.transforms.loaders import load_image
from swinseg.datasets.transforms.loading import LoadImage, LoadLabel
from swinseg.datasets.transforms.resize_crop import class_counts
from swinseg.errors import DataError, LabelChannelsError, LabelColorsError

_DIGEST_BYTES = 16
# A mask has as many colors as classes; a photograph or a smoothed mask has thousands.
_COLORS_KEPT = 512
# Of each of many images they go to the parent process.
_VALUES_KEPT = 1024


@dataclass(frozen=True)
class Job:
    """An image, its label (None without labels), and what the label's values mean.

    Attributes:
        second_image: of the same place at another time, in sets for the detection of changes; else None.
        multi_label: what labels with several classes at a pixel mean; None for other labels.
        masks: path of the mask of each class, or None, where each has its own.
    """

    image: str
    label: str | None
    rule: LabelRule
    second_image: str | None = None
    multi_label: MultiLabelRule | None = None
    masks: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Loading:
    """What reads the files in the pipeline."""

    image: BaseTransform = field(default_factory=LoadImage)
    label: LoadLabel = field(default_factory=LoadLabel)

    @property
    def value_range(self) -> ValueRange | None:
        """Which values of images of more than 8 bits become 0 and 255."""
        return self.image.value_range if isinstance(self.image, LoadImage) else None

    @property
    def bands(self) -> Choice | None:
        """Bands that the model is shown, in its order; None for colors, or all that a file has."""
        return self.image.bands if isinstance(self.image, LoadImage) else None


@dataclass(frozen=True)
class Problem:
    """Why training would stop at a file."""

    kind: Literal['image', 'label', 'size', 'colors']
    path: str
    sentence: str


@dataclass(frozen=True)
class ImageFacts:
    """What was found in an image.

    Attributes:
        shape: (H, W), turned as its EXIF says where the pipeline does so.
        digest: of the decoded pixels.
        mean: of each channel over all pixels, RGB where there are three; None for a file of more than 8 bits of
            which nothing says what they mean.
        std: the standard deviation likewise.
        values: (n, C) float32, some of the finite values of a file of more than 8 bits, RGB; None for others.
        with_data: pixels that have data; None where the loader takes all for such.
        more_pictures: a sentence, where the file holds more pictures than the first, which is read.
    """

    shape: tuple[int, int]
    digest: bytes
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    values: npt.NDArray[np.float32] | None = None
    more_pictures: str | None = None
    with_data: int | None = None

    @property
    def counted(self) -> int:
        """Pixels over which mean and deviation are."""
        return self.shape[0] * self.shape[1] if self.with_data is None else self.with_data


@dataclass(frozen=True)
class LabelFacts:
    """What was found in a label.

    Attributes:
        digest: of the raw values.
        values: (n,) uint16, the raw values that occur, ascending; none where a pixel may have several classes.
        counts: (n,) int64, their pixels.
        palette: the color of each value that occurs, where the file has a palette.
        without_data: pixels whose value does not count, for the image has no data there.
        planes: of labels with several classes at a pixel, how often each occurs; else None.
    """

    digest: bytes
    values: npt.NDArray[np.uint16]
    counts: npt.NDArray[np.int64]
    palette: dict[int, Color] | None
    without_data: int = 0
    planes: PlaneCounts | None = None


@dataclass(frozen=True)
class PlaneCounts:
    """How often classes occur in a label of which a pixel may have several.

    Attributes:
        pixels: (C,) int64, that have a class.
        counted: pixels that count for one class at least.
        ignored: pixels that count for none.
    """

    pixels: npt.NDArray[np.int64]
    counted: int
    ignored: int


@dataclass(frozen=True)
class ColorFacts:
    """What was found in a label that is a picture.

    Attributes:
        colors: (up to 512, 3) uint8 RGB, the commonest first.
        counts: their pixels.
        distinct: how many colors there are in all.
    """

    colors: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.int64]
    distinct: int


@dataclass(frozen=True)
class PairFacts:
    """What was found in a pair; None for what could not be read."""

    job: Job
    problems: tuple[Problem, ...]
    image: ImageFacts | None
    label: LabelFacts | None
    colors: ColorFacts | None = None


def inspect_pair(job: Job, loading: Loading, *, with_image: bool = True) -> PairFacts:
    """Read an image and its label once and say everything about them; no bad file raises.

    Args:
        job: the pair.
        loading: how the pipeline reads files.
        with_image: whether the image is read, too; without, nothing is said of it.
    """
    problems: list[Problem] = []
    image = label = colors = valid = None
    if with_image:
        try:
            facts, valid = _inspect_image(job, loading)
            image = replace(
                facts,
                more_pictures=several_pictures_of_file(image_files.local_path(job.image)),
            )
        except DataError as error:
            problems.append(Problem('image', job.image, str(error)))
    if job.label is None:
        return PairFacts(job, tuple(problems), image, None)
    shape: tuple[int, ...] | None = None
    if job.multi_label is not None:
        try:
            planes = planes_of_job(job, loading, None if image is None else image.shape)
            label = _inspect_planes(planes, job.multi_label, valid)
        except DataError as error:
            problems.append(Problem('label', job.label, str(error)))
        return PairFacts(job, tuple(problems), image, label)
    try:
        data = image_files.read_bytes(
            job.label, what='label', backend_args=loading.label.backend_args
        )
        try:
            raw = decode_by_rule(data, job.label, job.rule)
            palette = image_files.png_palette(data) if job.rule.colors is None else None
            shape, label = raw.shape, _inspect_label(raw, palette, valid)
        except (LabelChannelsError, LabelColorsError) as error:
            problems.append(Problem('colors', job.label, str(error)))
            picture = decode_colors(data, job.label)
            shape, colors = picture.shape[:2], _inspect_colors(picture)
    except DataError as error:
        problems.append(Problem('label', job.label, str(error)))
    if image is not None and shape is not None and shape != image.shape:
        sentence = size_sentence(job.label, shape, job.image, image.shape)
        problems.append(Problem('size', job.label, sentence))
    return PairFacts(job, tuple(problems), image, label, colors)


def _inspect_image(job: Job, loading: Loading) -> tuple[ImageFacts, npt.NDArray[np.bool_] | None]:
    """Return what was found in an image, and (H, W) where it has data, or None for everywhere."""
    if isinstance(loading.image, LoadImage) and loading.image.bands is not None:
        return _inspect_bands(job.image, loading.image)
    return _inspect_picture(job, loading), None


def _inspect_bands(path: str, loader: LoadImage) -> tuple[ImageFacts, npt.NDArray[np.bool_]]:
    image = loader.read_bands(path)
    pixels, valid = image.pixels, image.valid
    mean = std = values = None
    if pixels.dtype != np.uint8:
        values = _some_of(pixels[valid])
    if pixels.dtype == np.uint8 or loader.value_range is not None:
        shown = loader.as_shown(image, path)
        # Three bands are shown in OpenCV's order.
        mean, std = _mean_and_std(shown, valid)
    with_data = int(np.count_nonzero(valid))
    facts = ImageFacts(pixels.shape[:2], _digest(pixels), mean, std, values, with_data=with_data)
    return facts, valid


def _inspect_picture(job: Job, loading: Loading) -> ImageFacts:
    path, loader = job.image, loading.image
    if isinstance(loader, LoadImage) and loader.color_type != 'unchanged':
        data = image_files.read_bytes(path, backend_args=loader.backend_args)
        pixels = image_files.decode_values(data, path, color_type=loader.color_type)
    else:
        # As mmseg's datasets name them.
        info = {'img_path': path}
        if job.second_image is not None:
            info['img_path2'] = job.second_image
        pixels = load_image(loader, info)['img']
        return ImageFacts(pixels.shape[:2], _digest(pixels), *_mean_and_std(pixels))
    digest = _digest(pixels)
    if pixels.dtype == np.uint8:
        return ImageFacts(pixels.shape[:2], digest, *_mean_and_std(pixels))
    values = _some_values(pixels)
    if loader.value_range is None:
        return ImageFacts(pixels.shape[:2], digest, None, None, values)
    pixels = loader.value_range.to_8_bits(pixels, is_bgr=True, name=path)
    return ImageFacts(pixels.shape[:2], digest, *_mean_and_std(pixels), values)


def _mean_and_std(
    pixels: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mask = None if valid is None else valid.astype(np.uint8)
    # OpenCV takes up to four channels with a mask.
    channels = [pixels] if mask is None else cv2.split(pixels)
    found = [cv2.meanStdDev(channel, mask=mask) for channel in channels]
    mean, std = (np.concatenate(values).ravel().tolist() for values in zip(*found, strict=True))
    if len(mean) == 3:  # BGR
        mean, std = mean[::-1], std[::-1]
    return tuple(mean), tuple(std)


def _some_values(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return values of evenly spread pixels of an image, (H, W) or (H, W, 3) BGR."""
    return _some_of(pixels.reshape(pixels.shape[0] * pixels.shape[1], -1)[:, ::-1])


def _some_of(flat: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return evenly spread ones of (n, C) values that are finite numbers in all bands."""
    chosen = flat[:: max(1, len(flat) // _VALUES_KEPT)].astype(np.float32)
    return chosen[np.isfinite(chosen).all(axis=1)]


def _inspect_label(
    raw: npt.NDArray[Any],
    palette: npt.NDArray[np.uint8] | None,
    valid: npt.NDArray[np.bool_] | None,
) -> LabelFacts:
    without_data = 0
    if valid is not None and valid.shape == raw.shape and not valid.all():
        seen = raw[valid]
        without_data = raw.size - seen.size
        counts: npt.NDArray[Any] = np.bincount(seen)
    else:
        counts = class_counts(raw) if raw.dtype == np.uint8 else np.bincount(raw.ravel())
    values = np.flatnonzero(counts)
    colors = None if palette is None else palette.tolist()
    return LabelFacts(
        digest=_digest(raw),
        values=values.astype(np.uint16),
        counts=counts[values].astype(np.int64),
        palette=None
        if colors is None
        else {value: tuple(colors[value]) for value in values.tolist() if value < len(colors)},
        without_data=without_data,
    )


def planes_of_job(job: Job, loading: Loading, shape: tuple[int, int] | None) -> Planes:
    """Read a label with several classes at a pixel, (H, W, C); ``shape`` is that of its image, if it is known.

    Raises:
        DataError: it cannot be used.
    """
    info: dict[str, Any] = {
        'img_path': job.image,
        'seg_map_path': job.label,
        'multi_label': job.multi_label,
        'mask_paths': job.masks,
    }
    if shape is not None:
        info['ori_shape'] = shape
    return load_planes(info, backend_args=loading.label.backend_args)


def _inspect_planes(
    planes: Planes, rule: MultiLabelRule, valid: npt.NDArray[np.bool_] | None
) -> LabelFacts:
    if valid is not None:
        planes[~valid] = rule.ignore_index
    ignored = int((planes == rule.ignore_index).all(axis=2).sum())
    return LabelFacts(
        digest=_digest(planes),
        values=np.empty(0, np.uint16),
        counts=np.empty(0, np.int64),
        palette=None,
        planes=PlaneCounts(
            pixels=(planes == 1).sum(axis=(0, 1), dtype=np.int64),
            counted=planes.shape[0] * planes.shape[1] - ignored,
            ignored=ignored,
        ),
    )


def _inspect_colors(picture: npt.NDArray[np.uint8]) -> ColorFacts:
    """Count the colors of a picture, (H, W, 3) uint8 BGR."""
    blue, green, red = (channel.astype(np.uint32) for channel in cv2.split(picture))
    packed, counts = np.unique(red << 16 | green << 8 | blue, return_counts=True)
    commonest = np.argsort(-counts, kind='stable')[:_COLORS_KEPT]
    chosen = packed[commonest]
    colors = np.stack([chosen >> 16, chosen >> 8 & 255, chosen & 255], axis=1).astype(np.uint8)
    return ColorFacts(colors, counts[commonest].astype(np.int64), len(packed))


def _digest(pixels: npt.NDArray[Any]) -> bytes:
    # Two shapes of the same bytes are different pictures.
    digest = hashlib.blake2b(str(pixels.shape).encode(), digest_size=_DIGEST_BYTES)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()
