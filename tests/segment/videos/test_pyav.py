"""Videos by PyAV: each frame in its place and time, upright, in its colors, whatever the file is like."""

import csv
import importlib
import itertools
import os
import re
import resource
import shutil
import subprocess
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from support.clips import frames_of, number_of, numbered, probed, write_clip
from swinseg.files import OutputError
from swinseg.predictor import PredictOptions
from swinseg.segment.videos.libraries import open_video
from swinseg.segment.videos.video import VideoError, segment_video

av = pytest.importorskip('av', reason='PyAV is not installed')
pyav_videos = importlib.import_module('swinseg.segment.videos.pyav')

MAJOR = int(av.__version__.split('.')[0])
# No color but the frame's own.
PLAIN = dict(alpha=0.0, borders=False, legend=False)
TICK = Fraction(1, 12_800)
# Of ten frames: pauses, and distances of a tick.
VARYING = [0, 512, 600, 1000, 3000, 3512, 3513, 9000, 9512, 10_000]


def clip_of(path, count=20, **options):
    return write_clip(path, map(numbered, range(count)), **options)


def lines_of(result):
    with open(result.areas, newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize('batch_size', [1, 3])
@pytest.mark.parametrize(('stride', 'hold'), [(1, True), (4, True), (4, False)])
def test_frames__of_a_stream_with_b_frames_are_in_their_places(
    predictor, tmp_path, stride, hold, batch_size
):
    given = clip_of(tmp_path / 'a.mp4', 40, options={'bf': '3', 'b-adapt': '0', 'g': '100'})
    with av.open(str(given)) as container:
        stored = [each.pts for each in container.demux(video=0) if each.size]
    assert stored != sorted(stored)
    options = PredictOptions(batch_size=batch_size)
    result = segment_video(
        predictor, given, tmp_path / 'out', options, stride=stride, hold=hold, labels=True, **PLAIN
    )
    written, times = frames_of(result.video)
    shown = list(range(0, 40, 1 if hold else stride))
    assert [number_of(frame) for frame in written] == shown
    assert times == [number * 512 * TICK for number in shown]
    keys = range(0, 40, stride)
    assert [int(line['frame']) for line in lines_of(result)] == list(keys)
    given_frames, _ = frames_of(given)
    for number in keys[::3]:
        saved = np.array(Image.open(result.labels / f'{number:06d}.png'))
        np.testing.assert_array_equal(saved, predictor(given_frames[number]).labels)


@pytest.mark.parametrize('codec', ['h264', 'vp9'])
@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
def test_times__of_a_rate_that_varies_are_kept(predictor, tmp_path, suffix, codec):
    # Matroska counts milliseconds.
    times = [max(time, 3530) if time == 3513 and suffix == 'mkv' else time for time in VARYING]
    given = clip_of(tmp_path / f'a.{suffix}', 10, times=times)
    result = segment_video(predictor, given, tmp_path / 'out', codec=codec, **PLAIN)
    assert result.video.suffix == {'h264': '.mp4', 'vp9': '.webm'}[codec]
    frames, times = frames_of(result.video)
    expected = frames_of(given)[1]
    assert [number_of(frame) for frame in frames] == list(range(10))
    if codec == 'h264':
        assert times == expected
    else:
        # In whole milliseconds, no two in one.
        assert len(set(times)) == 10
        assert all(abs(a - b) <= Fraction(1, 1000) for a, b in zip(times, expected, strict=True))
    assert [float(line['seconds']) for line in lines_of(result)] == pytest.approx(
        [float(time) for time in expected], abs=6e-4
    )
    told = probed(result.video)
    assert int(told['streams'][0]['nb_read_frames']) == 10
    found = [float(frame['pts_time']) for frame in told['frames']]
    assert found == pytest.approx([float(time) for time in times], abs=1e-6)
    # Each lasts until the next one, in the order in which they are stored as well.
    with av.open(str(result.video)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert all(packet.pts == packet.dts for packet in packets)
    assert [a.pts + a.duration for a in packets[:-1]] == [b.pts for b in packets[1:]]
    assert float(packets[-1].duration * packets[-1].time_base) == pytest.approx(0.04, abs=2e-3)


@pytest.mark.parametrize(('stride', 'hold'), [(1, True), (3, False)])
def test_times__the_last_frame_lasts_to_the_end(predictor, tmp_path, stride, hold):
    given = clip_of(tmp_path / 'a.mp4', 11)
    result = segment_video(predictor, given, tmp_path / 'out', stride=stride, hold=hold, **PLAIN)
    for path in (given, result.video):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.duration * stream.time_base == 11 * 512 * TICK


@pytest.mark.parametrize('suffix', ['mp4', 'ts', 'mkv'])
def test_times__begin_with_the_first_stream(predictor, tmp_path, suffix):
    times = [64_000 + 512 * number for number in range(10)]
    given = clip_of(tmp_path / f'a.{suffix}', 10, times=times)
    result = segment_video(predictor, given, tmp_path / 'out', **PLAIN)
    frames, found = frames_of(result.video)
    assert [number_of(frame) for frame in frames] == list(range(10))
    assert found == [512 * TICK * number for number in range(10)]
    assert float(lines_of(result)[3]['seconds']) == pytest.approx(3 * 512 / 12_800, abs=1e-3)


def test_times__that_a_file_repeats_or_takes_back_grow(predictor, tmp_path):
    parts = [clip_of(tmp_path / f'{name}.ts', 5, options={'bf': '0'}).read_bytes() for name in 'ab']
    (tmp_path / 'both.ts').write_bytes(b''.join(parts))
    result = segment_video(predictor, tmp_path / 'both.ts', tmp_path / 'out', **PLAIN)
    frames, times = frames_of(result.video)
    assert [number_of(frame) for frame in frames] == [0, 1, 2, 3, 4] * 2
    assert all(a < b for a, b in itertools.pairwise(times))


MATRICES = {
    'by 90 degrees': (0, 1, -1, 0),
    'by 180 degrees': (-1, 0, 0, -1),
    'by 270 degrees': (0, -1, 1, 0),
    'mirrored': (-1, 0, 0, 1),
}


@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
@pytest.mark.parametrize('name', MATRICES)
def test_orientation__frames_are_upright_and_no_matrix_is_left(predictor, tmp_path, name, suffix):
    a, b, c, d = (number << 16 for number in MATRICES[name])

    def turn(stream):
        if not hasattr(stream, 'set_display_matrix'):
            pytest.skip('this PyAV writes no display matrix')
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])

    # Shown upright, they are the numbered frames.
    upright = [numbered(number) for number in range(6)]
    stored = {
        'by 90 degrees': lambda frame: np.rot90(frame, 1),
        'by 180 degrees': lambda frame: np.rot90(frame, 2),
        'by 270 degrees': lambda frame: np.rot90(frame, -1),
        'mirrored': np.fliplr,
    }[name]
    given = write_clip(
        tmp_path / f'a.{suffix}', [np.ascontiguousarray(stored(frame)) for frame in upright], change=turn
    )  # fmt: skip
    result = segment_video(predictor, given, tmp_path / 'out', labels=True, **PLAIN)
    frames, _ = frames_of(result.video)
    assert [number_of(frame) for frame in frames] == list(range(6))
    assert np.abs(frames[2].astype(int) - upright[2]).mean() < 12
    assert Image.open(result.labels / '000000.png').size == (96, 64)
    stream = probed(result.video)['streams'][0]
    assert (stream['width'], stream['height']) == (96, 64)
    assert 'side_data_list' not in stream
    assert 'rotate' not in stream.get('tags', {})


