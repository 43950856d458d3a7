"""Check that the parts of a segmentor fit each other, when it is built and not in its first forward pass."""

from __future__ import annotations

from mmseg.models import EncoderDecoder

from swinseg.inference.settings import check_inference_settings
from swinseg.models.checks.heads import check_head_inputs, check_threshold, heads_of
from swinseg.models.checks.preprocessor import check_preprocessor
from swinseg.models.feature_info import feature_info, image_channels


def check_segmentor(model: EncoderDecoder) -> None:
    """Compare heads, backbone, normalization and inference settings.

    Args:
        model: ours, or mmseg's; it is left as it is, save that its preprocessor looks at the channels of images
            from now on.

    Raises:
        UserError: two parts contradict each other, or a setting is none.
    """
    check_preprocessor(model.data_preprocessor, image_channels(model.backbone))
    if model.test_cfg is not None:
        check_inference_settings(model.test_cfg)
    heads = dict(heads_of(model))
    for name, head in heads.items():
        check_threshold(name, head)
    neck = model.neck if model.with_neck else None
    features = feature_info(model.backbone, neck)
    if features is None:
        return
    source = type(model.backbone if neck is None else neck).__name__
    for name, head in heads.items():
        check_head_inputs(name, head, features, source)
