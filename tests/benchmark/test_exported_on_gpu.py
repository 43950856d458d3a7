"""What the rows of a GPU are told, which needs none: profiles, providers, trtexec's command and its answer."""

import sys

import pytest
import torch

from swinseg.benchmark import exported, exported_on_gpu
from swinseg.benchmark.exported_on_gpu import CUDA, CUDA_ROW, TENSORRT, TENSORRT_ROW, Profile
from swinseg.benchmark.pairs import build_pair, draw_image
from swinseg.errors import BenchmarkError

SHAPES = ('image:1x3x64x64', 'image:1x3x512x512', 'image:4x3x1024x1024')


def parsed(shape):
    name, _, sides = shape.partition(':')
    return name, [int(side) for side in sides.split('x')]


def test_profile__fits_the_input_of_the_graph(small_config, tmp_path, monkeypatch):
    onnx = pytest.importorskip('onnx')
    monkeypatch.setattr(exported.tempfile, 'tempdir', str(tmp_path))
    ours, image = build_pair('small', small_config).ours, draw_image(1, 3, 64, 96)
    file = exported.export_ours(ours, image, name='small', is_open=True)
    shapes = Profile().shapes(file)
    assert shapes == SHAPES
    (given,) = onnx.load(file).graph.input
    axes = given.type.tensor_type.shape.dim
    for shape in shapes:
        name, sides = parsed(shape)
        assert name == given.name
        assert all(
            axis.dim_param or axis.dim_value == side for axis, side in zip(axes, sides, strict=True)
        )
    fixed = exported.export_ours(ours, image, name='small', is_open=False)
    with pytest.raises(BenchmarkError, match=r'found image of \(1, 3, 64, 96\); export it without'):
        Profile().shapes(fixed)


@pytest.mark.parametrize(
    ('axes', 'expected'),
    [
        (['batch', 3, 'height', 'width'], 'image:2x3x48x64'),
        (['batch', 'height', 'width', 3], 'image:2x48x64x3'),
    ],
)
def test_profile__takes_the_axes_by_their_names(axes, expected):
    profile = Profile((1, 32, 32), (2, 48, 64), (4, 96, 96))
    assert profile.shapes_of('image', axes)[1] == expected


@pytest.mark.parametrize(
    ('profile', 'axes', 'sentence'),
    [
        (Profile(usual=(1, 32, 512)), ['batch', 3, 'height', 'width'], 'height in this order, found 64, 32, 1024'),
        (Profile(smallest=(0, 64, 64)), ['batch', 3, 'height', 'width'], 'batch in this order, found 0, 1, 4'),
        (Profile(), ['batch', 3, 'rows', 'width'], r'found x of \(batch, 3, rows, width\)'),
    ],
)  # fmt: skip
def test_profile__that_no_engine_can_have(profile, axes, sentence):
    with pytest.raises(BenchmarkError, match=sentence):
        profile.shapes_of('x', axes)


@pytest.mark.parametrize(
    ('available', 'rows', 'left_out'),
    [
        (['CPUExecutionProvider'], {}, [CUDA_ROW, TENSORRT_ROW]),
        ([CUDA, 'CPUExecutionProvider'], {CUDA_ROW: [CUDA]}, [TENSORRT_ROW]),
        (
            [TENSORRT, CUDA, 'CPUExecutionProvider'],
            {CUDA_ROW: [CUDA], TENSORRT_ROW: [TENSORRT, CUDA]}, [],
        ),
    ],
)  # fmt: skip
def test_providers__are_those_that_are_there(tmp_path, available, rows, left_out):
    found, reasons = exported_on_gpu.providers(available, SHAPES, cache=tmp_path)
    assert {row: [name for name, _ in chain] for row, chain in found.items()} == rows
    assert list(reasons) == left_out
    assert all('install onnxruntime-gpu' in reason for reason in reasons.values())
    options = dict(each for chain in found.values() for each in chain)
    assert all(type(value) is str for each in options.values() for value in each.values())
    if TENSORRT in options:
        kinds = ('min', 'opt', 'max')
        assert tuple(options[TENSORRT][f'trt_profile_{kind}_shapes'] for kind in kinds) == SHAPES


def test_trtexec__command_and_answer(tmp_path):
    command = exported_on_gpu.trtexec_command('trtexec', tmp_path / 'a b.onnx', SHAPES)
    assert command[1] == f'--onnx={tmp_path / "a b.onnx"}'
    assert f'--optShapes={SHAPES[1]}' in command
    line = (
        '[I] GPU Compute Time: min = 1.5 ms, max = 3 ms, mean = 2.1 ms, median = 2.04688 ms, '
        'percentile(90%) = 2.5 ms'
    )
    answer = f'[I] Latency: min = 1 ms, median = 9 ms\n{line}\n'
    assert exported_on_gpu.trtexec_seconds(answer) == pytest.approx(0.00204688)
    with pytest.raises(BenchmarkError, match='ended with: no such file'):
        exported_on_gpu.trtexec_seconds('...\nno such file\n')


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == 'win32', reason='the compiler is another one there')
@pytest.mark.full
def test_inductor_call__computes_the_logits(small_config, tmp_path):
    if not (exported_on_gpu.shutil.which('g++') or exported_on_gpu.shutil.which('c++')):
        pytest.skip('no C++ compiler')
    ours, image = build_pair('small', small_config).ours, draw_image(1, 3, 64, 96)
    found = exported_on_gpu.inductor_call(ours, image, tmp_path)()
    with torch.no_grad():
        expected = ours(image)
    assert (found - expected).abs().max() < 1e-4
