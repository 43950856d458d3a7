"""What README and docs/ show is what runs: their Python blocks, their links, their scripts."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support import tiny_checkpoint
from support.tiny_config import tiny_config
from swinseg.checkpoints import formats

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / 'README.md',
    ROOT / 'CONTRIBUTING.md',
    ROOT / 'data' / 'README.md',
    *ROOT.glob('docs/*.md'),
]


def blocks(page):
    return re.findall(r'^```python\n(.*?)^```', page.read_text(encoding='utf-8'), re.S | re.M)


@pytest.mark.parametrize('page', [p for p in PAGES if blocks(p)], ids=lambda page: page.name)
def test_python_blocks__run(page, tmp_path, tiny_dataset, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('FORMATS', '_SIGNATURES', '_TABLES'):  # to which a page adds a format
        monkeypatch.setattr(formats, name, dict(getattr(formats, name)))
    # What the pages take for granted: a trained checkpoint, a photograph, and a config that trains in a moment.
    (tmp_path / 'work_dirs' / 'mini').mkdir(parents=True)
    config = tiny_checkpoint.config(tmp_path)
    tiny_checkpoint.save(tmp_path / 'work_dirs' / 'mini' / 'best.pth', config)
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'photo.jpg')
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / 'upernet_swin_t_mini.py').write_text(
        f'{tiny_config(tiny_dataset)}\ntrain_cfg = dict(max_iters=1, val_interval=1)\n'
    )
    for block in blocks(page):
        exec(compile(block, str(page), 'exec'), {})
    if page.name == 'README.md':
        assert (tmp_path / 'masks' / 'photo_overlay.png').is_file()
        assert (tmp_path / 'work_dirs' / 'new' / 'iter_1.pth').is_file()
        assert list((tmp_path / 'report').glob('*.html'))


def test_contributing__lists_the_layers_of_the_import_contract():
    project = (ROOT / 'pyproject.toml').read_text(encoding='utf-8')
    layers = re.findall(r'"(swinseg\.\w+)"', project.partition('layers = [')[2].partition(']')[0])
    rows = re.findall(r'^\| (`swinseg.*?) \|', (ROOT / 'CONTRIBUTING.md').read_text('utf-8'), re.M)
    assert [name for row in rows for name in re.findall(r'`(swinseg\.\w+)`', row)] == layers
    # Nothing lies beside them but what starts a layer.
    modules = {
        f'swinseg.{p.stem}' for p in (ROOT / 'swinseg').glob('[!_]*') if p.suffix in ('', '.py')
    }
    assert modules - set(layers) == {'swinseg.env'}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links__lead_somewhere(page):
    for target in re.findall(r'\]\(([^)#]+)\)', page.read_text(encoding='utf-8')):
        if not target.startswith('http'):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_scripts_and_configs__exist(page):
    text = page.read_text(encoding='utf-8')
    for name in re.findall(r'\b((?:tools|configs)/[\w./]+\.(?:py))', text):
        assert (ROOT / name).is_file(), name
