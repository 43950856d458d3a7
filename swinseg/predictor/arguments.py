"""The arguments of the tools that load a predictor."""

from __future__ import annotations

import argparse

from swinseg.predictor.predictor import Predictor


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that :func:`predictor_of` reads, the checkpoint first."""
    parser.add_argument('checkpoint', help='as tools/train.py writes it, or weights with --config')
    parser.add_argument('--config', help='instead of the config inside the checkpoint')
    parser.add_argument(
        '--trust', action='store_true',
        help='let the config inside the checkpoint name and import anything; only for files whose maker you trust',
    )  # fmt: skip
    parser.add_argument('--device', default='auto', help="'auto', 'cpu', 'cuda', 'cuda:1', ...")
    parser.add_argument(
        '--dtype', default='float32', choices=['float32', 'bfloat16', 'float16'],
        help='precision of the model; the half ones are faster and change a few labels',
    )  # fmt: skip


def predictor_of(args: argparse.Namespace) -> Predictor:
    """Return the predictor that the arguments name, with the errors of ``Predictor.from_checkpoint``."""
    return Predictor.from_checkpoint(
        args.checkpoint, args.config, args.device, dtype=args.dtype, trust=args.trust
    )
