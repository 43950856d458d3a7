"""The gate on the data: the mIoU of a model and of its exported file on a config's test set."""

from __future__ import annotations

import copy
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmseg.models import EncoderDecoder

from swinseg.config.loading import load_config
from swinseg.config.pipelines import test_dataset_of
from swinseg.datasets.building import build_dataset, plain_messages
from swinseg.engine import Evaluation, evaluate
from swinseg.errors import ExportError, quoted
from swinseg.exporting.scale import without_resize
from swinseg.runtimes.opening import is_exported

MAX_DROP = 0.1
"""Points of mIoU that an exported file may lose, unless another number is given."""


@dataclass(frozen=True)
class Accuracy:
    """What a model and its exported file are worth.

    Attributes:
        config: whose test set it is.
        model: mIoU in PyTorch, in percent.
        exported: that of the file in its runtime.
        max_drop: by how many points it may be lower.
        images: in the test set.
        seconds: that PyTorch and the runtime took for them.
    """

    config: str
    model: float
    exported: float
    max_drop: float
    images: int
    seconds: tuple[float, float]

    @property
    def drop(self) -> float:
        """By how many points the file's mIoU is lower."""
        return self.model - self.exported

    @property
    def is_good_enough(self) -> bool:
        """Whether it may be so low; a NaN may not."""
        return self.drop <= self.max_drop

    def __str__(self) -> str:
        """Return the figures."""
        return (
            f'mIoU {self.model:.2f} in PyTorch, {self.exported:.2f} exported (it may fall by {self.max_drop:g}), '
            f'on {self.images} images in {self.seconds[0]:.0f} and {self.seconds[1]:.0f} s'
        )


class Gate:
    """Measures files beside the model that they were made of, which is measured once.

    Args:
        data: a config, whose test set and protocol are taken, or its path.
        model: what is exported.
        classes: K names.
        max_drop: points of mIoU that a file may lose.
        resizes: whether the file resizes images itself, as the config's test pipeline does before the model.

    Raises:
        ExportError: the test set has other classes, or ``max_drop`` is no number of points.
        UserError: the config or its test set cannot be read.
    """

    def __init__(
        self,
        data: str | os.PathLike[str] | Config,
        model: EncoderDecoder,
        *,
        classes: Sequence[str],
        max_drop: float,
        resizes: bool = False,
    ) -> None:
        if not 0 <= max_drop < math.inf:
            raise ExportError(
                f'max_drop must be a number of points of mIoU, such as {MAX_DROP}, not {max_drop}'
            )
        self.cfg = data if isinstance(data, Config) else load_config(data)
        self.max_drop = max_drop
        self._name = str(self.cfg.filename or 'the config')
        self._model, self._classes = model, tuple(classes)
        self._reference: Evaluation | None = None
        if not (self.cfg.get('test_dataloader') or {}).get('dataset'):
            raise ExportError(
                f'the accuracy is measured on a test set, but {self._name} has no test_dataloader; give the '
                'config that the model was trained with as data'
            )
        self._check_classes()
        self._cfg_of_file = _without_resize(self.cfg) if resizes else self.cfg

    def _check_classes(self) -> None:
        with plain_messages():
            expected = tuple(build_dataset(self.cfg, 'test_dataloader').metainfo['classes'])
        if expected == self._classes:
            return
        pairs = zip(self._classes, expected, strict=False)
        ours, theirs = next(
            (pair for pair in pairs if pair[0] != pair[1]), (len(self._classes), len(expected))
        )
        raise ExportError(
            f'the model has other classes than the test set of {self._name}: {quoted(str(ours))} where that has '
            f'{quoted(str(theirs))}; give the config that the model was trained with as data'
        )

    def measure(self, file: Path) -> Accuracy:
        """Measure an exported file.

        Raises:
            ExportError: the config's evaluator gives no mIoU.
            UserError: the test set cannot be read.
        """
        if self._reference is None:
            self._reference = self._evaluated_model()
        found = self._evaluated(self._cfg_of_file, file)
        return Accuracy(
            config=self._name,
            model=self._reference['mIoU'],
            exported=found['mIoU'],
            max_drop=self.max_drop,
            images=found.images,
            seconds=(round(self._reference.seconds, 1), round(found.seconds, 1)),
        )

    def require(self, accuracy: Accuracy) -> None:
        """Refuse a file that is not good enough.

        Raises:
            ExportError: it is not.
        """
        if not accuracy.is_good_enough:
            raise ExportError(
                f'what was exported is worth less than the model, and was removed: {accuracy}; allow more with '
                'max_drop (--max-drop)'
            )

    def _evaluated_model(self) -> Evaluation:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Path(folder) / 'model.pth'
            meta = {'dataset_meta': {'classes': self._classes}}
            torch.save({'meta': meta, 'state_dict': self._model.state_dict()}, checkpoint)
            return self._evaluated(self.cfg, checkpoint)

    def _evaluated(self, cfg: Config, file: Path) -> Evaluation:
        with tempfile.TemporaryDirectory() as folder:
            device = 'cpu' if is_exported(file) else 'auto'
            found = evaluate(cfg, file, work_dir=folder, device=device)
        if 'mIoU' not in found:
            raise ExportError(
                f'the accuracy is measured as mIoU, which the test_evaluator of {self._name} does not give; it '
                "must be dict(type='MeanIoUMetric')"
            )
        return found


def _without_resize(cfg: Config) -> Config:
    """Return a config for a file that resizes whole images itself."""
    cfg = copy.deepcopy(cfg)
    changed = without_resize(cfg)
    cfg.model.test_cfg = changed.model.test_cfg
    dataset: Any = test_dataset_of(cfg)
    dataset['pipeline'] = changed.test_pipeline
    return cfg
