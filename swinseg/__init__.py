"""Semantic segmentation with a Swin Transformer backbone and a UPerNet head.

From Python::

    cfg = swinseg.load_config('configs/upernet_swin_t_mini.py', {'train_cfg.max_iters': 900})
    trained = swinseg.train(cfg, work_dir='work_dirs/mini', seed=0)
    metrics = swinseg.evaluate(cfg, trained.best)  # metrics['mIoU'] in percent
    predictor = swinseg.Predictor.from_checkpoint(trained.best)
    predictor('photo.jpg').save('masks')
    predictor = swinseg.Predictor.from_pretrained('upernet-swin-t-ade20k')  # as others published it

Importing the package repairs the third-party stack (:mod:`swinseg.compat`) and registers the models,
datasets, transforms, metrics and hooks in mmseg's registries, so that a config can name them.
"""

from swinseg import openmp
from swinseg.versions import __version__

openmp.sleep_after_a_short_spin()

# OpenMP reads its variables when PyTorch is loaded.
from swinseg import compat  # noqa: E402

compat.apply()

# The repairs come first.
from swinseg import datasets, engine, evaluation, models  # noqa: E402
from swinseg.engine import Evaluation, Training, evaluate, load_config, train  # noqa: E402
from swinseg.exporting import export  # noqa: E402
from swinseg.models.prepare import prepare_for_inference  # noqa: E402
from swinseg.predictor import PredictOptions, Predictor, Segmentation  # noqa: E402

__all__ = [
    'Evaluation',
    'PredictOptions',
    'Predictor',
    'Segmentation',
    'Training',
    '__version__',
    'datasets',
    'engine',
    'evaluate',
    'evaluation',
    'export',
    'load_config',
    'models',
    'prepare_for_inference',
    'train',
]
