"""Writing a weight file in another library's format."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from swinseg.checkpoints import formats
from swinseg.checkpoints.architecture import describe, infer_architecture
from swinseg.checkpoints.meta import raw_meta
from swinseg.checkpoints.reading import SUFFIXES, read_checkpoint, state_dict_of
from swinseg.errors import CheckpointError
from swinseg.files import OutputError, atomic_path, make_folder, require_other_file


@dataclass(frozen=True)
class ConversionReceipt:
    """What a conversion wrote.

    Attributes:
        source: the file read, and ``source_format`` its format.
        source_format: one of ``formats.FORMATS``.
        output: the file written, and ``output_format`` its format.
        output_format: one of ``formats.FORMATS``.
        looks_like: the architecture in words.
        written: number of tensors in the output.
        dropped: keys, in mmseg's names, that the output's format has no place for or that only a classifier has.
        meta: which of classes, palette and config were kept.
    """

    source: str
    source_format: str
    output: str
    output_format: str
    looks_like: str
    written: int
    dropped: tuple[str, ...]
    meta: tuple[str, ...]

    def __str__(self) -> str:
        """Return the receipt as lines to print."""
        lines = [
            f'{self.source} ({formats.FORMATS[self.source_format]})',
            f'  {self.looks_like}',
            f'  -> {self.output} ({formats.FORMATS[self.output_format]}): {self.written} tensors',
            f'  kept beside them: {", ".join(self.meta) or "nothing"}',
        ]
        if self.dropped:
            more = f' and {len(self.dropped) - 5} more' if len(self.dropped) > 5 else ''
            lines.append(f'  left out: {", ".join(self.dropped[:5])}{more}')
        return '\n'.join(lines)


def convert(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    target: str = 'mmseg',
    source_format: str = 'auto',
    overwrite: bool = False,
) -> ConversionReceipt:
    """Convert a weight file into another library's format.

    Args:
        source: path or http(s) address.
        output: path to write; its suffix chooses between ``.safetensors`` and PyTorch's format.
        target: one of ``formats.FORMATS``.
        source_format: one of ``formats.FORMATS``, or ``'auto'``.
        overwrite: replace an output that is there already; the source never is.

    Raises:
        CheckpointError: unreadable source, unknown format or suffix, or weights that the target cannot hold.
        OutputError: the output cannot be written, is the source, or is there already.
    """
    path = Path(output)
    if path.suffix not in SUFFIXES:
        raise CheckpointError(
            f'expected an output file ending with one of {", ".join(SUFFIXES)}, found {path.name}'
        )
    require_other_file(path, source)
    if not overwrite and os.path.lexists(path):
        raise OutputError(
            f'{path} is there already; name another output, or replace it with --overwrite'
        )
    checkpoint = read_checkpoint(source)
    original = state_dict_of(checkpoint)
    if source_format == 'auto':
        source_format = formats.detect(original)
    weights = formats.to_mmseg(original, source_format)
    converted = formats.from_mmseg(weights, target)
    meta = {name: value for name, value in raw_meta(checkpoint).items() if value is not None}
    is_segmentor = any(key.startswith('decode_head.') for key in weights)
    kept = _write(path, converted, meta, target, is_segmentor=is_segmentor)
    back = {key.removeprefix('backbone.') for key in formats.to_mmseg(converted, target)}
    dropped = [key for key in weights if key.removeprefix('backbone.') not in back]
    if source_format != 'mmseg':
        dropped += [key for key in original if key.startswith(('head.', 'classifier.'))]
    return ConversionReceipt(
        source=os.fspath(source),
        source_format=source_format,
        output=str(path),
        output_format=target,
        looks_like=describe(infer_architecture(weights)),
        written=len(converted),
        dropped=tuple(dropped),
        meta=tuple(kept),
    )


def _write(
    path: Path,
    weights: formats.StateDict,
    meta: Mapping[str, Any],
    target: str,
    *,
    is_segmentor: bool,
) -> list[str]:
    """Write the file as the target's own code expects it; return which parts of ``meta`` it keeps."""
    make_folder(path.parent)
    if path.suffix == '.safetensors':
        texts = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in meta.items()
        }
        # safetensors takes contiguous tensors that share no memory; each is a copy of its own.
        separate = {
            key: value.detach().clone(memory_format=torch.contiguous_format)
            for key, value in weights.items()
        }
        with atomic_path(path) as temporary:
            save_file(separate, temporary, metadata={'format': 'pt', **texts})
        return list(texts)
    content: Any = weights
    kept = list(meta)
    dataset = {name: meta[name] for name in ('classes', 'palette') if name in meta}
    config = {'cfg': meta['config']} if 'config' in meta else {}
    if target == 'mmseg':
        content = {'meta': {'dataset_meta': dataset, **config}, 'state_dict': weights}
    elif target == 'official' and is_segmentor:
        old = {name.upper(): value for name, value in dataset.items()}
        content = {'meta': {**old, **config}, 'state_dict': weights}
    else:
        content = {'model': weights} if target == 'official' else weights
        kept = []
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
    return kept
