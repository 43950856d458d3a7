"""COCO's polygons and masks to index labels."""

import json

import numpy as np
import pytest
from PIL import Image

from support import prepared
from support.prepared import KITE, STAR
from swinseg.datasets.prepare import PrepareError, from_coco, write_dataset
from swinseg.datasets.prepare.rle import decode_counts

HEIGHT, WIDTH = 12, 16
CATEGORIES = [{'id': 44, 'name': 'bottle'}, {'id': 3, 'name': 'car'}]


def polygon(number, category, left, top, right, bottom, image=7):
    corners = [left, top, right, top, right, bottom, left, bottom]
    return dict(id=number, image_id=image, category_id=category, segmentation=[corners], iscrowd=0)


@pytest.fixture
def write(tmp_path):
    """Write annotations of one image beside it and return the arguments of from_coco."""
    (tmp_path / 'photos').mkdir()
    Image.new('RGB', (WIDTH, HEIGHT)).save(tmp_path / 'photos' / '000007.jpg')

    def call(*annotations, name='instances.json', **changes):
        image = dict(id=7, file_name='000007.jpg', height=HEIGHT, width=WIDTH)
        content = {'images': [image], 'categories': CATEGORIES, 'annotations': annotations}
        (tmp_path / name).write_text(json.dumps({**content, **changes}))
        return {'train': (tmp_path / name, tmp_path / 'photos')}

    return call


def convert(parts, out, **options):
    return write_dataset(from_coco(parts, **options), out)


def label_of(out, split='train'):
    return np.array(Image.open(out / 'labels' / split / '000007.png'))


def test_coco__the_smaller_is_on_top_and_runs_are_down_the_columns(write, tmp_path):
    crowd = dict(id=3, image_id=7, category_id=44, iscrowd=1)
    crowd['segmentation'] = dict(size=[HEIGHT, WIDTH], counts=[0, 5, HEIGHT * WIDTH - 5])
    parts = write(polygon(1, 44, 6, 3, 9, 5), polygon(2, 3, 4, 2, 12, 8), crowd)
    written = convert(parts, tmp_path / 'out')
    assert written.classes == ('background', 'car', 'bottle')
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[2:8, 4:12] = 1
    expected[3:5, 6:9] = 2
    expected[:5, 0] = 2
    np.testing.assert_array_equal(label_of(tmp_path / 'out'), expected)


def test_coco__several_polygons_and_an_image_without_annotation(write, tmp_path):
    two = polygon(1, 3, 1, 1, 3, 3)
    two['segmentation'].append([10, 1, 13, 1, 13, 4, 10, 4])
    convert(write(two), tmp_path / 'two')
    assert (label_of(tmp_path / 'two') == 1).sum() == 4 + 9
    convert(write(), tmp_path / 'none')
    assert not label_of(tmp_path / 'none').any()


def test_coco__train_and_val_files(write, tmp_path):
    parts = write(polygon(1, 3, 1, 1, 3, 3)) | {'val': write(name='val.json')['train']}
    assert convert(parts, tmp_path / 'out').images == {'train': 1, 'val': 1}
    assert not label_of(tmp_path / 'out', 'val').any()
    parts['val'] = write(name='val.json', categories=CATEGORIES[:1])['train']
    with pytest.raises(PrepareError, match=r'val\.json has other categories'):
        from_coco(parts)


@pytest.mark.parametrize(
    ('entry', 'changes', 'message'),
    [
        (polygon(5, 9, 1, 1, 2, 2), {}, r'annotation 5 .* has the category 9, which is not among'),
        (polygon(5, 3, 1, 1, 2, 2, image=8), {}, 'annotations of the image 8, which is not among'),
        (None, {'images': None}, r"instances\.json must have 'images', a list, but has images=None"),
        (None, {'categories': [{'id': 1}]}, r"a category of .* must have 'name', a str, but has none"),
        (
            None, {'images': [dict(id=7, file_name='a.jpg', height=1, width=1)]},
            r'the image a\.jpg of .* is not in .*photos',
        ),
        (
            None, {'images': [dict(id=7, file_name='000007.jpg', height=5, width=6)]},
            r'is about an image of 5 x 6 pixels, but .*000007\.jpg has 12 x 16',
        ),
        (
            {**polygon(5, 3, 1, 1, 2, 2), 'segmentation': [[1, 2, 3]]}, {},
            r'annotation 5 of .* must have 3 or more corners \(x, y\), but has \[1, 2, 3\]',
        ),
        (
            {**polygon(5, 3, 1, 1, 2, 2), 'segmentation': dict(size=[12, 16], counts=[1])}, {},
            r'annotation 5 of .*: the runs of a mask of 192 pixels must add up to as many',
        ),
        (
            {**polygon(5, 3, 1, 1, 2, 2), 'segmentation': dict(size=[16, 12], counts=[192])}, {},
            r'annotation 5 of .* has a mask of \[16, 12\], but its image is \[12, 16\]',
        ),
    ],
)  # fmt: skip
def test_coco__mistakes(write, tmp_path, entry, changes, message):
    parts = write(*([] if entry is None else [entry]), **changes)
    with pytest.raises(PrepareError, match=message):
        convert(parts, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('text', 'message'),
    [('{', 'is no valid JSON'), ('[]', 'must hold a JSON object, but holds a list')],
)
def test_coco__no_annotation_file(tmp_path, text, message):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(PrepareError, match=message):
        from_coco({'train': (tmp_path / 'a.json', tmp_path)})
    with pytest.raises(PrepareError, match=r'b\.json cannot be read: No such file'):
        from_coco({'train': (tmp_path / 'b.json', tmp_path)})


