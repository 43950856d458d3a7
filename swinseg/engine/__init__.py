"""Config, runner and hooks: everything between the command line and the networks."""

from swinseg.config.loading import load_config
from swinseg.engine.checkpoint.saving import AtomicCheckpointHook
from swinseg.engine.evaluating import Evaluation, evaluate
from swinseg.engine.hooks.averaging import ResumableEarlyStoppingHook, ResumableEMAHook
from swinseg.engine.hooks.curves import CurvesHook
from swinseg.engine.hooks.expected_curve import ExpectedCurveHook
from swinseg.engine.hooks.first_batch import FirstBatchHook
from swinseg.engine.hooks.nonfinite_loss import NonFiniteGuardHook
from swinseg.engine.hooks.progress import ProgressHook
from swinseg.engine.hooks.sample_predictions import SamplePredictionsHook
from swinseg.engine.optim.accumulation import AccumulationHook
from swinseg.engine.optim.autocast import AutocastOptimWrapper
from swinseg.engine.optim.layer_decay import LayerDecayConstructor
from swinseg.engine.runner import SwinsegRunner
from swinseg.engine.training import Training, train
from swinseg.errors import ConfigError, TrainingError

__all__ = [
    'AccumulationHook',
    'AtomicCheckpointHook',
    'AutocastOptimWrapper',
    'ConfigError',
    'CurvesHook',
    'Evaluation',
    'ExpectedCurveHook',
    'FirstBatchHook',
    'LayerDecayConstructor',
    'NonFiniteGuardHook',
    'ProgressHook',
    'ResumableEMAHook',
    'ResumableEarlyStoppingHook',
    'SamplePredictionsHook',
    'SwinsegRunner',
    'Training',
    'TrainingError',
    'evaluate',
    'load_config',
    'train',
]
