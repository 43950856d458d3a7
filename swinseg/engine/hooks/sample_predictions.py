"""A picture of some predictions at each validation of a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.visualization.vis_backend import MLflowVisBackend
from mmseg.registry import HOOKS
from numpy.typing import NDArray
from torch import Tensor

from swinseg.datasets.transforms.loaders import image_loader
from swinseg.engine.hooks.runs import is_training_run
from swinseg.errors import ConfigError, UserError
from swinseg.evaluation.iou_metric import label_map
from swinseg.visualization.palette import palette_or_default
from swinseg.visualization.sample_sheet import Sample, draw_samples, make_sample


@HOOKS.register_module()
class SamplePredictionsHook(Hook):
    """Show the same images at each validation of a training, beside their labels and predictions.

    The picture goes to all ``vis_backends``: ``vis_data/vis_image/samples_<iteration>.png`` in the folder of the
    run, and ``samples`` among the images of TensorBoard. What is kept of an image until then is 320 pixels wide.

    Args:
        count: how many images, evenly spaced over the validation set (of several processes: over the first one's
            share of it).

    Raises:
        ConfigError: the count is none.
    """

    priority = 'LOW'

    def __init__(self, count: int = 4) -> None:
        if not isinstance(count, int) or count < 1:
            raise ConfigError(
                f'count of SamplePredictionsHook must be 1 image or more, found {count!r}; for none '
                'training_hooks=dict(sample_predictions=None)'
            )
        self.count = count
        self._batches: frozenset[int] = frozenset()
        self._samples: list[Sample] = []

    def before_val_epoch(self, runner: Any) -> None:
        """Choose the images."""
        batches = len(runner.val_dataloader)
        chosen = np.linspace(0, batches - 1, min(self.count, batches)).round().astype(int)
        is_watched = is_training_run(runner) and is_main_process()
        self._batches = frozenset(chosen.tolist() if is_watched else ())
        self._samples = []

    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Keep the first image of a chosen batch."""
        if batch_idx not in self._batches or not outputs or 'gt_sem_seg' not in outputs[0]:
            return
        if 'levels' in outputs[0]:  # a pixel may have several colors
            return
        sample = outputs[0]
        self._samples.append(
            make_sample(
                Path(sample.get('img_path', f'image {batch_idx}')).name,
                _rgb(data_batch['inputs'][0], is_bgr=_is_bgr(runner)),
                label_map(sample.gt_sem_seg.data).cpu().numpy(),
                label_map(sample.pred_sem_seg.data).cpu().numpy(),
                ignore_index=_ignore_index(runner),
            )
        )

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Draw them and hand the picture to the backends."""
        if not self._samples:
            return
        meta = runner.val_dataloader.dataset.metainfo
        try:
            palette = palette_or_default(meta.get('palette'), num_classes=len(meta['classes']))
            sheet = draw_samples(
                self._samples, palette, meta['classes'], ignore_index=_ignore_index(runner)
            )
        except UserError as error:
            # A picture is not worth the training.
            runner.logger.warning(f'no sample predictions were drawn: {error}')
            return
        finally:
            self._samples = []
        for backend in runner.visualizer._vis_backends.values():
            # MLflow takes the name for that of a file, whose ending it needs, and would write all into one.
            is_file_name = isinstance(backend, MLflowVisBackend)
            name = f'samples_{runner.iter}.png' if is_file_name else 'samples'
            backend.add_image(name, sheet, step=runner.iter)


def _ignore_index(runner: Any) -> int:
    return getattr(runner.val_dataloader.dataset, 'ignore_index', 255)


def _is_bgr(runner: Any) -> bool:
    """Whether images of more than three bands are loaded with blue first."""
    return getattr(image_loader(runner.val_dataloader.dataset), 'bands', None) is None


def _rgb(inputs: Tensor, *, is_bgr: bool = True) -> NDArray[np.uint8]:
    """Return the (h, w, 3) RGB picture of a (C, h, w) image as loaded: BGR, gray, or the first of other bands."""
    image = inputs.cpu().numpy().clip(0, 255).astype(np.uint8)
    shown = image[:1].repeat(3, axis=0) if len(image) < 3 else image[:3]
    if is_bgr or len(image) == 3:
        shown = shown[::-1]
    return np.ascontiguousarray(shown.transpose(1, 2, 0))
