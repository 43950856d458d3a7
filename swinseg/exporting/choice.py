"""``--runtime``: a checkpoint that is run by another runtime, exported for it once and kept."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path

from filelock import FileLock

from swinseg.checkpoints.reading import cache_folder, cached_path
from swinseg.config.loading import load_config
from swinseg.errors import ExportError
from swinseg.exporting.export import export, sha256_of
from swinseg.exporting.targets import TARGETS, TargetName, require_target
from swinseg.files import make_folder
from swinseg.predictor.arguments import source_of, use_runtime
from swinseg.runtimes.opening import is_exported
from swinseg.versions import installed_versions

RUNTIMES = ('pytorch', 'onnx', 'openvino')


def add_runtime_choice(parser: argparse.ArgumentParser) -> None:
    """Add ``--runtime``."""
    parser.add_argument(
        '--runtime', choices=RUNTIMES, default=RUNTIMES[0],
        help='what a checkpoint is run by: others than PyTorch get an exported file, which is made once and kept '
        '(default: %(default)s)',
    )  # fmt: skip


def use_runtime_choice(args: argparse.Namespace) -> None:
    """Put the exported file into the place of the checkpoint in the arguments, where they ask for it.

    Args:
        args: of :func:`add_runtime_choice` and ``swinseg.predictor.arguments.add_model``.

    Raises:
        ExportError: the model is exported already, or the runtime is not installed.
        UserError: as ``swinseg.export``.
    """
    use_runtime(args)
    if args.runtime == 'pytorch':
        return
    if is_exported(args.checkpoint):
        raise ExportError(
            f'--runtime is for checkpoints, but {args.checkpoint} is exported already; leave it out'
        )
    args.checkpoint = str(exported_for(args, args.runtime))


def exported_for(args: argparse.Namespace, to: TargetName) -> Path:
    """Return the file that a checkpoint is exported to, which is made if it is not there yet.

    It is kept below ``SWINSEG_HOME``, or PyTorch's cache, by the bytes of the weights and of the config, and the
    versions of what made it.

    Args:
        args: ``checkpoint``, ``config`` and ``trust`` are read.
        to: ``'onnx'`` or ``'openvino'``.

    Raises:
        UserError: as ``swinseg.export``.
    """
    target = require_target(to, 'float32')
    path = cache_folder() / 'exported' / _key(args, to) / f'model{target.suffix}'
    if path.is_file():
        return path
    make_folder(path.parent)
    # Two processes do not both export it.
    with FileLock(path.parent / 'lock'):
        if not path.is_file():
            print(f'exporting {args.checkpoint} for {target.runtime_name}, once', file=sys.stderr)
            export(
                args.checkpoint, path, to=to, config=args.config, trust=args.trust, overwrite=True
            )
    return path


def _key(args: argparse.Namespace, to: TargetName) -> str:
    source = source_of(args)
    weights = Path(source.weights)
    if not weights.is_file():
        weights = cached_path(source.weights)
    parts = [
        # Of an address that was not fetched yet, it is the address.
        sha256_of(weights) if weights.is_file() else source.weights,
        # What a folder or a catalogue says of the model beside its weights.
        os.fspath(args.checkpoint) if source.folder or source.published else '',
        '' if args.config is None else load_config(args.config).pretty_text,
        args.trust,
        installed_versions(('swinseg', 'torch', *TARGETS[to].needs)),
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
