"""What a check says of made-up sets: labels, colors, duplicates, odd images, figures."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest
from mmengine.dataset import ConcatDataset
from PIL import Image

from swinseg.datasets import FolderDataset
from swinseg.datasets.check import Normalization, check_splits, format_report, list_split
from swinseg.datasets.check.statistics import ClassStatistics
from swinseg.datasets.labels.colors import MAX_COLORED_CLASSES

RNG = np.random.default_rng(0)
PHOTOS = RNG.integers(0, 256, (12, 40, 60, 3)).astype(np.uint8)
HALVES = np.repeat(np.array([[0], [1]], np.uint8), 20, axis=0).repeat(60, axis=1)


def write_set(root, labels, *, photos=PHOTOS):
    """Write photographs and labels, arrays or Pillow images, and return the folder."""
    for folder in ('images', 'labels'):
        (root / folder).mkdir(parents=True)
    for index, label in enumerate(labels):
        cv2.imwrite(str(root / 'images' / f'{index}.png'), photos[index])
        picture = label if isinstance(label, Image.Image) else Image.fromarray(label)
        picture.save(root / 'labels' / f'{index}.png')
    return root


def build(root, **options):
    prefix = {'img_path': 'images', 'seg_map_path': 'labels'}
    return FolderDataset(
        data_root=str(root), data_prefix=prefix, lazy_init=True,
        **{'classes': ['ground', 'thing'], **options},
    )  # fmt: skip


def check(root, *, normalization=None, **options):
    return check_splits([list_split('train', build(root, **options))], normalization=normalization)


def only(report):
    (finding,) = report.findings
    return finding


@pytest.mark.parametrize(
    ('values', 'options', 'code', 'paste'),
    [
        ([1, 2], {}, 'label-values', ('reduce_zero_label=True',)),
        ([0, 1, 2], {}, 'label-values', ('reduce_zero_label=True', 'ignore_values=[2]')),
        ([0, 255], {}, 'one-class', ('label_map={0: 0, 255: 1}',)),
        ([0, 255], {'ignore_index': 254}, 'label-values', ('label_map={0: 0, 255: 1}',)),
        ([0, 200], {}, 'label-values', ('label_map={0: 0, 200: 1}',)),
        ([0, 1], {'reduce_zero_label': True}, 'one-class', ()),
        ([255], {'classes': ['a', 'b', 'c']}, 'all-ignored', ()),
        ([0, 1, 2], {'reduce_zero_label': True, 'classes': ['a', 'b', 'c']}, 'zero-is-a-class',
         ('reduce_zero_label=False',)),
        ([0, 7], {'label_map': {0: 0, 1: 1}, 'ignore_values': [9]}, 'label-values', ()),
        ([1, 1001, 1002], {}, 'label-values', ('instance_divisor=1000',)),
    ],
)  # fmt: skip
def test_check__values(tmp_path, values, options, code, paste):
    dtype = np.uint16 if max(values) > 255 else np.uint8
    label = np.resize(np.array(values, dtype), (40, 60))
    report = check(write_set(tmp_path / 'set', [label, label]), **options)
    errors = [finding for finding in report.findings if finding.severity == 'error']
    assert [(finding.code, finding.paste) for finding in errors] == [(code, paste)]
    assert not report.ok
    assert '\n' not in errors[0].sentence


@pytest.mark.parametrize(
    ('values', 'options'),
    [
        ([0, 1, 255], {}),
        ([0, 1, 2], {'reduce_zero_label': True}),
        ([0, 255], {'label_map': {0: 0, 255: 1}}),
        ([3, 4, 9], {'label_map': {3: 0, 4: 1}}),
        ([0, 1, 1001], {'instance_divisor': 1000}),
    ],
)
def test_check__values_that_are_right(tmp_path, values, options):
    dtype = np.uint16 if max(values) > 255 else np.uint8
    label = np.resize(np.array(values, dtype), (40, 60))
    report = check(write_set(tmp_path / 'set', [label]), **options)
    assert report.findings == ()
    assert report.splits['train'].classes.pixels.sum() > 0


def test_check__color_masks_with_the_table_to_paste(tmp_path):
    palette = [[0, 0, 0], [128, 64, 128], [255, 0, 1]]
    mask = Image.fromarray(np.array(palette, np.uint8)[RNG.integers(0, 3, (40, 60))])
    root = write_set(tmp_path / 'set', [mask, mask])
    finding = only(check(root))
    assert (finding.code, finding.severity, len(finding.files)) == ('color-masks', 'error', 2)
    assert 'in 3 colors' in finding.sentence
    (paste,) = finding.paste
    assert paste == (
        f"color_labels=True, classes=['class_0', 'class_1', 'class_2'], palette={palette}"
    )
    assert check(root, **eval(f'dict({paste})')).findings == ()
    known = only(check(root, classes=['a', 'b', 'c'], palette=palette))
    assert known.paste == ('color_labels=True',)
    two = {'color_labels': True, 'palette': palette[:2]}
    unknown = only(check(root, **two))
    assert (unknown.code, unknown.paste) == ('label-colors', ('ignore_colors=[[255, 0, 1]]',))
    assert check(root, **two, ignore_colors=palette[2:]).findings == ()


@pytest.mark.parametrize('count', [MAX_COLORED_CLASSES, MAX_COLORED_CLASSES + 1])
def test_check__as_many_colors_as_the_setting_takes(tmp_path, count):
    palette = np.array([[n, n // 2, 255 - n] for n in range(count)], np.uint8)
    mask = Image.fromarray(np.resize(palette, (40, 60, 3)))
    root = write_set(tmp_path / 'set', [mask])
    finding = only(check(root))
    assert bool(finding.paste) == (count == MAX_COLORED_CLASSES)
    if finding.paste:
        assert check(root, **eval(f'dict({finding.paste[0]})')).findings == ()


def test_check__smoothed_color_masks_have_no_table(tmp_path):
    mask = Image.fromarray(RNG.integers(0, 256, (40, 60, 3)).astype(np.uint8))
    finding = only(check(write_set(tmp_path / 'set', [mask])))
    assert finding.paste == ()
    assert 'edges were smoothed' in finding.sentence


def test_check__palettes_that_number_classes_differently(tmp_path):
    labels = []
    for colors in ([9, 9, 9, 200, 0, 0], [200, 0, 0, 9, 9, 9]):
        label = Image.fromarray(HALVES, 'P')
        label.putpalette(colors)
        labels.append(label)
    root = write_set(tmp_path / 'set', labels)
    finding = only(check(root))
    assert (finding.code, finding.severity) == ('palettes-differ', 'warning')
    assert 'label value 0 has the color [9, 9, 9]' in finding.sentence
    fixed = check(root, color_labels=True, palette=[[9, 9, 9], [200, 0, 0]])
    assert fixed.findings == ()


@pytest.mark.parametrize(('shared', 'severity'), [(1, 'warning'), (3, 'error')])
def test_check__duplicates_of_training_images(tmp_path, shared, severity):
    train = write_set(tmp_path / 'train', [HALVES] * 4)
    # The last training images are the first of the validation set, under other names.
    val = write_set(tmp_path / 'val', [HALVES] * 4, photos=PHOTOS[4 - shared :])
    report = check_splits([list_split('train', build(train)), list_split('val', build(val))])
    finding = only(report)
    assert (finding.code, finding.severity) == ('duplicates', severity)
    assert finding.files == tuple(str(val / 'images' / f'{n}.png') for n in range(shared))
    assert f'{shared} of 4 validation images' in finding.sentence


def test_check__same_image_with_another_label(tmp_path):
    photos = np.stack([PHOTOS[0], PHOTOS[0], PHOTOS[1]])
    root = write_set(tmp_path / 'set', [HALVES, 1 - HALVES, HALVES], photos=photos)
    finding = only(check(root))
    assert finding.code == 'contradicting-labels'
    assert len(finding.files) == 2


@pytest.mark.parametrize(
    ('shape', 'value', 'code'),
    [((20, 40), None, 'tiny-images'), ((40, 400), None, 'elongated-images'), ((40, 60), 7, 'blank-images')],
)  # fmt: skip
def test_check__odd_images(tmp_path, shape, value, code):
    photo = RNG.integers(0, 256, (*shape, 3)).astype(np.uint8)
    if value is not None:
        photo[:] = value
    label = np.resize(np.array([0, 1], np.uint8), shape)
    photos = [PHOTOS[0], photo]
    root = write_set(tmp_path / 'set', [HALVES, label], photos=photos)
    finding = only(check(root))
    assert (finding.code, finding.severity) == (code, 'warning')
    assert finding.files == (str(root / 'images' / '1.png'),)


def test_check__classes_that_are_missing(tmp_path):
    train = write_set(tmp_path / 'train', [HALVES, np.full_like(HALVES, 255)])
    val = write_set(tmp_path / 'val', [HALVES * 2], photos=PHOTOS[5:])
    names = ['a', 'b', 'c']
    report = check_splits(
        [list_split(name, build(root, classes=names)) for name, root in (('train', train), ('val', val))]
    )  # fmt: skip
    assert report.ok
    assert [(finding.code, finding.split) for finding in report.findings] == [
        ('absent-classes', 'train'),
        ('ignored-labels', 'train'),
        ('absent-classes', 'val'),
        ('classes-not-trained', 'train, val'),
    ]


def test_check__labels_without_an_image(tmp_path):
    root = write_set(tmp_path / 'set', [HALVES, HALVES])
    (root / 'images' / '1.png').unlink()
    finding = only(check(root))
    assert (finding.code, finding.severity) == ('unused-labels', 'warning')
    assert finding.files == (str(root / 'labels' / '1.png'),)


@pytest.mark.parametrize(
    ('mean', 'std', 'severity', 'expected'),
    [
        ((127.0,) * 3, (74.0,) * 3, None, ''),
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 'error', r'mean=\[123\.675, 116\.28, 103\.53\]'),
        ((900.0,) * 3, (74.0,) * 3, 'warning', 'far from the'),
        ((127.0,) * 2, (74.0,) * 2, 'error', 'have 3 channels but data_preprocessor has 2'),
        ((127.0,), (74.0,), None, ''),
        ((0.0,) * 3, (1.0,) * 3, 'warning', 'far from the'),
    ],
)  # fmt: skip
def test_check__normalization(tmp_path, mean, std, severity, expected):
    root = write_set(tmp_path / 'set', [HALVES] * 3)
    report = check(root, normalization=Normalization(mean, std))
    if severity is None:
        assert report.findings == ()
    else:
        assert only(report).severity == severity
        assert re.search(expected, only(report).sentence)


def test_check__figures_are_those_of_all_pixels(tmp_path):
    photos = [PHOTOS[0], PHOTOS[1][:35, :50], PHOTOS[2]]
    labels = [RNG.integers(0, 3, p.shape[:2]).astype(np.uint8) for p in photos]
    root = write_set(tmp_path / 'set', labels, photos=photos)
    report = check(root, classes=['a', 'b', 'c'])
    split = report.splits['train']
    everything = np.concatenate([photo.reshape(-1, 3) for photo in photos]).astype(np.float64)
    assert split.images.mean == pytest.approx(everything.mean(axis=0)[::-1].tolist())
    assert split.images.std == pytest.approx(everything.std(axis=0)[::-1].tolist())
    assert (split.images.smallest, split.images.largest) == ((50, 35), (60, 40))
    values = np.concatenate([label.ravel() for label in labels])
    assert split.classes.pixels.tolist() == np.bincount(values).tolist()
    content = json.loads(report.to_json())
    assert content['splits']['train']['classes'][0]['images'] == 3
    assert 'ready to train: nothing was found' in format_report(report)


def test_loss_weights__median_frequency_balancing():
    # Frequencies 0.1, 0.5 and 0.8 of the pixels around; the fourth class never occurs.
    statistics = ClassStatistics(
        names=('a', 'b', 'c', 'd'),
        pixels=np.array([10, 50, 80, 0]),
        images=np.array([1, 1, 1, 0]),
        pixels_around=np.array([100, 100, 100, 0]),
        ignored=0,
        outside=0,
        counted=140,
    )
    assert statistics.loss_weights() == pytest.approx([5.0, 1.0, 0.625, 1.0])
    gentle = statistics.gentle_loss_weights()
    # The mean over the pixels is 1, the ratios are those of the roots, and what does not occur gets 1.
    present = statistics.pixels > 0
    assert (gentle * statistics.shares)[present].sum() == pytest.approx(1)
    shares = statistics.shares[present]
    assert gentle[present] / gentle[present][0] == pytest.approx((shares[0] / shares) ** 0.5)
    assert gentle[~present] == pytest.approx(1)


def test_check__repeated_and_joined_datasets_are_looked_at_once(tmp_path):
    first = build(write_set(tmp_path / 'first', [HALVES] * 2))
    second = build(
        write_set(tmp_path / 'second', [HALVES + 1] * 2, photos=PHOTOS[6:]), reduce_zero_label=True
    )
    joined = ConcatDataset([first, first, second], ignore_keys=['reduce_zero_label'])
    report = check_splits([list_split('train', joined)])
    assert report.findings == ()
    assert report.splits['train'].looked_at == 4
    # Each set's own rule says what its values mean.
    assert report.splits['train'].classes.pixels.tolist() == [4800, 4800]


def test_check__many_processes_find_the_same(tmp_path):
    root = write_set(tmp_path / 'set', [HALVES] * 12)
    (root / 'images' / '3.png').write_bytes(b'')
    split = list_split('train', build(root))
    assert check_splits([split], workers=3).to_json() == check_splits([split], workers=1).to_json()
