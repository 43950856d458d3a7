"""State dicts of Swin Transformers of other libraries to mmseg's names and layout, and back.

All functions are pure: they return a new dict and leave the one they were given as it is; tensors that need no
change are shared. A file without a decode head becomes the state dict of a bare ``SwinTransformer``
(``stages.0...``); one with a decode head that of an ``EncoderDecoder`` (``backbone.stages.0...``).

Besides names, these differ between the libraries:

- Patch merging: mmseg orders the 4C channels as ``nn.Unfold`` does (channel, row, column); all others put
  four blocks of C channels one after another, (0,0), (1,0), (0,1), (1,1) (row, column).
- Hugging Face keeps query, key and value apart.
- Of the second version torchvision keeps one bias of query, key and value, of which it does not use the key's,
  Hugging Face those of query and value apart, all others ``q_bias`` and ``v_bias``. mmseg has none, so ``mmseg``
  names are those of :class:`~swinseg.models.swin.backbone_v2.SwinV2Backbone` then.
- Microsoft's segmentation code keeps an absolute position embedding as 1 x C x H x W, all others as 1 x HW x C.

The norm that ends a classifier keeps its own name (``norm``), as in mmseg's published backbone files: mmseg's
``SwinTransformer`` has no place for it and begins fine-tuning with fresh output norms (``norm0`` ... ``norm3``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from swinseg.checkpoints import names
from swinseg.checkpoints.resize import is_square, relative_position_index, window_size_of
from swinseg.errors import CheckpointError

StateDict = dict[str, Tensor]

FORMATS = {
    'mmseg': "mmsegmentation's SwinTransformer and its segmentors",
    'official': "Microsoft's ImageNet and ADE20K files",
    'timm': 'timm',
    'huggingface': "Hugging Face Swin and UperNet, in the published files' names",
    'huggingface-v5': 'Hugging Face Swin and UperNet, in the names that transformers 5 has in memory',
    'torchvision': 'torchvision',
}

# Which keys betray a format; what stands before the match is the backbone's prefix.
_SIGNATURES = {
    'mmseg': r'stages\.\d+\.blocks\.\d+\.attn\.w_msa\.',
    'huggingface-v5': r'encoder\.layers\.\d+\.blocks\.\d+\.attention\.([qkvo]_proj|relative)',
    'huggingface': r'encoder\.layers\.\d+\.blocks\.\d+\.(attention|layernorm|intermediate|output)',
    'torchvision': r'features\.\d+\.\d+\.(attn|mlp|norm)',
    'official': r'layers[._]\d+\.blocks\.\d+\.(attn|mlp|norm)',
}
_TABLES: dict[str, names.Table] = {
    'official': names.OFFICIAL,
    'timm': names.TIMM,
    'torchvision': names.TORCHVISION,
    'huggingface': names.HUGGINGFACE,
    'huggingface-v5': names.HUGGINGFACE_V5,
}
_HEADS = ('decode_head.', 'auxiliary_head.')
_SWIN_V2 = re.compile(r'logit_scale|cpb_mlp|continuous_position_bias_mlp')
_COMPUTED = re.compile(r'(^|\.)(relative_position_index|relative_coords_table|attn_mask)$')
_CLASSIFIER = re.compile(r'^(head|classifier|pooler|decoder)\.|(^|\.)mask_token$')
# Of the second version, whose norm is behind the reduction, only the reduction has 4C channels.
_MERGING = {
    False: re.compile(r'stages\.\d+\.downsample\.(norm\.\w+|reduction\.weight)$'),
    True: re.compile(r'stages\.\d+\.downsample\.reduction\.weight$'),
}
_OUTPUT_NORM = re.compile(r'^norm\d+\.')
_TABLE_NAME = 'relative_position_bias_table'
_INDEX_NAME = 'relative_position_index'


def register_format(
    name: str, *, description: str, signature: str, rows: Iterable[tuple[str, str]]
) -> None:
    """Add the names of another library, so that its files are recognized, loaded and written.

    Its patch merging has the order of Microsoft's code, four blocks of C channels; see the head of this module.

    Args:
        name: of the format, as in ``FORMATS``.
        description: of the library, for messages.
        signature: regular expression of a key that no other format has, such as that of an attention weight; what
            stands before the match is the backbone's prefix.
        rows: (the library's key, mmseg's key) with the placeholders of :mod:`swinseg.checkpoints.names`.

    Raises:
        CheckpointError: there is a format of that name.
    """
    if name in FORMATS:
        raise CheckpointError(
            f'there is a checkpoint format {name!r} already; give yours another name'
        )
    table = names.table_of(rows)
    FORMATS[name] = description
    _TABLES[name] = table
    # Before the others: the signature of a derived library may contain that of its origin.
    others = dict(_SIGNATURES)
    _SIGNATURES.clear()
    _SIGNATURES.update({name: signature, **others})


def detect(state_dict: Mapping[str, Tensor]) -> str:
    """Tell from its keys which library a state dict is from.

    Returns:
        One of the keys of ``FORMATS``.

    Raises:
        CheckpointError: the keys are those of no known format.
    """
    for name, signature in _SIGNATURES.items():
        if any(re.search(r'(^|\.)' + signature, key) for key in state_dict):
            return 'timm' if name == 'official' and _is_timm(state_dict) else name
    example = ', '.join(list(state_dict)[:4]) or 'none at all'
    raise CheckpointError(
        f'the weights are of no known format: {len(state_dict)} keys such as {example}; the known formats are '
        + '; '.join(f'{name} ({what})' for name, what in FORMATS.items())
    )


def to_mmseg(state_dict: Mapping[str, Tensor], source: str = 'auto') -> StateDict:
    """Return a state dict in mmseg's names and layout.

    Classification heads and mask buffers are left out, position indices are computed anew, and a key that no
    table knows is kept as it is, so that the receipt of loading shows it.

    Args:
        state_dict: parameters and buffers by name, as a library's model gives them.
        source: one of ``FORMATS``, or ``'auto'`` to tell from the keys.

    Returns:
        Keys without a prefix for a backbone alone, with ``backbone.``, ``decode_head.`` and
        ``auxiliary_head.`` for a segmentor.

    Raises:
        CheckpointError: unknown format.
    """
    source = detect(state_dict) if source == 'auto' else _known(source)
    root, inner = _prefixes(state_dict, source)
    merging = _MERGING[is_v2(state_dict)]
    output: StateDict = {}
    for full_key, value in state_dict.items():
        key = full_key.removeprefix(root)
        is_head = key.startswith(_HEADS)
        if not is_head:
            key = re.sub(
                r'^layers_(\d+)', r'layers.\1', _without_model_prefix(key.removeprefix(inner))
            )
        if _COMPUTED.search(key) or (_CLASSIFIER.search(key) and not is_head):
            continue
        renamed = key if source == 'mmseg' else _to_mmseg_name(key, source)
        if source != 'mmseg' and merging.search(renamed):
            if value.dim() == 0 or value.shape[-1] % 4:
                raise CheckpointError(
                    f'{full_key} has the shape {tuple(value.shape)}, but patch merging takes 4C channels, '
                    'so its last axis must be a multiple of 4; fetch the file again'
                )
            value = _blocks_to_unfold(value)
        if renamed == 'absolute_pos_embed' and value.dim() == 4:
            value = value.flatten(2).transpose(1, 2).contiguous()
        output[renamed] = value
    output = _with_position_indices(_join_qkv(output))
    if is_v2(output):
        output = _without_key_bias(output)
    if any(_OUTPUT_NORM.match(key) for key in output):
        output = {key: value for key, value in output.items() if not key.startswith('norm.')}
    return _add_backbone_prefix(output) if any(key.startswith(_HEADS) for key in output) else output


def from_mmseg(state_dict: Mapping[str, Tensor], target: str) -> StateDict:
    """Return a state dict in another library's names and layout.

    What the target has no place for is left out: the heads outside segmentors (timm, torchvision), the norms of
    the single outputs (timm, torchvision, Hugging Face's second version; the last one becomes the final norm when
    there is none). Of the second version Microsoft's and torchvision's models hold position indices and
    coordinates, which depend on the window: the state dict is without, so load it with ``strict=False``.

    Args:
        state_dict: in mmseg's names, of a backbone (with or without the prefix ``backbone.``) or a segmentor.
        target: one of ``FORMATS``. ``'official'`` gives the layout of Microsoft's segmentation code for a
            segmentor, else that of its classification code; ``'huggingface'`` that of ``UperNetFor...`` or of
            ``SwinModel`` / ``SwinBackbone``, to be loaded with ``from_pretrained``.

    Raises:
        CheckpointError: unknown target, a state dict in another format, or one that the target cannot express.
    """
    _known(target)
    found = detect(state_dict)
    if found != 'mmseg':
        raise CheckpointError(
            f"from_mmseg expects a state dict in mmseg's names, this one is of the format {found}; "
            'call to_mmseg first'
        )
    is_segmentor = any(key.startswith(_HEADS) for key in state_dict)
    second = is_v2(state_dict)
    # transformers 5 renames nothing of the second version in memory.
    target = 'huggingface' if second and target == 'huggingface-v5' else target
    if second and is_segmentor and target == 'huggingface':
        raise CheckpointError(
            'the Swinv2Backbone of Hugging Face has no norms of its outputs, which this segmentor computes with; '
            'write its backbone alone, or another format'
        )
    has_final_norm_only = target in ('timm', 'torchvision') or (second and target == 'huggingface')
    plain = {key.removeprefix('backbone.'): value for key, value in state_dict.items()}
    if target == 'mmseg':
        return _add_backbone_prefix(plain) if is_segmentor else plain
    if target.startswith('huggingface'):
        plain = _split_qkv(plain)
    if second and target == 'torchvision':
        plain = _with_key_bias(plain)
    if has_final_norm_only:
        plain = _last_norm_as_final(plain)
    output: StateDict = {}
    for key, value in plain.items():
        if key.endswith(_INDEX_NAME):
            continue
        renamed = names.translate(key, _TABLES[target], to_mmseg=False)
        if renamed is None:
            if has_final_norm_only and (key.startswith(_HEADS) or _OUTPUT_NORM.match(key)):
                continue
            raise CheckpointError(f'the format {target} has no place for {key} of this state dict')
        if _MERGING[second].search(key):
            value = _unfold_to_blocks(value)
        if key == 'absolute_pos_embed' and target == 'official' and is_segmentor:
            value = _position_embedding_to_map(value)
        prefix = (
            '' if renamed.startswith(_HEADS) else _prefix_for(renamed, target, plain, is_segmentor)
        )
        output[prefix + renamed] = value
        if key.endswith(_TABLE_NAME) and target not in ('timm', 'huggingface-v5'):
            index = relative_position_index(window_size_of(value))
            index_name = renamed.replace(_TABLE_NAME, _INDEX_NAME)
            output[prefix + index_name] = index.flatten() if target == 'torchvision' else index
    return output


def backbone_part(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Return the backbone of a state dict in mmseg's names, without the prefix ``backbone.``."""
    if not any(key.startswith('backbone.') for key in state_dict):
        return {key: value for key, value in state_dict.items() if not key.startswith(_HEADS)}
    return {
        key.removeprefix('backbone.'): value
        for key, value in state_dict.items()
        if key.startswith('backbone.')
    }


