"""Where PyAV is missing: the line that says so, and OpenCV's encoders."""

import pytest

from swinseg.benchmark.suites.video import draw_clip
from swinseg.segment.videos import opencv as opencv_videos
from swinseg.segment.videos.video import VideoError, segment_video

pytestmark = pytest.mark.usefixtures('without_pyav')


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / 'walk.avi'
    draw_clip(path, 4, height=64, width=96, codec='MJPG')
    return path


def test_segment_video__one_warning_says_what_is_lost_and_how_to_get_it(predictor, clip, tmp_path):
    with pytest.warns(UserWarning, match='videos go through OpenCV') as caught:
        result = segment_video(predictor, clip, tmp_path / 'out')
    (said,) = [str(each.message) for each in caught if 'videos' in str(each.message)]
    assert said.endswith("does not play in browsers; pip install 'swinseg[video]'")
    assert result.video.suffix == '.mp4'
    assert result.frames_written == 4


@pytest.mark.filterwarnings('ignore:videos go through OpenCV')
def test_segment_video__encoders_that_opencv_has_not(predictor, clip, tmp_path):
    with pytest.raises(
        VideoError, match=r'encoded as vp9 by PyAV, .*: pip install .swinseg\[video'
    ):
        segment_video(predictor, clip, tmp_path / 'out', codec='vp9')
    assert not list((tmp_path / 'out').iterdir())


@pytest.mark.filterwarnings('ignore:videos go through OpenCV')
def test_segment_video__without_mpeg4_writes_motion_jpeg(predictor, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(opencv_videos, '_ENCODERS', (('.mp4', 'zzzz'), ('.avi', 'MJPG')))
    result = segment_video(predictor, clip, tmp_path)
    assert result.video == tmp_path / 'walk_overlay.avi'
    assert result.frames_written == 4
    monkeypatch.setattr(opencv_videos, '_ENCODERS', (('.mp4', 'zzzz'),))
    with pytest.raises(VideoError, match=r'OpenCV .* can encode frames of \d+ x \d+ neither'):
        segment_video(predictor, clip, tmp_path)
