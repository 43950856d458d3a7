"""Videos through PyAV: H.264 or VP9 at the times of the source's frames, with its sound.

PyAV is FFmpeg's libraries. Their colors: frames are converted to RGB by the matrix and range that the stream
names, and written as BT.709 of limited range, which is what players take for granted.
"""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from swinseg.files import OutputError
from swinseg.segment.videos.files import Frame, Span, VideoError, VideoReader, VideoWriter
from swinseg.segment.videos.inputs import Clock, open_input
from swinseg.segment.videos.matrix import Matrix, upright
from swinseg.segment.videos.sound import Sound

_MAJOR = int(av.__version__.split('.')[0])
_DISPLAY_MATRIX = struct.Struct('9i')
# Formats whose header says how long the file is, and not how many frames it holds.
_TIMED_FORMATS = ('matroska,webm', 'flv', 'asf')
# Of the length that the header says.
_TOLERATED_LOSS = 0.02
# AVColorTransferCharacteristic: perceptual quantizer and hybrid log-gamma.
_HIGH_DYNAMIC_RANGE = (16, 18)
_BT709 = 1
# The first PyAV that converts them.
_CONVERTS_TRANSFER = 18
# Pixels that are nearer to squares are shown as such.
_SQUARE = Fraction(1, 100)
_WIDEST_PIXEL = 8
_FRAME_DURATION = 1 << 8


@dataclass(frozen=True)
class _Encoder:
    """How a codec is encoded.

    Attributes:
        name: FFmpeg's name of the encoder.
        format: of the file, as FFmpeg and as the suffix name it.
        options: of the encoder.
        container_options: of the file.
        time_base: that the file has; None for any.
    """

    name: str
    format: str
    options: Mapping[str, str]
    container_options: Mapping[str, str]
    time_base: Fraction | None


_ENCODERS = {
    # The index of an MP4 goes before the frames, so that a browser begins to play while it loads. There are no
    # B-frames: with them the times of decoding end before the last frames do where the rate varies, and so does
    # the film in some players.
    'h264': _Encoder(
        'libx264', 'mp4', {'preset': 'veryfast', 'crf': '18', 'bf': '0'}, {'movflags': '+faststart'}, None
    ),
    'vp9': _Encoder(
        'libvpx-vp9', 'webm', {'crf': '24', 'b': '0', 'deadline': 'good', 'cpu-used': '5', 'row-mt': '1'},
        {}, Fraction(1, 1000),
    ),
}  # fmt: skip


class PyAVWriter(VideoWriter):
    """Writes H.264 in MP4 or VP9 in WebM, and the source's sound beside it.

    Times are the source's, counted from where its first stream begins. H.264 keeps them exactly, WebM in whole
    milliseconds.
    """

    def __init__(
        self,
        path: Path,
        temporary: Path,
        source: VideoReader,
        *,
        frame_size: tuple[int, int],
        fps: float,
        codec: str | None,
    ) -> None:
        super().__init__(path, temporary, source, frame_size=frame_size, fps=fps, codec=codec)
        assert isinstance(source, PyAVReader)
        self._encoder = _ENCODERS[_chosen(codec)]
        self.frame_size = frame_size
        self._time_base = self._encoder.time_base or source.time_base
        self._reformatter = VideoReformatter()
        self._last: int | None = None
        self._begins: Fraction | None = None
        self._container: Any = None
        try:
            self._sound = Sound(source.path)
        except av.FFmpegError as error:
            raise VideoError(
                f'cannot read video file {source.path} once more, for its sound: {error.strerror}'
            ) from error
        starts = (source.start, self._sound.start)
        self._origin = min(start for start in starts if start is not None)
        try:
            # What keeps the file from being written is seen here, before a frame is segmented.
            with _writing(self):
                temporary.touch()
                self._begin(temporary)
        except BaseException:
            self.abandon()
            raise

    @classmethod
    def suffix(cls, *, frame_size: tuple[int, int], fps: float, codec: str | None) -> str:
        """Return ``'.mp4'`` or ``'.webm'``."""
        return f'.{_ENCODERS[_chosen(codec)].format}'

    def write(self, frame: Frame, span: Span) -> None:
        """Append a frame."""
        picture = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(frame, format='rgb24'),
            format='yuv420p',
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,
        )
        time = round((span.start - self._origin) / self._time_base)
        if self._last is not None:
            time = max(time, self._last + 1)
        self._last = picture.pts = time
        picture.time_base = self._time_base
        picture.duration = max(1, round((span.end - self._origin) / self._time_base) - time)
        with _writing(self):
            self._encode(picture)
        self.count += 1
        self._begins = span.start if self._begins is None else self._begins
        self.fps = float(self.count / (span.end - self._begins))

    def finish(self) -> None:
        """Write the frames that the encoder has kept and the rest of the sound, and close the file."""
        with _writing(self):
            self._encode(None)
            self._sound.write_until(None)
            self._container.close()
            self._sound.close()

    def abandon(self) -> None:
        """Close the file."""
        # What is in it does not count.
        with contextlib.suppress(av.FFmpegError):
            if self._container is not None:
                self._container.close()
        self._sound.close()

    def remarks(self) -> list[str]:
        """Return what became of the sound where it is not the source's."""
        return self._sound.remarks

    def _begin(self, temporary: Path) -> None:
        """Write the beginning of the file, without sound where that is refused."""
        self._open(temporary)
        try:
            self._container.start_encoding()
        except av.FFmpegError as error:
            if isinstance(error, OSError) or not self._sound.has_tracks:
                raise
            self._container.close()
            self._sound.leave_out(error)
            self._open(temporary)
            self._container.start_encoding()

    def _open(self, temporary: Path) -> None:
        encoder = self._encoder
        self._container = av.open(
            f'file:{temporary}', 'w',
            format=encoder.format, container_options=dict(encoder.container_options),
        )  # fmt: skip
        rate = Fraction(self.fps).limit_denominator(100_000)
        stream = self._container.add_stream(encoder.name, rate=rate, options=dict(encoder.options))
        stream.height, stream.width = self.frame_size
        stream.pix_fmt = 'yuv420p'
        context = stream.codec_context
        context.time_base = self._time_base
        context.flags |= _FRAME_DURATION
        context.color_range = ColorRange.MPEG
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        self._stream = stream
        self._sound.add_to(self._container, self._origin)

    def _encode(self, picture: Any | None) -> None:
        for packet in self._stream.encode(picture):
            # Beside one another in the file, so that a player finds both at one place.
            self._sound.write_until(packet.dts * packet.time_base)
            self._container.mux(packet)