def test_orientation__a_tag_of_older_programs(predictor, tmp_path):
    def tag(stream):
        stream.metadata['rotate'] = '90'

    stored = [np.ascontiguousarray(np.rot90(numbered(number))) for number in range(3)]
    given = write_clip(tmp_path / 'a.mkv', stored, change=tag)
    result = segment_video(predictor, given, tmp_path / 'out', **PLAIN)
    frames, _ = frames_of(result.video)
    assert [number_of(frame) for frame in frames] == [0, 1, 2]


@pytest.mark.parametrize(
    ('shape', 'shown'), [(Fraction(4, 3), (64, 128)), (Fraction(1, 2), (128, 96)), (Fraction(1), (64, 96))]
)  # fmt: skip
def test_pixels__are_made_square(predictor, tmp_path, shape, shown):
    def change(stream):
        stream.codec_context.sample_aspect_ratio = shape

    result = segment_video(
        predictor, clip_of(tmp_path / 'a.mp4', 2, change=change), tmp_path / 'out', **PLAIN
    )
    (frame, _), _ = frames_of(result.video)
    assert frame.shape == (*shown, 3)
    assert probed(result.video)['streams'][0].get('sample_aspect_ratio', '1:1') in ('1:1', '0:1')


@pytest.mark.parametrize(
    ('codec', 'pixel_format'),
    [('libx264', 'yuv420p10le'), ('libx264', 'yuv444p'), ('libx264rgb', 'rgb24'), ('ffv1', 'bgra'),
     ('mjpeg', 'yuvj420p'), ('ffv1', 'gray'), ('libx264', 'nv12')],
)  # fmt: skip
def test_pixels__of_every_format(predictor, tmp_path, codec, pixel_format):
    given = clip_of(tmp_path / 'a.mkv', 3, codec=codec, pixel_format=pixel_format)
    result = segment_video(predictor, given, tmp_path / 'out', **PLAIN)
    frames, _ = frames_of(result.video)
    assert [number_of(frame) for frame in frames] == [0, 1, 2]
    expected = numbered(2).astype(float)
    if pixel_format == 'gray':
        expected = (expected @ [0.299, 0.587, 0.114])[..., None]
    assert np.abs(frames[2][40:60, 4:44] - expected[40:60, 4:44]).mean() < 6


