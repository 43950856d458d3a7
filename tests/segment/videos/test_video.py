"""Videos in and out, by either library: what is written is what the model says of each frame, in order."""

import csv
import re
import resource
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from support import tiny_checkpoint
from swinseg.benchmark.suites.video import draw_clip
from swinseg.files import OutputError
from swinseg.predictor import PredictOptions, Predictor, PredictorError
from swinseg.segment.videos.video import VideoError, segment_video
from swinseg.visualization.palette import VisualizationError

pytestmark = [
    pytest.mark.usefixtures('library'),
    pytest.mark.filterwarnings('ignore:videos go through OpenCV'),
]

HEIGHT, WIDTH, COUNT, FPS = 64, 96, 11, 12.5


@pytest.fixture(scope='module')
def predictor(tmp_path_factory):
    root = tmp_path_factory.mktemp('checkpoint')
    return Predictor.from_checkpoint(
        tiny_checkpoint.save(root / 'tiny.pth', tiny_checkpoint.config(root))
    )


def write_clip(path, count=COUNT, *, codec='MJPG', fps=FPS):
    """Write a camera that moves along a drawn scene so fast that all frames differ."""
    draw_clip(path, count, height=HEIGHT, width=WIDTH, fps=fps, codec=codec, pixels_per_frame=12)
    return path


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp('clip') / 'walk.avi')


