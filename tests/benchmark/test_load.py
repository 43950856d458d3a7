"""Programs that compute beside a benchmark."""

import subprocess

from swinseg.benchmark import load, report
from swinseg.benchmark.load import busy_processes
from swinseg.benchmark.results import Result


def test_busy_processes__compute_and_end(monkeypatch):
    started = []
    popen = subprocess.Popen

    def recorded(*args, **kwargs):
        started.append(popen(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(load.subprocess, 'Popen', recorded)
    with busy_processes(2):
        assert [process.poll() for process in started] == [None, None]
    assert all(process.returncode for process in started)


def test_busy_processes__end_when_the_benchmark_is_killed():
    process = subprocess.Popen(
        [load.sys.executable, '-S', '-c', load._COMPUTE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b'ready\n'
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_environment_line__says_what_computed_beside_it():
    environment = {
        'date': '2030-01-02', 'swinseg': '0.1.0', 'revision': None, 'python': '3.12.0', 'packages': {},
        'processor': 'Some CPU', 'gpu': None, 'threads': 2, 'OMP_WAIT_POLICY': None, 'GOMP_SPINCOUNT': '5',
    }  # fmt: skip
    line = report.environment_line(Result('model', {'load': 6}, environment, ()))
    assert '; OMP_WAIT_POLICY not set, GOMP_SPINCOUNT 5; 6 other processes computing;' in line