# Of BT.709, BT.601 and BT.2020, as swscale numbers them and as streams do.
@pytest.mark.parametrize(('matrix', 'number'), [(1, 1), (5, 6), (9, 9)])
@pytest.mark.parametrize('is_full', [False, True])
def test_colors__are_by_the_matrix_and_range_that_the_stream_names(
    tmp_path, matrix, number, is_full
):
    if matrix == 9 and MAJOR < 18:
        pytest.skip('this PyAV writes no BT.2020')
    color = np.array((200, 40, 90))
    given = tmp_path / 'a.mp4'
    with av.open(str(given), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options={'qp': '1'})
        stream.width, stream.height = 64, 48
        stream.codec_context.colorspace = number
        stream.codec_context.color_range = 1 + is_full
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), color, np.uint8)).reformat(
            format='yuv420p', dst_colorspace=matrix, dst_color_range='JPEG' if is_full else 'MPEG'
        )
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with open_video(given) as reader:
        assert np.abs(reader.read().astype(int) - color).max() <= 3


@pytest.mark.slow
def test_colors__of_a_high_dynamic_range_become_usual_ones(tmp_path):
    if MAJOR < 18:
        pytest.skip('this PyAV converts no transfer of light')
    # The gray of a sheet of paper in PQ, 66 of 10,000 candela per square meter, is dark as it is stored.
    found = {}
    for transfer in (1, 16):
        given = tmp_path / f'{transfer}.mp4'
        with av.open(str(given), 'w') as container:
            stream = container.add_stream('libx264', rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p10le'
            context = stream.codec_context
            context.colorspace = context.color_primaries = 9
            context.color_range, context.color_trc = 1, transfer
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 118, np.uint8)).reformat(
                format='yuv420p10le', dst_colorspace=9, dst_color_range='MPEG'
            )
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        with open_video(given) as reader:
            found[transfer] = reader.read()[24, 32].astype(int)
    assert np.abs(found[1] - 118).max() <= 3
    assert found[16].min() > 140


