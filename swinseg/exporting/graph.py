"""From an image to labels in one graph: a segmentor in plain operations, with what stands before and after it.

Shapes: B images of H x W pixels, K classes (1 score for a binary head).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models import EncoderDecoder
from torch import Tensor, nn

from swinseg.datasets.labels.dtype import label_tensor_dtype
from swinseg.errors import ArchitectureError
from swinseg.exporting.channels_last_resize import resize
from swinseg.exporting.plain_backbone import plain_backbone
from swinseg.exporting.plain_head import plain_head
from swinseg.exporting.plain_resize import resize_pixels, resized_size
from swinseg.exporting.scale import Scale
from swinseg.exporting.sizes import Size, as_dtype, size_of
from swinseg.models.postprocess import threshold_of
from swinseg.models.segmentor import SwinSegmentor
from swinseg.runtimes.base import Input, Output


class Normalization(nn.Module):
    """Pixels as the segmentor's ``SegDataPreProcessor`` normalizes them.

    Attributes:
        mean: of each channel of an RGB image, in [0, 255].
        std: likewise.
        is_bgr: whether the network takes its channels in the order BGR.
    """

    _mean: Tensor
    _std: Tensor

    def __init__(self, preprocessor: Any, channels: int) -> None:
        super().__init__()
        # The pipelines load BGR.
        self.is_bgr = not preprocessor.channel_conversion
        mean, std = [0.0] * channels, [1.0] * channels
        if preprocessor._enable_normalize:
            # A single number is for all channels.
            mean, std = (
                values.flatten().expand(channels).tolist()
                for values in (preprocessor.mean, preprocessor.std)
            )
        self.register_buffer('_mean', torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer('_std', torch.tensor(std).view(1, -1, 1, 1))
        self.mean, self.std = (values[::-1] if self.is_bgr else values for values in (mean, std))

    def forward(self, pixels_BHWC: Tensor) -> Tensor:
        """Normalize (B, H, W, 3) RGB, any integers, to (B, 3, H, W) float32 in the network's order of channels."""
        x = pixels_BHWC.permute(0, 3, 1, 2).float()
        if self.is_bgr:
            x = torch.cat([x[:, 2:3], x[:, 1:2], x[:, 0:1]], 1)
        return (x - self._mean) / self._std


