"""Films whose frames tell their numbers, made by PyAV, and what is in a film."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

HEIGHT, WIDTH = 64, 96
# Black and white squares, the lowest digit first, over a lower half of four colors.
_DIGITS, _SQUARE = 6, 16
RATE = 48_000

Frame = NDArray[np.uint8]


def numbered(number: int, height: int = HEIGHT, width: int = WIDTH) -> Frame:
    """Return a frame, (height, width, 3) uint8 RGB, that :func:`number_of` reads."""
    frame = np.full((height, width, 3), 128, np.uint8)
    for digit in range(_DIGITS):
        frame[:_SQUARE, digit * _SQUARE : (digit + 1) * _SQUARE] = 255 * (number >> digit & 1)
    half, middle = height // 2, width // 2
    frame[half:, :middle], frame[half:, middle:] = (220, 20, 60), (0, 0, 142)
    return frame


def number_of(frame: Frame) -> int:
    """Return the number that an upright frame shows."""
    squares = frame[: _SQUARE // 2 + 4, : _DIGITS * _SQUARE].reshape(-1, _DIGITS, _SQUARE, 3)
    bright = squares[4:, :, 4:-4].mean((0, 2, 3)) > 128
    return int((bright << np.arange(_DIGITS)).sum())


def write_clip(
    path: Path,
    frames: Iterable[Frame],
    *,
    codec: str = 'libx264',
    pixel_format: str = 'yuv420p',
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 12_800),
    step: int = 512,
    sound: str | None = None,
    sound_from: float = 0.0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    change: Callable[[Any], None] = lambda stream: None,
    mode: str | None = None,
) -> Path:
    """Write a film and return its path.

    Args:
        path: its suffix says the container.
        frames: (H, W, 3) uint8 RGB.
        codec: FFmpeg's name of an encoder.
        pixel_format: as FFmpeg names it.
        times: of the frames, in ``time_base``; None for one each ``step``.
        time_base: in seconds.
        step: that the last frame lasts, too.
        sound: FFmpeg's name of an encoder of a tone as long as the film; None for silence.
        sound_from: when it begins, in seconds.
        options: of the encoder.
        container_options: of the container.
        change: called with the stream before it is opened.
        mode: FFmpeg's name of the container, where the suffix does not say it.
    """
    av = pytest.importorskip('av', reason='PyAV is not installed')
    frames = list(frames)
    with av.open(str(path), 'w', format=mode, options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=1 / (step * time_base), options=options or {})
        stream.height, stream.width = frames[0].shape[:2] if frames else (HEIGHT, WIDTH)
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = time_base
        stream.codec_context.flags |= 1 << 8  # times of frames are kept
        change(stream)
        tone = None if sound is None else container.add_stream(sound, rate=RATE)
        if tone is not None:
            tone.layout = 'mono'
        container.start_encoding()
        shown = range(0, step * len(frames), step) if times is None else times
        for frame, time in zip(frames, shown, strict=True):
            picture = av.VideoFrame.from_ndarray(frame).reformat(format=pixel_format)
            picture.pts, picture.time_base, picture.duration = time, time_base, step
            container.mux(stream.encode(picture))
        if frames:
            container.mux(stream.encode())
        if tone is not None:
            seconds = float((shown[-1] + step) * time_base) - sound_from
            for each in _tone(av, seconds, sound_from):
                container.mux(tone.encode(each))
            container.mux(tone.encode())
    return path


def _tone(av: Any, seconds: float, begin: float) -> Iterable[Any]:
    for start in range(0, round(seconds * RATE), 1024):
        wave = np.sin(np.arange(start, start + 1024) * (2 * np.pi * 440 / RATE))
        samples = av.AudioFrame.from_ndarray((8000 * wave).astype(np.int16)[None], 's16', 'mono')
        samples.sample_rate, samples.time_base = RATE, Fraction(1, RATE)
        samples.pts = start + round(begin * RATE)
        yield samples


def frames_of(path: Path) -> tuple[list[Frame], list[Fraction]]:
    """Return the stored frames of a film, RGB, and their times in seconds."""
    av = pytest.importorskip('av', reason='PyAV is not installed')
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = list(container.decode(stream))
        return (
            [each.to_ndarray(format='rgb24') for each in decoded],
            [each.pts * stream.time_base for each in decoded],
        )


def sound_of(path: Path, track: int = 0) -> list[tuple[Fraction, bytes]]:
    """Return the packets of a film's sound, each with its time in seconds."""
    av = pytest.importorskip('av', reason='PyAV is not installed')
    with av.open(str(path)) as container:
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(container.streams.audio[track])
            if packet.size
        ]


def probed(path: Path) -> dict[str, Any]:
    """Return the streams of a film, and the frames of the first, as ffprobe tells them; skips without it."""
    if shutil.which('ffprobe') is None:
        pytest.skip('there is no ffprobe; install the package ffmpeg of the distribution')
    command = [
        'ffprobe', '-v', 'error', '-of', 'json', '-select_streams', 'v:0', '-count_frames', '-show_streams',
        '-show_frames', '-show_entries', 'frame=pts_time,pkt_duration_time,duration_time', str(path),
    ]  # fmt: skip
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    assert told.stderr == ''
    found: dict[str, Any] = json.loads(told.stdout)
    return found
