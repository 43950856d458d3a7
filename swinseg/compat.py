"""Make mmengine 0.10, mmcv 2.1 and mmsegmentation 1.2.2 work with today's Python, PyTorch and setuptools.

Only this module and :mod:`swinseg.compat_mmseg`, whose repairs it applies, adapt third-party packages, and
``swinseg/__init__.py`` calls it before anything else. Each adaptation says when it is needed and is applied only
then: where the full mmcv with its compiled ops is installed, ``mmcv.ops`` stays as it is. What is active,
``python -m swinseg.env`` lists.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import pickle
import pkgutil
import sys
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from swinseg import compat_mmseg


@dataclass(frozen=True)
class Adaptation:
    """One repair of a third-party package: when it is needed, what it does, and why."""

    name: str
    reason: str
    needed: Callable[[], bool]
    apply: Callable[[], None]


def has_compiled_ops() -> bool:
    """Whether the full mmcv, with its compiled extension, is installed."""
    return importlib.util.find_spec('mmcv') is not None and (
        importlib.util.find_spec('mmcv._ext') is not None
    )


def sigmoid_focal_loss(
    logits: Tensor,
    target: Tensor,
    gamma: float = 2.0,
    alpha: float = 0.25,
    weight: Tensor | None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Focal loss (Lin et al. 2017, equation 5) with the arguments of ``mmcv.ops.sigmoid_focal_loss``.

    Args:
        logits: (N, num_classes) float.
        target: (N,) int64 class indices in [0, num_classes]; ``num_classes`` stands for "none of them".
        gamma: exponent of the modulating factor.
        alpha: weight of the positive class.
        weight: (num_classes,) factor per class, or None.
        reduction: ``'none'``, ``'mean'`` or ``'sum'``.

    Returns:
        (N, num_classes) for ``'none'``, else a scalar.
    """
    num_classes = logits.shape[1]
    is_class = F.one_hot(target, num_classes + 1)[:, :num_classes].to(logits.dtype)
    probability = logits.sigmoid()
    probability_of_truth = probability * is_class + (1 - probability) * (1 - is_class)
    alpha_of_truth = alpha * is_class + (1 - alpha) * (1 - is_class)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, is_class, reduction='none')
    loss = alpha_of_truth * (1 - probability_of_truth) ** gamma * cross_entropy
    if weight is not None:
        # The compiled op weights a row by the weight of its true class.
        loss = loss * F.pad(weight, (0, 1), value=1.0)[target][:, None]
    if reduction == 'mean':
        return loss.sum() / logits.shape[0]
    return loss.sum() if reduction == 'sum' else loss


def point_sample(
    features: Tensor, points: Tensor, align_corners: bool = False, **kwargs: Any
) -> Tensor:
    """Sample features at points, with the arguments of ``mmcv.ops.point_sample``.

    Args:
        features: (N, C, H, W).
        points: (N, P, 2) or (N, Hgrid, Wgrid, 2), (x, y) in [0, 1].
        align_corners: as in ``torch.nn.functional.grid_sample``.
        **kwargs: passed to ``grid_sample``.

    Returns:
        (N, C, P) or (N, C, Hgrid, Wgrid).
    """
    is_list_of_points = points.dim() == 3
    grid = points.unsqueeze(2) if is_list_of_points else points
    # In the dtype of the points, whose places half precision would round.
    sampled = F.grid_sample(
        features.to(grid.dtype), grid * 2 - 1, align_corners=align_corners, **kwargs
    )
    output = sampled.to(features.dtype)
    return output.squeeze(3) if is_list_of_points else output


def _install_pure_ops() -> None:
    ops = types.ModuleType(
        'mmcv.ops', 'The ops that mmseg imports, in pure PyTorch (swinseg.compat).'
    )

    def absent(name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)
        # mmseg's optional heads catch exactly this class and go on without the op.
        raise ModuleNotFoundError(
            f'mmcv.ops.{name} needs the full mmcv with compiled ops; mmcv-lite is installed'
        )

    vars(ops).update(
        sigmoid_focal_loss=sigmoid_focal_loss, point_sample=point_sample, __getattr__=absent
    )
    sys.modules['mmcv.ops'] = vars(importlib.import_module('mmcv'))['ops'] = ops
    with warnings.catch_warnings():
        # mmcv warns, once and at import, that deformable attention is absent; this model has none.
        warnings.filterwarnings(
            'ignore', message='Fail to import ``MultiScaleDeformableAttention``'
        )
        importlib.import_module('mmcv.cnn.bricks.transformer')


def _is_installed(package: str) -> bool:
    """``mmengine.utils.is_installed`` without ``pkg_resources``."""
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        spec = importlib.util.find_spec(package)
        return spec is not None and spec.origin is not None
    return True


