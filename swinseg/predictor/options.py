"""Options of a prediction, whatever is segmented: an image, a stream of images, a scene or a video."""

from __future__ import annotations

from dataclasses import dataclass

from swinseg.errors import PredictorError


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """How to segment, and what to return beside the labels.

    Attributes:
        confidence: also return the probability of each label.
        probabilities: also return the probabilities of all classes: 4 x K x H x W bytes for each image.
        tta: test-time augmentation: average the probabilities over the scales and flips of the config's
            ``tta_pipeline``.
        reject_below: give pixels whose confidence is lower, in [0, 1], the label K, ``'rejected'``, which has a
            color and a name as the classes have. The confidence is returned, too.
        batch_size: how many neighboring images, or views of one image with ``tta``, the model gets at once if the
            pipeline makes them of one size; None for 1 on a CPU and 8 on a GPU. Halved, as often as needed, when
            memory runs out. Windows of slide mode have a batch size of their own in the model's ``test_cfg``.

    Raises:
        PredictorError: ``reject_below`` or ``batch_size`` is outside its range.
    """

    confidence: bool = False
    probabilities: bool = False
    tta: bool = False
    reject_below: float | None = None
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.reject_below is not None and not 0 <= self.reject_below <= 1:
            raise PredictorError(
                f'reject_below is a probability and must lie between 0 and 1, but is {self.reject_below}'
            )
        if self.batch_size is not None and self.batch_size < 1:
            raise PredictorError(
                f'batch_size must be at least 1, or None, but is {self.batch_size}'
            )

    @property
    def needs_confidence(self) -> bool:
        """Whether the confidence is computed: to be returned, or to reject pixels by it."""
        return self.confidence or self.reject_below is not None