@contextlib.contextmanager
def _writing(writer: PyAVWriter) -> Iterator[None]:
    """Say in a sentence why FFmpeg does not write."""
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise OutputError(
                f'{writer.path} was not written completely: {error.strerror}; is there room on the disk?'
            ) from error
        height, width = writer.frame_size
        raise VideoError(
            f'PyAV {av.__version__} cannot encode frames of {width} x {height} as {writer.path.suffix}: '
            f'{error.strerror}; make the video smaller with ffmpeg'
        ) from error


def _chosen(codec: str | None) -> str:
    """Return a codec that there is an encoder for."""
    for name in _ENCODERS if codec is None else (codec,):
        try:
            av.Codec(_ENCODERS[name].name, 'w')
        except (av.FFmpegError, ValueError):
            continue
        return name
    raise VideoError(
        f'PyAV {av.__version__} brings no encoder of {codec or " and ".join(_ENCODERS)}; install its wheel, pip '
        "install 'swinseg[video]', which brings both"
    )


class PyAVReader(VideoReader):
    """Decodes by PyAV: frames are turned and mirrored as any file says, and have square pixels.

    Of several videos in a file the best is taken, as FFmpeg chooses it. Frames keep their own times; what makes
    them go back in time, as a cut in a recording does, is left out.

    Attributes:
        time_base: in which the file counts, in seconds.
        start: of the video, in seconds of the file's clock.
    """

    library = 'PyAV'
    writer = PyAVWriter

    def _open(self) -> None:
        try:
            self._container = open_input(self.path)
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise VideoError(f'cannot read video file {self.path}: {error.strerror}') from error
            raise self._undecodable() from error
        if not self._container.streams:
            raise self._undecodable()
        stream = self._container.streams.best('video')
        if stream is None or Disposition.attached_pic in stream.disposition:
            raise VideoError(
                f'{self.path} holds no video ({_kinds(self._container)}); give a file with moving pictures, or '
                'copy it again where it was cut short'
            )
        if stream.codec_context is None:
            raise self._undecodable()
        self._stream = stream
        self.time_base: Fraction = stream.time_base
        rate = stream.average_rate or stream.guessed_rate
        if rate:
            self.fps = float(rate)
        length = self._container.duration
        self._length = None if length is None else Fraction(length, av.time_base)
        own_length = self._length if stream.duration is None else stream.duration * self.time_base
        if stream.frames:
            self.announced = stream.frames
        elif own_length is not None:
            self.announced = round(own_length * Fraction(self.fps)) or None
        self._clock = Clock(self.time_base)
        self._packets_found = 0
        self._latest = Fraction(0)
        self._damaged = 0
        self._decoded_to: Fraction | None = None
        self._damaged_from: Fraction | None = None
        self._reformatter = VideoReformatter()
        self._frames = self._decoded()
        self._frame: Any = None
        self._next: tuple[Any, Span] | None = None

    def _close(self) -> None:
        container = getattr(self, '_container', None)
        if container is not None:
            container.close()

    @property
    def start(self) -> Fraction:
        """Of the video."""
        told = self._stream.start_time
        return self._start if told is None else min(told * self.time_base, self._start)

    def remark(self) -> str | None:
        """Return, after the last frame, a sentence when some were missing or damaged, else None."""
        told = super().remark() if self._stream.frames else self._remark_of_length()
        if told is None and self._damaged:
            place = self._start if self._damaged_from is None else self._damaged_from
            told = (
                f'{self._damaged} frames of {self.path} are damaged, the first at or after second '
                f'{float(place - self._start):.3f}; what could be decoded of them is shown'
            )
        return told

    def _remark_of_length(self) -> str | None:
        if self._length is None or self._container.format.name not in _TIMED_FORMATS:
            return None
        if self._length - self._latest <= max(2 / self.fps, _TOLERATED_LOSS * self._length):
            return None
        return (
            f'{self.path} announces {float(self._length):.3f} s, but only the first {self.count} frames could be '
            f'read, to second {self.seconds:.3f}; it was cut short or is damaged there'
        )

    def _found(self) -> int:
        # Of these some may be left out on purpose, as an edit list says.
        return self._packets_found

    def _grab(self) -> Span | None:
        # A frame is shown until the next one: what files say of its duration is of the order of decoding.
        found, self._next = self._next or self._timed(), None
        if found is None:
            return None
        self._frame, span = found
        self._next = self._timed()
        return span if self._next is None else Span(span.start, self._next[1].start)

    def _timed(self) -> tuple[Any, Span] | None:
        """Return the next decoded frame and when it is shown, by itself, or None at the end."""
        frame = next(self._frames, None)
        if frame is None:
            return None
        told = frame.dts if frame.pts is None else frame.pts
        duration = frame.duration * self.time_base or Fraction(1) / Fraction(self.fps)
        self._decoded_to = self._clock(None if told is None else told * self.time_base, duration)
        if frame.is_corrupt:
            self._note_damage()
        return frame, Span(self._decoded_to, self._decoded_to + duration)

    def _picture(self) -> Frame:
        frame = self._frame
        width, height = _shown_size(frame.width, frame.height, self._stream.sample_aspect_ratio)
        pixels: Any = self._reformatter.reformat(
            frame, width=width, height=height, format='rgb24', interpolation=Interpolation.BICUBIC,
            **_to_standard_dynamic_range(frame),
        ).to_ndarray()  # fmt: skip
        matrix = self._matrix()
        return pixels if matrix is None else upright(pixels, matrix)

    def _decoded(self) -> Iterator[Any]:
        for packet in self._packets():
            self._packets_found += 1
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self._note_damage()
        # What the decoder has kept for the order of the frames.
        with contextlib.suppress(av.FFmpegError):
            yield from self._stream.codec_context.decode(None)

    def _packets(self) -> Iterator[Any]:
        try:
            for packet in self._container.demux():
                if packet.pts is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self._latest = max(self._latest, end)
                if packet.size and packet.stream_index == self._stream.index:
                    yield packet
        except av.FFmpegError:
            return

    def _note_damage(self) -> None:
        if not self._damaged:
            self._damaged_from = self._decoded_to
        self._damaged += 1

    def _matrix(self) -> Matrix | None:
        try:
            found = self._frame.side_data.get('DISPLAYMATRIX')
        except ValueError:  # there is data of a kind that PyAV has no name for
            return _of_angle(-self._frame.rotation)
        if found is not None:
            a, b, _, c, d, *_ = _DISPLAY_MATRIX.unpack(bytes(found))
            return Matrix(a, b, c, d)
        # What older programs wrote into Matroska.
        metadata = {name.lower(): value for name, value in self._stream.metadata.items()}
        try:
            return _of_angle(float(metadata.get('rotate', 0)))
        except ValueError:
            return None


