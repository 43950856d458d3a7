"""How threads wait: what OpenMP itself says that it was told."""

import os
import subprocess
import sys

import pytest

from swinseg import openmp


@pytest.mark.parametrize('own', [{'OMP_WAIT_POLICY': 'ACTIVE'}, {'GOMP_SPINCOUNT': '5'}])
def test_sleep_after_a_short_spin__leaves_what_the_user_says(own):
    environment = dict(own)
    openmp.sleep_after_a_short_spin(environment)
    assert environment == own


@pytest.mark.skipif(
    sys.platform != 'linux', reason="only PyTorch's wheels for Linux use GNU's OpenMP"
)
def test_import__tells_openmp_before_it_is_loaded():
    unset = {'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, '-c', 'import swinseg'],
        env={**environment, 'OMP_DISPLAY_ENV': 'verbose'},
        capture_output=True,
        text=True,
        check=True,
    )
    told = [line for line in done.stderr.splitlines() if 'GOMP_SPINCOUNT' in line]
    assert told
    assert all(f"'{openmp.SPINS}'" in line for line in told)
