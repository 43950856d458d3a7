"""Each suite on a small network: its rows, what it compares, and that a difference would show. Never a time."""

import dataclasses
import tempfile

import pytest
import torch

from swinseg.benchmark import exported
from swinseg.benchmark.exactness import AGREEMENT, LARGEST
from swinseg.benchmark.options import Options, make_options
from swinseg.benchmark.pairs import build_pair
from swinseg.benchmark.results import Table
from swinseg.benchmark.suites import SUITES, data, head, metric, model, scene, train, video
from swinseg.datasets import DataError
from swinseg.errors import BenchmarkError
from swinseg.predictor import Predictor

pytestmark = pytest.mark.slow  # each measures whole networks, several times

STOCK, OURS = 'stock mmseg', 'swinseg'


def run(suite, config=None, **options):
    """Run a suite in the fewest rounds and return its tables."""
    given = {'repeats': 1, 'seconds': 0.0, **options}
    if config is not None:
        given['config'] = config
    tables = list(SUITES[suite].run(make_options(SUITES[suite].options, suite, given)))
    assert all(isinstance(table, Table) for table in tables)
    return tables


def names(table, case=None):
    return [row.name for row in table.rows if case in (None, row.case)]


def assert_exact(table, limit):
    """Check that each row but the baseline has an exactness, within ``limit``."""
    for row in table.rows:
        if row.name != STOCK:
            assert row.exactness[LARGEST] <= limit, row
            assert row.exactness[LARGEST] == row.exactness[LARGEST]


def test_model__at_one_size(small_config):
    single, reduced = run('model', small_config, sizes=[64], peers=[], limit=False)
    assert single.baseline == STOCK
    assert names(single)[:2] == [STOCK, OURS]
    assert_exact(single, 1e-4)
    assert single.ours in names(single)
    assert 'stock mmseg, bfloat16' in names(reduced)
    assert reduced.row('swinseg, bfloat16').exactness[AGREEMENT] > 80
    assert 0 < reduced.row('swinseg, bfloat16').exactness[LARGEST] < 1
    assert all(
        row.figures['G multiply-adds'] > 0 for table in (single, reduced) for row in table.rows
    )


