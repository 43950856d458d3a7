"""The suite of a GPU, on a processor with a tiny model: checks and rows for real, and that a fault would show."""

import json
from unittest import mock

import pytest
import torch

from support.fake_device import FakeDevice
from swinseg.benchmark import run as runner
from swinseg.benchmark.options import make_options
from swinseg.benchmark.results import FAIL, PASS, Row, Table, load
from swinseg.benchmark.suites.gpu import (
    GpuOptions,
    all_parts,
    checks,
    inference,
    resume,
    training,
    verdict,
)
from swinseg.benchmark.suites.gpu.models import Models, fastest_convolutions, products_in
from swinseg.benchmark.suites.gpu.sliding import count_windows
from swinseg.cli.benchmark import COMMAND
from swinseg.cli.frame import main
from swinseg.errors import BenchmarkError

STOCK, OURS, PREPARED = 'stock mmseg', 'swinseg', 'swinseg, prepared'
TINY = {
    'device': 'cpu', 'repeats': 1, 'seconds': 0.0, 'sizes': [64], 'batch_sizes': [1], 'train_batch_sizes': [2],
    'precisions': ['float32', 'bfloat16'], 'peers': [], 'steps': 3, 'images': 2, 'image_size': [96, 80],
    'window': 64, 'stride': 48,
}  # fmt: skip


pytestmark = pytest.mark.slow  # most measure whole networks


def options(config, **changes):
    return make_options(GpuOptions, 'gpu', {**TINY, 'config': config, **changes})


def measure(models, table, case):
    """Measure the only part of a table whose case contains a text."""
    (part,) = [
        part for part in all_parts(models.options) if part.table == table and case in part.case
    ]
    return part.measure()


@pytest.fixture(scope='module')
def parts(small_config):
    """The parts by table and case."""
    found = all_parts(options(small_config))
    return {(part.table, part.case): part for part in found}


def verdicts(table):
    return {row.name: row.verdict for row in table.rows}


def test_all_parts__each_case_once_and_checks_first(small_config):
    parts = all_parts(options(small_config, peers=['compiled'], batch_sizes=[1, 2]))
    keys = [(part.table, part.case) for part in parts]
    assert len(set(keys)) == len(keys)
    assert all(part.expected > 0 for part in parts)
    titles = list(dict.fromkeys(title for title, _ in keys))
    assert titles == [
        'Checks', 'Inference', 'Training step', 'Data pipeline, one worker', 'Sliding inference',
        'Inference, compiled',
    ]  # fmt: skip
    compiled = [case for title, case in keys if title == 'Inference, compiled']
    assert [case.split(', ', 2)[2] for case in compiled] == [
        'batch 1, bfloat16', 'batch 2, bfloat16', 'batch 1, float32', 'batch 2, float32',
    ]  # fmt: skip


@pytest.mark.parametrize(
    'case', ['logits, float32', 'logits, bfloat16', 'loss of 3 steps', 'sliding window']
)
def test_checks__pass(parts, case):
    table = parts['Checks', case].measure()
    for row in table.rows:
        bound = row.figures['bound']
        if 'bfloat16' in case and 'other class' in row.name:
            # Which of 256 pixels have two scores that are equal but for rounding depends on the processor.
            bound = max(bound, 100 * 5 / 256)
        else:
            assert row.verdict == PASS, row
        assert row.figures['found'] <= bound, row


def test_checks__a_wrong_weight_shows(small_config):
    models = Models(options(small_config))
    with torch.no_grad():
        models.pair('small').ours.decode_head.conv_seg.bias[3] += 0.5
    found = verdicts(checks._logits(models, 'small', 64))
    assert found['swinseg, of stock mmseg on the device'] == FAIL
    assert found['swinseg, of the processor'] == PASS
    reduced = verdicts(checks._reduced(models, 'small', 64, 'bfloat16'))
    assert reduced['swinseg, prepared, error of logits'] == FAIL


@pytest.mark.parametrize(
    ('ours', 'expected'),
    [
        ([5.0, 4.0, 3.0], [PASS, PASS]),
        ([5.0, 4.0, 3.1], [FAIL, PASS]),
        ([5.0, 4.0, float('nan')], [FAIL, FAIL]),
        ([5.0, float('nan'), 3.0], [FAIL, PASS]),
        ([5.0, 4.0, 5.1], [FAIL, FAIL]),
    ],
)
def test_loss_rows__judges_every_step(ours, expected):
    rows = checks.loss_rows('loss', [5.0, 4.0, 3.0], ours)
    assert [row.verdict for row in rows] == expected


