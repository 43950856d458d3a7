"""What ``pyproject.toml`` cannot say: the folder ``configs`` of the clone is ``swinseg/configs`` in the wheel."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
FOLDERS = sorted({path.relative_to(ROOT).parent for path in ROOT.glob('configs/**/*.py')})

setup(
    packages=[
        *find_packages(str(ROOT), include=['swinseg', 'swinseg.*', 'swinseg_runtime']),
        *('.'.join(('swinseg', *folder.parts)) for folder in FOLDERS),
    ],
    package_dir={'swinseg.configs': 'configs'},
)
