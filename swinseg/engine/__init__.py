"""Config, runner and hooks: everything between the command line and the networks."""

from swinseg.engine.accumulation import AccumulationHook
from swinseg.engine.autocast import AutocastOptimWrapper
from swinseg.engine.checkpointing import SafeCheckpointHook
from swinseg.engine.config import load_config
from swinseg.engine.errors import ConfigError, TrainingError
from swinseg.engine.expected_curve import ExpectedCurveHook
from swinseg.engine.first_batch import FirstBatchHook
from swinseg.engine.hooks import CurvesHook, ProgressHook
from swinseg.engine.layer_decay import LayerDecayConstructor
from swinseg.engine.nonfinite import NonFiniteGuardHook
from swinseg.engine.runner import (
    Evaluation,
    SwinsegRunner,
    Training,
    evaluate,
    train,
)
from swinseg.engine.sample_predictions import SamplePredictionsHook
from swinseg.engine.training_hooks import SafeEarlyStoppingHook, SafeEMAHook

__all__ = [
    'AccumulationHook',
    'AutocastOptimWrapper',
    'ConfigError',
    'CurvesHook',
    'Evaluation',
    'ExpectedCurveHook',
    'FirstBatchHook',
    'LayerDecayConstructor',
    'NonFiniteGuardHook',
    'ProgressHook',
    'SafeCheckpointHook',
    'SafeEMAHook',
    'SafeEarlyStoppingHook',
    'SamplePredictionsHook',
    'SwinsegRunner',
    'Training',
    'TrainingError',
    'evaluate',
    'load_config',
    'train',
]
