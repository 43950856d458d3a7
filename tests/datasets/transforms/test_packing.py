import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

from swinseg.datasets import PackPlanes
from swinseg.datasets.transforms.flipped_views import copy_if_flipped, planes

IMAGE = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)
LABEL = np.random.default_rng(1).integers(0, 9, (12, 17), dtype=np.uint8)
VIEWS = {
    'as it is': lambda a: a,
    'cut out': lambda a: a[2:9, 3:11],
    'left to right': lambda a: a[:, ::-1],
    'cut out, upside down': lambda a: a[2:9, 3:11][::-1],
    'both': lambda a: a[::-1, ::-1],
    'every other column': lambda a: a[:, ::-2],
}


@given(
    shape=st.sampled_from([(5,), (6, 7), (6, 7, 1), (6, 7, 3), (6, 7, 6), (2, 3, 4, 2), (1, 1, 3)]),
    dtype=st.sampled_from([np.uint8, np.float32, np.int64, bool]),
    steps=st.lists(st.sampled_from([1, -1, 2, -2]), min_size=4, max_size=4),
    order=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_copy_if_flipped__same_values(shape, dtype, steps, order):
    array = np.random.default_rng(0).integers(0, 99, shape).astype(dtype)
    view = (array.T if order else array)[tuple(slice(None, None, s) for s in steps[: len(shape)])]
    copied = copy_if_flipped(view)
    assert copied.dtype == view.dtype
    np.testing.assert_array_equal(copied, view)
    assert min(copied.strides) >= 0
    assert (copied is view) == (min(view.strides) >= 0)


@pytest.mark.parametrize('view', VIEWS)
@pytest.mark.parametrize('channels', [1, 2, 3])
def test_planes__channels_first(view, channels):
    image = VIEWS[view](IMAGE[..., :channels])
    moved = planes(image)
    assert moved.flags.c_contiguous
    np.testing.assert_array_equal(moved, image.transpose(2, 0, 1))


@pytest.mark.parametrize('view', VIEWS)
@pytest.mark.parametrize('kind', ['color', 'gray', 'float', 'five channels'])
def test_pack_planes__as_mmseg(view, kind):
    image = {
        'color': IMAGE,
        'gray': IMAGE[..., 0],
        'float': IMAGE.astype(np.float32),
        'five channels': np.repeat(IMAGE[..., :1], 5, axis=2),
    }[kind]
    results = {
        'img': VIEWS[view](image),
        'gt_seg_map': VIEWS[view](LABEL),
        'seg_fields': ['gt_seg_map'],
        'img_path': 'a.jpg',
        'flip': True,
        'scale_factor': (1.0, 2.0),
        'num_classes': 9,
    }
    before = dict(results)
    ours, theirs = PackPlanes()(results), PackSegInputs()(results)
    assert results.keys() == before.keys()
    assert all(results[key] is before[key] for key in before)
    assert ours.keys() == theirs.keys()
    assert ours['inputs'].dtype == theirs['inputs'].dtype
    assert ours['inputs'].is_contiguous()
    assert torch.equal(ours['inputs'], theirs['inputs'])
    mine, stock = ours['data_samples'], theirs['data_samples']
    assert mine.gt_sem_seg.data.dtype == stock.gt_sem_seg.data.dtype == torch.int64
    assert torch.equal(mine.gt_sem_seg.data, stock.gt_sem_seg.data)
    assert mine.metainfo == stock.metainfo


def test_pack_planes__registered_and_takes_keys():
    pack = TRANSFORMS.build({'type': 'PackPlanes', 'meta_keys': ('img_path',)})
    packed = pack({'img': IMAGE, 'img_path': 'a.jpg', 'flip': True})
    assert packed['data_samples'].metainfo == {'img_path': 'a.jpg'}
    assert 'gt_sem_seg' not in packed['data_samples']