def is_v2(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a state dict, in any format, is of Swin Transformer V2 (Liu et al. 2022)."""
    return any(_SWIN_V2.search(key) for key in state_dict)


def _known(name: str) -> str:
    if name not in FORMATS:
        raise CheckpointError(f'unknown checkpoint format {name!r}; known: {", ".join(FORMATS)}')
    return name


def _is_timm(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether stages begin with their downsampling (timm) rather than end with it (official, timm < 0.9)."""
    if any(re.search(r'(^|\.)layers_\d+\.', key) for key in state_dict):
        return True  # only timm's feature extractors write an underscore
    for key, value in state_dict.items():
        match = re.search(
            r'(?P<stage>(^|.*\.)layers\.(?P<i>\d+)\.)downsample\.reduction\.weight$', key
        )
        if match is None:
            continue
        norm = state_dict.get(match['stage'] + 'blocks.0.norm1.weight')
        if norm is not None:
            return norm.shape[:1] == value.shape[:1]
        if match['i'] == '0':
            return False
    return any(re.search(r'(^|\.)layers\.1\.downsample\.', key) for key in state_dict) and not any(
        re.search(r'(^|\.)layers\.0\.downsample\.', key) for key in state_dict
    )


def _prefixes(state_dict: Mapping[str, Tensor], source: str) -> tuple[str, str]:
    """Return what stands before every key, and what then stands before the backbone's keys."""
    signature = _SIGNATURES['official' if source == 'timm' else source]
    for key in state_dict:
        match = re.search(r'(^|\.)(?P<start>' + signature + ')', key)
        if match is not None:
            prefix = re.sub(r'(^|\.)swin(v2)?\.$', r'\1', key[: match.start('start')])
            root = prefix.removesuffix('backbone.')
            return root, prefix[len(root) :]
    return '', ''


def _without_model_prefix(key: str) -> str:
    """Drop what Hugging Face's models with a head call the backbone."""
    return re.sub(r'^swin(v2)?\.', '', key)


def _to_mmseg_name(key: str, source: str) -> str:
    tables = [_TABLES[source]]
    if source.startswith('huggingface'):
        # Files written by transformers 5 mix the names of both generations.
        tables = [names.HUGGINGFACE, names.HUGGINGFACE_V5]
    for table in tables:
        renamed = names.translate(key, table, to_mmseg=True)
        if renamed is not None:
            return renamed
    return key


def _prefix_for(name: str, target: str, plain: Mapping[str, Tensor], is_segmentor: bool) -> str:
    """Return what the target writes before the backbone key ``name``."""
    prefix = 'backbone.' if is_segmentor else ''
    if target != 'huggingface-v5' or name.startswith('hidden_states_norms.'):
        return prefix
    # SwinBackbone wraps a SwinModel and has the output norms beside it; a SwinModel alone has none.
    has_output_norms = any(_OUTPUT_NORM.match(key) for key in plain)
    return f'{prefix}swin.' if has_output_norms else prefix


def _add_backbone_prefix(state_dict: StateDict) -> StateDict:
    parts = (*_HEADS, 'backbone.', 'neck.', 'data_preprocessor.')
    return {
        key if key.startswith(parts) else f'backbone.{key}': value
        for key, value in state_dict.items()
    }


def _blocks_to_unfold(value: Tensor) -> Tensor:
    """Reorder the last axis, 4C, from (column, row, channel) to (channel, row, column)."""
    grid = value.reshape(*value.shape[:-1], 2, 2, -1)
    return grid.transpose(-3, -1).reshape(value.shape)


def _unfold_to_blocks(value: Tensor) -> Tensor:
    """Undo ``_blocks_to_unfold``."""
    grid = value.reshape(*value.shape[:-1], -1, 2, 2)
    return grid.transpose(-3, -1).reshape(value.shape)


def _join_qkv(state_dict: StateDict) -> StateDict:
    output: StateDict = {}
    for key, value in state_dict.items():
        match = re.fullmatch(r'(.*\.w_msa\.)(query|key|value)(\.\w+)', key)
        if match is None:
            output[key] = value
            continue
        start, part, leaf = match.groups()
        parts = [state_dict.get(f'{start}{name}{leaf}') for name in ('query', 'key', 'value')]
        if part == 'query' and all(tensor is not None for tensor in parts):
            shapes = {tuple(tensor.shape[1:]) for tensor in parts if tensor is not None}
            if len(shapes) > 1 or any(tensor.dim() == 0 for tensor in parts if tensor is not None):
                raise CheckpointError(
                    f'query, key and value at {start} have shapes that do not belong together; '
                    'fetch the file again'
                )
            output[f'{start}qkv{leaf}'] = torch.cat(
                [tensor for tensor in parts if tensor is not None]
            )
        elif any(tensor is None for tensor in parts):
            output[key] = value
    return output


def _split_qkv(state_dict: StateDict) -> StateDict:
    output: StateDict = {}
    for key, value in state_dict.items():
        match = re.fullmatch(r'(.*\.w_msa\.)qkv(\.\w+)', key)
        bias = re.fullmatch(r'(.*\.w_msa\.)(q|v)_bias', key)
        if bias is not None:
            output[f'{bias[1]}{dict(q="query", v="value")[bias[2]]}.bias'] = value
            continue
        if match is None:
            output[key] = value
            continue
        for name, part in zip(('query', 'key', 'value'), value.chunk(3), strict=True):
            # safetensors refuses tensors that share memory.
            output[f'{match[1]}{name}{match[2]}'] = part.clone()
    return output


def _without_key_bias(state_dict: StateDict) -> StateDict:
    """Name the biases of query and value of the second version, which come apart or with a key's beside them."""
    output: StateDict = {}
    for key, value in state_dict.items():
        match = re.fullmatch(r'(.*\.w_msa\.)(query|value|qkv)\.bias', key)
        if match is None:
            output[key] = value
        elif match[2] == 'qkv':
            if value.dim() != 1 or len(value) % 3:
                raise CheckpointError(
                    f'{key} has the shape {tuple(value.shape)}, but it holds the biases of query, key and value; '
                    'fetch the file again'
                )
            query, _, of_value = value.chunk(3)
            # safetensors refuses tensors that share memory.
            output[f'{match[1]}q_bias'] = query.clone()
            output[f'{match[1]}v_bias'] = of_value.clone()
        else:
            output[f'{match[1]}{match[2][0]}_bias'] = value
    return output


def _with_key_bias(state_dict: StateDict) -> StateDict:
    """Join the biases of query and value of the second version, with zeros for the key's between them."""
    output: StateDict = {}
    for key, value in state_dict.items():
        start = key.removesuffix('q_bias')
        if start != key and f'{start}v_bias' in state_dict:
            parts = [value, torch.zeros_like(value), state_dict[f'{start}v_bias']]
            output[f'{start}qkv.bias'] = torch.cat(parts)
        elif not key.endswith('.w_msa.v_bias'):
            output[key] = value
    return output


def _with_position_indices(state_dict: StateDict) -> StateDict:
    output: StateDict = {}
    index_of: dict[int, Tensor] = {}
    for key, value in state_dict.items():
        output[key] = value
        if key.endswith(_TABLE_NAME):
            window = window_size_of(value)
            if window not in index_of:
                index_of[window] = relative_position_index(window)
            output[key.replace(_TABLE_NAME, _INDEX_NAME)] = index_of[window]
    return output


def _last_norm_as_final(state_dict: StateDict) -> StateDict:
    stages = {int(match[1]) for key in state_dict if (match := re.match(r'stages\.(\d+)\.', key))}
    last = f'norm{max(stages)}.'
    if 'norm.weight' in state_dict:
        return state_dict
    return {
        key.replace(last, 'norm.') if key.startswith(last) else key: value
        for key, value in state_dict.items()
    }


def _position_embedding_to_map(value: Tensor) -> Tensor:
    if not is_square(value.shape[1]):
        raise CheckpointError(
            f'an absolute position embedding of {value.shape[1]} tokens is not square, so its height and width '
            'cannot be told; the official format needs them'
        )
    side = math.isqrt(value.shape[1])
    return value.transpose(1, 2).reshape(1, -1, side, side)