@pytest.mark.parametrize('codec', ['h264', 'vp9'])
def test_colors__of_the_legend_come_back_by_ffmpeg(predictor, tmp_path, codec):
    given = clip_of(tmp_path / 'a.mp4', 3)
    result = segment_video(
        predictor, given, tmp_path / 'out', codec=codec, alpha=1.0, borders=False
    )
    told = probed(result.video)['streams'][0]
    assert told['pix_fmt'] == 'yuv420p'
    assert told['color_range'] == 'tv'
    assert {told[f'color_{name}'] for name in ('space', 'transfer', 'primaries')} == {'bt709'}
    picture = tmp_path / 'a.png'
    command = ['ffmpeg', '-v', 'error', '-i', str(result.video), '-frames:v', '1', str(picture)]
    subprocess.run(command, check=True)
    pixels = np.array(Image.open(picture).convert('RGB')).astype(int)
    _, palette = predictor.legend(PredictOptions())
    panel = pixels[:, 96:]
    present = {int(label) for label in np.unique(predictor(frames_of(given)[0][0]).labels)}
    for label in present:
        # A block of the legend, away from its edges, whose colors have half the size.
        near = np.abs(panel - palette[label]).max(2) <= 6
        assert near.sum() >= 20, label


def test_sizes__odd_ones_are_continued_by_a_row_and_a_column(predictor, tmp_path):
    for codec, suffix in (('libx264', 'mkv'), ('ffv1', 'avi')):
        frames = [numbered(number, 65, 97) for number in range(3)]
        given = write_clip(tmp_path / f'a.{suffix}', frames, codec=codec, pixel_format='yuv444p')
        for written in ('h264', 'vp9'):
            result = segment_video(predictor, given, tmp_path / 'out', codec=written, **PLAIN)
            found, _ = frames_of(result.video)
            assert [number_of(frame) for frame in found] == [0, 1, 2]
            assert found[0].shape == (66, 98, 3)
            assert np.abs(found[0][-1].astype(int) - found[0][-2]).mean() < 4


def test_sizes__one_frame(predictor, tmp_path):
    result = segment_video(
        predictor, clip_of(tmp_path / 'a.mp4', 1), tmp_path / 'out', stride=7, hold=False, **PLAIN
    )
    assert (result.frames_read, result.frames_written, result.remark) == (1, 1, None)
    assert [number_of(frame) for frame in frames_of(result.video)[0]] == [0]


def test_sizes__no_frame(predictor, tmp_path):
    for suffix in ('mp4', 'mkv', 'avi'):
        given = clip_of(tmp_path / f'a.{suffix}', 0)
        with pytest.raises(VideoError, match=rf'no frame of .*a\.{suffix} can be decoded: .*PyAV'):
            segment_video(predictor, given, tmp_path / 'out')


def test_kinds__a_file_of_sound(predictor, tmp_path):
    given = tmp_path / 'song.mp4'
    film = clip_of(tmp_path / 'a.mp4', 5, sound='aac')
    with av.open(str(film)) as source, av.open(str(given), 'w') as target:
        sound = source.streams.audio[0]
        copy = target.add_stream_from_template(sound)
        for packet in source.demux(sound):
            if packet.size:
                packet.stream = copy
                target.mux(packet)
    with pytest.raises(
        VideoError, match=r'song\.mp4 holds no video \(only sound\); give a file with'
    ):
        segment_video(predictor, given, tmp_path / 'out')
    if shutil.which('ffmpeg'):
        Image.new('RGB', (64, 48)).save(tmp_path / 'cover.png')
        command = ['ffmpeg', '-v', 'error', '-i', 'song.mp4', '-i', 'cover.png', '-map', '0', '-map', '1', '-c',
                   'copy', '-disposition:v:0', 'attached_pic', 'cover.mp4']  # fmt: skip
        subprocess.run(command, check=True, cwd=tmp_path)
        with pytest.raises(VideoError, match=r'\(only a cover picture and sound\)'):
            segment_video(predictor, tmp_path / 'cover.mp4', tmp_path / 'out')


