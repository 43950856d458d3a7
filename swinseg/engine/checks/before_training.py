"""Checks between the building of a training and its first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmseg.models import EncoderDecoder
from mmseg.registry import HOOKS

from swinseg.engine.checks.pipelines import check_padding
from swinseg.engine.checks.validation_trial import try_validation
from swinseg.engine.hooks.first_batch import check_labels
from swinseg.errors import ConfigError
from swinseg.models import SwinSegmentor
from swinseg.models.checks.heads import heads_of
from swinseg.models.checks.losses import check_losses, check_multi_label_losses
from swinseg.models.checks.segmentor import check_segmentor
from swinseg.models.multi_label import is_multi_label


@HOOKS.register_module()
class BeforeTrainingHook(Hook):
    """Compare model and data, and try the validation; ``SwinsegRunner`` always has this hook."""

    priority = 'VERY_HIGH'  # outside of FirstBatchHook, which measures one step

    def before_run(self, runner: Any) -> None:
        """Compare the model with itself and with the training set, before its weights are fetched."""
        model = runner.bare_model
        if not isinstance(model, EncoderDecoder):
            return
        if not isinstance(model, SwinSegmentor):  # which asks this of itself
            check_segmentor(model)
        if model.test_cfg is None and runner.val_loop is not None:
            raise ConfigError(
                "model.test_cfg, which says how images are predicted, is missing; set test_cfg=dict(mode='whole')"
            )
        heads = dict(heads_of(model))
        for name, head in heads.items():
            if is_multi_label(model):
                check_multi_label_losses(name, head)
            else:
                check_losses(name, head)
        ignored = {name: head.ignore_index for name, head in heads.items()}
        dataset = runner.train_dataloader.dataset
        check_padding(dataset, model.data_preprocessor, ignored=ignored)

    def before_train(self, runner: Any) -> None:
        """Try the validation, and have labels explained that a step fails with."""
        try_validation(runner)
        _explain_labels(runner)


def _explain_labels(runner: Any) -> None:
    """Say which label has which value when a step fails because a value is no class.

    Looking at all labels of each step would take longer than PyTorch's own look, which does not tell the file.
    """
    model = runner.model
    bare = model.module if is_model_wrapper(model) else model
    head = dict(heads_of(bare)).get('decode_head')
    if head is None:
        return
    step = model.train_step

    def explained(data: Mapping[str, Any], optim_wrapper: OptimWrapper) -> Any:
        try:
            return step(data, optim_wrapper=optim_wrapper)
        except (IndexError, RuntimeError) as error:
            samples = data.get('data_samples') or ()
            # After an assertion on a GPU nothing can be read from it.
            if all(sample.gt_sem_seg.data.device.type == 'cpu' for sample in samples):
                try:
                    check_labels(
                        samples,
                        num_classes=2 if is_multi_label(bare) else head.num_classes,
                        ignore_index=head.ignore_index,
                    )
                except ValueError as reason:
                    raise reason from error
            raise

    model.train_step = explained
