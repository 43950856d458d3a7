"""``swinseg segment``: images, scenes and videos in, masks out."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from swinseg.cli.frame import EXIT_BAD_INPUT, Command
from swinseg.errors import Interrupted
from swinseg.exporting.choice import add_runtime_choice, use_runtime_choice
from swinseg.files import make_folder
from swinseg.predictor.arguments import add_model, predictor_of
from swinseg.segment import find_sources, results_of, segment_all, summary, table
from swinseg.segment.arguments import add_options, options_of
from swinseg.segment.bulk.arguments import (
    add_bulk_options,
    check_not_bulk,
    devices_of,
    engine_of,
    is_bulk,
    job_of,
    setup_of,
)
from swinseg.segment.bulk.extra import BulkError
from swinseg.segment.bulk.job import recorded_threads, run_job
from swinseg.visualization import color_blind_palette


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model, the inputs, where results go, and how to segment."""
    add_model(parser)
    add_runtime_choice(parser)
    parser.add_argument(
        'inputs', nargs='+', metavar='INPUT',
        help='files, folders, quoted globs; in bulk jobs also addresses such as s3://bucket/photos/, and @LIST',
    )  # fmt: skip
    parser.add_argument(
        '--out', default='masks', metavar='DIR',
        help='for the results (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--overwrite', action='store_true',
        help='replace files in DIR that are no earlier results of the same inputs as well',
    )  # fmt: skip
    add_options(parser)
    add_bulk_options(parser)


def run(args: argparse.Namespace) -> int:
    """Segment; 2 when a file was skipped or failed."""
    if is_bulk(args):
        return _run_bulk(args)
    check_not_bulk(args)
    sources = find_sources(args.inputs, out=Path(args.out))
    out = make_folder(args.out)
    use_runtime_choice(args)
    options = options_of(args)
    # Before the model is loaded.
    results_of(sources, out, options, overwrite=args.overwrite).check()
    predictor = predictor_of(args)
    if args.palette == 'color-blind':
        predictor.palette = color_blind_palette(len(predictor.classes))
    outcome = segment_all(predictor, sources, out, options, overwrite=args.overwrite)
    print(table(outcome))
    for source in sources:
        if source.renamed:
            print(f'the results of {source.path} are named {source.name}_...')
    print(summary(outcome, out))
    if outcome.interrupted:
        raise Interrupted(outcome.interrupted, signal.SIGINT)
    return EXIT_BAD_INPUT if outcome.skipped else 0


def _run_bulk(args: argparse.Namespace) -> int:
    use_runtime_choice(args)
    devices = devices_of(args)
    job = job_of(args)
    setup = setup_of(args, len(devices), threads=recorded_threads(job, args.out))
    ended = run_job(job, setup, engine_of(args, setup, devices))
    print(ended.text())
    if ended.error is not None:
        raise BulkError(ended.error)
    return EXIT_BAD_INPUT if ended.survey.failed else 0


COMMAND = Command(
    description='Segment images, scenes and videos with a checkpoint: labels, colors, overlays with a legend.',
    example='--model upernet-swin-t-ade20k photos/ map.tif walk.mp4 --out masks --sheet',
    add_arguments=add_arguments,
    run=run,
)
