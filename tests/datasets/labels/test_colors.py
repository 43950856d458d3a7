import numpy as np
import pytest
from PIL import Image

from swinseg.datasets import DataError, FolderDataset, LoadImage, LoadLabel

PALETTE = [[0, 0, 0], [128, 64, 128], [255, 0, 1]]
OPTIONS = {
    'data_prefix': {'img_path': 'images', 'seg_map_path': 'annotations'},
    'classes': ['ground', 'road', 'car'],
    'palette': PALETTE,
    'color_labels': True,
    'pipeline': [LoadImage(), LoadLabel()],
}
EXPECTED = np.array([[0, 1, 2, 2], [1, 0, 0, 2]], np.uint8)


def write_pair(root, label, name='x', **options):
    for folder, picture in (('images', Image.new('RGB', label.size)), ('annotations', label)):
        (root / folder).mkdir(exist_ok=True)
        picture.save(root / folder / f'{name}.png', **(options if folder == 'annotations' else {}))


def painted(indices=EXPECTED):
    return Image.fromarray(np.array(PALETTE, np.uint8)[indices])


def load(root, **options):
    return FolderDataset(data_root=str(root), **{**OPTIONS, **options})[0]['gt_seg_map']


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'P'])
def test_color_labels__index_of_each_color(tmp_path, mode):
    label = painted()
    if mode == 'P':
        # Pillow numbers the colors in its own order, which must not matter.
        label = label.quantize(3)
    write_pair(tmp_path, label.convert(mode))
    np.testing.assert_array_equal(load(tmp_path), EXPECTED)


def test_color_labels__every_color_is_told_from_its_neighbors(tmp_path):
    rng = np.random.default_rng(0)
    palette = np.unique(rng.integers(0, 256, (254, 3)), axis=0)
    indices = rng.integers(0, len(palette), (40, 50))
    write_pair(tmp_path, Image.fromarray(palette.astype(np.uint8)[indices]))
    names = [f'{n}' for n in range(len(palette))]
    np.testing.assert_array_equal(load(tmp_path, classes=names, palette=palette.tolist()), indices)


def test_color_labels__ignored_colors_and_a_subset_of_the_classes(tmp_path):
    write_pair(tmp_path, painted())
    options = {'palette': PALETTE[:2], 'classes': ['ground', 'road'], 'ignore_colors': PALETTE[2:]}
    ignored = np.where(EXPECTED == 2, 255, EXPECTED)
    np.testing.assert_array_equal(load(tmp_path, **options), ignored)
    subset = load(tmp_path, metainfo={'classes': ['car', 'ground']})
    np.testing.assert_array_equal(subset, np.array([1, 255, 0], np.uint8)[EXPECTED])


def test_color_labels__colors_of_a_classes_file(tmp_path):
    write_pair(tmp_path, painted())
    entries = ''.join(f'  - {{name: c{i}, color: {c}}}\n' for i, c in enumerate(PALETTE))
    (tmp_path / 'classes.yaml').write_text(f'classes:\n{entries}')
    found = load(tmp_path, classes=None, palette=None, classes_file='classes.yaml')
    np.testing.assert_array_equal(found, EXPECTED)


def test_color_labels__unknown_color(tmp_path):
    pixels = np.array(painted())
    pixels[0, 0], pixels[1, 1] = (7, 8, 9), (7, 8, 10)
    write_pair(tmp_path, Image.fromarray(pixels))
    expected = (
        r'x\.png contains the color \[7, 8, 9\] \(and 1 more such colors\), which is not that of one of '
        r'the 3 classes; .* set ignore_colors=\[\[7, 8, 9\]\]$'
    )
    with pytest.raises(DataError, match=expected):
        load(tmp_path)


def test_color_labels__jpeg(tmp_path):
    write_pair(tmp_path, painted(), format='JPEG')
    with pytest.raises(DataError, match=r'x\.png is a JPEG, whose compression'):
        load(tmp_path)


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({'palette': None}, 'color_labels needs the color of each class'),
        ({'reduce_zero_label': True}, 'color_labels and reduce_zero_label are both given'),
        ({'label_map': {0: 1}}, 'color_labels and label_map are both given'),
        ({'ignore_values': [9]}, 'color_labels and ignore_values are both given'),
        ({'ignore_colors': [[0, 0, 0]]}, r'the color \[0, 0, 0\] stands for two classes or for one and'),
        ({'palette': [[0, 0, 0], [1, 1, 1], [0, 0, 0]]}, r'the color \[0, 0, 0\] stands for two'),
        ({'color_labels': False, 'ignore_colors': [[5, 0, 0]]}, 'ignore_colors needs color_labels=True'),
        ({'ignore_colors': [[5, 0, 300]]}, r'a color must be .* not \[5, 0, 300\]'),
        ({'classes': [f'{n}' for n in range(255)], 'palette': [[n, 0, 0] for n in range(255)]},
         'at most 254 classes'),
    ],
)  # fmt: skip
def test_color_labels__options_that_contradict(tmp_path, options, expected):
    write_pair(tmp_path, painted())
    with pytest.raises(DataError, match=expected):
        load(tmp_path, **options)