def _of_angle(degrees: float) -> Matrix | None:
    """Return the matrix of a turn to the right."""
    if not degrees:
        return None
    cosine, sine = (round(f(math.radians(degrees)) * 2**16) for f in (math.cos, math.sin))
    return Matrix(cosine, sine, -sine, cosine)


def _kinds(container: Any) -> str:
    """Return what a file holds, in words."""
    names = {'audio': 'sound', 'subtitle': 'subtitles', 'video': 'a cover picture'}
    found = sorted({names.get(stream.type, 'data') for stream in container.streams})
    return f'only {" and ".join(found)}'


def _shown_size(width: int, height: int, pixel: Fraction | None) -> tuple[int, int]:
    """Return the size of a frame with square pixels, enlarged along one side, so that none is lost.

    Args:
        width: as it is stored.
        height: likewise.
        pixel: width by height of a pixel as it is shown; None or 0 where nobody knows.
    """
    if not pixel or not Fraction(1, _WIDEST_PIXEL) <= pixel <= _WIDEST_PIXEL:
        return width, height
    if abs(pixel - 1) <= _SQUARE:
        return width, height
    return (round(width * pixel), height) if pixel > 1 else (width, round(height / pixel))


def _to_standard_dynamic_range(frame: Any) -> dict[str, int]:
    """Return how colors of a high dynamic range become those of a usual screen, which images for training have."""
    if _MAJOR < _CONVERTS_TRANSFER or frame.color_trc not in _HIGH_DYNAMIC_RANGE:
        return {}
    return dict(dst_color_trc=_BT709, dst_color_primaries=_BT709)
