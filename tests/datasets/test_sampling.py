"""Samples and their random numbers as functions of the position in the training."""

from __future__ import annotations

import itertools
import pickle
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import InfiniteSampler
from mmengine.structures import BaseDataElement
from torch.utils.data import ConcatDataset, DataLoader

from swinseg.datasets import sampling
from swinseg.datasets.sampling import ResumableSampler, SampleKey, SeededDataset
from swinseg.errors import DataError

# ruff: noqa: NPY002 (transforms draw from numpy's global generator)


class Draws:
    """A dataset of random numbers; the indices in ``gone`` are files that do not exist."""

    def __init__(self, root, size=7, gone=()):
        self.root, self.size = root, size
        for index in set(range(size)) - set(gone):
            (root / f'{index}.jpg').write_text('')

    def __len__(self):
        return self.size

    def get_data_info(self, index):
        return {'img_path': str(self.root / f'{index}.jpg')}

    def __getitem__(self, index):
        with open(self.get_data_info(index)['img_path']):
            pass
        numbers = random.random(), np.random.random(), torch.rand(()).item()
        return {'index': index, 'numbers': numbers, 'data_samples': BaseDataElement()}


def first(sampler, count):
    return [(int(key), key.seed) for key in itertools.islice(sampler, count)]


def drawn(dataset, *, workers, start=0, count=20):
    loader = DataLoader(
        dataset,
        batch_size=2,
        num_workers=workers,
        sampler=ResumableSampler(dataset, seed=5, start=start),
        collate_fn=list,
    )
    batches = itertools.islice(loader, count)
    return [(sample['index'], sample['numbers']) for batch in batches for sample in batch]


@pytest.mark.parametrize('shuffle', [True, False])
def test_sampler__order_is_that_of_mmengine(shuffle):
    ours = ResumableSampler(range(5), shuffle=shuffle, seed=3)
    theirs = InfiniteSampler(range(5), shuffle=shuffle, seed=3)
    assert [index for index, _ in first(ours, 23)] == list(itertools.islice(theirs, 23))


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 9), start=st.integers(0, 40), seed=st.integers(0, 2**32 - 1))
def test_sampler__from_any_position_on(size, start, seed):
    whole = first(ResumableSampler(range(size), seed=seed), start + 12)
    assert first(ResumableSampler(range(size), seed=seed, start=start), 12) == whole[start:]


def test_sampler__every_position_has_its_own_seed():
    seeds = {seed for run in (0, 1) for _, seed in first(ResumableSampler(range(4), seed=run), 500)}
    assert len(seeds) == 1000


@pytest.mark.parametrize('processes', [2, 3])
def test_sampler__processes_share_the_positions(monkeypatch, processes):
    whole = first(ResumableSampler(range(5), seed=1, start=4), 6 * processes)
    for rank in range(processes):
        monkeypatch.setattr(sampling, 'get_dist_info', lambda rank=rank: (rank, processes))
        part = first(ResumableSampler(range(5), seed=1, start=4), 6)
        assert part == whole[rank::processes]


def test_sample_key__survives_the_way_to_a_worker():
    key = pickle.loads(pickle.dumps(SampleKey(3, 2**63 + 1)))
    assert (key, key.seed, type(key)) == (3, 2**63 + 1, SampleKey)


@pytest.mark.parametrize('workers', [1, 2])
def test_seeded__any_number_of_workers_draws_the_same(tmp_path, workers):
    dataset = SeededDataset(Draws(tmp_path))
    alone = drawn(dataset, workers=0)
    assert drawn(dataset, workers=workers) == alone
    assert drawn(dataset, workers=workers, start=14, count=3) == alone[14:20]
    assert len({numbers for _, numbers in alone}) == len(alone)


def test_seeded__datasets_of_datasets_too(tmp_path):
    parts = [tmp_path / name for name in 'ab']
    for part in parts:
        part.mkdir()
    dataset = SeededDataset(ConcatDataset([Draws(part) for part in parts]))
    assert drawn(dataset, workers=2) == drawn(dataset, workers=0)


def test_seeded__leaves_the_generators_of_the_process_alone(tmp_path):
    dataset = SeededDataset(Draws(tmp_path))
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.random(), torch.rand(()).item()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    assert dataset[SampleKey(2, 9)]['numbers'] != expected
    assert (random.random(), np.random.random(), torch.rand(()).item()) == expected


def test_seeded__a_missing_file_stops(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'3\.jpg'):
        SeededDataset(Draws(tmp_path, gone=[3]))[SampleKey(3, 1)]


def test_seeded__a_missing_file_is_replaced_by_the_same_sample_every_time(tmp_path):
    dataset = SeededDataset(Draws(tmp_path, gone=[3]), missing_files='skip')
    samples = [dataset[SampleKey(3, 1)] for _ in range(2)]
    assert samples[0]['index'] == samples[1]['index'] != 3
    assert samples[0]['numbers'] == samples[1]['numbers']
    assert samples[0]['data_samples'].metainfo['missing_files'] == (str(tmp_path / '3.jpg'),)
    assert 'missing_files' not in dataset[SampleKey(2, 1)]['data_samples'].metainfo


def test_seeded__nothing_but_missing_files_stops(tmp_path):
    dataset = SeededDataset(Draws(tmp_path, gone=range(7)), missing_files='skip')
    with pytest.raises(FileNotFoundError):
        dataset[SampleKey(3, 1)]


def test_seeded__refuses_another_word(tmp_path):
    with pytest.raises(DataError, match="must be 'stop' or 'skip', not 'ignore'"):
        SeededDataset(Draws(tmp_path), missing_files='ignore')


@pytest.mark.parametrize(('size', 'processes'), [(5, 1), (5, 2), (6, 3)])
def test_epochs__end_after_each_image_and_go_on_in_their_middle(monkeypatch, size, processes):
    def keys(rank: int, epoch: int, seen: int = 0) -> list[SampleKey]:
        monkeypatch.setattr(sampling, 'get_dist_info', lambda: (rank, processes))
        sampler = ResumableSampler(range(size), seed=3, by_epoch=True)
        sampler.set_epoch(epoch, seen)
        found = list(sampler)
        assert seen or len(found) == len(sampler) == -(-size // processes)
        return found

    orders = []
    for epoch in range(3):
        of_ranks = [keys(rank, epoch) for rank in range(processes)]
        order = [int(key) for position in zip(*of_ranks, strict=True) for key in position]
        assert sorted(order[:size]) == list(range(size))
        assert order[size:] == order[: len(order) - size]  # so that all draw equally many
        orders.append(order)
        rest = keys(0, epoch, seen=2 * processes)
        assert [(int(key), key.seed) for key in rest] == [(int(k), k.seed) for k in of_ranks[0][2:]]
    assert len({tuple(order) for order in orders}) > 1
    if processes == 1:  # the order of a training that counts iterations
        endless = iter(ResumableSampler(range(size), seed=3))
        assert [int(next(endless)) for _ in range(3 * size)] == [
            i for order in orders for i in order
        ]
