"""The names at the top of the package: what they are, what ``help`` and a type checker see of them."""

import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from mmengine.config import Config

import swinseg
from swinseg import exporting
from swinseg.config import loading as config
from swinseg.engine import ConfigError, evaluating, training
from swinseg.models import prepare
from swinseg.predictor import PredictorError, options, predictor

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ('name', 'owner'),
    [
        ('load_config', config), ('train', training), ('evaluate', evaluating), ('Training', training),
        ('Evaluation', evaluating), ('Predictor', predictor), ('PredictOptions', options),
        ('Segmentation', predictor), ('prepare_for_inference', prepare), ('export', exporting),
    ],
)  # fmt: skip
def test_name__is_at_the_top(name, owner):
    assert name in swinseg.__all__
    assert name in dir(swinseg)
    assert getattr(swinseg, name) is getattr(owner, name)


def test_all__is_there_documented_and_typed():
    for name in swinseg.__all__:
        thing = getattr(swinseg, name)
        assert inspect.getdoc(thing), name
        functions = [thing] if inspect.isfunction(thing) else []
        if inspect.isclass(thing):
            functions += [
                each for key, each in vars(thing).items()
                if inspect.isfunction(each) and (not key.startswith('_') or key == '__call__')
            ]  # fmt: skip
        for function in functions:
            assert inspect.getdoc(function), function
            parameters = set(inspect.signature(function).parameters) - {'self'}
            assert parameters | {'return'} <= set(typing.get_type_hints(function)), function


def test_help__shows_the_names_with_their_arguments_and_units():
    """In a fresh process, as ``python -c`` would; the import alone registers what a config names."""
    code = (
        'import swinseg\n'
        'from mmseg.registry import HOOKS, METRICS, MODELS, DATASETS, TRANSFORMS\n'
        'names = [(MODELS, "SwinSegmentor"), (MODELS, "SwinBackbone"), (MODELS, "UPerNetHead"),\n'
        '         (DATASETS, "FolderDataset"), (TRANSFORMS, "RandomResizeCrop"), (METRICS, "MeanIoUMetric"),\n'
        '         (HOOKS, "ProgressHook")]\n'
        'assert all(name in registry.module_dict for registry, name in names)\n'
        'help(swinseg)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=120, check=True
    )
    lines = [line.strip(' |') for line in done.stdout.splitlines()]
    for start in (
        'class Predictor(', 'class PredictOptions(', 'class Segmentation(', 'class Training(',
        'class Evaluation(', 'load_config(path:', "train(config: 'str", "evaluate(config: 'str",
        'prepare_for_inference(model:', "export(model: 'str",
        "predict(self, image: 'ImageLike'", "stream(self, images: ",
        'from_checkpoint(path:', 'tta: test-time augmentation',
        'resume: True continues from the newest whole checkpoint',
    ):  # fmt: skip
        assert any(line.startswith(start) for line in lines), start


def test_py_typed__is_in_the_package():
    """What tells a type checker, here and in an installed copy, to read the annotations (PEP 561)."""
    assert (ROOT / 'swinseg' / 'py.typed').is_file()
    text = (ROOT / 'pyproject.toml').read_text(encoding='utf-8')
    package_data = text.partition('[tool.setuptools.package-data]\n')[2].partition('\n\n')[0]
    assert '"swinseg" = ["py.typed"]' in package_data.splitlines()


@pytest.mark.parametrize('given', [{'model': {}}, None, 3])
def test_train_and_evaluate__something_that_is_no_config(given, tmp_path):
    expected = f'the path of a file or what load_config returns, got a {type(given).__name__}'
    with pytest.raises(ConfigError, match=expected):
        swinseg.train(given, work_dir=tmp_path)
    with pytest.raises(ConfigError, match=expected):
        swinseg.evaluate(given, 'best.pth', work_dir=tmp_path)


def test_errors__are_value_errors(tmp_path):
    for call in (
        lambda: swinseg.load_config(tmp_path / 'gone.py'),
        lambda: swinseg.train(str(tmp_path / 'gone.py')),
        lambda: swinseg.train(Config({}), work_dir=tmp_path),
        lambda: swinseg.evaluate(tmp_path / 'gone.py', 'best.pth'),
        lambda: swinseg.Predictor.from_checkpoint(tmp_path / 'gone.pth'),
    ):
        with pytest.raises(ValueError):
            call()
    assert issubclass(PredictorError, ValueError)


def test_train_and_evaluate__by_the_path_of_a_config(write_tiny_config, tiny_dataset, tmp_path):
    """With as few iterations as a validation needs."""
    path = write_tiny_config(extra='train_cfg = dict(max_iters=1, val_interval=1)')
    trained = swinseg.train(path, work_dir=tmp_path / 'work', seed=0)
    assert (trained.iterations, trained.last) == (1, tmp_path / 'work' / 'iter_1.pth')
    assert {'aAcc', 'mIoU', 'mAcc'} <= set(trained.metrics)
    assert trained.metrics['mIoU'] == trained.best_score
    metrics = swinseg.evaluate(str(path), trained.last, work_dir=tmp_path / 'test')
    assert dict(metrics) == {name: trained.metrics[name] for name in metrics}
    assert metrics.images == 2
    assert metrics.report.headline == metrics
    photo = next((tiny_dataset / 'images' / 'validation').iterdir())
    result = swinseg.Predictor.from_checkpoint(trained.last)(photo)
    assert isinstance(result, swinseg.Segmentation)
    assert result.classes == metrics.report.classes
