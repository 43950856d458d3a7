"""CVAT's colored masks to index labels."""

import numpy as np
import pytest
from PIL import Image

from support.prepared import HEIGHT, KITE, STAR, WIDTH, drawn, label_of, save_image
from swinseg.datasets.prepare import PrepareError, from_cvat, write_dataset
from swinseg.errors import DataError

LABEL_MAP = '# label:color_rgb:parts:actions\nroof:250,50,83::\nbackground:0,0,0::\nroad: left:50,183,250::\n'
COLORS = np.array([[0, 0, 0], [250, 50, 83], [50, 183, 250], [224, 224, 192]], np.uint8)
LABEL = drawn([(STAR, 1), (KITE, 2)])


def export(root, names=('a',), *, label_map=LABEL_MAP, lists=None, is_indexed=False, mask=LABEL):
    for name in names:
        save_image(root / 'JPEGImages' / f'{name}.jpg')
        path = root / 'SegmentationClass' / f'{name}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_indexed:
            # The numbers of the palette mean nothing.
            picture = Image.fromarray(3 - mask)
            picture.putpalette(COLORS[::-1].tobytes())
            picture.save(path)
        else:
            Image.fromarray(COLORS[mask]).save(path)
    folder = root / 'ImageSets' / 'Segmentation'
    folder.mkdir(parents=True)
    for name, lines in (lists or {'default': names}).items():
        (folder / f'{name}.txt').write_text('\n'.join(lines))
    (folder / '._default.txt').write_bytes(b'\0\5\x16\7')
    (root / 'labelmap.txt').write_text(label_map)
    return root


@pytest.mark.parametrize('is_indexed', [False, True])
def test_cvat_masks__colors_say_the_label(tmp_path, is_indexed):
    source = from_cvat(export(tmp_path / 'in', is_indexed=is_indexed), val_share=0)
    assert source.classes == ['background', 'roof', 'road: left']
    np.testing.assert_array_equal(source.palette, COLORS[:3])
    np.testing.assert_array_equal(label_of(source, tmp_path), LABEL)


def test_cvat_masks__ignored_pixels(tmp_path):
    mask = LABEL.copy()
    mask[:3] = 3
    for number, label_map in enumerate((LABEL_MAP, LABEL_MAP + 'ignored:224,224,192::\n')):
        source = from_cvat(
            export(tmp_path / str(number), mask=mask, label_map=label_map), val_share=0
        )
        assert 'ignored' not in source.classes
        label = label_of(source, tmp_path / str(number))
        np.testing.assert_array_equal(label, np.where(mask == 3, 255, LABEL))


def test_cvat_masks__subsets_are_splits(tmp_path):
    lists = {'train': ['a', 'b'], 'Validation': ['sub/c']}
    written = write_dataset(
        from_cvat(export(tmp_path / 'in', ('a', 'b', 'sub/c'), lists=lists)), tmp_path / 'out'
    )
    assert written.images == {'train': 2, 'val': 1}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            dict(label_map='roof 1,2,3'),
            r'line 1 of .*labelmap\.txt must be name:red,green,blue:parts:actions',
        ),
        (dict(label_map='roof:1,2,999::'), 'must be name:red,green,blue:parts:actions'),
        (dict(label_map='a:1,2,3::\na:4,5,6::'), "line 2 .* has the label 'a' a second time"),
        (dict(label_map='a:1,2,3::\nb:1,2,3::'), r'the color \[1, 2, 3\] stands for two classes'),
        (dict(lists={'default': ['a', 'z']}), r'z of .*default\.txt is not among the images'),
    ],
)
def test_cvat_masks__files_that_are_wrong(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        from_cvat(export(tmp_path, **options))


def test_cvat_masks__a_color_of_no_label(tmp_path):
    source = from_cvat(export(tmp_path / 'in', label_map='roof:250,50,83::'))
    with pytest.raises(DataError, match=r'a\.png contains the color \[50, 183, 250\]'):
        write_dataset(source, tmp_path / 'out')


def test_cvat_masks__no_lists_and_another_size(tmp_path):
    root = export(tmp_path / 'in')
    Image.fromarray(COLORS[LABEL[1:]]).save(root / 'SegmentationClass' / 'a.png')
    with pytest.raises(DataError, match=f'{HEIGHT - 1} x {WIDTH}|{WIDTH} x {HEIGHT - 1}'):
        write_dataset(from_cvat(root), tmp_path / 'out')
    (root / 'ImageSets' / 'Segmentation' / 'default.txt').unlink()
    with pytest.raises(PrepareError, match='has no list of images, such as ImageSets'):
        from_cvat(root)
