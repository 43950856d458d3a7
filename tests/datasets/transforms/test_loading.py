import io
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import mmcv.transforms
import mmseg.datasets.transforms
import numpy as np
import pytest
from mmseg.registry import TRANSFORMS
from PIL import Image

from support.stock_pipeline import assert_same_results
from swinseg.datasets import DataError, LoadImage, LoadLabel, RandomResizeCrop
from swinseg.datasets.transforms.loading import permitted_reduction

REAL_IMAGES = [
    'ade20k/images/training',
    'camvid/images/val',
    'formats/palette_voc',
    'formats/bit_masks_chase',
    'formats/grey_membrane/images',
    'formats/mpo_drone',
    'cityscapes',
]
REAL_LABELS = [
    ('ade20k/annotations/validation', True),
    ('camvid/annotations/val', False),
    ('formats/palette_voc', False),
    ('formats/bit_masks_chase', False),
    ('formats/grey_membrane/annotations', False),
    ('cityscapes', False),
]


def files(folder: Path, *suffixes: str) -> list[Path]:
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in suffixes]
    assert found
    return found[:5]


def image_info(path):
    return {'img_path': str(path), 'seg_fields': []}


def label_info(path, *, label_map=None, reduce_zero_label=False, **more):
    return {
        'seg_map_path': str(path),
        'label_map': label_map,
        'reduce_zero_label': reduce_zero_label,
        'seg_fields': [],
        **more,
    }


def stock_label(info):
    return mmseg.datasets.transforms.LoadAnnotations().transform(info)


@pytest.fixture
def write(tmp_path):
    """Write an array or Pillow image to a file and return its path."""

    def write(content, name='label.png', **options):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, np.ndarray):
            assert cv2.imwrite(str(path), content)
        else:
            content.save(path, **options)
        return path

    return write


def test_registered():
    assert isinstance(TRANSFORMS.build({'type': 'LoadImage'}), LoadImage)
    assert isinstance(TRANSFORMS.build({'type': 'LoadLabel'}), LoadLabel)


# LoadImage


@pytest.mark.parametrize('color_type', ['color', 'grayscale', 'unchanged'])
@pytest.mark.parametrize('folder', REAL_IMAGES)
def test_load_image__real_files_as_mmcv(real_data, folder, color_type):
    for path in files(real_data / folder, '.jpg', '.png')[:2]:
        theirs = mmcv.transforms.LoadImageFromFile(color_type=color_type).transform(
            image_info(path)
        )
        assert_same_results(LoadImage(color_type=color_type).transform(image_info(path)), theirs)


@pytest.mark.parametrize(
    ('name', 'mode'),
    [
        ('a.png', 'L'), ('a.png', 'RGB'), ('a.png', 'RGBA'), ('a.png', 'LA'), ('a.png', 'P'), ('a.png', '1'),
        ('a.jpg', 'L'), ('a.jpg', 'CMYK'), ('a.tif', 'RGB'), ('a.bmp', 'P'), ('a.webp', 'RGBA'),
    ],
)  # fmt: skip
def test_load_image__every_mode_as_mmcv(photo, write, name, mode):
    image = Image.fromarray(photo)
    path = write(image.convert(mode), name)
    theirs = mmcv.transforms.LoadImageFromFile().transform(image_info(path))
    ours = LoadImage().transform(image_info(path))
    assert_same_results(ours, theirs)
    assert ours['img'].shape == (40, 56, 3)


@pytest.mark.parametrize('color_type', ['color', 'grayscale'])
def test_load_image__16_bits(photo, write, color_type):
    values = photo.astype(np.uint16) * 16 + 3
    info = image_info(write(values, 'a.png'))
    with pytest.raises(
        DataError, match=r'a\.png holds 16-bit values, and nothing says which of them'
    ):
        LoadImage(color_type=color_type).transform(dict(info))
    theirs = mmcv.transforms.LoadImageFromFile(color_type=color_type).transform(dict(info))
    ours = LoadImage(color_type=color_type, value_range='high_byte').transform(dict(info))
    assert_same_results(ours, theirs)
    found = LoadImage(color_type=color_type, value_range=[3, 4083]).transform(dict(info))['img']
    expected = photo if color_type == 'color' else cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)
    assert np.abs(found.astype(int) - expected).max() <= (color_type == 'grayscale')
    unchanged = LoadImage(color_type='unchanged').transform(dict(info))['img']
    np.testing.assert_array_equal(unchanged, values)