def frames_of(path):
    """Return the RGB frames of a video and its rate."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (found := capture.read())[0]:
        frames.append(found[1][..., ::-1])
    return frames, capture.get(cv2.CAP_PROP_FPS)


def difference(picture, expected):
    return np.abs(picture.astype(int) - expected).mean()


def lines_of(path):
    with open(path, newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize('batch_size', [1, 4])
@pytest.mark.parametrize(('stride', 'hold'), [(1, True), (3, True), (3, False)])
def test_segment_video__shows_the_labels_of_each_frame(
    predictor, clip, tmp_path, stride, hold, batch_size, library
):
    seen = []
    result = segment_video(
        predictor, clip, tmp_path / 'out', PredictOptions(batch_size=batch_size), stride=stride, hold=hold,
        legend=False, borders=False, labels=True, progress=lambda *each: seen.append(each),
    )  # fmt: skip
    given, _ = frames_of(clip)
    keys = range(0, COUNT, stride)
    shown = range(COUNT) if hold else keys
    segmentations = {number: predictor(given[number]) for number in keys}

    assert names_in(tmp_path / 'out') == ['walk_areas.csv', 'walk_labels', 'walk_overlay.mp4']
    assert (result.frames_read, result.frames_segmented, result.frames_written) == (
        COUNT, len(keys), len(shown),
    )  # fmt: skip
    assert result.remark is None
    assert seen == [(number + 1, COUNT) for number in shown]

    written, fps = frames_of(result.video)
    assert len(written) == len(shown)
    assert fps == pytest.approx(result.fps_out, abs=1e-3)
    # By PyAV the last frame lasts to the end, by OpenCV as long as the others.
    of_kept = len(keys) / (COUNT / FPS) if library == 'PyAV' else FPS / stride
    assert fps == pytest.approx(FPS if hold else of_kept, abs=1e-3)
    drawn = [
        video_overlay(given[number], segmentations[number - number % stride]) for number in shown
    ]
    for position, picture in enumerate(written):
        assert picture.shape == (HEIGHT, WIDTH, 3)
        differences = [difference(picture, expected) for expected in drawn]
        assert np.argmin(differences) == position
        assert differences[position] < 9

    assert names_in(result.labels) == [f'{number:06d}.png' for number in keys]
    lines = lines_of(result.areas)
    assert [int(line['frame']) for line in lines] == list(keys)
    for line, (number, expected) in zip(lines, segmentations.items(), strict=True):
        saved = np.array(Image.open(result.labels / f'{number:06d}.png'))
        np.testing.assert_array_equal(saved, expected.labels)
        assert float(line['seconds']) == pytest.approx(number / FPS, abs=1e-3)
        for name in predictor.classes:
            assert float(line[name]) == pytest.approx(expected.areas().get(name, 0), abs=1e-5)


def video_overlay(frame, segmentation):
    """Blend by hand: half the frame, half the colors."""
    return frame / 2 + segmentation.palette[segmentation.labels] / 2


def test_segment_video__draws_borders(predictor, clip, tmp_path):
    written, _ = frames_of(segment_video(predictor, clip, tmp_path, legend=False).video)
    segmentation = predictor(frames_of(clip)[0][5])
    lined, plain = (segmentation.overlay(legend=False, borders=each) for each in (True, False))
    assert difference(written[5], lined) < difference(written[5], plain)


def test_segment_video__legend_makes_it_wider_and_sizes_even(predictor, tmp_path):
    given = tmp_path / 'odd.y4m'  # OpenCV's encoders would cut odd sizes
    planes = bytes(range(97)) * 131 * 3
    given.write_bytes(b'YUV4MPEG2 W131 H97 F25:1 Ip C444\n' + 3 * (b'FRAME\n' + planes))
    plain = segment_video(predictor, given, tmp_path / 'plain', legend=False)
    with_legend = segment_video(predictor, given, tmp_path / 'legend', stem='a/b')
    assert with_legend.video == tmp_path / 'legend' / 'a' / 'b_overlay.mp4'
    narrow, wide = (frames_of(result.video)[0][2] for result in (plain, with_legend))
    assert narrow.shape == (98, 132, 3)
    assert wide.shape[0] % 2 == wide.shape[1] % 2 == 0
    assert wide.shape[1] > 131 + 60
    assert difference(wide[:97, :131], narrow[:97, :131]) < 3
    # The panel is white with some dark text and the classes' swatches.
    panel = wide[:, 133:]
    assert np.median(panel) > 250
    assert panel.min() < 90


def test_segment_video__applies_rotation(predictor, tmp_path):
    given = write_clip(tmp_path / 'phone.mp4', 4, codec='mp4v')
    upright, _ = frames_of(given)
    data = bytearray(given.read_bytes())
    # The matrix in the track header, ISO/IEC 14496-12: a quarter turn.
    matrix = data.index(b'tkhd') + 4 + 4 + 5 * 4 + 2 * 4 + 4 * 2
    assert struct.unpack_from('>9i', data, matrix)[0] == 1 << 16
    one = 1 << 16
    struct.pack_into('>9i', data, matrix, 0, one, 0, -one, 0, 0, HEIGHT * one, 0, 1 << 30)
    given.write_bytes(data)
    options = dict(legend=False, borders=False, alpha=0.0)
    result = segment_video(predictor, given, tmp_path / 'out', **options)
    turned, _ = frames_of(result.video)
    assert turned[0].shape == (WIDTH, HEIGHT, 3)
    assert difference(turned[3], np.rot90(upright[3], -1)) < 6


def test_segment_video__cut_short_is_done_as_far_as_it_goes(predictor, clip, tmp_path):
    data = clip.read_bytes()
    (tmp_path / 'cut.avi').write_bytes(data[: len(data) * 6 // 10])
    result = segment_video(predictor, tmp_path / 'cut.avi', tmp_path / 'out')
    assert 0 < result.frames_read < COUNT - 1
    assert len(frames_of(result.video)[0]) == result.frames_written == result.frames_read
    assert result.remark == (
        f'{tmp_path}/cut.avi announces {COUNT} frames, but only the first {result.frames_read} '
        f'could be read, to second {(result.frames_read - 1) / FPS:.3f}; it was cut short or is damaged there'
    )


@pytest.mark.parametrize(
    'content', [b'', b'words, not frames ' * 200, None], ids=['empty', 'text', 'cut']
)
def test_segment_video__no_video(predictor, tmp_path, content, capfd):
    path = tmp_path / 'clip.mp4'
    if content is None:  # an mp4 has its index at its end
        data = write_clip(path, codec='mp4v').read_bytes()
        content = data[: len(data) // 2]
    path.write_bytes(content)
    with pytest.raises(VideoError, match=r'no frame of .*clip\.mp4 can be decoded: it is no video'):
        segment_video(predictor, path, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_segment_video__no_frames(predictor, tmp_path):
    path = write_clip(tmp_path / 'clip.avi', 0)
    with pytest.raises(VideoError, match=r'no frame of .*clip\.avi can be decoded: .*empty'):
        segment_video(predictor, path, tmp_path / 'out')


@pytest.mark.parametrize(
    ('change', 'error', 'message'),
    [
        ({'stride': 0}, VideoError, 'stride must be 1 or more, but is 0'),
        (
            {'options': PredictOptions(confidence=True)},
            VideoError,
            r'walk\.\w+ takes no confidence',
        ),
        (
            {'options': PredictOptions(probabilities=True)},
            VideoError,
            'takes no probabilities',
        ),
        ({'alpha': 2}, VisualizationError, 'alpha must lie between 0 and 1, but is 2'),
        ({'path': 'missing.mp4'}, VideoError, 'there is no video file missing.mp4'),
        ({'path': '.'}, VideoError, r'there is no video file \.'),
        ({'out': '{tmp}/file/out'}, OutputError, 'cannot write to the output folder .*file/out'),
    ],
    ids=str,
)
def test_segment_video__mistakes(predictor, clip, tmp_path, change, error, message):
    (tmp_path / 'file').write_text('')
    arguments = {'path': clip, 'out': str(tmp_path / 'out'), **change}
    path, out = arguments.pop('path'), arguments.pop('out').format(tmp=tmp_path)
    with pytest.raises(error, match=message):
        segment_video(predictor, path, out, **arguments)
    assert not list(tmp_path.glob('out/*'))


def test_segment_video__tta_without_augmentation(predictor, clip, tmp_path):
    bare = Predictor(
        predictor.model, [dict(type='LoadImage'), dict(type='PackSegInputs')],
        classes=predictor.classes,
    )  # fmt: skip
    with pytest.raises(PredictorError, match='needs a tta_pipeline'):
        segment_video(bare, clip, tmp_path / 'out', PredictOptions(tta=True))


def test_segment_video__rejected_pixels_have_a_column_and_a_label(predictor, clip, tmp_path):
    options = PredictOptions(reject_below=0.5)
    result = segment_video(predictor, clip, tmp_path, options, stride=5, labels=True)
    given, _ = frames_of(clip)
    lines = lines_of(result.areas)
    assert list(lines[0]) == ['frame', 'seconds', *predictor.classes, 'rejected']
    for line in lines:
        number = int(line['frame'])
        expected = predictor(given[number], reject_below=0.5).labels
        saved = np.array(Image.open(result.labels / f'{number:06d}.png'))
        np.testing.assert_array_equal(saved, expected)
        share = (expected == len(predictor.classes)).mean()
        assert 0 < share < 1
        assert float(line['rejected']) == pytest.approx(share, abs=1e-5)


def test_segment_video__a_full_disk_leaves_no_video(predictor, clip, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r'walk_overlay\.mp4 was not written completely'):
            segment_video(predictor, clip, tmp_path / 'out')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / 'out').glob('*'))


def test_segment_video__a_failure_halfway_leaves_no_video(predictor, clip, tmp_path):
    def give_up(done, announced):
        if done == 5:
            raise KeyboardInterrupt

    (tmp_path / 'walk_overlay.mp4').write_text('an older one')
    with pytest.raises(KeyboardInterrupt):
        segment_video(predictor, clip, tmp_path, progress=give_up)
    assert names_in(tmp_path) == ['walk_overlay.mp4']
    assert (tmp_path / 'walk_overlay.mp4').read_text() == 'an older one'


@pytest.mark.parametrize('fps', [23.976, 29.97003, 59.94006, 119.88012, 1000 / 17])
def test_segment_video__odd_frame_rates(predictor, tmp_path, fps):
    result = segment_video(
        predictor, write_clip(tmp_path / 'a.avi', 2, fps=fps), tmp_path, legend=False
    )
    assert result.video.suffix == '.mp4'
    assert frames_of(result.video)[1] == pytest.approx(fps, rel=1e-4)


@pytest.mark.parametrize('stride', [1, 2])
def test_segment_video__times_of_a_rate_that_varies(predictor, tmp_path, stride):
    path = tmp_path / 'walk.mkv'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 5, (WIDTH, HEIGHT))
    for level in range(0, 250, 50):  # so small that all are in one cluster, which times count from
        writer.write(np.full((HEIGHT, WIDTH, 3), level, np.uint8))
    writer.release()
    data = bytearray(path.read_bytes())
    # A block of Matroska: its size, the number of the track, the time in milliseconds, flags, a JPEG.
    blocks = re.finditer(rb'\xa3.{1,8}?\x81(..)\x80\xff\xd8', bytes(data), re.DOTALL)
    times = [0, 100, 150, 900, 1000]
    for block, time in zip(blocks, times, strict=True):
        data[block.start(1) : block.end(1)] = time.to_bytes(2, 'big')
    path.write_bytes(data)
    result = segment_video(predictor, path, tmp_path / 'out', stride=stride)
    found = [(int(line['frame']), float(line['seconds'])) for line in lines_of(result.areas)]
    assert found == [(number, times[number] / 1000) for number in range(0, 5, stride)]