@pytest.mark.full
def test_resume__goes_on_bit_equal(small_config):
    (row,) = resume.part(options(small_config)).measure().rows
    assert row.figures == {'found': 0.0, 'bound': 0.0}
    assert row.verdict == PASS


def test_resume__other_weights_show():
    start, straight = {'w': torch.zeros(4)}, {'w': torch.ones(4)}
    (row,) = resume.rows_of(start, straight, {'w': torch.full((4,), 0.9)}, bound=0.02)
    assert row.figures['found'] == pytest.approx(0.1)
    assert row.verdict == FAIL


@pytest.mark.parametrize(
    ('device', 'shown', 'expected'),
    [
        ('cpu', '0,1', {'CUDA_VISIBLE_DEVICES': ''}),
        ('cuda', '3', {}),
        ('cuda:1', None, {'CUDA_VISIBLE_DEVICES': '1'}),
        ('cuda:1', '4,5', {'CUDA_VISIBLE_DEVICES': '5'}),
    ],
)
def test_visible_devices(device, shown, expected):
    assert resume.visible_devices(device, shown) == expected


def test_inference__rows_and_exactness(parts):
    table = parts[inference.TITLE, 'small, 64 x 64, batch 1, float32'].measure()
    assert [row.name for row in table.rows] == [STOCK, OURS, PREPARED]
    assert all(row.exactness['largest difference'] < 1e-4 for row in table.rows)
    reduced = parts[inference.TITLE, 'small, 64 x 64, batch 1, bfloat16'].measure()
    assert [row.name for row in reduced.rows] == [
        STOCK, f'{STOCK}, autocast', f'{OURS}, autocast', PREPARED,
    ]  # fmt: skip
    assert reduced.rows[0].exactness['largest difference'] == 0
    assert all(0 < row.exactness['largest difference'] < 1 for row in reduced.rows[1:])


def test_inference__with_transformers(small_config):
    pytest.importorskip('transformers')
    models = Models(options(small_config, peers=['transformers'], precisions=['float32']))
    table = measure(models, inference.TITLE, 'batch 1')
    assert not table.left_out
    assert table.rows[-1].name == 'transformers'
    assert table.rows[-1].exactness['largest difference'] < 1e-4


def test_inference__says_that_transformers_is_not_there(small_config, monkeypatch):
    monkeypatch.setattr(
        'importlib.util.find_spec', lambda name: None if name == 'transformers' else mock.DEFAULT
    )
    models = Models(options(small_config, peers=['transformers'], precisions=['float32']))
    table = measure(models, inference.TITLE, 'batch 1')
    assert table.left_out == {'transformers': 'transformers is not installed'}


def test_inference__a_compiler_that_fails_leaves_out_its_rows(small_config, monkeypatch):
    def broken(model, **_):
        def call(image):
            raise RuntimeError('no compiler')

        return call

    monkeypatch.setattr(torch, 'compile', broken)
    models = Models(options(small_config, peers=['compiled'], precisions=['float32']))
    table = measure(models, inference.COMPILED_TITLE, 'batch 1')
    assert [row.name for row in table.rows] == [STOCK, PREPARED]
    assert table.left_out == {
        'stock mmseg, compiled': 'RuntimeError: no compiler',
        'swinseg, compiled': 'failed: RuntimeError: no compiler',
    }


def test_inference__tf32_is_of_gpus(small_config):
    models = Models(options(small_config, precisions=['float32', 'tf32']))
    table = measure(models, inference.TITLE, 'tf32')
    assert table.left_out == {'small, 64 x 64, batch 1, tf32': 'no tf32 on a processor'}


def test_training__seconds_and_memory(parts):
    table = parts[training.TITLE, 'small, 64 x 64, batch 2, float32'].measure()
    stock, ours = table.rows
    assert ours.exactness['largest difference'] < 1e-3
    for row in (stock, ours):
        assert row.figures['peak (MiB)'] > row.figures['activations (MiB)'] > 0
        assert row.figures['images/s'] == pytest.approx(2 / row.median)
    # Weights, gradients and two moments of 0.4 million parameters each are the same in both.
    held = [row.figures['peak (MiB)'] - row.figures['activations (MiB)'] for row in table.rows]
    assert held[0] == pytest.approx(held[1], rel=0.01)
    assert 4 < held[0] < 10


