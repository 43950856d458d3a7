"""Every known kind of broken input with the sentence that it gives."""

from __future__ import annotations

import re

import pytest

from broken_inputs import annotations, bands, checkpoints, configs, data, models, pictures
from broken_inputs.place import Place
from support import bad_data
from support.scripts import run
from swinseg import cli

GROUPS = {
    'data': data, 'bands': bands, 'annotations': annotations, 'configs': configs, 'checkpoints': checkpoints,
    'pictures': pictures, 'models': models,
}  # fmt: skip
KINDS = {
    f'{group}: {name}': kind
    for group, module in GROUPS.items()
    for name, kind in module.KINDS.items()
}


@pytest.fixture
def place(tmp_path, tiny_run, tiny_dataset, write_tiny_config):
    return Place(tmp_path, tiny_run, write_tiny_config, tiny_dataset)


@pytest.mark.parametrize('kind', KINDS)
def test_kind__ends_with_its_sentence(place, capsys, kind):
    make, sentence = KINDS[kind]
    tool, *arguments = make(place)
    capsys.readouterr()
    code = run(str(tool), *arguments)
    out, err = capsys.readouterr()
    assert code == cli.EXIT_BAD_INPUT, (out, err)
    assert 'Traceback' not in out + err
    errors = [line for line in err.splitlines() if line.startswith('error: ')]
    assert len(errors) <= 1, err
    # A tool that goes on to the next file says it among its results.
    told = errors or out.splitlines()
    assert any(re.search(sentence, line) for line in told), told


def test_kinds__are_more_than_forty():
    assert len(KINDS.keys() | bad_data.CASES.keys()) >= 40
