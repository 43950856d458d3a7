"""Catalogue of the published Swin + UPerNet models, all of them trained on ADE20K's 150 classes.

What a source does not say is None. The first eight digits of a file's SHA-256 are published where the name of the
file ends in them, which is how OpenMMLab names its files; nobody publishes all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

SINGLE_SCALE = 'ADE20K validation, single scale, 2048 x 512, whole images'
MULTI_SCALE = 'scales 0.5 to 1.75 with flips'

_ZOO = 'https://download.openmmlab.com/mmsegmentation/v0.5/swin'
_RELEASES = 'https://github.com/SwinTransformer/storage/releases/download'
_ZOO_PAGE = 'https://github.com/open-mmlab/mmsegmentation/tree/main/configs/swin'
_MICROSOFT_PAGE = 'https://github.com/SwinTransformer/Swin-Transformer-Semantic-Segmentation'


@dataclass(frozen=True)
class PublishedModel:
    """A model that somebody has published.

    Attributes:
        name: by which it is asked for.
        backbone: ``'Swin-T'``, ``'Swin-S'``, ``'Swin-B'`` or ``'Swin-L'``.
        embed_dims, depths: channels of its first stage, and blocks of its stages, which tell it from others.
        window_size: side of the attention windows in tokens.
        pretrained: what the backbone was trained on before.
        image_size: side of the crops of its training in pixels.
        miou: published mIoU in percent, of the protocol ``SINGLE_SCALE``.
        miou_multi_scale: the same over ``MULTI_SCALE``.
        license: identifier (SPDX) of the license under which it is published.
        address: of the file, or ``hf:owner/repo``.
        sha256: what is published of the file's SHA-256, its first digits.
        source: page that says all this.
        converted_from: name of the model of which it is said to have the weights.
    """

    name: str
    backbone: str
    embed_dims: int
    depths: tuple[int, ...]
    window_size: int
    pretrained: str | None
    image_size: int
    miou: float | None
    miou_multi_scale: float | None
    license: str | None
    address: str
    sha256: str | None
    source: str
    converted_from: str | None = None


_VARIANTS = {
    't': ('Swin-T', 96, (2, 2, 6, 2)),
    's': ('Swin-S', 96, (2, 2, 18, 2)),
    'b': ('Swin-B', 128, (2, 2, 18, 2)),
    'l': ('Swin-L', 192, (2, 2, 18, 2)),
}
_IMAGENET_1K, _IMAGENET_22K = 'ImageNet-1K', 'ImageNet-22K'


def _of_zoo(
    name: str,
    variant: str,
    *,
    window: int,
    pretrained: str,
    miou: float,
    miou_multi_scale: float,
    run: str,
    date: str,
    sha256: str,
) -> PublishedModel:
    """Return a model of mmsegmentation's zoo; the project's license is Apache-2.0."""
    backbone, embed_dims, depths = _VARIANTS[variant]
    return PublishedModel(
        name=name,
        backbone=backbone,
        embed_dims=embed_dims,
        depths=depths,
        window_size=window,
        pretrained=pretrained,
        image_size=512,
        miou=miou,
        miou_multi_scale=miou_multi_scale,
        license='Apache-2.0',
        address=f'{_ZOO}/{run}/{run}_{date}-{sha256}.pth',
        sha256=sha256,
        source=_ZOO_PAGE,
    )


def _of_microsoft(
    name: str,
    variant: str,
    *,
    pretrained: str,
    miou: float,
    miou_multi_scale: float,
    file: str,
) -> PublishedModel:
    """Return a model of the authors of Swin Transformer, whose releases have the MIT license."""
    backbone, embed_dims, depths = _VARIANTS[variant]
    return PublishedModel(
        name=name,
        backbone=backbone,
        embed_dims=embed_dims,
        depths=depths,
        window_size=7,
        pretrained=pretrained,
        image_size=512,
        miou=miou,
        miou_multi_scale=miou_multi_scale,
        license='MIT',
        address=f'{_RELEASES}/{file}',
        sha256=None,
        source=_MICROSOFT_PAGE,
    )


def _of_huggingface(
    name: str, variant: str, *, window: int, pretrained: str, repository: str, converted_from: str
) -> PublishedModel:
    """Return a model of the Hugging Face hub: the cards say MIT and no mIoU, transformers' script the origin."""
    backbone, embed_dims, depths = _VARIANTS[variant]
    return PublishedModel(
        name=name,
        backbone=backbone,
        embed_dims=embed_dims,
        depths=depths,
        window_size=window,
        pretrained=pretrained,
        image_size=512,
        miou=None,
        miou_multi_scale=None,
        license='MIT',
        address=f'hf:{repository}',
        sha256=None,
        source=f'https://huggingface.co/{repository}',
        converted_from=converted_from,
    )