def _installed_path(package: str) -> str:
    """``mmengine.utils.get_installed_path`` without ``pkg_resources``: the folder of an importable package.

    mmengine passes module names (``mmseg``) as well as distribution names (``mmsegmentation``).
    """
    candidates = [package]
    try:
        text = importlib.metadata.distribution(package).read_text('top_level.txt')
        candidates += (text or '').split()
    except importlib.metadata.PackageNotFoundError:
        pass
    for name in candidates:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            return str(next(iter(spec.submodule_search_locations)))
        if spec is not None and spec.origin is not None:
            return str(Path(spec.origin).parent)
    raise ModuleNotFoundError(f'package {package} is not installed')


def _replace_pkg_resources() -> None:
    for name in ('mmengine.utils.package_utils', 'mmengine.utils', 'mmengine.config.config'):
        module = importlib.import_module(name)
        for function, ours in (
            ('is_installed', _is_installed),
            ('get_installed_path', _installed_path),
        ):
            if hasattr(module, function):
                setattr(module, function, ours)


def _restore_find_loader() -> None:
    def find_loader(name: str) -> Any:
        spec = importlib.util.find_spec(name)
        return None if spec is None else spec.loader

    setattr(pkgutil, 'find_loader', find_loader)  # noqa: B010 - absent from newer type stubs


def safe_checkpoint_classes() -> list[Any]:
    """Every class beyond plain tensors and containers that a checkpoint of mmengine's Runner holds."""
    from mmengine.logging import HistoryBuffer

    # What pickle writes of an array and of a scalar tells its helpers, whose module numpy 2 has moved.
    return [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        np.empty(0).__reduce__()[0],
        np.float64().__reduce__()[0],
        *(
            type(np.dtype(code))
            for code in ('f8', 'f4', 'i8', 'i4', 'u8', 'u4', 'u1', 'i2', 'u2', '?')
        ),
    ]


def _history_buffer_method(owner: Any, name: str) -> Any:
    """Stand in for ``getattr`` in a checkpoint: a HistoryBuffer is pickled with its four statistics methods.

    The real ``getattr`` on an allow-list would let a crafted file reach anything; this one reaches
    ``HistoryBuffer.min``, ``max``, ``current`` and ``mean``.
    """
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise pickle.UnpicklingError(f'a checkpoint may not look up {name!r} on {owner!r}')
    return getattr(HistoryBuffer, name)


def _allow_checkpoint_classes() -> None:
    # numpy 1 pickled its helpers as numpy.core.multiarray.*, numpy 2 writes numpy._core.multiarray.*; a
    # checkpoint keeps the name of the numpy that wrote it.
    helpers: list[Any] = []
    for item in safe_checkpoint_classes():
        helpers.append(item)
        if getattr(item, '__name__', '') in ('_reconstruct', 'scalar'):
            helpers.append((item, f'numpy.core.multiarray.{item.__name__}'))
            helpers.append((item, f'numpy._core.multiarray.{item.__name__}'))
    helpers.append((_history_buffer_method, 'builtins.getattr'))
    torch.serialization.add_safe_globals(helpers)


def _torchvision_is_broken() -> bool:
    # mmseg imports timm where it is installed, and timm imports torchvision.
    if importlib.util.find_spec('timm') is None or importlib.util.find_spec('torchvision') is None:
        return False
    try:
        importlib.import_module('torchvision')
    except RuntimeError as error:
        return 'operator torchvision::' in str(error)
    return False


