"""Batch normalization over the images of all processes, also where PyTorch's own does not run.

``torch.nn.SyncBatchNorm`` refuses tensors on a CPU. With 2 images per process the statistics of each process
alone are noise, so training without GPUs needs it as much.

Shapes: N = images of this process, C = channels.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import get_world_size
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


def convert_sync_batch_norm(model: nn.Module, device: torch.device) -> nn.Module:
    """Give every batch normalization of ``model`` the statistics of all processes.

    Args:
        model: the layers are replaced in it; parameters, buffers and their names stay.
        device: where the model trains: on a CUDA device PyTorch's layer is taken, else this module's.

    Returns:
        The model; another object only when it is itself a batch normalization.
    """
    if device.type == 'cuda':
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for name, child in model.named_children():
        setattr(model, name, convert_sync_batch_norm(child, device))
    if isinstance(model, _BatchNorm) and model.affine and model.track_running_stats:
        return SyncBatchNorm.like(model)
    return model


class SyncBatchNorm(_BatchNorm):
    """Batch normalization (Ioffe and Szegedy 2015, algorithm 1) with the batches of all processes as one.

    Every process must call it equally often, with any N. In evaluation, and for one process, it is
    ``torch.nn.BatchNorm2d``.
    """

    @classmethod
    def like(cls, layer: _BatchNorm) -> SyncBatchNorm:
        """Return a layer with the parameters and buffers of ``layer`` themselves."""
        own = cls(layer.num_features, layer.eps, layer.momentum, device='meta')
        for name, parameter in layer.named_parameters(recurse=False):
            own.register_parameter(name, parameter)
        for name, buffer in layer.named_buffers(recurse=False):
            own.register_buffer(name, buffer)
        return own.train(layer.training)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f'batch normalization takes (N, C, ...), not {tuple(input.shape)}')

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (N, C, ...) floats; the statistics are in float32 at least."""
        if not self.training or get_world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        axes = (0, *range(2, input.dim()))
        per_channel = (1, -1, *(1 for _ in axes[1:]))
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        own_count = x.new_tensor([x.numel() // self.num_features])
        sums = _sum_over_processes(torch.cat([x.sum(axes), own_count]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        # A second pass: E[x^2] - E[x]^2 cancels where the mean is large.
        centered = x - mean.view(per_channel)
        variance = _sum_over_processes(centered.square().sum(axes)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            weight = self.momentum
            if weight is None:
                weight = 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
            unbiased = variance * count / (count - 1)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), weight)
        scale = (variance + self.eps).rsqrt() * self.weight
        result = centered * scale.view(per_channel) + self.bias.view(per_channel)
        return result.to(input.dtype)


def _sum_over_processes(values: Tensor) -> Tensor:
    return _Sum.apply(values)


class _Sum(torch.autograd.Function):
    """The sum over the processes; each process's loss depends on each process's values, so gradients add up."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total
