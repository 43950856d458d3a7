"""``kill -9`` at random moments, with a checkpoint half written among them: the final weights are the same bits.

``SWINSEG_KILLS=10`` sets how often; ``-s`` shows where each fell.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from support.killed_training import start_training
from support.tiny_config import tiny_config
from support.training import NO_VALIDATION, assert_same_state

KILLS = int(os.environ.get('SWINSEG_KILLS', '3'))
ITERATIONS = 30
CONFIG = (
    NO_VALIDATION
    + f"""
custom_hooks = [dict(type='EMAHook', momentum=0.01)]
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=2))
train_cfg = dict(max_iters={ITERATIONS})
"""
)


def _wait_for_an_iteration(process, work_dir: Path, logged: int) -> None:
    while process.is_alive() and _logged(work_dir) == logged:
        time.sleep(0.01)


def _logged(work_dir: Path) -> int:
    return sum(path.stat().st_size for path in work_dir.glob('*/vis_data/scalars.json'))


@pytest.mark.slow
def test_kills__final_weights_are_bit_by_bit_those_of_an_uninterrupted_run(tmp_path, tiny_dataset):
    (tmp_path / 'base.py').write_text(tiny_config(tiny_dataset))
    config = tmp_path / 'config.py'
    config.write_text(f"_base_ = './base.py'\n{CONFIG}")
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'

    process = start_training(config, whole, workers=0)
    _wait_for_an_iteration(process, whole, 0)
    started = time.monotonic()
    process.join()
    assert process.exitcode == 0
    seconds = time.monotonic() - started

    generator = random.Random(0)
    interrupted = 0
    for number in range(KILLS):
        in_saving = number % 3 == 0
        logged = _logged(killed)
        process = start_training(config, killed, workers=number % 3, die_while_saving=in_saving)
        if in_saving:
            process.join()
        else:
            _wait_for_an_iteration(process, killed, logged)
            process.join(generator.uniform(0, 1.5) * seconds / KILLS)
            process.kill()
            process.join()
        interrupted += process.exitcode == -signal.SIGKILL
        left = sorted(path.name for path in killed.glob('*iter_*.pth'))
        print(f'kill {number + 1}: exit code {process.exitcode}, left {left}')
    process = start_training(config, killed, workers=1)
    process.join()
    assert process.exitcode == 0
    print(f'{interrupted} of {KILLS} kills fell into the run')
    assert interrupted >= 1
    assert_same_state(killed / f'iter_{ITERATIONS}.pth', whole / f'iter_{ITERATIONS}.pth')
    assert not list(killed.glob('.*'))
