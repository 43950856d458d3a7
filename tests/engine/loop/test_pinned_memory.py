"""What data loaders pin, and when."""

import pickle

import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from support.fake_device import FakeDevice
from swinseg.engine import SwinsegRunner, load_config, runner
from swinseg.engine.loop.pinned_memory import PinnableCollate, with_pinning


@pytest.mark.parametrize(
    ('said', 'device', 'expected'),
    [
        ({}, 'cuda', True),
        ({}, 'cpu', False),
        ({}, 'mps', False),
        ({'pin_memory': False}, 'cuda', False),
        ({'pin_memory': True}, 'cpu', True),
    ],
)
def test_with_pinning__leaves_it_to_the_device_unless_the_config_says(said, device, expected):
    assert with_pinning({'batch_size': 2, **said}, device) == {
        'batch_size': 2, 'pin_memory': expected,
    }  # fmt: skip


@pytest.mark.parametrize('part', ['train', 'val', 'test'])
@pytest.mark.parametrize(
    ('device', 'said', 'expected'),
    [('cuda', {}, True), ('cuda', {'pin_memory': False}, False), ('cpu', {}, False)],
)
def test_build_dataloader__pins_on_a_gpu(
    write_tiny_config, tmp_path, monkeypatch, part, device, said, expected
):
    options = {f'{part}_dataloader.{key}': value for key, value in said.items()}
    cfg = load_config(write_tiny_config(), options)
    cfg.work_dir, cfg.experiment_name = str(tmp_path / 'w'), f'{tmp_path.name}_{part}'
    built = SwinsegRunner.from_cfg(cfg)
    monkeypatch.setattr(runner, 'get_device', lambda: device)
    loader = built.build_dataloader(cfg[f'{part}_dataloader'], seed=0)
    assert loader.pin_memory is expected
    assert isinstance(loader.collate_fn, PinnableCollate) is expected


def sample(seed):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 9, (1, 4, 5), generator=generator)
    return {
        'inputs': torch.randint(0, 256, (3, 4, 5), dtype=torch.uint8, generator=generator),
        'data_samples': SegDataSample(
            metainfo={'img_path': f'{seed}.jpg'}, gt_sem_seg=PixelData(data=label)
        ),
    }


def test_pinnable_batch__pins_images_and_labels_and_keeps_the_rest():
    packed = [sample(0), sample(1)]
    # As it comes from a data worker.
    batch = pickle.loads(pickle.dumps(PinnableCollate(pseudo_collate)(packed)))
    with FakeDevice():
        pinned = batch.pin_memory()
        tensors = [
            *pinned['inputs'], *(each.gt_sem_seg.data for each in pinned['data_samples'])
        ]  # fmt: skip
        assert [each.is_pinned() for each in tensors] == [True] * 4
    for ours, theirs in zip(pinned['data_samples'], packed, strict=True):
        assert ours.img_path == theirs['data_samples'].img_path
        assert torch.equal(ours.gt_sem_seg.data, theirs['data_samples'].gt_sem_seg.data)
    assert torch.equal(pinned['inputs'][1], packed[1]['inputs'])


def test_pinnable_collate__leaves_batches_of_other_types_alone():
    pair = (torch.zeros(2), torch.ones(2))
    batch = PinnableCollate(default_collate)([pair, pair])
    assert type(batch) is type(default_collate([pair, pair]))
