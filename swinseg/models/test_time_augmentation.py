"""Test-time augmentation in an evaluation, in the memory of one sum of probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmseg.models.segmentors import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from swinseg.models.multi_label import is_multi_label, predict_levels
from swinseg.models.postprocess import predict_labels, threshold_of
from swinseg.models.scoring import mean_probabilities, normalize_inputs


@MODELS.register_module()
class SwinTTAModel(SegTTAModel):
    """mmseg's ``SegTTAModel`` around a ``SwinSegmentor``, which adds up probabilities view by view.

    mmseg keeps the scores of all views of an image at its original size: with six scales, each as it is and
    flipped, 150 classes and a photograph of 2,048 x 1,536, 23 GB. The labels are the same, to rounding.

    Args:
        module: the segmentor, or its config.
        data_preprocessor: as mmengine's ``BaseTTAModel`` takes it.
    """

    def test_step(self, data: Mapping[str, Sequence[Sequence[Any]]]) -> list[SegDataSample]:
        """Predict images that a pipeline with ``TestTimeAug`` has augmented.

        Args:
            data: ``inputs``, (3, h, w) bytes, and ``data_samples``: for each view those of all images of a batch.

        Returns:
            A sample for each image, that of its first view, with ``pred_sem_seg``, (1, H, W) at the original
            size, and ``confidence`` where the segmentor keeps it.
        """
        names = ('inputs', 'data_samples')
        images = zip(*(zip(*data[name], strict=True) for name in names), strict=True)
        return [self._predict(pixels, samples) for pixels, samples in images]

    def _predict(self, pixels: Sequence[Any], samples: Sequence[SegDataSample]) -> SegDataSample:
        model: Any = self.module
        sample = samples[0]
        size = sample.metainfo['ori_shape'][:2]
        views = (
            normalize_inputs(model, dict(inputs=each, data_samples=view))
            for each, view in zip(pixels, samples, strict=True)
        )
        probabilities = mean_probabilities(model, views, size, batch_size=1)
        if is_multi_label(model):
            levels = predict_levels(probabilities, are_probabilities=True)
            model.store_prediction(sample, levels, None)
            return sample
        decision = predict_labels(
            probabilities,
            threshold=threshold_of(model),
            are_probabilities=True,
            with_confidence=model.keep_confidence,
        )
        model.store_prediction(sample, *decision)
        return sample
