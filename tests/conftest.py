"""Shared fixtures. swinseg comes first: it repairs the packages that the tests import after it."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import swinseg  # noqa: F401
from support import multi_label
from support.exported_files import ExportedFiles
from support.tiny_config import tiny_config

FULL = bool(os.environ.get('SWINSEG_TEST_FULL'))


def pytest_collection_finish() -> None:
    """Leave what has been imported out of garbage collections: mmengine asks for one at each dataset, of 0.5 s."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold slow tests: a worker that gets one at the end keeps the others waiting."""
    if not FULL:
        for item in items:
            if item.get_closest_marker('full'):
                item.add_marker(
                    pytest.mark.skip(reason='for make test-full, which sets SWINSEG_TEST_FULL=1')
                )
    slow = {item.path for item in items if item.get_closest_marker('slow')}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope='module', autouse=True)
def _short_collections() -> Iterator[None]:
    """Likewise leave out what the tests of each file have imported and cached, or each collection takes longer."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='session')
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mini set of four training and two validation scenes, 64 pixels high; not to be changed."""
    from swinseg.datasets.mini.dataset import make_dataset

    root = tmp_path_factory.mktemp('tiny') / 'data'
    make_dataset(root, train=4, val=2, size=64)
    return root


@pytest.fixture
def write_tiny_config(tmp_path: Path, tiny_dataset: Path) -> Callable[..., Path]:
    """Write a config of a network of 0.4 million parameters on ``root`` and return its path.

    ``extra`` is Python that changes it, as a config with it as its base does.
    """

    def write(*, root: Path | None = None, extra: str = '', name: str = 'tiny.py') -> Path:
        path = tmp_path / name
        base = tmp_path / f'base_of_{name}'
        base.write_text(tiny_config(root or tiny_dataset))
        path.write_text(f"_base_ = './{base.name}'\n{extra}\n")
        return path

    return write


@pytest.fixture
def compiled_graphs() -> Iterator[Any]:
    """What ``torch.compile`` counts of a test alone, such as ``['stats']['unique_graphs']``."""
    import torch
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    yield counters
    torch._dynamo.reset()


@pytest.fixture
def kept_tf32() -> Iterator[None]:
    """Put PyTorch's choice of TF32 back afterwards."""
    import torch

    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope='session')
def tiny_run(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Path) -> Path:
    """The work directory of four iterations on the tiny set, with its config as ``tiny.py``; not to be changed."""
    from swinseg.engine import load_config, train

    work_dir = tmp_path_factory.mktemp('tiny_run')
    config = tmp_path_factory.mktemp('tiny_config') / 'tiny.py'
    config.write_text(tiny_config(tiny_dataset, curves=True))
    train(load_config(config), work_dir=work_dir, seed=0)
    return work_dir


@pytest.fixture(scope='session')
def multi_label_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any]:
    """Drawn images of classes that overlap, a config, and its training on them; not to be changed."""
    from swinseg.engine import load_config, train

    folder = tmp_path_factory.mktemp('multi_label')
    root = multi_label.draw(folder / 'data')
    config = multi_label.write_config(folder / 'config.py', root)
    return root, config, train(load_config(config), work_dir=folder / 'work', seed=0)


@pytest.fixture(scope='session')
def exported_files(tmp_path_factory: pytest.TempPathFactory) -> ExportedFiles:
    """Images, checkpoints and what is exported of them; not to be changed."""
    return ExportedFiles(tmp_path_factory.mktemp('exported'))
