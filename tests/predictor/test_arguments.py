"""The arguments of the tools that load a predictor."""

import argparse

import pytest

from swinseg.predictor import arguments
from swinseg.predictor.arguments import memory_size, value_range


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('0,4095', [[0, 4095]]),
        ('-1.5,1', [[-1.5, 1]]),
        ('0,3000,1,2800,2,2500', [[0, 3000], [1, 2800], [2, 2500]]),
        ('high_byte', 'high_byte'),
        ('per_image', 'per_image'),
    ],
)
def test_value_range(text, expected):
    assert value_range(text) == expected


@pytest.mark.parametrize('text', ['', '7', '4095,0', '1,2,3', 'nan,2', 'auto'])
def test_value_range__something_else(text):
    with pytest.raises(argparse.ArgumentTypeError, match='two increasing numbers such as 0,4095'):
        value_range(text)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('2G', 2 * 2**30), ('512m', 512 * 2**20), ('1.5 GiB', 3 * 2**29), ('100KB', 102_400), ('7', 7)],
)  # fmt: skip
def test_memory_size__cases(text, expected):
    assert memory_size(text) == expected


@pytest.mark.parametrize('text', ['lots', '0G', '-1G', ''])
def test_memory_size__bad_text(text):
    with pytest.raises(argparse.ArgumentTypeError, match='a size such as 2G or 512M is expected'):
        memory_size(text)


@pytest.mark.parametrize(
    ('gpus', 'options', 'devices', 'threads'),
    [
        (0, {}, ['auto'], None),
        (0, {'workers': 2}, ['auto', 'auto'], 3),
        (0, {'workers': 2, 'threads': 5}, ['auto', 'auto'], 5),
        (1, {}, ['auto'], None),
        (2, {}, ['cuda:0', 'cuda:1'], None),
        (2, {'workers': 'auto'}, ['cuda:0', 'cuda:1'], None),
        (2, {'workers': 3}, ['cuda:0', 'cuda:1', 'cuda:0'], None),
        (2, {'device': 'cuda:1'}, ['cuda:1'], None),
        (2, {'device': 'gpu', 'checkpoint': 'a.onnx', 'workers': 2}, ['gpu', 'gpu'], None),
    ],
)
def test_predictors_of__their_devices_and_cores(monkeypatch, gpus, options, devices, threads):
    """Which devices are asked for; no machine that tests run on has two GPUs."""
    monkeypatch.setattr(arguments.torch.cuda, 'device_count', lambda: gpus)
    monkeypatch.setattr(arguments.torch.cuda, 'is_available', lambda: gpus > 0)
    monkeypatch.setattr(arguments.torch, 'get_num_threads', lambda: 6)
    monkeypatch.setattr(arguments, 'predictor_of', lambda args: args)
    given = dict(checkpoint='a.pth', device='auto', threads=None, workers=None)
    found = arguments.predictors_of(argparse.Namespace(**{**given, **options}))
    assert [args.device for args in found] == devices
    assert {args.threads for args in found} == {threads}


@pytest.mark.parametrize('text', ['0', '-1', 'two', ''])
def test_workers__no_number(text, capsys):
    parser = argparse.ArgumentParser()
    arguments.add_workers(parser)
    with pytest.raises(SystemExit):
        parser.parse_args([f'--workers={text}'])
    assert "1 or more, or 'auto', is expected" in capsys.readouterr().err