def test_sliding__labels_and_memory(parts):
    (key,) = [key for key in parts if key[0] == 'Sliding inference' and 'float32' in key[1]]
    table = parts[key].measure()
    assert [row.name for row in table.rows] == [STOCK, PREPARED]
    assert table.rows[1].exactness['same class (%)'] > 99.9
    assert all(row.figures['peak (MiB)'] > 0 for row in table.rows)


def test_count_windows():
    assert count_windows((4096, 4096), 512, 384) == 121
    assert count_windows((100, 512), 512, 384) == 1


def table_of_inference(seconds):
    rows = [Row(name, (value,) * 2, case='T, float16') for name, value in seconds.items()]
    return Table(inference.TITLE, tuple(rows), STOCK, PREPARED)


def test_verdict__names_what_is_below_its_aim():
    slow = table_of_inference({f'{STOCK}, autocast': 1.5, PREPARED: 1.0})
    table = verdict([slow])
    assert table.title == '1 of 1 checks and aims fell short'
    (row,) = table.rows
    assert row.name == 'T, float16: swinseg, prepared, times as fast as stock mmseg, autocast'
    assert row.figures == {'found': 1.5, 'aim': 2.0}
    fast = table_of_inference({f'{STOCK}, autocast': 2.5, PREPARED: 1.0})
    assert verdict([fast]).title == 'All 1 checks and aims are met'
    assert verdict([fast]).rows == ()


@pytest.mark.parametrize(
    ('seconds', 'short'),
    [
        ({f'{STOCK}, compiled': 1.0, f'{OURS}, compiled': 0.9, PREPARED: 1.1}, 0),
        ({f'{STOCK}, compiled': 1.0, f'{OURS}, compiled': 1.2, PREPARED: 1.1}, 1),
        ({f'{STOCK}, compiled': 1.0, PREPARED: 0.8}, 0),
        ({f'{OURS}, compiled': 1.0, PREPARED: 0.8}, 0),
    ],
)
def test_verdict__of_compiled_takes_our_fastest(seconds, short):
    rows = tuple(Row(name, (value,) * 2, case='T') for name, value in seconds.items())
    assert len(verdict([Table(inference.COMPILED_TITLE, rows)]).rows) == short


def test_verdict__of_a_training_step_its_workers_and_what_was_left_out():
    def step(name, seconds, share):
        return Row(
            name, (seconds,) * 2, figures={'of stock': share, 'images/s': 2 / seconds}, case='T'
        )

    trained = Table(
        training.TITLE, (step(STOCK, 2.0, 1.0), step(OURS, 1.0, 0.7)),
        left_out={'B': 'no time for it', 'L': 'failed: RuntimeError: x'},
    )  # fmt: skip
    data = Table(training.DATA_TITLE, (Row(OURS, figures={'images/s': 0.5}),))
    table = verdict([trained, data])
    assert table.title == '2 of 3 checks and aims fell short; 1 case left out'
    assert [row.name for row in table.rows] == [
        'T: peak memory, of stock mmseg', 'L: failed: RuntimeError: x',
    ]  # fmt: skip
    assert table.notes == (
        'The fastest training step eats 2 images/s, one worker of the data pipeline makes 0.5: 4 workers feed it.',
    )


def test_products_in__tf32_only_where_asked_and_as_before_afterwards(monkeypatch):
    # A training that an earlier test ran here may have set it.
    monkeypatch.setattr(torch.backends.cudnn, 'benchmark', False)
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for precision, expected in (('tf32', True), ('float32', False), ('bfloat16', False)):
        with products_in(precision), fastest_convolutions():
            assert [backend.allow_tf32 for backend in backends] == [expected] * 2
            assert torch.backends.cudnn.benchmark
    assert [backend.allow_tf32 for backend in backends] == before
    assert not torch.backends.cudnn.benchmark


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'precisions': ['int8']}, "--precisions takes float32, tf32, bfloat16, float16, found 'int8'"),
        ({'peers': ['onnxruntime']}, "--peers takes compiled, transformers, found 'onnxruntime'"),
        ({'batch_sizes': [0]}, '--batch-sizes takes numbers of at least 1, found 0'),
        ({'train_batch_sizes': [1]}, '--train-batch-sizes takes numbers of at least 2'),
        ({'budget': 0.0}, '--budget must be positive'),
        ({'steps': 1}, '--steps must be at least 2'),
        ({'images': 0}, '--images must be at least 1'),
        ({'image_size': [64]}, '--image-size takes height and width'),
        ({'stride': 65}, '--stride must be from 1 to the window, 64, found 65'),
        ({'dtypes': ['float32']}, 'the suite gpu takes no --dtypes'),
    ],
)  # fmt: skip
def test_options__refused(changes, message):
    with pytest.raises(BenchmarkError, match=message):
        options(None, **changes)


