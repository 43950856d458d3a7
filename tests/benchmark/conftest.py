"""A network so small that a whole suite takes a second or two."""

from __future__ import annotations

import pytest

from support.tiny_config import tiny_config


@pytest.fixture(scope='session')
def small_config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a config of 0.4 million parameters, without data."""
    path = tmp_path_factory.mktemp('small') / 'small.py'
    # Two blocks in the first stage: the attention suite measures one of each kind.
    path.write_text(f"{tiny_config('nowhere')}\nmodel['backbone']['depths'] = [2, 1, 2, 1]\n")
    return str(path)