def test_model__names_the_peers_that_cannot_run(small_config, monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    table, reduced = run('model', small_config, sizes=[64], limit=False)
    assert table.left_out['ONNX Runtime'] == (
        "onnx and onnxruntime are not installed (pip install -e '.[bench]')"
    )
    assert 'openvino' in table.left_out['OpenVINO']
    assert 'no bfloat16' in reduced.left_out['ONNX Runtime']


@pytest.mark.full
def test_model__has_both_graphs_in_both_runtimes(small_config, monkeypatch, tmp_path):
    for package in ('onnx', 'onnxruntime', 'openvino'):
        pytest.importorskip(package)
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    # Stock mmseg's takes ten times as long to write.
    monkeypatch.setattr(exported, 'STOCK_NEEDS', 'no_such_package_of_anyone')
    (table,) = run('model', small_config, sizes=[64], dtypes=['float32'], limit=False)
    for runtime in ('ONNX Runtime', 'OpenVINO'):
        assert 'no_such_package' in table.left_out[f'{runtime}, stock graph']
        for graph in ('swinseg graph', 'swinseg graph for any size'):
            row = table.row(f'{runtime}, {graph}')
            assert row.figures['G multiply-adds'] == table.row('swinseg').figures['G multiply-adds']
    assert_exact(table, 1e-4)


def test_model__over_several_sizes_says_how_it_grows(small_config):
    (table,) = run('model', small_config, sizes=[64, 96], dtypes=['float32'], limit=False)
    assert table.cases == ['64 x 64', '96 x 96']
    assert any('grows as pixels to the power of' in note for note in table.notes)
    assert_exact(table, 1e-4)


def test_model__a_wrong_weight_shows(small_config):
    options = model.ModelOptions(repeats=1, dtypes=('float32',), peers=(), limit=False)
    pair = build_pair('small', small_config)
    with torch.no_grad():
        pair.ours.decode_head.conv_seg.bias[3] += 0.5
    rows, _ = model._measure(options, pair, 64, 'float32', None, all_peers=True)
    differences = [row.exactness[LARGEST] for row in rows if row.name.startswith(OURS)]
    assert differences == [pytest.approx(0.5, abs=1e-3)] * len(differences)


def test_model__with_the_limit(small_config, monkeypatch):
    from swinseg.benchmark import limit

    few = (limit.Shape(3, 16, 16, 32), limit.Shape(1, 16, 32, 32))
    monkeypatch.setattr(limit.best_convolution, '__kwdefaults__',
                        {**limit.best_convolution.__kwdefaults__, 'shapes': few})  # fmt: skip
    table, rates = run('model', small_config, sizes=[64], dtypes=['float32'], peers=[])
    assert [len(rates.rows), rates.baseline] == [4, None]
    best = limit.best_rate(rates)
    for row in table.rows:
        expected = row.median / (1e9 * row.figures['G multiply-adds'] / best)
        assert row.figures['time / limit'] == pytest.approx(expected)
    assert 'best convolution in float32' in table.notes[0]


def test_head__and_the_pyramid(small_config):
    full, reduced = run('head', small_config, sizes=[72])
    assert full.cases == ['head, small, 72 x 72', 'convolution of the pyramid, small, 72 x 72']
    assert names(full) == [STOCK, OURS] * 2
    assert_exact(full, 1e-4)
    # Under autocast the baseline itself is judged, against float32.
    assert all(0 < row.exactness[LARGEST] < 0.5 for row in reduced.rows)


def test_head__is_given_what_the_backbone_gives(small_config):
    levels = head._levels(Options(), [8, 16, 32, 64], 70)
    assert [tuple(x.shape) for x in levels] == [
        (1, 8, 18, 18), (1, 16, 9, 9), (1, 32, 5, 5), (1, 64, 3, 3),
    ]  # fmt: skip


def test_attention__backbone_and_both_kinds_of_each_stage(small_config):
    full, reduced = run('attention', small_config, sizes=[64])
    assert [case.split(',')[0] for case in full.cases] == [
        'backbone', 'W-MSA of stage 1', 'SW-MSA of stage 1', 'W-MSA of stage 2', 'W-MSA of stage 3',
        'SW-MSA of stage 3', 'W-MSA of stage 4',
    ]  # fmt: skip
    assert_exact(full, 1e-4)
    assert reduced.cases == full.cases


def test_train__time_and_memory(small_config):
    timed, memory = run('train', small_config, sizes=[64], memory_sizes=[64])
    assert timed.cases == memory.cases == ['64 x 64, float32', '64 x 64, bfloat16']
    for table in (timed, memory):
        assert names(table) == [STOCK, OURS] * 2
        assert table.row(OURS, '64 x 64, float32').exactness[LARGEST] < 1e-3
    assert all(row.seconds for row in timed.rows)
    for row in memory.rows:
        assert row.seconds == ()
        assert row.figures[train.PEAK] > 0
    assert memory.row(STOCK, '64 x 64, float32').figures['of stock'] == 1


@pytest.mark.full
def test_train__checkpointing_takes_less_memory(small_config):
    peaks = []
    for checkpointing in (False, True):
        _, memory = run(
            'train', small_config, sizes=[64], memory_sizes=[128], dtypes=['float32'],
            checkpointing=checkpointing,
        )  # fmt: skip
        peaks.append([row.figures[train.PEAK] for row in memory.rows])
        assert ('checkpointing' in memory.title) == checkpointing
    assert all(with_it < without for without, with_it in zip(*peaks, strict=True))


def test_step__learns_and_compares_gradients_of_the_first_step(small_config):
    options = train.TrainOptions(config=small_config)
    stock, ours = train.build_steps(options, 'small', 64, 'float32')
    before = ours.model.decode_head.conv_seg.weight.detach().clone()
    first, second = ours.run(), ours.run()
    assert len(first) == 1 + sum(p.grad is not None for p in ours.model.parameters())
    assert len(second) == 1
    assert not torch.equal(before, ours.model.decode_head.conv_seg.weight)
    assert abs(float(first[0]) - float(stock.run()[0])) < 1e-4


def test_data__same_samples_from_drawn_scenes():
    whole, stock_steps, our_steps = run('data', images=2)
    assert names(whole) == [STOCK, OURS]
    assert whole.row(OURS).exactness[LARGEST] == 0
    assert whole.row(OURS).figures[data.RATE] > 0
    assert names(stock_steps)[0] == 'LoadImageFromFile'
    assert names(our_steps)[0] == 'LoadImage'


def test_data__from_a_folder(tmp_path):
    data.draw_images(tmp_path, 3)
    whole, *_ = run('data', data_root=str(tmp_path), images=2)
    assert '2 photographs' in whole.title


def test_data__an_empty_folder(tmp_path):
    with pytest.raises(DataError, match=str(tmp_path)):
        run('data', data_root=str(tmp_path))


def test_metric__counts_and_labels_agree():
    (table,) = run('metric', image_size=[40, 56], num_classes=150)
    counts = [row.exactness[LARGEST] for row in table.rows if LARGEST in row.exactness]
    assert counts == [0, 0]
    labels = [row.exactness[AGREEMENT] for row in table.rows if AGREEMENT in row.exactness]
    assert len(labels) == 1
    assert labels[0] > 99.9


def test_metric__a_wrong_count_shows():
    from mmseg.evaluation import IoUMetric

    from swinseg.evaluation import MeanIoUMetric

    prediction, label = metric.draw_label_maps((64, 64), 5)
    assert set(label.flat) == {0, 1, 2, 3, 4, 255}
    assert (prediction != label).any()
    stock, ours = IoUMetric(prefix='stock'), MeanIoUMetric()
    for each in (stock, ours):
        each.dataset_meta = dict(classes=tuple('abcde'))
    metric._process(stock, metric._sample(prediction, label, 'cpu'))()
    changed = prediction.copy()
    changed[label == 2] = 2
    metric._process(ours, metric._sample(changed, label, 'cpu'))()
    assert metric._of_areas(stock, ours)[LARGEST] > 0


def test_slide__labels_time_and_memory(small_config):
    (table,) = run('slide', small_config, image_size=[96, 80], window=64, stride=32)
    assert names(table)[:2] == [STOCK, OURS]
    for row in table.rows:
        assert row.figures['peak (MiB)'] > 0
        if row.name != STOCK:
            assert row.exactness[AGREEMENT] > 99.9


def test_video__model_and_video_see_the_same(small_config):
    (table,) = run('video', small_config, image_size=[64, 96], frames=3)
    assert names(table) == ['model alone', 'video to video']
    assert table.row('video to video').exactness[LARGEST] < 1e-5
    assert all(row.figures[video.RATE] > 0 for row in table.rows)


def test_video__another_label_shows(small_config, tmp_path):
    ours = build_pair('small', small_config).ours
    steps = [dict(type='LoadImage'), dict(type='PackSegInputs')]
    predictor = Predictor(ours, steps, classes=[str(i) for i in range(ours.num_classes)])
    video.draw_clip(tmp_path / 'clip.mp4', 2, height=64, width=96)
    alone, complete = video._candidates(predictor, tmp_path / 'clip.mp4', 2)
    expected = alone.call()
    expected[1].labels[:32] = (expected[1].labels[:32] + 1) % ours.num_classes
    assert video._difference_of_areas(expected, complete.call())[LARGEST] > 0.01


def test_slide__alone(small_config):
    (table,) = run('slide', small_config, image_size=[160, 112], window=64, stride=40, alone=True)
    (row,) = table.rows
    assert row.exactness[AGREEMENT] == 100
    assert len(row.seconds) == 1


def test_scene__at_two_heights(small_config):
    pytest.importorskip('rasterio')
    (table,) = run(
        'scene', small_config, num_classes=12, image_size=[300, 200], window=64, stride=48
    )
    assert table.cases == ['150 x 200', '300 x 200']
    for row in table.rows:
        assert row.exactness[AGREEMENT] == 100
        assert row.figures[scene.RATE] > 0


def test_scene__another_place_or_label_shows(small_config, tmp_path):
    rasterio = pytest.importorskip('rasterio')
    options = scene.SceneOptions(config=small_config, num_classes=12, window=64, stride=48)
    predictor = scene._predictor(options)
    path = tmp_path / 'scene.tif'
    scene.draw_scene_file(path, height=96, width=80)
    labels = scene._segment(options, predictor, path)
    assert scene._check_labels(options, predictor, path, labels)[AGREEMENT] == 100
    with rasterio.open(labels, 'r+') as file:
        file.write((file.read(1) + 1) % 12, 1)
    assert scene._check_labels(options, predictor, path, labels)[AGREEMENT] == 0
    with rasterio.open(labels, 'r+') as file:
        file.crs = 'EPSG:32634'
    with pytest.raises(BenchmarkError, match='must have EPSG:32633, but have EPSG:32634'):
        scene._check_labels(options, predictor, path, labels)


def test_every_suite__has_options_that_can_be_written_as_json():
    for name, suite in SUITES.items():
        options = make_options(suite.options, name, {'device': 'cpu'})
        assert all(
            value is None or isinstance(value, (str, int, float, bool, tuple))
            for value in dataclasses.asdict(options).values()
        )