def test_options__quick_has_fewer_cases_and_leaves_what_is_given():
    quick = make_options(GpuOptions, 'gpu', {'device': 'cpu', 'quick': True, 'batch_sizes': [3]})
    assert (quick.variants, quick.batch_sizes, quick.budget) == (('T',), (3,), 55.0)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
@pytest.mark.parametrize('device', [[], ['--device', 'cuda:0']])
def test_command__without_a_gpu(capsys, device):
    assert main(COMMAND, ['gpu', *device]) == 2
    message = capsys.readouterr().err
    assert message.count('\n') == 1
    assert 'needs a GPU that PyTorch can use, and none was found; --device cpu' in message


@pytest.mark.full
def test_run__keeps_rows_goes_on_and_refuses_another_measurement(
    small_config, tmp_path, monkeypatch
):
    # Trainings of their own take as long as all the others; one test has them.
    monkeypatch.setattr(resume, 'part', lambda options: checks.parts(Models(options))[0])
    out = tmp_path / 'gpu.json'
    given = {**TINY, 'config': small_config, 'precisions': ['float32'], 'budget': 0.001}
    lines: list[str] = []
    runner.run('gpu', given, out=out, say=lines.append)
    result = load(out)
    assert [table.title for table in result.tables][1:] == [
        'Checks', 'Inference', 'Training step', 'Data pipeline, one worker', 'Sliding inference',
    ]  # fmt: skip
    assert not any(table.rows for table in result.tables)
    assert '7 cases left out' in result.tables[0].title
    runner.run('gpu', {**given, 'budget': 1000.0}, out=out, say=lines.append)
    found = load(out)
    assert not [(t.title, t.left_out) for t in found.tables[1:] if not t.rows]
    assert not any(table.left_out for table in found.tables)
    assert out.with_suffix('.png').stat().st_size > 1000
    before = json.loads(out.read_text())['tables']
    lines.clear()
    runner.run('gpu', {**given, 'budget': 50.0}, out=out, say=lines.append)
    assert json.loads(out.read_text())['tables'] == before
    assert all(line.endswith('is there already') for line in lines if line.startswith('['))
    with pytest.raises(BenchmarkError, match=r'its steps is 3, and this one would have 4'):
        runner.run('gpu', {**given, 'steps': 4}, out=out, say=lines.append)


@pytest.mark.full
def test_parts__find_no_tensor_elsewhere_on_a_device(small_config, monkeypatch):
    """On tensors that say they are on a GPU; what a device's own kernels do is not shown."""
    monkeypatch.setattr(training, '_WARM_UPS', 0)
    monkeypatch.setattr(inference, '_WARM_UPS', 0)
    with mock.patch.object(torch.cuda, 'is_available', return_value=True):
        given = options(
            small_config,
            device='cuda:0',
            precisions=['float32', 'float16'],
            steps=2,
            image_size=[64, 80],
        )
    memory = iter(range(10**6))
    asked = {
        'synchronize': mock.DEFAULT, 'reset_peak_memory_stats': mock.DEFAULT, 'empty_cache': mock.DEFAULT,
        'memory_allocated': lambda device: 0, 'max_memory_allocated': lambda device: 1 + next(memory),
        'is_bf16_supported': lambda **_: True,
    }  # fmt: skip
    with mock.patch.multiple(torch.cuda, **asked), FakeDevice('cuda:0') as device:
        for part in all_parts(given):
            if part.case == resume.CASE or part.table == training.DATA_TITLE:
                continue  # a process of its own, and the processor's
            table = part.measure()
            assert table.rows, part.case
            assert not table.left_out
            if 'float16' not in part.case:  # autocast is a GPU's own
                assert FAIL not in verdicts(table).values(), table
    assert device.kernels > 1000
