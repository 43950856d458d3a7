"""A video from file to file: frames per second beside those of the model on frames that are decoded already."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from swinseg.benchmark.exactness import LARGEST
from swinseg.benchmark.options import Options
from swinseg.benchmark.pairs import build_pair, names_of
from swinseg.benchmark.results import Table
from swinseg.benchmark.timing import Candidate, compare
from swinseg.datasets.mini.scenes import draw_scene
from swinseg.errors import BenchmarkError
from swinseg.models.prepare import prepare_for_inference
from swinseg.predictor import Predictor
from swinseg.predictor.segmentation import Segmentation
from swinseg.segment.videos.libraries import open_video
from swinseg.segment.videos.video import VideoResult, segment_video

MODEL, VIDEO = 'model alone', 'video to video'
RATE = 'frames/s'


@dataclass(frozen=True)
class VideoOptions(Options):
    """Options of the suite.

    Attributes:
        variants: of the model.
        config: instead of the variants' configs.
        image_size: height and width of a frame in pixels.
        frames: of the clip.
    """

    variants: tuple[str, ...] = ('T',)
    config: str | None = None
    image_size: tuple[int, ...] = (512, 512)
    frames: int = 16

    def check(self) -> None:
        """Refuse values that cannot be measured."""
        super().check()
        if len(self.image_size) != 2:
            raise BenchmarkError(
                f'--image-size takes height and width, found {len(self.image_size)} numbers'
            )
        if self.frames < 1:
            raise BenchmarkError(f'--frames must be at least 1, found {self.frames}')


def run(options: VideoOptions) -> Iterator[Table]:
    """Measure and yield the tables."""
    height, width = options.image_size
    for variant in names_of(options.variants, options.config):
        model = build_pair(variant, options.config, device=options.device).ours
        predictor = Predictor(
            prepare_for_inference(model),
            [dict(type='LoadImage'), dict(type='PackSegInputs')],
            classes=[f'class {index}' for index in range(model.num_classes)],
        )
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder, 'clip.mp4')
            draw_clip(clip, options.frames, height=height, width=width)
            rows, _ = compare(
                _candidates(predictor, clip, options.frames),
                _difference_of_areas,
                rounds=options.rounds,
                device=options.device,
            )
        yield Table(
            f'{variant}, a video of {options.frames} frames of {height} x {width} pixels',
            tuple(rows),
            baseline=MODEL,
            ours=VIDEO,
            notes=(
                f'{VIDEO}: decoding, the model, drawing, encoding; {LARGEST}: of the shares of the pixels that '
                'the classes cover, which are written to six digits.',
            ),
        )


def draw_clip(
    path: Path,
    frames: int,
    *,
    height: int,
    width: int,
    fps: float = 25.0,
    codec: str = 'mp4v',
    pixels_per_frame: int = 4,
) -> None:
    """Write a video of a camera that moves to the right along a drawn scene.

    Args:
        path: the file.
        frames: how many.
        height: of a frame in pixels, even, at least 32.
        width: likewise.
        fps: frames per second.
        codec: of OpenCV's encoders.
        pixels_per_frame: how far the camera moves.
    """
    scene, _ = draw_scene(
        np.random.default_rng(4), height=height, width=width + pixels_per_frame * frames
    )
    pixels = cv2.cvtColor(scene, cv2.COLOR_RGB2BGR)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (width, height))
    for number in range(frames):
        left = pixels_per_frame * number
        writer.write(np.ascontiguousarray(pixels[:, left : left + width]))
    writer.release()


def _candidates(predictor: Predictor, clip: Path, frames: int) -> list[Candidate]:
    with open_video(clip) as reader:
        decoded = [frame for _ in range(frames) if (frame := reader.read()) is not None]
    assert len(decoded) == frames

    def model_alone() -> list[Segmentation]:
        return [predictor(frame) for frame in decoded]

    def video_to_video() -> VideoResult:
        return segment_video(predictor, clip, clip.parent)

    def rate(median: float) -> dict[str, float]:
        return {RATE: frames / median}

    return [
        Candidate(MODEL, model_alone, figures=rate),
        Candidate(VIDEO, video_to_video, figures=rate),
    ]


def _difference_of_areas(
    expected: Sequence[Segmentation], result: VideoResult
) -> Mapping[str, float]:
    with open(result.areas, newline='', encoding='utf-8') as file:
        lines = list(csv.DictReader(file))
    differences = [
        abs(float(line[name]) - segmentation.areas().get(name, 0.0))
        for line, segmentation in zip(lines, expected, strict=True)
        for name in segmentation.classes
    ]
    return {LARGEST: max(differences)}
