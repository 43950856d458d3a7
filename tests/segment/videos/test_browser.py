"""Videos play in a browser: every frame at its time, upright, in its colors, with sound."""

from __future__ import annotations

import numpy as np
import pytest

from support.browser import launched_browser
from support.clips import number_of, numbered, write_clip
from support.static_server import served_folder
from swinseg.predictor import PredictOptions
from swinseg.segment.videos.video import segment_video

pytest.importorskip('av', reason='PyAV is not installed')
pytestmark = pytest.mark.slow

# In ticks of 1/12800 s: from a tenth of a second to a second apart.
TIMES = [0, 1280, 5120, 7680, 20_480, 23_040]
LAST = 2560
CODECS = ('h264', 'vp9')

PLAYED = """async (name) => {
    const video = document.createElement('video');
    video.muted = true;
    const answer = await fetch(name);
    video.src = URL.createObjectURL(await answer.blob());
    const failed = new Promise((_, reject) => {
        video.onerror = () => reject(new Error(video.error.message));
    });
    const event = (kind) => Promise.race([
        failed, new Promise((resolve) => video.addEventListener(kind, resolve, { once: true })),
    ]);
    await event('loadeddata');
    const ended = event('ended');
    await video.play();
    await ended;
    window.video = video;
    return {
        state: video.readyState,
        duration: video.duration,
        size: [video.videoHeight, video.videoWidth],
        frames: video.getVideoPlaybackQuality().totalVideoFrames,
        sound: video.webkitAudioDecodedByteCount,
    };
}"""
SHOWN_AT = """async (time) => {
    const video = window.video;
    const seeked = new Promise((resolve) => video.addEventListener('seeked', resolve, { once: true }));
    video.currentTime = time;
    await seeked;
    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0);
    return Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data);
}"""


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp('served')
    (folder / 'empty.html').write_text('<!doctype html><title>videos</title>')
    with served_folder(folder) as address, launched_browser() as browser:
        page = browser.new_page()
        page.goto(f'{address}empty.html')
        page.folder = folder
        yield page


def shown_at(page, time, size):
    return np.array(page.evaluate(SHOWN_AT, time), np.uint8).reshape(*size, 4)[..., :3]


def turn(stream):
    if not hasattr(stream, 'set_display_matrix'):
        pytest.skip('this PyAV writes no display matrix')
    stream.set_display_matrix([0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30])


@pytest.mark.parametrize('codec', CODECS)
def test_play__a_turned_clip_of_a_rate_that_varies_with_sound(predictor, page, tmp_path, codec):
    lying = [np.ascontiguousarray(np.rot90(numbered(number))) for number in range(len(TIMES))]
    given = write_clip(tmp_path / 'a.mp4', lying, times=TIMES, step=LAST, sound='aac', change=turn)
    result = segment_video(
        predictor, given, page.folder, stem=codec, codec=codec, alpha=0.0, borders=False, legend=False
    )  # fmt: skip
    played = page.evaluate(PLAYED, result.video.name)
    assert played['state'] >= 2
    assert played['size'] == [64, 96]
    assert played['duration'] == pytest.approx(2.0, abs=0.06)
    assert played['frames'] == len(TIMES)
    assert played['sound'] > 1000
    ends = [*TIMES[1:], TIMES[-1] + LAST]
    for number, (start, end) in enumerate(zip(TIMES, ends, strict=True)):
        # Soon after it begins and shortly before it ends.
        for time in (start + 128, end - 128):
            frame = shown_at(page, time / 12_800, (64, 96))
            assert number_of(frame) == number, time
            assert np.abs(frame.astype(int) - numbered(number)).mean() < 10


@pytest.mark.parametrize('codec', CODECS)
def test_play__colors_of_the_legend(predictor, page, tmp_path, codec):
    frames = [numbered(number) for number in range(3)]
    given = write_clip(tmp_path / 'a.mp4', frames)
    result = segment_video(
        predictor, given, page.folder, stem=f'legend_{codec}', codec=codec, alpha=1.0, borders=False
    )
    played = page.evaluate(PLAYED, result.video.name)
    shown = shown_at(page, 0.02, played['size']).astype(int)
    _, palette = predictor.legend(PredictOptions())
    labels = np.unique(predictor(frames[0]).labels)
    for label in labels:
        near = np.abs(shown[:, 96:] - palette[label]).max(2) <= 8
        assert near.sum() >= 20, (label, palette[label])
