"""Samplers whose samples and random numbers are functions of the position in the training.

So a run goes on at any position without loading what came before, whatever the number of data workers.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmseg.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import Dataset, Sampler

from swinseg.errors import DataError

_REPLACEMENTS = 10


class SampleKey(int):
    """An index into a dataset that carries the seed of the sample's random numbers to the data worker."""

    seed: int

    def __new__(cls, index: int, seed: int) -> SampleKey:
        key = super().__new__(cls, index)
        key.seed = seed
        return key

    def __reduce__(self) -> tuple[type[SampleKey], tuple[int, int]]:
        return type(self), (int(self), self.seed)


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler):
    """Draw samples without end, in the order of mmengine's ``InfiniteSampler``, from any position on.

    The samples of a training have positions 0, 1, 2, ...; process r of n takes r, r + n, r + 2n, .... Each is
    drawn with a :class:`SampleKey`, whose seed depends on the seed of the run and on the position alone.

    With ``by_epoch`` it ends after each pass over the dataset, which :meth:`set_epoch` chooses. All processes then
    draw equally many samples: some of the first of a pass come again at its end.

    Args:
        dataset: what is drawn from.
        shuffle: whether each pass over the dataset goes in an order of its own.
        seed: the same in all processes; None draws one.
        start: position of the first sample, over all processes: how many samples have been seen before.
        missing_files: ``'stop'`` when a file has vanished, or ``'skip'`` it: another sample takes its place, and
            the log says so. Read by :class:`swinseg.engine.SwinsegRunner`.
        by_epoch: whether to end after each pass. :class:`swinseg.engine.SwinsegRunner` sets it for a training that
            counts epochs.

    Attributes:
        samples_per_epoch: of all processes.
    """

    def __init__(
        self,
        dataset: Any,
        shuffle: bool = True,
        seed: int | None = None,
        start: int = 0,
        missing_files: str = 'stop',
        by_epoch: bool = False,
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.size = len(dataset)
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.start = start
        self.missing_files = missing_files
        self.by_epoch = by_epoch
        self.samples_per_epoch = -(-self.size // self.world_size) * self.world_size
        self._end = (start // self.samples_per_epoch + 1) * self.samples_per_epoch

    def set_epoch(self, epoch: int, seen: int = 0) -> None:
        """Begin the next iteration in a pass over the dataset; without ``by_epoch`` nothing is changed.

        Args:
            epoch: which pass, from 0.
            seen: how many of its samples, over all processes, have been seen before.
        """
        if self.by_epoch:
            self.start = epoch * self.samples_per_epoch + seen
            self._end = (epoch + 1) * self.samples_per_epoch

    def __iter__(self) -> Iterator[SampleKey]:
        """Yield the keys of this process."""
        generator = torch.Generator()
        generator.manual_seed(self.seed)
        order, passes = torch.arange(self.size), 0
        length = self.samples_per_epoch if self.by_epoch else self.size
        end = self._end if self.by_epoch else None
        position = self.start + self.rank
        while end is None or position < end:
            while passes <= position // length:
                if self.shuffle:
                    order = torch.randperm(self.size, generator=generator)
                passes += 1
            index = int(order[position % length % self.size])
            yield SampleKey(index, _seed_of(self.seed, position))
            position += self.world_size

    def __len__(self) -> int:
        """Number of samples of the dataset; with ``by_epoch`` those of a pass that this process draws."""
        return self.samples_per_epoch // self.world_size if self.by_epoch else self.size


@DATASETS.register_module()
class SeededDataset(Dataset):
    """A dataset whose random augmentation depends on the :class:`SampleKey` and not on the process that loads it.

    Samples that are asked for by a plain index are those of the dataset, as is all else that it has, such as
    ``metainfo``.

    Args:
        dataset: the dataset, or its config.
        missing_files: as for :class:`ResumableSampler`. The ``data_samples`` of a sample that took the place of
            another one have ``missing_files``, the paths, in their metainfo.

    Raises:
        DataError: ``missing_files`` is something else, or ten files in a row are missing.
    """

    def __init__(self, dataset: Any, missing_files: str = 'stop') -> None:
        if missing_files not in ('stop', 'skip'):
            raise DataError(
                f"missing_files of the sampler must be 'stop' or 'skip', not {missing_files!r}"
            )
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
        self.missing_files = missing_files
        self._note: Callable[[int], None] = _no_note

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # not there yet, while a copy is being made
            raise AttributeError(name)
        return getattr(self.dataset, name)

    @property
    def pipeline(self) -> Any:
        """The dataset's transforms, which hooks replace."""
        return self.dataset.pipeline

    @pipeline.setter
    def pipeline(self, pipeline: Any) -> None:
        self.dataset.pipeline = pipeline

    def note_samples_with(self, note: Callable[[int], None]) -> None:
        """Call ``note`` with the index of each sample before it is loaded, and with -1 when that is done."""
        self._note = note

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.dataset)

    def __getitem__(self, key: int) -> Any:
        """Return a sample, augmented with the random numbers of its key."""
        if not isinstance(key, SampleKey):
            return self._load(key)
        with _seeded(key.seed):
            return self._sample_or_replacement(int(key))

    def _sample_or_replacement(self, index: int) -> Any:
        missing: list[str] = []
        while True:
            try:
                sample = self._load(index)
            except (OSError, ValueError):
                gone = self._missing_files_of(index) if self.missing_files == 'skip' else []
                missing += gone
                if not gone or len(missing) >= _REPLACEMENTS:
                    raise
                index = random.randrange(len(self.dataset))
                continue
            if missing:
                sample['data_samples'].set_metainfo({'missing_files': tuple(missing)})
            return sample

    def _load(self, index: int) -> Any:
        self._note(int(index))
        try:
            return self.dataset[index]
        finally:
            self._note(-1)

    def _missing_files_of(self, index: int) -> list[str]:
        info = self.dataset.get_data_info(index)
        paths = [info.get('img_path'), info.get('seg_map_path')]
        return [path for path in paths if path is not None and not os.path.exists(path)]


def _no_note(index: int) -> None:
    pass


def _seed_of(run_seed: int, position: int) -> int:
    return int(np.random.SeedSequence((run_seed, position)).generate_state(1, np.uint64)[0])


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Run the block with Python's, numpy's and PyTorch's CPU generators seeded, and put them back afterwards."""
    # The transforms draw from numpy's global generator.
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed((seed & 0xFFFFFFFF, seed >> 32))  # noqa: NPY002
    # torch.manual_seed would seed the GPU's generator too, which is the network's.
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        torch.set_rng_state(kept[2])
