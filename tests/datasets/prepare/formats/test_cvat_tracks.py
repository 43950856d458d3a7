"""CVAT's tracks of a video to index labels, frame by frame."""

import re

import numpy as np
import pytest
from PIL import Image

from support.prepared import HEIGHT, KITE, STAR, WIDTH, drawn, label_of, save_image
from swinseg.datasets.prepare import PrepareError, from_cvat, write_dataset


def polygon(frame, corners, **more):
    points = ';'.join(f'{x},{y}' for x, y in corners)
    return shape('polygon', frame, points=points, **more)


def box(frame, left, top, right, bottom, **more):
    return shape('box', frame, xtl=left, ytl=top, xbr=right, ybr=bottom, **more)


def shape(tag, frame, **attributes):
    given = {'frame': frame, 'keyframe': 1, 'outside': 0, **attributes}
    return f'<{tag} {" ".join(f"{key}=" + chr(34) + str(value) + chr(34) for key, value in given.items())}/>'


def track(label, *shapes):
    return f'<track id="0" label="{label}" source="manual">{"".join(shapes)}</track>'


def export(folder, *tracks, frames=range(4), size=(HEIGHT, WIDTH)):
    for frame in frames:
        save_image(folder / 'images' / f'frame_{frame:06d}.PNG')
    labels = ''.join(f'<label><name>{name}</name></label>' for name in ('road', 'car'))
    sides = f'<original_size><width>{size[1]}</width><height>{size[0]}</height></original_size>'
    folder.mkdir(exist_ok=True)
    (folder / 'annotations.xml').write_text(
        f'<annotations><version>1.1</version><meta><task><labels>{labels}</labels>{sides}</task></meta>'
        f'{"".join(tracks)}</annotations>'
    )
    return folder


def frames_of(source, tmp_path):
    """Return the labels by number of the frame."""
    write_dataset(source, tmp_path / 'out')
    paths = sorted((tmp_path / 'out' / 'labels').glob('*/*.png'), key=lambda path: path.name)
    return {int(path.stem[-6:]): np.array(Image.open(path)) for path in paths}


def test_tracks__shapes_by_frame_until_they_are_outside(tmp_path):
    tracks = (
        track('road', polygon(0, STAR), polygon(1, STAR, keyframe=0), polygon(2, STAR, outside=1)),
        track('car', polygon(1, KITE, z_order=1), polygon(2, KITE)),
    )
    labels = frames_of(from_cvat(export(tmp_path / 'in', *tracks), val_share=0), tmp_path)
    star, kite = (STAR, 1), (KITE, 2)
    for frame, polygons in enumerate(([star], [star, kite], [kite], [kite])):
        np.testing.assert_array_equal(labels[frame], drawn(polygons))


def test_tracks__boxes_move_evenly_between_key_frames(tmp_path):
    tracks = (
        track('car', box(0, 2, 2, 10, 8), box(2, 6, 4, 14, 10), box(3, 6, 4, 14, 10, outside=1)),
        track('road', polygon(0, KITE), polygon(3, KITE)),
    )
    labels = frames_of(from_cvat(export(tmp_path / 'in', *tracks), val_share=0), tmp_path)
    assert sorted(labels) == [0, 1, 2, 3]
    assert not (labels[3] == 2).any()
    for frame, (left, top) in enumerate(((2, 2), (4, 3), (6, 4))):
        expected = np.zeros((HEIGHT, WIDTH), np.uint8)
        expected[top : top + 6, left : left + 8] = 2
        np.testing.assert_array_equal(labels[frame], np.where(drawn([(KITE, 1)]), 1, expected))


def test_tracks__turned_boxes_turn_the_shorter_way(tmp_path):
    boxes = (box(0, 10, 8, 20, 12, rotation=350), box(2, 10, 8, 20, 12, rotation=10))
    label = frames_of(
        from_cvat(export(tmp_path / 'in', track('car', *boxes)), val_share=0), tmp_path
    )[1]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[8:12, 10:20] = 2
    np.testing.assert_array_equal(label, expected)


def test_tracks__the_last_frames_are_held_out(tmp_path):
    folder = export(tmp_path / 'in', track('car', box(0, 2, 2, 10, 8)), frames=range(0, 50, 5))
    samples = from_cvat(folder, val_share=0.2).samples
    assert [sample.split for sample in samples] == ['train'] * 8 + ['val'] * 2
    assert samples[-1].name == 'frame_000045'


@pytest.mark.parametrize(
    ('tracks', 'options', 'message'),
    [
        ((track('car', box(0, 1, 1, 5, 5)),), dict(frames=()), 'is about the frames of a video, which are not in'),
        ((track('car', box(9, 1, 1, 5, 5)),), {}, 'has no shape in the frames 0 to 3 that are there, but up to 9'),
        ((track('car', box(2, 1, 1, 5, 5), box(1, 1, 1, 5, 5)),), {}, 'must have shapes of ascending frames'),
        ((track('car', box('x', 1, 1, 5, 5)),), {}, "must have 'frame', a number, but has 'x'"),
        ((track('car', box(0, 1, 1, 5, 5)),), dict(size=('a', 3)), "'height', a whole number, but has 'a'"),
    ],
)  # fmt: skip
def test_tracks__files_that_are_wrong(tmp_path, tracks, options, message):
    with pytest.raises(PrepareError, match=message):
        from_cvat(export(tmp_path, *tracks, **options))


@pytest.mark.parametrize(
    ('tracks', 'options', 'message'),
    [
        ((track('van', box(0, 1, 1, 5, 5)),), {}, r"frame 0 of track 0 of .* has the label 'van'"),
        ((track('car', shape('points', 0, points='1,1')),), {}, 'is a points, which covers no area'),
        (
            (track('car', polygon(0, STAR), polygon(2, KITE)),), {},
            'frame 1 of track 0 .* has no polygon, but the frames 0 and 2',
        ),
        ((track('car', box(0, 1, 1, 5, 5)),), dict(size=(5, 5)), 'is about an image of 5 x 5 pixels'),
    ],
)  # fmt: skip
def test_tracks__shapes_that_are_wrong(tmp_path, tracks, options, message):
    source = from_cvat(export(tmp_path / 'in', *tracks, **options))
    with pytest.raises(PrepareError, match=message):
        write_dataset(source, tmp_path / 'out')


def test_tracks__a_frame_twice(tmp_path):
    folder = export(tmp_path, track('car', box(0, 1, 1, 5, 5)))
    save_image(folder / 'images' / 'frame_1.png')
    with pytest.raises(PrepareError, match='are one frame; remove one of them'):
        from_cvat(folder)


def test_tracks__a_file_that_does_not_say_the_size(tmp_path):
    folder = export(tmp_path / 'in', track('car', polygon(0, STAR)), frames=[0])
    path = folder / 'annotations.xml'
    path.write_text(re.sub('<original_size>.*</original_size>', '', path.read_text()))
    label = label_of(from_cvat(folder, val_share=0), tmp_path, 'train/frame_000000.png')
    np.testing.assert_array_equal(label, drawn([(STAR, 2)]))


def test_tracks__a_mask_of_one_frame(tmp_path):
    mask = shape('mask', 0, rle='0, 2, 1, 3', left=3, top=4, width=3, height=2)
    folder = export(tmp_path / 'in', track('car', mask), frames=[0])
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[4, 3:5] = expected[5, 3:6] = 2
    source = from_cvat(folder, val_share=0)
    np.testing.assert_array_equal(label_of(source, tmp_path, 'train/frame_000000.png'), expected)
