import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmseg.datasets import ADE20KDataset

from swinseg.datasets.labels.map import (
    REJECTED,
    allowed_outputs,
    apply_table,
    compose,
    contains_any,
    label_table,
    map_labels,
    reduce_zero_table,
    subset_map,
)

bytes_2d = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))
words_2d = hnp.arrays(np.uint16, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))
maps = st.dictionaries(st.integers(0, 255), st.integers(0, 255), max_size=12)


def as_mmseg(label, label_map, reduce_zero_label):
    """The rule of mmseg's LoadAnnotations, written out pixel by pixel."""
    result = np.empty_like(label)
    for position, value in np.ndenumerate(label):
        value = int(value)
        if reduce_zero_label:
            value = 255 if value in (0, 255) else value - 1
        result[position] = (label_map or {}).get(value, value)
    return result


@pytest.mark.parametrize(
    ('ignore_index', 'raw', 'expected'),
    [
        (255, [0, 1, 2, 150, 254, 255], [255, 0, 1, 149, 253, 255]),
        (200, [0, 1, 200, 201], [200, 0, 200, 200]),
        (0, [0, 1, 2], [0, 0, 1]),
    ],
)
def test_reduce_zero_table__cases(ignore_index, raw, expected):
    assert reduce_zero_table(256, ignore_index=ignore_index)[raw].tolist() == expected


@pytest.mark.parametrize(
    ('unlisted', 'expected'),
    [
        ('keep', [0, 1, 0, 9, 255]),
        ('ignore', [255, 255, 0, 255, 255]),
        ('reject', [REJECTED, REJECTED, 0, REJECTED, 255]),
    ],
)
def test_label_table__unlisted_values(unlisted, expected):
    table = label_table({7: 0}, size=256, unlisted=unlisted)
    assert table[[0, 1, 7, 9, 255]].tolist() == expected


def test_label_table__rejects_unknown_word():
    with pytest.raises(ValueError, match=r"unlisted must be one of .*'drop'"):
        label_table({0: 0}, size=256, unlisted='drop')


@pytest.mark.parametrize('value', [-1, 65536])
def test_label_table__rejects_value_beyond_16_bits(value):
    with pytest.raises(ValueError, match=f'not {value}'):
        label_table({value: 0}, size=256)


@given(label=bytes_2d, label_map=st.none() | maps, reduce_zero_label=st.booleans())
def test_map_labels__is_mmsegs_rule_on_8_bits(label, label_map, reduce_zero_label):
    before = label.copy()
    mapped = map_labels(label, label_map, reduce_zero_label=reduce_zero_label, unlisted='keep')
    np.testing.assert_array_equal(mapped, as_mmseg(label, label_map, reduce_zero_label))
    np.testing.assert_array_equal(label, before)
    assert mapped.dtype == np.uint8


@given(label=words_2d, label_map=maps)
def test_map_labels__on_16_bits_only_listed_values_survive(label, label_map):
    shifted = {value * 257: index for value, index in label_map.items()}
    mapped = map_labels(label, shifted)
    for position, value in np.ndenumerate(label):
        assert mapped[position] == shifted.get(int(value), 255)


@given(label=bytes_2d, permutation=st.permutations(range(256)))
def test_map_labels__a_permutation_is_undone_by_its_inverse(label, permutation):
    forth = dict(enumerate(permutation))
    back = {index: value for value, index in forth.items()}
    there = map_labels(label, forth, unlisted='keep')
    np.testing.assert_array_equal(map_labels(there, back, unlisted='keep'), label)


@pytest.mark.parametrize(
    ('label', 'unlisted'),
    [(np.array([[300]], np.uint16), 'keep'), (np.array([[8]], np.uint8), 'reject')],
)
def test_map_labels__names_value_without_class(label, unlisted):
    with pytest.raises(ValueError, match=f'label value {label.item()} has no class'):
        map_labels(label, {7: 0}, unlisted=unlisted)


def test_allowed_outputs__class_indices_and_ignored():
    table = np.array([0, 3, 4, 255, REJECTED], np.int32)
    assert allowed_outputs(table, num_classes=4).tolist() == [True, True, False, True, False]
    assert allowed_outputs(table, num_classes=None).tolist() == [True, True, True, True, False]


@pytest.mark.parametrize('shape', [(1, 1), (3, 1), (5, 7)])
def test_apply_table__keeps_shape(shape):
    table = label_table(None, size=256)
    assert apply_table(np.zeros(shape, np.uint8), table).shape == shape


@given(
    label=hnp.arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 7, 149, 150, 254, 255])),
    reduce_zero_label=st.booleans(),
    label_map=st.sampled_from([None, {0: 0}, {7: 8}, {0: 5, 1: 6, 7: 12}]),
)
def test_apply_table__is_a_lookup_in_a_new_array(label, reduce_zero_label, label_map):
    table = label_table(label_map, size=256, reduce_zero_label=reduce_zero_label)
    before = label.copy()
    mapped = apply_table(label, table)
    np.testing.assert_array_equal(mapped, table[label])
    assert mapped.dtype == np.uint8
    assert not np.shares_memory(mapped, label)
    np.testing.assert_array_equal(label, before)


def test_apply_table__strided_label():
    label = np.arange(48, dtype=np.uint8).reshape(6, 8)[::2, ::-3]
    np.testing.assert_array_equal(apply_table(label, label_table(None, size=256)), label)


@given(label=bytes_2d | words_2d, values=st.sets(st.integers(0, 255), max_size=5))
def test_contains_any__is_membership(label, values):
    chosen = np.zeros(256 if label.dtype == np.uint8 else 65536, np.bool_)
    chosen[list(values)] = True
    assert contains_any(label, chosen) == bool(values & set(label.ravel().tolist()))


def test_subset_map__equals_mmsegs_for_ade20k():
    subset = ['road', 'sky', 'person']
    ours = subset_map(ADE20KDataset.METAINFO['classes'], subset)
    assert ours == ADE20KDataset.get_label_map(subset)


@given(first=maps, second=maps, value=st.integers(0, 255))
def test_compose__is_one_after_the_other(first, second, value):
    both = compose(first, second)
    assert both.keys() == first.keys()
    if value in first:
        index = first[value]
        assert both[value] == (255 if index == 255 else second.get(index, 255))
