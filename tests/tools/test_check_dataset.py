"""``tools/check_dataset.py``: every kind of broken input with the finding that it must give."""

from __future__ import annotations

import base64
import json
import re
import shutil

import cv2
import numpy as np
import pytest

from support import bad_data
from support.scripts import assert_one_clear_line, run

CODES = {
    'empty folder': 'cannot-be-built',
    'no folder': 'cannot-be-built',
    'image without label': 'pairing',
    'label of another size': 'size-mismatch',
    'value out of range': 'label-values',
    'text named .jpg': 'unreadable-images',
    'truncated JPEG': 'unreadable-images',
    'zero-byte PNG': 'unreadable-labels',
    'RGB label': 'color-masks',
}


def check(config, tmp_path, *arguments):
    """Run the script; return its exit code and the JSON that it wrote."""
    path = tmp_path / 'report.json'
    code = run('check_dataset', config, '--json', path, *arguments)
    return code, json.loads(path.read_text(encoding='utf-8'))


def errors(content):
    return [finding for finding in content['findings'] if finding['severity'] == 'error']


@pytest.mark.parametrize('part', ['training', 'validation'])
@pytest.mark.parametrize('case', bad_data.CASES)
def test_check__each_kind_of_broken_file(
    write_tiny_config, tmp_path, tiny_dataset, capsys, case, part
):
    breaks, expected = bad_data.CASES[case]
    root = tmp_path / 'data'
    shutil.copytree(tiny_dataset, root)
    breaks(root, part)
    code, content = check(write_tiny_config(root=root), tmp_path)
    assert code == 2
    assert not content['ok']
    (finding,) = errors(content)
    assert finding['code'] == CODES[case]
    assert finding['split'] == {'training': 'train', 'validation': 'val'}[part]
    assert re.search(expected, finding['sentence'])
    out = capsys.readouterr().out
    assert finding['sentence'] in out
    assert out.splitlines()[-1].startswith('not ready to train: 1 error')
    # The other split, and what is left of this one, have been looked at all the same.
    assert {'training': 'val', 'validation': 'train'}[part] in content['splits']


def test_check__everything_at_once(write_tiny_config, tmp_path, tiny_dataset, capsys):
    root = tmp_path / 'data'
    shutil.copytree(tiny_dataset, root)
    images = sorted((root / 'images' / 'training').glob('*.jpg'))
    labels = sorted((root / 'annotations' / 'training').glob('*.png'))
    images[0].write_bytes(images[0].read_bytes()[:500])
    labels[1].unlink()
    labels[2].write_bytes(b'')
    cv2.imwrite(str(labels[3]), np.full((5, 5), 251, np.uint8))
    code, content = check(write_tiny_config(root=root), tmp_path, '--split', 'train')
    assert code == 2
    assert [finding['code'] for finding in errors(content)] == [
        'pairing',
        'unreadable-images',
        'unreadable-labels',
        'size-mismatch',
        'label-values',
    ]
    assert list(content['splits']) == ['train']
    assert 'not ready to train: 5 errors' in capsys.readouterr().out


def test_check__clean_set_gives_no_finding(write_tiny_config, tmp_path, capsys):
    from swinseg.datasets.mini.dataset import make_dataset

    root = tmp_path / 'mini'
    make_dataset(root, train=40, val=20, size=64)
    page = tmp_path / 'page.html'
    code, content = check(write_tiny_config(root=root), tmp_path, '--html', page)
    assert code == 0
    assert content['ok']
    assert content['findings'] == []
    train = content['splits']['train']
    assert train['pairs'] == train['looked_at'] == train['labeled'] == 40
    assert [row['name'] for row in train['classes']][:3] == ['wall', 'building', 'sky']
    assert sum(row['share'] for row in train['classes']) == pytest.approx(1)
    assert capsys.readouterr().out.endswith('ready to train: nothing was found\n')
    assert_self_contained(page.read_text(encoding='utf-8'), pictures=24)


def assert_self_contained(text, *, pictures):
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert len(found) == pictures
    for one in found:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(one), np.uint8), cv2.IMREAD_COLOR)
        assert min(picture.shape[:2]) >= 32
    without = re.sub(r'base64,[^"]+', '', text)
    assert not re.search(r'https?://|<script|<link|@import|url\(', without)
    assert 'name="viewport"' in without
    assert 'prefers-color-scheme: dark' in without


def test_check__page_escapes_names(write_tiny_config, tmp_path, tiny_dataset):
    root = tmp_path / 'data'
    shutil.copytree(tiny_dataset, root)
    for kind, suffix in (('images', '.jpg'), ('annotations', '.png')):
        first = sorted((root / kind / 'training').iterdir())[0]
        first.rename(first.with_name(f'<b onload="x">&{suffix}'))
    page = tmp_path / 'page.html'
    assert run('check_dataset', write_tiny_config(root=root), '--html', page) == 0
    text = page.read_text(encoding='utf-8')
    assert '<b onload' not in text
    assert '&lt;b onload=&quot;x&quot;&gt;&amp;.jpg' in text


def test_check__sample_looks_at_some(write_tiny_config, tmp_path):
    _, content = check(write_tiny_config(), tmp_path, '--sample', 3, '--workers', 2)
    assert content['splits']['train']['looked_at'] == 3
    assert content['splits']['train']['pairs'] == 4
    assert content['splits']['val']['looked_at'] == 2


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['--sample', 0], 'sample must be at least 1'),
        (['--workers', -1], "--workers: 1 or more, or 'auto', is expected, not '-1'"),
        (['--cfg-options', 'train_dataloader.sampler.shufle=1'], 'did you mean train_dataloader.sampler.shuffle'),
        (['--cfg-options', 'train_dataloader=None', 'val_dataloader=None'], 'has no train_dataloader'),
    ],
)  # fmt: skip
def test_check__bad_arguments(write_tiny_config, capsys, arguments, expected):
    code = run('check_dataset', write_tiny_config(), *arguments)
    assert_one_clear_line(code, capsys, expected)


def test_check__output_that_cannot_be_written(write_tiny_config, tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    code = run('check_dataset', write_tiny_config(), '--json', tmp_path / 'file' / 'x.json')
    assert_one_clear_line(code, capsys, 'cannot write to the output folder')


def test_check__help(capsys):
    with pytest.raises(SystemExit) as caught:
        run('check_dataset', '--help')
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in ('--split', '--json', '--html', '--sample', '--workers', '--cfg-options'):
        assert option in text
