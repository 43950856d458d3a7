"""transformers' own models and image processors of folders, and random ones that it saves."""

from __future__ import annotations

import pytest
import torch

transformers = pytest.importorskip('transformers')

TOLERANCE = 1e-4
IS_5 = int(transformers.__version__.split('.')[0]) >= 5
PILLOW = dict(type='Resize', scale=(160, 128), keep_ratio=False, backend='pillow')


def theirs(folder):
    """Load transformers' model of a folder, and check that every key has its place."""
    model, info = transformers.UperNetForSemanticSegmentation.from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(info.values()), info
    return model.eval()


def load_processor(folder, backend):
    """Load an image processor that resizes by Pillow (``'pil'``) or by torchvision."""
    options = {'backend': backend} if IS_5 else {'use_fast': backend == 'torchvision'}
    return transformers.AutoImageProcessor.from_pretrained(folder, **options)


def by_transformers(model, processor, image):
    """Return labels, and where they are no tie: the best score is above the second by more than rounding."""
    size = image.size[::-1]
    with torch.no_grad():
        outputs = model(**processor(images=image, return_tensors='pt'))
    (labels,) = processor.post_process_semantic_segmentation(outputs, [size])
    (scores,) = torch.nn.functional.interpolate(outputs.logits, size, mode='bilinear')
    best, second = scores.topk(2, dim=0).values
    return labels.numpy(), (best - second > 1e-4).numpy()


def upernet(tmp_path, *, processor=True, backbone=None, **fields):
    """Save a random model by transformers alone."""
    torch.manual_seed(0)
    settings = dict(
        embed_dim=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8], window_size=5,
        out_features=['stage1', 'stage2', 'stage3', 'stage4'],
    )  # fmt: skip
    config = transformers.UperNetConfig(
        backbone_config=transformers.SwinConfig(**{**settings, **(backbone or {})}),
        **{
            'hidden_size': 16, 'auxiliary_channels': 8, 'auxiliary_in_channels': 64,
            'id2label': {0: 'sky', 1: 'road', 2: 'car'}, 'label2id': {'sky': 0, 'road': 1, 'car': 2},
            **fields,
        },
    )  # fmt: skip
    model = transformers.UperNetForSemanticSegmentation(config).eval()
    for name, value in model.state_dict().items():
        if name.endswith('running_var'):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point() and value.dim() == 1:
            value.add_(0.2 * torch.randn(value.shape))
        elif value.is_floating_point():
            value.copy_(torch.randn(value.shape) / value[0].numel() ** 0.5)
    # Scores whose means are equal, so that no class wins everywhere.
    with torch.no_grad():
        scores = model(torch.randn(1, 3, 96, 128)).logits
        model.decode_head.classifier.bias.sub_(scores.mean(dim=(0, 2, 3)))
    model.save_pretrained(tmp_path / 'theirs')
    if processor:
        transformers.SegformerImageProcessor(size={'height': 64, 'width': 96}).save_pretrained(
            tmp_path / 'theirs'
        )
    return model, tmp_path / 'theirs'