def test_load_image__value_range_and_values_as_they_are():
    with pytest.raises(DataError, match="color_type='unchanged' gives the model the values"):
        LoadImage(color_type='unchanged', value_range=[0, 1])
    with pytest.raises(DataError, match='value_range must be'):
        LoadImage(value_range=[5, 1])


@pytest.mark.parametrize('orientation', range(1, 9))
def test_load_image__exif_as_mmcv(photo, write, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(Image.fromarray(photo), 'a.jpg', exif=exif)
    theirs = mmcv.transforms.LoadImageFromFile().transform(image_info(path))
    ours = LoadImage().transform(image_info(path))
    assert_same_results(ours, theirs)
    assert ours['img_shape'] == ((40, 56) if orientation < 5 else (56, 40))


def test_load_image__to_float32(photo, write):
    info = image_info(write(photo, 'a.png'))
    theirs = mmcv.transforms.LoadImageFromFile(to_float32=True).transform(dict(info))
    assert_same_results(LoadImage(to_float32=True).transform(dict(info)), theirs)


# LoadImage at a reduced size

RESIZE = dict(scale=(200, 50), ratio_range=(0.5, 2.0), keep_ratio=True)


def large_pair(write, *, orientation=1):
    """Paths of a (240, 400) JPEG whose structure is coarse, and of its label."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 10, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (400, 240), interpolation=cv2.INTER_CUBIC)
    exif = Image.Exif()
    exif[0x0112] = orientation
    label = cv2.resize(coarse[..., 0] // 64, (400, 240), interpolation=cv2.INTER_NEAREST)
    if orientation == 3:
        label = label[::-1, ::-1]
    path = write(Image.fromarray(image[..., ::-1]), 'a.jpg', exif=exif, quality=95)
    return {**image_info(path), **label_info(write(label))}


@pytest.mark.parametrize('orientation', [1, 3])
def test_load_image__reduced_changes_nothing_but_the_pixels(write, orientation):
    info = large_pair(write, orientation=orientation)
    crop = RandomResizeCrop(**RESIZE, crop_size=(48, 64), cat_max_ratio=0.75)
    whole, reduced = LoadImage(), LoadImage(reduced_for=RESIZE)
    factors = set()
    for seed in range(12):
        results = []
        for load in (whole, reduced):
            np.random.seed(seed)  # noqa: NPY002
            loaded = load({**info, 'seg_fields': []})
            assert loaded['ori_shape'] == (240, 400)
            factors.add(240 // loaded['img_shape'][0])
            results.append(crop(LoadLabel()(loaded)))
        expected, cropped = results
        image, reduced_image = expected.pop('img'), cropped.pop('img')
        assert_same_results(cropped, expected)
        assert np.abs(image.astype(int) - reduced_image).mean() < 3
    assert factors == {1, 2, 4, 8}


def test_load_image__reduced_only_where_it_is_a_jpeg(write, photo):
    results = LoadImage(reduced_for=RESIZE)(image_info(write(np.tile(photo, (9, 9, 1)), 'a.png')))
    assert results['img_shape'] == results['ori_shape'] == (360, 504)


@pytest.mark.parametrize(
    ('shape', 'size_wh', 'expected'),
    [
        ((240, 400), (400, 240), 1), ((240, 400), (201, 120), 1), ((240, 400), (200, 120), 2),
        ((241, 401), (100, 60), 4), ((240, 400), (100, 61), 2), ((240, 400), (10, 6), 8),
    ],
)  # fmt: skip
def test_permitted_reduction__covers_the_size(shape, size_wh, expected):
    assert permitted_reduction(shape, size_wh) == expected


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({'reduced_for': {'ratio_range': (1, 2)}}, 'reduced_for of LoadImage needs scale; give it'),
        ({'reduced_for': {'scale': (9, 9), 'crop': 3}}, 'reduced_for of LoadImage has no crop; give it'),
        ({'reduced_for': {'scale': (9, 9)}}, 'ratio_range'),
        ({'reduced_for': RESIZE, 'color_type': 'grayscale'}, "takes color_type='color', not 'grayscale'"),
    ],
)  # fmt: skip
def test_load_image__reduced_for_something_else(options, expected):
    with pytest.raises(DataError, match=expected):
        LoadImage(**options)


def test_load_image__unknown_color_type():
    with pytest.raises(DataError, match=r"must be one of .*, not 'rgb'"):
        LoadImage(color_type='rgb')


def test_load_image__bad_file(write):
    path = write(b'hello', 'a.jpg')
    with pytest.raises(DataError, match=r'a\.jpg is not an image: it is a text file'):
        LoadImage().transform(image_info(path))


# LoadLabel: the same as mmseg


@pytest.mark.parametrize(('folder', 'reduce_zero_label'), REAL_LABELS)
def test_load_label__real_files_as_mmseg(real_data, folder, reduce_zero_label):
    for path in files(real_data / folder, '.png'):
        theirs = stock_label(label_info(path, reduce_zero_label=reduce_zero_label))
        assert_same_results(
            LoadLabel().transform(label_info(path, reduce_zero_label=reduce_zero_label)), theirs
        )


@pytest.mark.parametrize('label_map', [None, {0: 3, 3: 0, 5: 255, 254: 1, 255: 2}])
@pytest.mark.parametrize('reduce_zero_label', [False, True])
@pytest.mark.parametrize('kind', ['gray', 'palette', 'bits', 'bmp', 'tif'])
def test_load_label__every_rule_as_mmseg(write, kind, reduce_zero_label, label_map):
    raw = np.arange(256, dtype=np.uint8).reshape(16, 16)
    if kind == 'palette':
        image = Image.fromarray(raw, 'P')
        image.putpalette([(7 * value + 3) % 256 for value in range(768)])
    elif kind == 'bits':
        image = Image.fromarray(raw > 100)
    else:
        image = Image.fromarray(raw)
    path = write(image, f'label.{kind}' if kind in ('bmp', 'tif') else 'label.png')
    rules = {'label_map': label_map, 'reduce_zero_label': reduce_zero_label}
    theirs = stock_label(label_info(path, **rules))
    assert_same_results(LoadLabel().transform(label_info(path, **rules)), theirs)


@pytest.mark.parametrize('depth', [2, 4])
def test_load_label__gray_of_few_bits_as_mmseg(write, depth):
    def chunk(name, body):
        return (
            struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))
        )

    header = struct.pack('>IIBBBBB', 2 * 8 // depth, 2, depth, 0, 0, 0, 0)
    data = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header)
    data += chunk(b'IDAT', zlib.compress(b'\x00\x1b\xe4\x00\x72\x8d')) + chunk(b'IEND', b'')
    path = write(data)
    assert_same_results(LoadLabel().transform(label_info(path)), stock_label(label_info(path)))


def test_load_label__one_object_with_different_rules(write):
    # mmseg's LoadAnnotations refuses the second dataset; a pipeline may serve two.
    path = write(np.array([[0, 1, 2]], np.uint8))
    load = LoadLabel()
    assert load.transform(label_info(path))['gt_seg_map'].tolist() == [[0, 1, 2]]
    reduced = load.transform(label_info(path, reduce_zero_label=True))
    assert reduced['gt_seg_map'].tolist() == [[255, 0, 1]]
    mapped = load.transform(label_info(path, label_map={2: 9}))
    assert mapped['gt_seg_map'].tolist() == [[0, 1, 9]]


# LoadLabel: more than mmseg


def test_load_label__real_16_bit_files(real_data):
    # Instance ids: class id * 1000 + number for things, the class id itself for the rest.
    for path in files(real_data / 'formats' / 'sixteen_bit', '.png'):
        raw = np.array(Image.open(path))
        assert raw.max() > 255
        things = {int(value): int(value) // 1000 for value in np.unique(raw) if value > 255}
        info = label_info(path, label_map=things, num_classes=34)
        label = LoadLabel().transform(info)['gt_seg_map']
        ids = Image.open(real_data / 'cityscapes' / path.name.replace('instanceIds', 'labelIds'))
        np.testing.assert_array_equal(label, np.array(ids))


def test_load_label__16_bit_value_without_a_map(write):
    path = write(np.array([[0, 1000]], np.uint16))
    with pytest.raises(
        DataError, match=r'contains the value 1000, expected 0 to 255; give .* a label_map'
    ):
        LoadLabel().transform(label_info(path))


@pytest.mark.parametrize('ignore_index', [255, 200])
def test_load_label__ignored_value_is_allowed(write, ignore_index):
    path = write(np.array([[0, 1, ignore_index]], np.uint8))
    info = label_info(path, num_classes=2, ignore_index=ignore_index)
    assert LoadLabel().transform(info)['gt_seg_map'].tolist() == [[0, 1, ignore_index]]


@pytest.mark.parametrize(
    ('raw', 'rules', 'expected'),
    [
        ([0, 1, 3], {'num_classes': 3},
         ['value 3 ', '0 to 2 (3 classes) or 255', 'reduce_zero_label=True', 'ignore_values=[3]']),
        ([0, 7, 9], {'num_classes': 4},
         ['value 7 (and 1 more such values)', 'label_map={raw value: class index}', 'ignore_values=[7, 9]']),
        ([0, 255], {'num_classes': 2, 'ignore_index': 200}, ['value 255 ', 'label_map={0: 0, 255: 1}']),
        ([0, 151], {'num_classes': 150, 'reduce_zero_label': True}, ['value 151, which becomes class index 150,']),
        ([0, 5], {'num_classes': 2, 'label_map': {9: 255}}, ['value 5 ', 'label_map={5: 255}']),
        ([0, 5], {'num_classes': 2, 'label_map': {0: 0}, 'unlisted_labels': 'reject'},
         ['value 5, which neither label_map nor ignore_values names', 'ignore_values=[5]']),
    ],
)  # fmt: skip
def test_load_label__value_out_of_range(write, raw, rules, expected):
    path = write(np.array([raw], np.uint8))
    with pytest.raises(DataError) as caught:
        LoadLabel().transform(label_info(path, **rules))
    message = str(caught.value)
    assert message.startswith(f'label {path} contains the ')
    assert '\n' not in message
    for part in expected:
        assert part in message


def test_load_label__size_of_another_image(write):
    path = write(np.zeros((8, 10), np.uint8))
    info = label_info(path, ori_shape=(8, 12), img_path='a.jpg')
    expected = r'is 10 x 8 \(width x height\) but its image a\.jpg is 12 x 8; export'
    with pytest.raises(DataError, match=expected):
        LoadLabel().transform(info)


def test_load_label__size_of_the_image_before_exif_turned_it(write, photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = write(Image.fromarray(photo), 'a.jpg', exif=exif)
    label = write(np.zeros(photo.shape[:2], np.uint8))
    results = LoadImage().transform({**image_info(image), **label_info(label)})
    with pytest.raises(DataError, match='the sides are swapped, so turn the label as the EXIF'):
        LoadLabel().transform(results)


def test_load_label__after_resize_is_compared_with_the_original_size(write):
    path = write(np.zeros((8, 10), np.uint8))
    info = label_info(path, ori_shape=(8, 10), img_shape=(16, 20))
    assert LoadLabel().transform(info)['gt_seg_map'].shape == (8, 10)


def test_load_label__image_without_label():
    with pytest.raises(DataError, match=r'^image a\.jpg has no label file; set seg_map_path'):
        LoadLabel().transform({'img_path': 'a.jpg'})


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        (b'', r'is empty \(0 bytes\)'),
        (b'nothing but text', 'is not an image: it is a text file'),
        (np.zeros((4, 4, 3), np.uint8), r'has 3 channels \(RGB\)'),
        ('truncated', 'is truncated'),
    ],
    ids=['empty', 'text', 'RGB', 'truncated'],
)
def test_load_label__bad_file(write, content, expected):
    if isinstance(content, str):
        file = io.BytesIO()
        Image.fromarray(np.zeros((40, 40), np.uint8)).save(file, 'PNG')
        content = file.getvalue()[:-6]
    path = write(content)
    with pytest.raises(DataError, match=f'^label .*{expected}'):
        LoadLabel().transform(label_info(path))


def test_load_label__says_nothing_about_palette_transparency(write):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), 'P')
    image.putpalette([0, 0, 0, 9, 9, 9])
    path = write(image, transparency=bytes([0, 255]))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        LoadLabel().transform(label_info(path))


@pytest.mark.parametrize('backend', ['pillow', 'cv2', 'tifffile', 'turbojpeg'])
def test_load_label__arguments_of_mmsegs_loader(write, backend):
    path = write(np.array([[0, 1], [2, 3]], np.uint8))
    step = {'type': 'mmseg.LoadLabel', 'reduce_zero_label': True, 'imdecode_backend': backend}
    load = TRANSFORMS.build(step)
    found = load.transform(label_info(path, reduce_zero_label=True))
    assert found['gt_seg_map'].tolist() == [[255, 0], [1, 2]]
    assert f"imdecode_backend='{backend}'" in repr(load)


@pytest.mark.parametrize('said', [True, False])
def test_load_label__disagrees_with_its_dataset(write, said):
    info = label_info(write(np.zeros((2, 2), np.uint8)), reduce_zero_label=not said)
    sentence = (
        f'LoadLabel has reduce_zero_label={said}, but the dataset has reduce_zero_label={not said}'
    )
    with pytest.raises(DataError, match=sentence):
        LoadLabel(reduce_zero_label=said).transform(info)


def test_load_label__decoder_that_is_none():
    with pytest.raises(DataError, match=r"one of cv2, .*, found 'pilow'; leave it out"):
        LoadLabel(imdecode_backend='pilow')