@pytest.mark.parametrize('supercategories', [('none', 'car'), ('none', 'none')])
@pytest.mark.parametrize('first', ['cars', 'car', 'background', 'Background'])
def test_coco__the_category_before_all_others(write, tmp_path, first, supercategories):
    """Roboflow puts the name of the set before the categories, which is above them."""
    above = supercategories[1] == 'car'
    categories = [
        dict(id=0, name=first, supercategory='none'),
        dict(id=2, name='car', supercategory=first if above else 'none'),
    ]
    parts = write(polygon(1, 2, 1, 1, 3, 3), categories=categories)
    if first == 'car' and not above:
        with pytest.raises(PrepareError, match='two categories of the name car'):
            from_coco(parts)
        return
    source = from_coco(parts)
    left_out = above or first.lower() == 'background'
    assert source.classes == (['background', 'car'] if left_out else ['background', 'cars', 'car'])
    assert bool(source.remarks) == above
    written = write_dataset(source, tmp_path / 'out')
    assert written.pixels[-1] == 4


def test_coco__a_first_category_that_is_used_stays(write):
    categories = [
        dict(id=0, name='car', supercategory='none'),
        dict(id=1, name='wheel', supercategory='car'),
    ]
    train = write(polygon(1, 1, 1, 1, 3, 3), categories=categories)['train']
    val = write(polygon(1, 0, 1, 1, 3, 3), categories=categories, name='val.json')['train']
    assert from_coco({'train': train, 'val': val}).classes == ['background', 'car', 'wheel']


@pytest.mark.parametrize('form', [str, repr, lambda text: str(text.encode())])
def test_coco__runs_as_bytes_that_were_made_a_text(write, tmp_path, form):
    """As ``json.dump(..., default=str)`` writes what pycocotools gives; a backslash is doubled then."""
    entry = dict(id=1, image_id=7, category_id=3)
    compressed = '1c0\\5'
    entry['segmentation'] = dict(size=[HEIGHT, WIDTH], counts=form(compressed))
    runs = decode_counts(compressed, HEIGHT * WIDTH)
    assert sum(runs) == HEIGHT * WIDTH
    if form is repr:
        with pytest.raises(PrepareError, match='holds characters from 0 to o'):
            convert(write(entry), tmp_path / 'out')
        return
    assert convert(write(entry), tmp_path / 'out').pixels[1] == sum(runs[1::2])


def outline(number, category, corners):
    flat = [coordinate for corner in corners for coordinate in corner]
    return dict(id=number, image_id=7, category_id=category, segmentation=[flat], iscrowd=0)


def test_coco__polygons_are_those_of_gdal(write, tmp_path):
    parts = write(
        outline(1, 3, STAR), outline(2, 44, KITE),
        images=[dict(id=7, file_name='000007.jpg', height=prepared.HEIGHT, width=prepared.WIDTH)],
    )  # fmt: skip
    prepared.save_image(tmp_path / 'photos' / '000007.jpg')
    convert(parts, tmp_path / 'out')
    expected = prepared.drawn([(STAR, 1), (KITE, 2)])
    np.testing.assert_array_equal(label_of(tmp_path / 'out'), expected)


def test_coco__polygons_and_run_lengths_beside_pycocotools(write, tmp_path):
    """Its polygons are drawn five times as large and keep their rim: pixels of the rim may differ."""
    mask = pytest.importorskip('pycocotools.mask')
    height, width = 240, 360
    star, kite = np.array(STAR) * 10, np.array(KITE) * 10
    theirs = [
        mask.frPyObjects([corners.ravel().tolist()], height, width) for corners in (star, kite)
    ]
    crowd = dict(id=2, image_id=7, category_id=44, iscrowd=1)
    crowd['segmentation'] = dict(size=[height, width], counts=theirs[1][0]['counts'].decode())
    parts = write(
        outline(1, 3, star.tolist()), crowd,
        images=[dict(id=7, file_name='000007.jpg', height=height, width=width)],
    )  # fmt: skip
    prepared.save_image(tmp_path / 'photos' / '000007.jpg', (height, width))
    convert(parts, tmp_path / 'out')
    label = label_of(tmp_path / 'out')
    whole, top = (mask.decode(each)[..., 0].astype(bool) for each in theirs)
    np.testing.assert_array_equal(label == 2, top)
    inside, found = whole & ~top, label == 1
    assert (inside & found).sum() / (inside | found).sum() > 0.985
