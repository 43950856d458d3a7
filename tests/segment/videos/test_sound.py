"""Sound is that of the file, packet by packet, as far from the frames; else a line says what became of it."""

import itertools
import math
import shutil
import subprocess
from fractions import Fraction

import numpy as np
import pytest

from support.clips import RATE, frames_of, number_of, numbered, probed, sound_of, write_clip
from swinseg.segment.videos.video import segment_video

av = pytest.importorskip('av', reason='PyAV is not installed')

PLAIN = dict(alpha=0.0, borders=False, legend=False)
# Of a packet of sound, in seconds; encoders begin with one before the first sample.
PACKET = 1024 / RATE


def clip_of(path, **options):
    return write_clip(path, map(numbered, range(20)), **options)


def distance(path):
    """Return by how many seconds sound begins after the frames."""
    return float(sound_of(path)[0][0] - frames_of(path)[1][0])


def tone_of(path):
    """Return the samples of a film, in [-1, 1], and when they begin, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        samples = [each.to_ndarray() for each in frames]
        begin = float(frames[0].pts * stream.time_base)
    joined = np.concatenate([each.reshape(len(each), -1).mean(0) for each in samples])
    return joined / (1.0 if joined.dtype.kind == 'f' and abs(joined).max() <= 1 else 32768), begin


@pytest.mark.parametrize(
    ('suffix', 'sound', 'codec'),
    [('mp4', 'aac', 'h264'), ('mkv', 'libopus', 'h264'), ('mkv', 'flac', 'h264'),
     ('mov', 'libmp3lame', 'h264'), ('mkv', 'ac3', 'h264'), ('mkv', 'libopus', 'vp9')],
)  # fmt: skip
@pytest.mark.parametrize('sound_from', [0.0, 0.2])
def test_sound__is_copied_with_its_times(predictor, tmp_path, suffix, sound, codec, sound_from):
    given = clip_of(tmp_path / f'a.{suffix}', sound=sound, sound_from=sound_from)
    result = segment_video(predictor, given, tmp_path / 'out', codec=codec, **PLAIN)
    assert result.remark is None
    before, after = sound_of(given), sound_of(result.video)
    assert [packet for _, packet in after] == [packet for _, packet in before]
    assert distance(result.video) == pytest.approx(distance(given), abs=1.1e-3)
    # Distances between packets: WebM has milliseconds.
    steps = [
        [float(b - a) for (a, _), (b, _) in itertools.pairwise(each)] for each in (before, after)
    ]
    assert steps[1] == pytest.approx(steps[0], abs=2.1e-3)
    told = probed(result.video)['streams'][0]
    assert int(told['nb_read_frames']) == 20


def test_sound__of_a_stream_that_begins_late(predictor, tmp_path):
    times = [25_600 + 512 * number for number in range(20)]
    given = clip_of(tmp_path / 'a.ts', times=times, sound='aac', sound_from=2.1)
    result = segment_video(predictor, given, tmp_path / 'out', **PLAIN)
    assert result.remark is None
    # A transport stream has a header before each packet, which MP4 has once.
    assert len(sound_of(result.video)) == len(sound_of(given))
    assert distance(result.video) == pytest.approx(distance(given), abs=1.1e-3)
    frames, shown = frames_of(result.video)
    assert [number_of(frame) for frame in frames] == list(range(20))
    assert shown[0] == 0
    assert tone_of(result.video)[0].size == pytest.approx(tone_of(given)[0].size, abs=2048)


@pytest.mark.parametrize(
    ('suffix', 'sound', 'codec', 'said'),
    [
        ('mov', 'pcm_s16le', 'h264', 'encoded anew as AAC, for mp4 files take no pcm_s16le'),
        ('mkv', 'mp2', 'h264', 'encoded anew as AAC, for mp4 files take no mp2'),
        ('mp4', 'aac', 'vp9', 'encoded anew as Opus, for webm files take no aac'),
    ],
)
def test_sound__is_encoded_where_the_file_does_not_take_it(
    predictor, tmp_path, suffix, sound, codec, said
):
    given = clip_of(tmp_path / f'a.{suffix}', sound=sound, sound_from=0.2)
    result = segment_video(predictor, given, tmp_path / 'out', codec=codec, **PLAIN)
    assert result.remark == f'its sound is {said}'
    assert [number_of(frame) for frame in frames_of(result.video)[0]] == list(range(20))
    (before, begun), (after, begins) = tone_of(given), tone_of(result.video)
    # Where the tone can be heard first, in seconds from the first frame.
    heard = [
        begin + np.argmax(np.abs(samples) > 0.5 * np.abs(samples).max()) / RATE - float(frames_of(path)[1][0])
        for samples, begin, path in ((before, begun, given), (after, begins, result.video))
    ]  # fmt: skip
    assert heard[1] == pytest.approx(heard[0], abs=5e-3)
    assert after.size == pytest.approx(before.size, abs=3 * 1024)
    crossings = np.count_nonzero(np.diff(np.signbit(after[4000:28_000])))
    assert crossings == pytest.approx(2 * 440 / 2, abs=3)


def test_sound__several_tracks(predictor, tmp_path):
    if shutil.which('ffmpeg') is None:
        pytest.skip('there is no ffmpeg')
    clip_of(tmp_path / 'a.mp4', sound='aac')
    clip_of(tmp_path / 'b.mkv', sound='pcm_s16le')
    maps = ['-map', '0', '-map', '1:a', '-c', 'copy']
    command = ['ffmpeg', '-v', 'error', '-i', 'a.mp4', '-i', 'b.mkv', *maps, 'c.mkv']
    subprocess.run(command, check=True, cwd=tmp_path)
    result = segment_video(predictor, tmp_path / 'c.mkv', tmp_path / 'out', **PLAIN)
    with av.open(str(result.video)) as container:
        assert [each.codec_context.codec.canonical_name for each in container.streams.audio] == [
            'aac'
        ] * 2
    assert [p for _, p in sound_of(result.video)] == [p for _, p in sound_of(tmp_path / 'a.mp4')]
    assert result.remark == 'its sound is encoded anew as AAC, for mp4 files take no pcm_s16le'


def test_sound__goes_on_beside_the_frames(predictor, tmp_path):
    given = clip_of(tmp_path / 'a.mp4', sound='aac', options={'g': '4'})
    result = segment_video(predictor, given, tmp_path / 'out', **PLAIN)
    with av.open(str(result.video)) as container:
        places = {'video': [], 'audio': []}
        for packet in container.demux():
            if packet.size:
                places[packet.stream.type].append(packet.pos)
    assert min(places['audio']) < max(places['video'])
    assert min(places['video']) < max(places['audio'])
    data = result.video.read_bytes()
    assert data.index(b'moov') < data.index(b'mdat')


def test_sound__that_is_cut_off_ends_there(predictor, tmp_path):
    given = clip_of(tmp_path / 'a.mkv', sound='aac', options={'qp': '1'})
    data = given.read_bytes()
    given.write_bytes(data[: len(data) * 6 // 10])
    result = segment_video(predictor, given, tmp_path / 'out', **PLAIN)
    assert 'it was cut short' in result.remark
    before, after = sound_of(given), sound_of(result.video)
    assert 5 < len(after) <= len(before) < math.ceil(20 * 512 / 12_800 / PACKET)
    assert [packet for _, packet in after] == [packet for _, packet in before][: len(after)]


def test_sound__with_frames_left_out(predictor, tmp_path):
    given = clip_of(tmp_path / 'a.mp4', sound='aac')
    result = segment_video(predictor, given, tmp_path / 'out', stride=5, hold=False, **PLAIN)
    assert [number_of(frame) for frame in frames_of(result.video)[0]] == [0, 5, 10, 15]
    assert sound_of(result.video) == sound_of(given)
    with av.open(str(result.video)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.duration * video.time_base == Fraction(20 * 512, 12_800)
        assert float(audio.duration * audio.time_base) == pytest.approx(0.8, abs=0.03)
