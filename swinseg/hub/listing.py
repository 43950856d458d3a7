"""The published models as a table, or as JSON: what ``swinseg models`` prints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from swinseg.hub.catalogue import CATALOGUE, MULTI_SCALE, SINGLE_SCALE, PublishedModel

_UNKNOWN = '-'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that :func:`listing_of` reads."""
    parser.add_argument('--json', action='store_true', help='all that is known of each, as JSON')


def listing_of(args: argparse.Namespace) -> str:
    """Return what the arguments ask for."""
    return as_json(CATALOGUE) if args.json else as_table(CATALOGUE)


def as_table(models: Sequence[PublishedModel]) -> str:
    """Return a line for each model, its address below it, and what the columns mean."""
    rows = [('name', 'backbone', 'window', 'pretrained', 'size', 'mIoU', 'ms+flip', 'license')]
    for model in models:
        rows.append((
            model.name,
            model.backbone,
            str(model.window_size),
            model.pretrained or _UNKNOWN,
            str(model.image_size),
            _figure(model.miou),
            _figure(model.miou_multi_scale),
            model.license or _UNKNOWN,
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    for index, model in enumerate(models):
        known = f', SHA-256 {model.sha256}...' if model.sha256 else ''
        same = f', converted from {model.converted_from}' if model.converted_from else ''
        lines[index + 1] += f'\n  {model.address}{known}{same}'
    return '\n'.join([
        *lines,
        '',
        f'mIoU in percent as published: {SINGLE_SCALE}; ms+flip: {MULTI_SCALE}; {_UNKNOWN}: not published.',
        'Any of these names, hf:owner/repo[@revision], a folder, an address or a checkpoint is a model:',
        '  swinseg segment --model upernet-swin-t-ade20k photo.jpg --out masks',
    ])  # fmt: skip


def _figure(value: float | None) -> str:
    return _UNKNOWN if value is None else f'{value:.2f}'


def as_json(models: Sequence[PublishedModel]) -> str:
    """Return a JSON list with an object for each model; what is not known is null."""
    protocol = {'miou_protocol': SINGLE_SCALE, 'miou_multi_scale_protocol': MULTI_SCALE}
    return json.dumps([{**asdict(model), **protocol} for model in models], indent=2)