# Figures of mmsegmentation's metafile, or of its README where that has no row. For upernet-swin-b-22k-ade20k the
# metafile says 50.13 and the README 50.31.
CATALOGUE = (
    _of_zoo(
        'upernet-swin-t-ade20k', 't', window=7, pretrained=_IMAGENET_1K, miou=44.41, miou_multi_scale=45.79,
        run='upernet_swin_tiny_patch4_window7_512x512_160k_ade20k_pretrain_224x224_1K',
        date='20210531_112542', sha256='e380ad3e',
    ),
    _of_zoo(
        'upernet-swin-s-ade20k', 's', window=7, pretrained=_IMAGENET_1K, miou=47.72, miou_multi_scale=49.24,
        run='upernet_swin_small_patch4_window7_512x512_160k_ade20k_pretrain_224x224_1K',
        date='20210526_192015', sha256='ee2fff1c',
    ),
    _of_zoo(
        'upernet-swin-b-ade20k', 'b', window=7, pretrained=_IMAGENET_1K, miou=47.99, miou_multi_scale=49.57,
        run='upernet_swin_base_patch4_window7_512x512_160k_ade20k_pretrain_224x224_1K',
        date='20210526_192340', sha256='593b0e13',
    ),
    _of_zoo(
        'upernet-swin-b-22k-ade20k', 'b', window=7, pretrained=_IMAGENET_22K, miou=50.13, miou_multi_scale=51.9,
        run='upernet_swin_base_patch4_window7_512x512_160k_ade20k_pretrain_224x224_22K',
        date='20210526_211650', sha256='762e2178',
    ),
    _of_zoo(
        'upernet-swin-b-w12-ade20k', 'b', window=12, pretrained=_IMAGENET_1K, miou=48.35, miou_multi_scale=49.65,
        run='upernet_swin_base_patch4_window12_512x512_160k_ade20k_pretrain_384x384_1K',
        date='20210531_132020', sha256='05b22ea4',
    ),
    _of_zoo(
        'upernet-swin-b-22k-w12-ade20k', 'b', window=12, pretrained=_IMAGENET_22K, miou=50.76,
        miou_multi_scale=52.4,
        run='upernet_swin_base_patch4_window12_512x512_160k_ade20k_pretrain_384x384_22K',
        date='20210531_125459', sha256='429057bf',
    ),
    _of_zoo(
        'upernet-swin-l-22k-ade20k', 'l', window=7, pretrained=_IMAGENET_22K, miou=51.17, miou_multi_scale=52.99,
        run='upernet_swin_large_patch4_window7_512x512_pretrain_224x224_22K_160k_ade20k',
        date='20220318_015320', sha256='48d180dd',
    ),
    _of_zoo(
        'upernet-swin-l-22k-w12-ade20k', 'l', window=12, pretrained=_IMAGENET_22K, miou=52.25,
        miou_multi_scale=54.12,
        run='upernet_swin_large_patch4_window12_512x512_pretrain_384x384_22K_160k_ade20k',
        date='20220318_091743', sha256='9ba68901',
    ),
    _of_microsoft(
        'upernet-swin-t-ade20k-microsoft', 't', pretrained=_IMAGENET_1K, miou=44.51, miou_multi_scale=45.81,
        file='v1.0.1/upernet_swin_tiny_patch4_window7_512x512.pth',
    ),
    _of_microsoft(
        'upernet-swin-s-ade20k-microsoft', 's', pretrained=_IMAGENET_1K, miou=47.64, miou_multi_scale=49.47,
        file='v1.0.1/upernet_swin_small_patch4_window7_512x512.pth',
    ),
    _of_microsoft(
        'upernet-swin-b-ade20k-microsoft', 'b', pretrained=_IMAGENET_1K, miou=48.13, miou_multi_scale=49.72,
        file='v1.0.1/upernet_swin_base_patch4_window7_512x512.pth',
    ),
    _of_microsoft(
        'upernet-swin-t-moby-ade20k-microsoft', 't', pretrained='ImageNet-1K without labels (MoBY)', miou=44.06,
        miou_multi_scale=45.58, file='v1.0.3/moby_upernet_swin_tiny_patch4_window7_512x512.pth',
    ),
    _of_huggingface(
        'upernet-swin-t-ade20k-hf', 't', window=7, pretrained=_IMAGENET_1K,
        repository='openmmlab/upernet-swin-tiny', converted_from='upernet-swin-t-ade20k',
    ),
    _of_huggingface(
        'upernet-swin-s-ade20k-hf', 's', window=7, pretrained=_IMAGENET_1K,
        repository='openmmlab/upernet-swin-small', converted_from='upernet-swin-s-ade20k',
    ),
    _of_huggingface(
        'upernet-swin-b-22k-w12-ade20k-hf', 'b', window=12, pretrained=_IMAGENET_22K,
        repository='openmmlab/upernet-swin-base', converted_from='upernet-swin-b-22k-w12-ade20k',
    ),
    _of_huggingface(
        'upernet-swin-l-22k-w12-ade20k-hf', 'l', window=12, pretrained=_IMAGENET_22K,
        repository='openmmlab/upernet-swin-large', converted_from='upernet-swin-l-22k-w12-ade20k',
    ),
)  # fmt: skip


def published(name: str) -> PublishedModel | None:
    """Return the published model of a name or of a file's address, None where there is none.

    A repository of the Hugging Face hub, which says by itself how its images are prepared, has its own word.
    """
    for model in CATALOGUE:
        if name == model.name or (name == model.address and not name.startswith('hf:')):
            return model
    return None