def test_kinds__several_videos_and_other_tracks(predictor, tmp_path):
    if shutil.which('ffmpeg') is None:
        pytest.skip('there is no ffmpeg')
    clip_of(tmp_path / 'a.mp4', 5)
    small = [numbered(7)[:32, :64].copy()] * 5
    write_clip(tmp_path / 'b.mp4', small)
    (tmp_path / 'c.srt').write_text('1\n00:00:00,000 --> 00:00:30,000\nwords\n')
    inputs = [part for name in ('b.mp4', 'a.mp4', 'c.srt') for part in ('-i', name)]
    maps = [part for number in range(3) for part in ('-map', str(number))]
    command = ['ffmpeg', '-v', 'error', *inputs, *maps, '-c', 'copy', '-disposition:v:0', '0',
               '-disposition:v:1', 'default', 'all.mkv']  # fmt: skip
    subprocess.run(command, check=True, cwd=tmp_path)
    result = segment_video(predictor, tmp_path / 'all.mkv', tmp_path / 'out', **PLAIN)
    assert [number_of(frame) for frame in frames_of(result.video)[0]] == list(range(5))
    with av.open(str(result.video)) as container:
        assert [stream.type for stream in container.streams] == ['video']
    assert result.remark is None


@pytest.mark.parametrize('kind', ['mp4', 'mkv', 'avi', 'ts', 'flv'])
def test_cut__is_done_as_far_as_it_goes_and_says_where_it_broke_off(predictor, tmp_path, kind):
    options = dict(
        options={'g': '5', 'qp': '1', 'bf': '0'}, sound='aac' if kind != 'avi' else 'mp2'
    )
    if kind == 'avi':
        options.update(time_base=Fraction(1, 25), step=1)
    if kind == 'mp4':
        options['container_options'] = {'movflags': '+faststart'}
    noise = np.random.default_rng(0).integers(0, 255, (32, 96, 3), dtype=np.uint8)
    frames = [
        np.concatenate([numbered(number)[:32], np.roll(noise, number, 1)]) for number in range(40)
    ]
    given = write_clip(tmp_path / f'a.{kind}', frames, **options)
    data = given.read_bytes()
    given.write_bytes(data[: len(data) * 6 // 10])
    result = segment_video(predictor, given, tmp_path / 'out', **PLAIN)
    found, times = frames_of(result.video)
    assert 10 < len(found) < 32
    assert [number_of(frame) for frame in found] == list(range(len(found)))
    assert result.frames_read == len(found)
    if kind == 'ts':
        return  # it announces nothing
    what = r'40 frames' if kind in ('mp4', 'avi') else r'1\.\d{3} s'
    second = rf'to second {float(times[-1] - times[0]):.2f}'
    assert result.remark is not None
    assert re.search(
        rf'announces {what}, but only the first {len(found)} .*could be read, {second}', result.remark
    ), result.remark  # fmt: skip


def test_cut__damage_in_the_middle_is_told(predictor, tmp_path):
    given = clip_of(tmp_path / 'a.mp4', 30, options={'g': '5', 'qp': '1', 'bf': '0'})
    data = bytearray(given.read_bytes())
    with av.open(str(given)) as container:
        hurt = [each for each in container.demux(video=0) if each.size][12]
        place, size = hurt.pos, hurt.size
    data[place : place + size] = bytes(size)
    given.write_bytes(data)
    result = segment_video(predictor, given, tmp_path / 'out', **PLAIN)
    assert result.frames_read in (29, 30)
    assert 'are damaged, the first at or after second 0.4' in (result.remark or '')


def test_cut__an_edit_list_is_no_damage(predictor, tmp_path):
    if shutil.which('ffmpeg') is None:
        pytest.skip('there is no ffmpeg')
    clip_of(tmp_path / 'a.mp4', 40, options={'g': '20', 'bf': '0'})
    command = ['ffmpeg', '-v', 'error', '-ss', '0.6', '-i', 'a.mp4', '-c', 'copy', 'b.mp4']
    subprocess.run(command, check=True, cwd=tmp_path)
    result = segment_video(predictor, tmp_path / 'b.mp4', tmp_path / 'out', **PLAIN)
    frames, times = frames_of(result.video)
    assert [number_of(frame) for frame in frames] == list(range(15, 40))
    assert times[0] == 0
    assert result.remark is None


def test_files__a_name_that_reads_as_an_address_or_is_no_text(predictor, tmp_path):
    for name in ('http:a', 'a%03d', os.fsdecode(b'caf\xe9')):
        given = clip_of(tmp_path / 'a.mp4', 2)
        given = given.rename(tmp_path / f'{name}.mp4')
        result = segment_video(predictor, given, tmp_path / f'out_{name}', **PLAIN)
        assert result.video == tmp_path / f'out_{name}' / f'{name}_overlay.mp4'
        assert result.frames_written == 2


@pytest.mark.parametrize(
    'content',
    [
        '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n',
        '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n',
        'ffconcat version 1.0\nfile a.ts\n',
    ],
)
def test_files__a_playlist_opens_nothing(predictor, tmp_path, content):
    clip_of(tmp_path / 'a.ts', 3)
    given = tmp_path / 'list.mp4'
    given.write_text(content)
    with pytest.raises(VideoError, match=r'no frame of .*list\.mp4 can be decoded'):
        segment_video(predictor, given, tmp_path / 'out')


def test_files__nothing_is_printed(predictor, tmp_path, capfd):
    given = clip_of(tmp_path / 'a.mkv', 20, sound='aac')
    data = given.read_bytes()
    (tmp_path / 'cut.mkv').write_bytes(data[: len(data) // 2])
    segment_video(predictor, tmp_path / 'cut.mkv', tmp_path / 'out', **PLAIN)
    assert capfd.readouterr() == ('', '')


@pytest.mark.parametrize('codec', ['h264', 'vp9'])
def test_files__a_full_disk_at_any_moment_leaves_none(predictor, tmp_path, codec):
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    frames = [np.roll(noise, number, 1) for number in range(8)]
    given = write_clip(tmp_path / 'a.mp4', frames, sound='aac')
    size = (
        segment_video(predictor, given, tmp_path / 'ok', codec=codec, **PLAIN).video.stat().st_size
    )
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (0, 40, size // 2, size - 200, size - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            with pytest.raises(
                OutputError, match=r'a_overlay\.(mp4|webm) was not written completely|a_areas'
            ):
                segment_video(predictor, given, tmp_path / 'out', codec=codec, **PLAIN)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert not list((tmp_path / 'out').glob('*'))
        assert not list((tmp_path / 'out').glob('.*'))


def test_codec__mistakes(predictor, tmp_path, monkeypatch):
    given = clip_of(tmp_path / 'a.mp4', 2)
    with pytest.raises(VideoError, match=r"codec must be one of h264, vp9, but is 'av1'"):
        segment_video(predictor, given, tmp_path / 'out', codec='av1')
    encoders = dict(pyav_videos._ENCODERS)
    missing = pyav_videos._Encoder('none', 'mp4', {}, {}, None)
    monkeypatch.setattr(pyav_videos, '_ENCODERS', {**encoders, 'h264': missing})
    with pytest.raises(VideoError, match=r'PyAV .* brings no encoder of h264; install its wheel'):
        segment_video(predictor, given, tmp_path / 'out', codec='h264')
    assert segment_video(predictor, given, tmp_path / 'out').video.suffix == '.webm'
    monkeypatch.setattr(pyav_videos, '_ENCODERS', {'h264': missing, 'vp9': missing})
    with pytest.raises(VideoError, match=r'brings no encoder of h264 and vp9'):
        segment_video(predictor, given, tmp_path / 'out')


def test_codec__frames_too_large_for_it(tmp_path):
    from swinseg.segment.videos.libraries import writing_video

    given = clip_of(tmp_path / 'a.mp4', 2)
    with (
        open_video(given) as reader,
        pytest.raises(VideoError, match=r'cannot encode frames of 20000 x 20000 as \.mp4: .*smaller'),
        writing_video(tmp_path / 'b', reader, frame_size=(20_000, 20_000), fps=25.0),
    ):  # fmt: skip
        pass
    assert not list(tmp_path.glob('*b*'))
