"""COCO's panoptic segments to index labels."""

import numpy as np
import pytest
from PIL import Image

from support.prepared import HEIGHT, KITE, STAR, WIDTH, drawn, label_of, save_image, save_json
from swinseg.datasets.prepare import PrepareError, from_coco_panoptic, write_dataset

CATEGORIES = [dict(id=184, name='tree', isthing=0), dict(id=1, name='person', isthing=1)]
# The numbers of two things and of one stuff, each with red, green and blue.
SEGMENTS = np.array([0, 7, 256 * 9 + 1, 65536 * 3 + 256 * 200 + 255])
DRAWN = drawn([(STAR, 1), (KITE, 2), ([(30, 18), (36, 18), (36, 24), (30, 24)], 3)])
NUMBERS = SEGMENTS[DRAWN]
INFO = [dict(id=int(SEGMENTS[1]), category_id=184), dict(id=int(SEGMENTS[2]), category_id=1, iscrowd=1),
        dict(id=int(SEGMENTS[3]), category_id=1)]  # fmt: skip


def export(folder, *, name='a', info=INFO, categories=CATEGORIES, numbers=NUMBERS, **changes):
    save_image(folder / 'images' / f'{name}.jpg')
    (folder / 'masks').mkdir(exist_ok=True)
    colors = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], -1).astype(np.uint8)
    Image.fromarray(colors).save(folder / 'masks' / f'{name}.png')
    content = {
        'images': [dict(id=5, file_name=f'{name}.jpg', height=HEIGHT, width=WIDTH)],
        'categories': categories,
        'annotations': [dict(image_id=5, file_name=f'{name}.png', segments_info=info)],
        **changes,
    }
    return save_json(folder / f'{name}.json', content), folder / 'masks', folder / 'images'


def test_panoptic__segments_by_their_category(tmp_path):
    source = from_coco_panoptic({'train': export(tmp_path)}, val_share=0)
    assert source.classes == ['person', 'tree']
    expected = np.array([255, 1, 0, 0])[DRAWN]
    np.testing.assert_array_equal(label_of(source, tmp_path), expected)


def test_panoptic__splits_and_colors_of_the_file(tmp_path):
    colored = [dict(each, color=[number, 2, 3]) for number, each in enumerate(CATEGORIES)]
    parts = {split: export(tmp_path, name=split, categories=colored) for split in ('train', 'val')}
    source = from_coco_panoptic(parts)
    assert source.palette == [[1, 2, 3], [0, 2, 3]]
    assert write_dataset(source, tmp_path / 'out').images == {'train': 1, 'val': 1}


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(categories=[dict(id=1, name='a')] * 2), 'has two categories of the id 1'),
        (dict(categories=[dict(id=1, name='a')]), 'has the category 184, which is not among the categories'),
        (dict(info=[dict(id=0, category_id=1)]), 'must have an id of its own from 1 to 16777215, but has 0'),
        (dict(info=[dict(id=2**24, category_id=1)]), 'but has 16777216'),
        (dict(annotations=[]), r'the image a\.jpg of .* has no annotation'),
        (
            dict(annotations=[dict(image_id=5, file_name='b.png', segments_info=[])]),
            r'the file b\.png .* is not in .*masks',
        ),
        (dict(annotations=[dict(image_id=5, file_name='../b.png', segments_info=[])]), 'which is not inside'),
        (dict(annotations=[dict(image_id=6, file_name='a.png', segments_info=[])] * 2), 'two annotations of'),
        (dict(images=[]), 'has an annotation of the image 5, which is not among its images'),
    ],
)  # fmt: skip
def test_panoptic__files_that_are_wrong(tmp_path, changes, message):
    with pytest.raises(PrepareError, match=message):
        from_coco_panoptic({'train': export(tmp_path, **changes)})


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(info=INFO[1:]), r'a\.png has pixels of the segment 7, which .*a\.json does not have'),
        (dict(numbers=NUMBERS[1:]), f'has {HEIGHT - 1} x {WIDTH} pixels, but .* has {HEIGHT} x {WIDTH}'),
        (dict(images=[dict(id=5, file_name='a.jpg', height=3, width=3)]), 'about an image of 3 x 3 pixels'),
    ],
)  # fmt: skip
def test_panoptic__masks_that_are_wrong(tmp_path, changes, message):
    source = from_coco_panoptic({'train': export(tmp_path, **changes)})
    with pytest.raises(PrepareError, match=message):
        write_dataset(source, tmp_path / 'out')


def test_panoptic__files_of_two_datasets(tmp_path):
    parts = {
        'train': export(tmp_path),
        'val': export(tmp_path, name='b', categories=[*CATEGORIES, dict(id=9, name='x')]),
    }
    with pytest.raises(PrepareError, match=r'b\.json has other categories than the file before it'):
        from_coco_panoptic(parts)
