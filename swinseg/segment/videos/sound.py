"""The sound of a video, copied into the one that is written, or encoded anew where the new file does not take it.

It is read beside the frames, from the file opened a second time, so that no more of it is in memory than
a player would keep.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from swinseg.segment.videos.inputs import Clock, open_input

_COPIED = {
    'mp4': ('aac', 'mp3', 'opus', 'flac', 'alac', 'ac3', 'eac3'),
    'webm': ('opus', 'vorbis'),
}
_ENCODERS = {'mp4': 'aac', 'webm': 'libopus'}
_NAMES = {'aac': 'AAC', 'libopus': 'Opus'}
_RATES = {
    'aac': (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
    'libopus': (48000,),
}
# Seconds by which samples may come later without being a pause.
_PAUSE = 0.1
_BIT_RATE = 96_000
"""Of a channel."""


@dataclass
class _Track:
    """A stream of sound.

    Attributes:
        source: stream of the file that is read.
        target: stream of the file that is written.
        is_encoded: rather than copied.
        clock: of what is written.
        has_ended: nothing more of it is written.
        next_sample: where the samples that were encoded end; None before the first.
    """

    source: Any
    target: Any
    is_encoded: bool
    clock: Clock
    has_ended: bool = False
    next_sample: int | None = None


class Sound:
    """The streams of sound of a video.

    Args:
        path: of the video.

    Attributes:
        remarks: a clause about each stream that is not copied.

    Raises:
        av.FFmpegError: the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._container = open_input(path)
        self._streams = list(self._container.streams.audio)
        self._tracks: list[_Track] = []
        self._packets = self._demuxed()
        self._waiting: Any | None = None
        self.remarks: list[str] = []

    @property
    def has_tracks(self) -> bool:
        """Whether some sound is written."""
        return bool(self._tracks)

    @property
    def start(self) -> Fraction | None:
        """Where the first stream begins, in seconds of the file's clock, as far as it says."""
        return min(
            (
                each.start_time * each.time_base
                for each in self._streams
                if each.start_time is not None
            ),
            default=None,
        )

    def close(self) -> None:
        """Close the file that is read."""
        self._container.close()

    def add_to(self, output: Any, origin: Fraction) -> None:
        """Add the streams to a file that is about to be written.

        Args:
            output: PyAV's container.
            origin: of its clock, in seconds of the clock of the file that is read.
        """
        self._output = output
        self._origin = origin
        self._tracks = [
            track for stream in self._streams if (track := self._track(stream)) is not None
        ]

    def leave_out(self, error: BaseException) -> None:
        """Write none of it, for the file does not take it."""
        self.remarks = [f'its sound is left out: {_reason(error)}']
        self._streams, self._tracks = [], []

    def write_until(self, time: Fraction | None) -> None:
        """Write what begins before a time of the written file, in seconds; None for all that is left.

        Raises:
            av.FFmpegError: the file cannot be written.
        """
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = None
            if packet is None:
                break
            begins = packet.pts if packet.dts is None else packet.dts
            if (
                time is not None
                and begins is not None
                and begins * packet.time_base - self._origin >= time
            ):
                self._waiting = packet
                return
            self._write(packet)
        for track in self._tracks:
            if track.is_encoded and not track.has_ended:
                self._attempt(track, None)
            track.has_ended = True

    def _demuxed(self) -> Iterator[Any]:
        if not self._tracks:
            return
        try:
            for packet in self._container.demux(*(track.source for track in self._tracks)):
                if packet.size:
                    yield packet
        except av.FFmpegError:
            return  # the file was cut short, which its reader says

    def _track(self, stream: Any) -> _Track | None:
        container = self._output.format.name
        context = stream.codec_context
        if context is None:
            self.remarks.append('a track of its sound is left out: PyAV cannot decode it')
            return None
        clock = Clock(stream.time_base)
        codec = context.codec.canonical_name
        if codec in _COPIED[container]:
            return _Track(stream, self._output.add_stream_from_template(stream), False, clock)
        name = _ENCODERS[container]
        try:
            target = self._output.add_stream(name, rate=_rate(name, context.sample_rate))
        except (av.FFmpegError, ValueError) as error:
            self.remarks.append(f'its sound ({codec}) is left out: {_reason(error)}')
            return None
        channels = 1 if context.layout.nb_channels == 1 else 2
        target.layout = 'mono' if channels == 1 else 'stereo'
        target.bit_rate = channels * _BIT_RATE
        self.remarks.append(
            f'its sound is encoded anew as {_NAMES[name]}, for {container} files take no {codec}'
        )
        return _Track(stream, target, True, clock)

    def _write(self, packet: Any) -> None:
        for track in self._tracks:
            if track.source.index == packet.stream_index and not track.has_ended:
                self._attempt(track, packet)

    def _attempt(self, track: _Track, packet: Any | None) -> None:
        """Write a packet, or end the track there and say so; None for what the encoder has kept."""
        try:
            if track.is_encoded:
                self._encode(track, packet)
            else:
                self._copy(track, packet)
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError):
                raise
            track.has_ended = True
            self.remarks.append(f'a track of its sound breaks off: {_reason(error)}')

    def _copy(self, track: _Track, packet: Any) -> None:
        base = packet.time_base
        told = packet.pts if packet.dts is None else packet.dts
        time = track.clock(None if told is None else told * base, (packet.duration or 0) * base)
        dts = round((time - self._origin) / base)
        # Presented as long after it is decoded as before.
        packet.pts = dts if packet.pts is None or told is None else dts + packet.pts - told
        packet.dts = dts
        packet.stream = track.target
        self._output.mux(packet)

    def _encode(self, track: _Track, packet: Any | None) -> None:
        if packet is None:
            frames = [*_decode(track.source.codec_context, None), None]
        else:
            frames = _decode(track.source.codec_context, packet)
        for frame in frames:
            if frame is not None:
                base = track.source.time_base if frame.time_base is None else frame.time_base
                time = None if frame.pts is None else frame.pts * base - self._origin
                rate = frame.sample_rate
                frame.time_base = Fraction(1, rate)
                frame.pts = track.next_sample = _first_sample(
                    time, rate, expected=track.next_sample
                )
                track.next_sample += frame.samples
            self._output.mux(track.target.encode(frame))


def _decode(context: Any, packet: Any | None) -> list[Any]:
    """Return the samples of a packet, none of one that is damaged."""
    try:
        return list(context.decode(packet))
    except (av.error.InvalidDataError, EOFError):
        return []


def _first_sample(time: Fraction | None, rate: int, *, expected: int | None) -> int:
    """Return the number of the first sample of some: the expected one, unless a pause comes before them.

    Args:
        time: that the file says, in seconds, which may be rounded; None where it does not.
        rate: samples per second.
        expected: number of the sample after the last; None at the beginning.
    """
    if time is None:
        return expected or 0
    told = round(time * rate)
    if expected is None or told - expected > _PAUSE * rate:
        return told
    return expected


def _rate(encoder: str, rate: int) -> int:
    """Return a sample rate that an encoder takes, the same where it can be."""
    return rate if rate in _RATES[encoder] else 48_000


def _reason(error: BaseException) -> str:
    text = getattr(error, 'strerror', None) or str(error)
    return str(text)