def _import_torchvision_without_ops() -> None:
    for name in [name for name in sys.modules if name.split('.')[0] == 'torchvision']:
        del sys.modules[name]
    register_fake = torch.library.register_fake

    def tolerant(op: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(op, str) and op.startswith('torchvision::') and not args:
            namespace, name = op.split('::')
            if not hasattr(getattr(torch.ops, namespace), name):
                return lambda function: function
        return register_fake(op, *args, **kwargs)

    torch.library.register_fake = tolerant
    try:
        importlib.import_module('torchvision')
    finally:
        torch.library.register_fake = register_fake


_CONFIG_WIDTH = 100


def _config_text(text: str, **_: Any) -> tuple[str, bool]:
    """Lay out the text of a config; return the new text, and whether it differs, as yapf's ``FormatCode`` does.

    What fits on a line stands on one; a longer ``dict()``, list, tuple or dictionary has a line for each entry.
    """
    statements = [_laid_out(statement, '') for statement in ast.parse(text).body]
    found = ''.join(f'{statement}\n' for statement in statements)
    return found, found != text


def _laid_out(node: ast.AST, indent: str, used: int = 0) -> str:
    """Return the text of ``node``, whose first line begins after ``indent`` and ``used`` more characters."""
    line = ast.unparse(node)
    if isinstance(node, ast.Assign):
        beginning = line[: len(line) - len(ast.unparse(node.value))]
        return beginning + _laid_out(node.value, indent, len(beginning))
    if isinstance(node, ast.keyword) and node.arg is not None:
        beginning = f'{node.arg}='
        return beginning + _laid_out(node.value, indent, used + len(beginning))
    if len(indent) + used + len(line) < _CONFIG_WIDTH:
        return line
    entries: list[str] = []
    if isinstance(node, ast.Call):
        opening, closing = f'{ast.unparse(node.func)}(', ')'
        entries = [_laid_out(entry, f'{indent}    ') for entry in (*node.args, *node.keywords)]
    elif isinstance(node, ast.List | ast.Tuple):
        opening, closing = '[]' if isinstance(node, ast.List) else '()'
        entries = [_laid_out(entry, f'{indent}    ') for entry in node.elts]
    elif isinstance(node, ast.Dict):
        opening, closing = '{}'
        for key, value in zip(node.keys, node.values, strict=True):
            beginning = '**' if key is None else f'{ast.unparse(key)}: '
            entries.append(beginning + _laid_out(value, f'{indent}    ', len(beginning)))
    if not entries:
        return line
    return '\n'.join(
        [opening, *(f'{indent}    {entry},' for entry in entries), f'{indent}{closing}']
    )


def _lay_out_configs() -> None:
    module: Any = importlib.import_module('mmengine.config.config')
    module.FormatCode = _config_text


def _always() -> bool:
    return True


def _scales_to_nothing() -> bool:
    geometry: Any = importlib.import_module('mmcv.image.geometric')
    return 0 in geometry.rescale_size((8000, 2), (512, 512))


def _keep_one_pixel() -> None:
    geometry: Any = importlib.import_module('mmcv.image.geometric')
    processing: Any = importlib.import_module('mmcv.transforms.processing')
    scale_size = geometry._scale_size

    def at_least_one(size: tuple[int, int], scale: Any) -> tuple[int, int]:
        width, height = scale_size(size, scale)
        return max(width, 1), max(height, 1)

    geometry._scale_size = processing._scale_size = at_least_one


ADAPTATIONS: tuple[Adaptation, ...] = (
    Adaptation(
        name='pkgutil.find_loader',
        reason='removed in Python 3.14; mmcv and mmengine look for the compiled ops with it',
        needed=lambda: not hasattr(pkgutil, 'find_loader'),
        apply=_restore_find_loader,
    ),
    Adaptation(
        name='mmcv.ops in pure PyTorch',
        reason='mmseg imports the focal loss and point sampling, which mmcv-lite does not contain',
        needed=lambda: not has_compiled_ops(),
        apply=_install_pure_ops,
    ),
    Adaptation(
        name='torchvision without its compiled ops',
        reason='a torchvision built for another PyTorch fails to import, and mmseg.models with it',
        needed=_torchvision_is_broken,
        apply=_import_torchvision_without_ops,
    ),
    Adaptation(
        name='importlib.metadata for pkg_resources',
        reason='mmengine looks packages up with pkg_resources, which setuptools no longer contains',
        needed=lambda: importlib.util.find_spec('pkg_resources') is None,
        apply=_replace_pkg_resources,
    ),
    Adaptation(
        name='safe classes of mmengine checkpoints',
        reason='torch.load refuses the HistoryBuffer that the Runner saves, so nothing could be resumed',
        needed=lambda: hasattr(torch.serialization, 'add_safe_globals'),
        apply=_allow_checkpoint_classes,
    ),
    Adaptation(
        name='configs are laid out without yapf',
        reason=(
            'a training asks for the text of its config at its start several times and at each checkpoint; '
            'yapf takes up to three seconds each time'
        ),
        needed=lambda: hasattr(importlib.import_module('mmengine.config.config'), 'FormatCode'),
        apply=_lay_out_configs,
    ),
    Adaptation(
        name='DMHead takes channels-last maps',
        reason='its view of several images fails on the maps of SwinBackbone',
        needed=_always,
        apply=compat_mmseg.filter_maps_of_any_layout,
    ),
    Adaptation(
        name='FocalLoss on a CPU',
        reason='with class indices as labels it fails where its compiled op is not used',
        needed=_always,
        apply=compat_mmseg.count_focal_loss_on_a_cpu,
    ),
    Adaptation(
        name='OhemCrossEntropy of any head',
        reason='heads give each loss a weight and an ignore_index, which it does not take',
        needed=_always,
        apply=compat_mmseg.take_hard_pixels_of_any_head,
    ),
    Adaptation(
        name='SegTTAModel around a SwinSegmentor',
        reason='it reads the scores of each view, which a SwinSegmentor keeps only where it is asked to',
        needed=_always,
        apply=compat_mmseg.keep_scores_for_views,
    ),
    Adaptation(
        name='mmseg.apis know LoadImage and LoadLabel',
        reason='they look for the loading steps of a pipeline by the names of their own',
        needed=_always,
        apply=compat_mmseg.know_our_loaders,
    ),
    Adaptation(
        name='resized images keep one pixel a side',
        reason='mmcv scales 8,000 x 2 pixels to 512 x 0, which OpenCV refuses; stacks on Pillow make it 512 x 1',
        needed=_scales_to_nothing,
        apply=_keep_one_pixel,
    ),
)

_active: list[Adaptation] = []


def apply() -> None:
    """Apply every adaptation that this installation needs; a second call does nothing."""
    if _active:
        return
    for adaptation in ADAPTATIONS:
        if adaptation.needed():
            adaptation.apply()
            _active.append(adaptation)


def active() -> list[Adaptation]:
    """Return the adaptations that were applied in this process."""
    return list(_active)
