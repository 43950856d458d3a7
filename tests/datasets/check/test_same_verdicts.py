"""Training and ``tools/check_dataset.py`` refuse the same datasets, in the same words."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

from swinseg.datasets import DataError, FolderDataset, LoadImage
from swinseg.datasets.check import Normalization, check_splits, list_split
from swinseg.datasets.check.before_training import check_before_training
from swinseg.datasets.check.rules.of_split import WHOLE_SET_RULES

H, W = 40, 60
RNG = np.random.default_rng(3)


def _values(*values, dtype=np.uint8):
    return np.resize(np.array(values, dtype), (H, W))


def _write(root, labels, *, photos=None):
    for folder in ('images', 'labels'):
        (root / folder).mkdir(parents=True)
    for index, label in enumerate(labels):
        photo = RNG.integers(0, 256, (H, W, 3)).astype(np.uint8) if photos is None else photos
        assert cv2.imwrite(str(root / 'images' / f'{index}.png'), photo)
        assert cv2.imwrite(str(root / 'labels' / f'{index}.png'), label)
    return root


def _labels(*labels, **options):
    return lambda root: (_write(root, labels), options)


def _broken(breaks, *labels, **options):
    def make(root):
        _write(root, labels or [_values(0, 1)] * 3)
        breaks(root)
        return root, options

    return make


def _cut(root):
    path = root / 'images' / '1.png'
    path.write_bytes(path.read_bytes()[:-20])


def _deep(**options):
    photo = (RNG.random((H, W, 3)) * 4000).astype(np.uint16)
    return lambda root: (_write(root, [_values(0, 1)] * 2, photos=photo), options)


COLORS = np.array([[0, 0, 0], [0, 0, 200]], np.uint8)[_values(0, 1)]
THREE = {'classes': ['a', 'b', 'c']}

CASES = {
    'good': (_labels(_values(0, 1), _values(0, 1, 255)), None),
    'good, a class in no label': (_labels(_values(0, 1), **THREE), None),
    'one class of three': (_labels(*[_values(0)] * 3, **THREE), 'one-class'),
    'one class of three and ignored': (_labels(_values(1, 255), **THREE), 'one-class'),
    'one class of two': (_labels(_values(0), _values(0)), 'one-class'),
    'mask of 0 and 255': (_labels(_values(0, 255)), 'one-class'),
    'mask of 255 alone': (_labels(_values(255)), 'all-ignored'),
    'all ignored': (_labels(_values(255), _values(255), **THREE), 'all-ignored'),
    'all mapped away': (_labels(_values(0, 1), label_map={77: 0, 78: 1}), 'all-ignored'),
    'first class taken as unlabeled': (
        _labels(_values(0, 1, 2), reduce_zero_label=True, **THREE), 'zero-is-a-class'),
    'classes from 1': (_labels(_values(1, 2), _values(1)), 'label-values'),
    'value out of range': (_labels(_values(0, 1), _values(0, 9)), 'label-values'),
    'values out of range in several': (_labels(_values(0, 7), _values(0, 9)), 'label-values'),
    'value that no map names': (
        _labels(_values(0, 7), label_map={0: 0, 1: 1}, ignore_values=[9]), 'label-values'),
    'values of 16 bits': (_labels(_values(1, 1001, 1002, dtype=np.uint16)), 'label-values'),
    'label of another size': (
        _labels(_values(0, 1), _values(0, 1)[: H // 2]), 'size-mismatch'),
    'label turned': (_labels(_values(0, 1), _values(0, 1).T), 'size-mismatch'),
    'colors': (_labels(COLORS, COLORS), 'color-masks'),
    'colors of the palette': (
        _labels(COLORS, palette=[[0, 0, 0], [200, 0, 0]]), 'color-masks'),
    'colors in one of several': (_labels(_values(0, 1), COLORS), 'color-masks'),
    'color of no class': (
        _labels(COLORS, color_labels=True, palette=[[0, 0, 0], [0, 9, 0]]), 'label-colors'),
    'label missing': (
        _broken(lambda root: (root / 'labels' / '1.png').unlink()), 'pairing'),
    'image is a dead link': (
        _broken(lambda root: (
            (root / 'images' / '1.png').unlink(),
            (root / 'images' / '1.png').symlink_to(root / 'gone.png'),
        )), 'unreadable-images'),
    'image cut short': (_broken(_cut), 'unreadable-images'),
    'label empty': (
        _broken(lambda root: (root / 'labels' / '2.png').write_bytes(b'')), 'unreadable-labels'),
    'all labels empty': (
        _broken(lambda root: [p.write_bytes(b'') for p in (root / 'labels').iterdir()]),
        'unreadable-labels'),
    '16 bits without a range': (_deep(), 'value-range'),
    '16 bits with a range': (_deep(pipeline=[LoadImage(value_range=[0, 4000])]), None),
}  # fmt: skip
"""Name -> (what writes the set and returns it with the dataset's arguments, the code of the error or None)."""


def _split(root, name='train', **options):
    prefix = {'img_path': 'images', 'seg_map_path': 'labels'}
    options = {'classes': ['ground', 'thing'], **options}
    dataset = FolderDataset(data_root=str(root), data_prefix=prefix, lazy_init=True, **options)
    return list_split(name, dataset)


def _errors(report):
    return [finding for finding in report.findings if finding.severity == 'error']


@pytest.mark.parametrize('case', CASES)
def test_verdicts__of_a_set_that_is_read_whole(case, tmp_path):
    make, code = CASES[case]
    root, options = make(tmp_path / 'set')
    errors = _errors(check_splits([_split(root, **options)]))
    assert [finding.code for finding in errors] == [code] * (code is not None)
    if code is None:
        check_before_training([_split(root, **options)])
        return
    with pytest.raises(DataError) as caught:
        check_before_training([_split(root, **options)])
    assert str(caught.value) == errors[0].sentence
    assert caught.value.setting == next(iter(errors[0].paste), '')


@pytest.mark.parametrize('case', [name for name, (_, code) in CASES.items() if code is not None])
def test_verdicts__of_a_sample(case, tmp_path):
    """The same code from a sample of 2 of 9 times the files; what a sample cannot know it does not say."""
    make, code = CASES[case]
    first, options = make(tmp_path / 'set')
    root = tmp_path / 'nine'
    for folder in ('images', 'labels'):
        (root / folder).mkdir(parents=True)
        for path in sorted((first / folder).iterdir()):
            for copy in range(9):
                target = root / folder / f'{path.stem}-{copy}{path.suffix}'
                shutil.copy(path, target, follow_symlinks=path.exists())
    sampled = check_splits([_split(root, **options)], sample=2, workers=1, whole_set_rules=False)
    whole = _errors(check_splits([_split(root, **options)], workers=1))
    assert {finding.code for finding in whole} == {code}
    if not _errors(
        sampled
    ):  # the bad files are not among those read, as those of one in three pairs
        assert code in (
            'label-values',
            'size-mismatch',
            'color-masks',
            'unreadable-images',
            'unreadable-labels',
        )
        assert len(whole[0].files) < len(_split(root, **options).jobs)
        return
    assert {finding.code for finding in _errors(sampled)} == {code}
    assert not WHOLE_SET_RULES & {finding.code for finding in sampled.findings}
    with pytest.raises(DataError):
        check_before_training([_split(root, **options)], sample=2)


@pytest.mark.parametrize(
    ('mean', 'std', 'is_refused'),
    [((127.0,) * 3, (74.0,) * 3, False), ((0.5,) * 3, (0.25,) * 3, True), ((127.0,) * 2, (74.0,) * 2, True)],
)  # fmt: skip
def test_verdicts__of_the_normalization(tmp_path, mean, std, is_refused):
    split = _split(_write(tmp_path / 'set', [_values(0, 1)] * 2))
    used = Normalization(mean, std)
    errors = _errors(check_splits([split], normalization=used))
    assert bool(errors) == is_refused
    if not is_refused:
        check_before_training([split], normalization=used)
        return
    with pytest.raises(DataError) as caught:
        check_before_training([split], normalization=used)
    assert str(caught.value) == errors[0].sentence


def test_verdicts__of_two_splits(tmp_path):
    root = _write(tmp_path / 'set', [_values(0, 1)] * 2)
    splits = [_split(root), _split(root, 'val', classes=['thing', 'ground'])]
    (error,) = [e for e in _errors(check_splits(splits)) if e.code not in WHOLE_SET_RULES]
    assert error.code == 'class-lists'
    with pytest.raises(DataError) as caught:
        check_before_training(splits)
    assert str(caught.value) == error.sentence


def test_verdicts__rules_that_need_the_whole_set_are_no_reason_to_refuse_a_training(tmp_path):
    """To train and validate on the same few images is a usual trial."""
    root = _write(tmp_path / 'set', [_values(0, 1), _values(0, 1)], photos=np.zeros((H, W, 3)))
    splits = [_split(root, **THREE), _split(root, 'val', **THREE)]
    codes = {finding.code for finding in check_splits(splits).findings}
    assert codes == {'duplicates', 'absent-classes', 'blank-images'}
    assert [finding.code for finding in check_before_training(splits).findings] == [
        'blank-images'
    ] * 2