class Graph(nn.Module):
    """What is exported.

    Args:
        model: a segmentor with ``SwinBackbone`` or ``SwinV2Backbone`` and ``UPerNetHead``, or mmseg's classes of
            the same parameters, float32 on the CPU; its modules are shared, and not changed.
        input: ``'tensor'``, (B, C, H, W) float32, normalized; or ``'image'``, (B, H, W, 3) uint8 RGB.
        output: ``'labels'``, (B, H, W) uint8, or int64 where there are more than 256 classes; ``'confidence'``,
            these and the probability of each, float32; or ``'probabilities'``, (B, K, H, W) float32.
        scale: what an ``'image'`` is resized to before the normalization; None leaves it as it is.

    Raises:
        ArchitectureError: a part of the model has no plain form, or cannot take such an input.
    """

    def __init__(
        self, model: EncoderDecoder, *, input: Input, output: Output, scale: Scale | None = None
    ) -> None:
        super().__init__()
        if type(model) not in (SwinSegmentor, EncoderDecoder) or model.with_neck:
            what = 'one with a neck' if type(model) is EncoderDecoder else type(model).__name__
            raise ArchitectureError(
                f'expected a segmentor of type SwinSegmentor or EncoderDecoder without a neck to export, found '
                f'{what}; others have no exportable form here'
            )
        self.backbone = plain_backbone(model.backbone)
        self.head = plain_head(model.decode_head)
        self.channels = int(model.backbone.patch_embed.projection.in_channels)
        self.normalization = Normalization(model.data_preprocessor, self.channels)
        self.input, self.output, self.scale = input, output, scale
        self.dtype = torch.float32
        if input == 'image':
            _check_image_input(model, self.channels)
        self.align_corners: bool = model.align_corners
        self.threshold = threshold_of(model)
        self.num_classes = int(model.num_classes)

    def in_dtype(self, dtype: torch.dtype) -> Graph:
        """Return a graph that computes in another type between the normalized image and the logits.

        What goes in and comes out keeps its type, and what is computed of sizes and of scores is so in float32.
        """
        if dtype == torch.float32:
            return self
        graph = copy.deepcopy(self).to(dtype)
        graph.normalization = self.normalization
        graph.dtype = dtype
        return graph

    def example(self, batch: int, height: int, width: int, *, seed: int = 0) -> Tensor:
        """Return a random input of a size."""
        generator = torch.Generator().manual_seed(seed)
        if self.input == 'image':
            size = (batch, height, width, 3)
            return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
        return torch.randn((batch, self.channels, height, width), generator=generator)

    def smooth_example(self, batch: int, height: int, width: int, *, seed: int = 0) -> Tensor:
        """Return a random input of a size whose neighboring pixels are alike: one value for every 16."""
        generator = torch.Generator().manual_seed(seed)
        cells = [side // 16 + 2 for side in (height, width)]
        coarse = torch.rand((batch, *cells, self.channels), generator=generator)
        x = resize(coarse, (height, width), align_corners=True)
        if self.input == 'image':
            return (255 * x).round().to(torch.uint8).contiguous()
        return (4 * x - 2).permute(0, 3, 1, 2).contiguous()

    def normalized(self, given: Tensor) -> Tensor:
        """Return what the network gets of an input of the graph."""
        if self.input == 'tensor':
            return given
        if self.scale is not None:
            given = resize_pixels(given, self.sizes(given)[0])
        return self.normalization(given)

    def sizes(self, given: Tensor) -> tuple[tuple[Size, Size], ...]:
        """Return the heights and widths that scores get one after another: the network's, then the image's own."""
        rows, columns = (1, 2) if self.input == 'image' else (2, 3)
        height, width = size_of(given, rows, columns)
        if self.scale is None:
            return ((height, width),)
        return resized_size(height, width, self.scale), (height, width)

    def forward(self, given: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs at the image's own size, and the (B, K, h, w) logits last."""
        image = as_dtype(self.normalized(given), self.dtype)
        logits = as_dtype(self.head(self.backbone(image)), torch.float32)
        return *self.outputs_of(logits, self.sizes(given)), logits

    def outputs_of(self, logits: Tensor, sizes: Sequence[tuple[Size, Size]]) -> tuple[Tensor, ...]:
        """Return the outputs of (B, K, h, w) logits, resized to some sizes in turn."""
        scores = resized_scores(self, logits, sizes)
        if scores.shape[3] == 1:
            return self._of_binary(scores)
        if self.output == 'probabilities':
            return (scores.softmax(3).permute(0, 3, 1, 2),)
        labels = scores.argmax(3).to(label_tensor_dtype(self.num_classes))
        if self.output == 'labels':
            return (labels,)
        return labels, scores.softmax(3).amax(3)

    def _of_binary(self, scores_BHWK: Tensor) -> tuple[Tensor, ...]:
        positive = scores_BHWK.sigmoid()
        if self.output == 'probabilities':
            return (positive.permute(0, 3, 1, 2),)
        positive = positive[..., 0]
        assert self.threshold is not None
        is_positive = positive > self.threshold
        labels = is_positive.to(torch.uint8)
        if self.output == 'labels':
            return (labels,)
        return labels, torch.where(is_positive, positive, 1 - positive)


def _check_image_input(model: EncoderDecoder, channels: int) -> None:
    if channels != 3:
        raise ArchitectureError(
            f"input='image' is for RGB images, but the backbone takes {channels} channels; use input='tensor'"
        )
    if model.data_preprocessor.test_cfg:
        raise ArchitectureError(
            "input='image' does not pad images, but the model's data_preprocessor has a test_cfg that does; use "
            "input='tensor'"
        )


def resized_scores(graph: Graph, logits: Tensor, sizes: Sequence[tuple[Size, Size]]) -> Tensor:
    """Resize (B, K, h, w) logits to :meth:`Graph.sizes` in turn, as mmseg and then prediction do: (B, H, W, K)."""
    x = logits.permute(0, 2, 3, 1)
    for size in sizes:
        x = resize(x, size, align_corners=graph.align_corners)
    return x


def reference_logits(model: EncoderDecoder, image: Tensor) -> Tensor:
    """Return the (B, K, h, w) logits that the model itself has for a normalized image."""
    logits: Tensor = model.decode_head(model.backbone(image))
    return logits


def float32_on_cpu(model: EncoderDecoder) -> EncoderDecoder:
    """Return the model in evaluation mode, float32 on the CPU; a copy where it is not all of that."""
    parameters = list(model.parameters())
    is_so = all(p.device.type == 'cpu' and p.dtype == torch.float32 for p in parameters)
    if is_so and not model.training:
        return model
    return copy.deepcopy(model).cpu().float().eval()
