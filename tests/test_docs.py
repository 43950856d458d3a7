"""What README and docs/ show is what runs: their Python blocks, their commands, their links, their scripts."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from support import documented_commands, tiny_checkpoint
from support.tiny_config import tiny_config
from swinseg.benchmark.suites.video import draw_clip
from swinseg.checkpoints import formats
from swinseg.errors import UserError

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
    # What the pages take for granted: a trained checkpoint, a photograph, a film, and a config that trains soon.
    (tmp_path / 'work_dirs' / 'mini').mkdir(parents=True)
    config = tiny_checkpoint.config(tmp_path)
    tiny_checkpoint.save(tmp_path / 'work_dirs' / 'mini' / 'best.pth', config)
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'photo.jpg')
    draw_clip(tmp_path / 'walk.mp4', 3, height=64, width=96)
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
    for name in re.findall(r'\b(tools/\w+\.py|configs/[\w./]+\.py)', text):
        assert (ROOT / name).is_file(), name


# Those that can be run are run in test_documented_commands.py.
@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_commands__are_understood_by_their_parsers(page):
    for line in documented_commands.in_blocks(page.read_text(encoding='utf-8')):
        try:
            documented_commands.parse(line)
        except (UserError, SystemExit) as error:
            pytest.fail(f'{line}: {error}')


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_commands_in_sentences__name_options_that_exist(page):
    for code in documented_commands.inline(page.read_text(encoding='utf-8')):
        if len(code.split()) < 2:
            continue
        if code.startswith('torchrun'):
            code = code[re.search(r'tools/|swinseg', code).start() :]
        parser, _ = documented_commands.parser_and_arguments(code)
        unknown = documented_commands.named_options(code) - documented_commands.options_of(parser)
        assert not unknown, code


@pytest.mark.parametrize(
    'line',
    [
        'tools/train.py CONFIG --no-such-option',
        'swinseg no-such-subcommand',
        'torchrun --nproc-per-node 4 tools/test.py CONFIG --launcher pytorch',
    ],
)
def test_commands__that_are_wrong_are_found(line):
    assert list(documented_commands.in_blocks(f'text\n\n    $ {line}\n')) == [line]
    with pytest.raises((UserError, AssertionError)):
        documented_commands.parse(line)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_python_that_needs_the_network__is_python(page):
    for block in re.findall(r'^```py\n(.*?)^```', page.read_text(encoding='utf-8'), re.S | re.M):
        compile(block, str(page), 'exec')


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_extras_and_targets__exist(page):
    text = page.read_text(encoding='utf-8')
    project = (ROOT / 'pyproject.toml').read_text(encoding='utf-8')
    extras = set(re.findall(r'^(\w+) = \[', project, re.M))
    for names in re.findall(r'(?:swinseg|\.)\[([\w,]+)\]', text):
        assert set(names.split(',')) <= extras, names
    makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
    for target in re.findall(r'(?:^    |`)make (\w+)', text, re.M):
        assert re.search(rf'^{target}:', makefile, re.M), target


def test_workflow__runs_what_ci_runs():
    workflow = (ROOT / '.github' / 'workflows' / 'ci.yml').read_text(encoding='utf-8')
    for command in re.findall(r'^make \w+', (ROOT / '.ci' / 'run').read_text('utf-8'), re.M):
        assert f'- run: {command}' in workflow, command
    # The interpreters are those that the package names.
    project = (ROOT / 'pyproject.toml').read_text(encoding='utf-8')
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    jobs = yaml.safe_load(workflow)['jobs']
    assert jobs['test']['strategy']['matrix']['python'] == named
    assert jobs['windows']['strategy']['matrix']['python'] == named
