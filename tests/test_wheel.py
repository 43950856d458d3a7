"""The wheel: what is in it, and that all of swinseg works from it in an empty folder, with no clone in sight."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import swinseg

ROOT = Path(__file__).parents[1]
SOURCES = (
    'swinseg',
    'swinseg_runtime',
    'configs',
    'swinseg_command.py',
    'setup.py',
    'pyproject.toml',
    'README.md',
    'LICENSE',
)
NAME = 'upernet_swin_t_mini'
# A network of 0.4 million parameters, and a training of two steps.
TINY = (
    'model.backbone.embed_dims=16', 'model.backbone.depths=[1,1,2,1]', 'model.backbone.num_heads=[1,2,4,8]',
    'model.backbone.window_size=4', 'model.decode_head.in_channels=[16,32,64,128]',
    'model.decode_head.channels=16', 'model.auxiliary_head.in_channels=64',
    'model.auxiliary_head.channels=16', 'train_dataloader.batch_size=2',
    'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False', 'val_dataloader.num_workers=0',
    'val_dataloader.persistent_workers=False', 'test_dataloader.num_workers=0',
    'test_dataloader.persistent_workers=False', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2',
)  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('wheel')
    # A build writes into its source.
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns('__pycache__')
            shutil.copytree(ROOT / name, folder / 'source' / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / 'source' / name)
    pip = (sys.executable, '-m', 'pip', '--disable-pip-version-check')
    build = ('wheel', '--no-deps', '--no-build-isolation', '--no-index', '--wheel-dir', folder)
    _run([*pip, *build, folder / 'source'], folder)
    (built,) = folder.glob('*.whl')
    return built


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, and an empty folder to work in."""

    commands: Path
    folder: Path

    def command(self, *arguments: object) -> list[str]:
        """Return the command line of a call of ``swinseg``."""
        return [str(self.commands / 'swinseg'), *map(str, arguments)]

    def run(self, *arguments: object) -> str:
        """Call ``swinseg``, which must end with 0, and return what it printed."""
        return _run(self.command(*arguments), self.folder)


@pytest.fixture(scope='module')
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    root = tmp_path_factory.mktemp('installed')
    venv.create(root / 'venv', with_pip=False)
    commands = root / 'venv' / ('Scripts' if os.name == 'nt' else 'bin')
    python = commands / 'python'
    pip = (sys.executable, '-m', 'pip', '--disable-pip-version-check', '--python', python)
    _run([*pip, 'install', '--no-deps', '--no-index', wheel], root)
    # PyTorch and the others are those of this environment; its own .pth files, by which it may find the clone,
    # are not read there.
    others = [path for path in sys.path if Path(path).name == 'site-packages']
    asked = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    packages = Path(_run([python, '-c', asked], root).strip())
    (packages / 'others.pth').write_text(''.join(f'{path}\n' for path in others))
    work = root / 'empty'
    work.mkdir()
    return Installed(commands, work)


def _run(command: Sequence[object], folder: Path) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def _environment() -> dict[str, str]:
    hidden = ('PYTHONPATH', 'PYTHONHOME')
    return {name: value for name, value in os.environ.items() if name not in hidden}


def test_wheel__holds_what_a_user_needs_and_no_more(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    here = {
        path.relative_to(ROOT).as_posix()
        for folder in ('swinseg', 'swinseg_runtime', 'configs')
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }
    expected = {f'swinseg/{name}' if name.startswith('configs/') else name for name in here}
    information = {name for name in names if '.dist-info/' in name}
    assert names - information == expected | {'swinseg_command.py'}


def test_installed__works_in_an_empty_folder(installed):
    """From drawn images to labels; each call ends with 0."""
    asked = 'import swinseg; print(swinseg.__file__)'
    file = Path(
        _run([installed.commands / 'python', '-W', 'ignore', '-c', asked], installed.folder).strip()
    )
    assert file.is_relative_to(installed.commands.parent)
    assert not file.is_relative_to(ROOT)

    assert installed.run('--version') == f'swinseg {swinseg.__version__}\n'
    best, photo = _train(installed, 'work')
    installed.run('segment', best, photo, '--out', 'masks')
    assert (installed.folder / 'masks' / f'{photo.stem}_labels.png').is_file()


@pytest.mark.full
def test_installed__report_server_and_configs(installed):
    best, photo = _train(installed, 'another')
    out = ('--out', 'figures', '--report', 'report', '--work-dir', 'another')
    assert 'mIoU' in installed.run('test', NAME, best, *out, '--cfg-options', *TINY)
    assert json.loads((installed.folder / 'figures' / 'metrics.json').read_text())['per_class']
    assert list((installed.folder / 'report').glob('*.html'))
    assert _answer_of_server(installed, best, photo) == 200

    installed.run('configs', '--copy', NAME)
    assert (installed.folder / f'{NAME}.py').is_file()
    assert (installed.folder / '_base_' / 'runtime.py').is_file()


def _train(installed: Installed, work_dir: str) -> tuple[Path, Path]:
    """Draw images and train on them; return the best checkpoint and a photograph."""
    drawn = ('mini', '--out', 'data/mini', '--train-images', 4, '--val-images', 2, '--size', 64)
    installed.run('prepare', *drawn)
    options = ('--work-dir', work_dir, '--seed', 0, '--cfg-options', *TINY)
    assert 'best mIoU' in installed.run('train', NAME, *options)
    (best,) = installed.folder.glob(f'{work_dir}/best_*.pth')
    _, photo = installed.folder.glob('data/mini/images/validation/*.jpg')
    return best, photo


def _answer_of_server(installed: Installed, checkpoint: Path, photo: Path) -> int:
    """Start ``swinseg serve``, send it an image, end it, and return the status of the answer."""
    command = installed.command('serve', checkpoint, '--port', 0, '--device', 'cpu')
    with subprocess.Popen(
        command, cwd=installed.folder, env=_environment(), stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            lines = iter(server.stdout.readline, '')
            address = next(line for line in lines if line.startswith('serving on ')).split()[-1]
            status = httpx.post(
                f'{address.rstrip("/")}/v1/segment', content=photo.read_bytes(), timeout=120
            ).status_code
        finally:
            server.terminate()
    # A signal ends it as one ends other programs, after the requests that it has.
    assert server.returncode == (-signal.SIGTERM if os.name == 'posix' else 1)
    return status
