"""What Windows lacks is not needed: the modules and functions are taken away from a process of this system."""

import subprocess
import sys

import pytest

# The libraries come first: they choose their own files by the system.
AS_ON_WINDOWS = """
import asyncio, concurrent.futures, multiprocessing.connection, multiprocessing.sharedctypes
import os, platform, select, signal, socket, subprocess, sys, tempfile, threading
import cv2, filelock, huggingface_hub.file_download, matplotlib.pyplot, mmengine, PIL.Image
import torch.distributed, torch.utils.data
import fastapi, prometheus_client, psutil, safetensors.torch, tensorboard, uvicorn.protocols.http.h11_impl

ABSENT_MODULES = ('fcntl', 'grp', 'pwd', 'resource', 'termios')
for name in ABSENT_MODULES:
    sys.modules[name] = None  # importing it is an ImportError
for module, names in {
    os: 'fork getuid geteuid killpg mkfifo nice posix_fallocate pread pwrite readv sched_getaffinity set_blocking '
        'setsid sysconf uname',
    select: 'poll',
    signal: 'SIGALRM SIGBUS SIGCHLD SIGHUP SIGKILL SIGPIPE SIGUSR1 SIGUSR2 ITIMER_REAL setitimer pthread_sigmask',
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
platform.system = lambda: 'Windows'
sys.platform = 'win32'
"""


def run(code, folder):
    return subprocess.run(
        [sys.executable, '-c', AS_ON_WINDOWS + code],
        capture_output=True, text=True, cwd=folder, timeout=300,
    )  # fmt: skip


def test_all_modules_training_and_prediction__run_without_what_windows_lacks(
    tmp_path, tiny_dataset
):
    pytest.importorskip('uvicorn')
    from support.tiny_config import tiny_config

    (tmp_path / 'tiny.py').write_text(
        f'{tiny_config(tiny_dataset)}\ntrain_cfg = dict(max_iters=1, val_interval=1)\n', 'utf-8'
    )
    code = """
import importlib, pkgutil
import numpy as np, swinseg
names = [m.name for m in pkgutil.walk_packages(swinseg.__path__, 'swinseg.') if '__main__' not in m.name]
for name in names:
    importlib.import_module(name)
print(len(names), 'modules')
trained = swinseg.train('tiny.py', work_dir='out')
predictor = swinseg.Predictor.from_checkpoint(trained.last)
print(predictor(np.zeros((40, 50, 3), np.uint8)).labels.shape)
"""
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split(' modules')[0].split()[-1]) > 200
    assert '(40, 50)' in done.stdout
    assert (tmp_path / 'out' / 'iter_1.pth').is_file()
