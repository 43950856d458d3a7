"""The arguments of ``swinseg segment`` about bulk jobs, and which calls are such."""

from __future__ import annotations

import argparse
import os

import torch

from swinseg.errors import UsageError
from swinseg.models.prepare import Kernels, usual_kernels
from swinseg.predictor import arguments
from swinseg.predictor.building import choose_dtype
from swinseg.runtimes.opening import is_exported
from swinseg.segment.arguments import options_of
from swinseg.segment.bulk.extra import BulkError
from swinseg.segment.bulk.inputs import LIST_MARK
from swinseg.segment.bulk.job import BANDS, Job, manifest_address
from swinseg.segment.bulk.ray_engine import RayEngine
from swinseg.segment.bulk.remote import is_remote
from swinseg.segment.bulk.schedule import Engine
from swinseg.segment.bulk.work import Setup
from swinseg.segment.bulk.workers import LocalEngine

ENGINES = ('local', 'ray')
# What a CPU's process of a network makes good use of.
_CORES_OF_A_WORKER = 4
_MODEL = ('checkpoint', 'config', 'trust', 'dtype', 'compile', 'value_range', 'provider')


def add_bulk_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of bulk jobs."""
    bulk = parser.add_argument_group(
        'bulk jobs',
        'Any of these, a list or an address such as s3://bucket/photos/ among the inputs, or one for --out makes '
        'the call a bulk job: several workers, a manifest with a row for each input, and going on by the same '
        'command. docs/bulk.md says more.',
    )
    add = bulk.add_argument
    add(
        '--workers', type=arguments.worker_count, metavar='N',
        help="processes, each with the model: a number, or 'auto' for one on each GPU, or one for each four cores "
        'of the processor (default of bulk jobs: auto)',
    )  # fmt: skip
    add(
        '--engine', choices=ENGINES,
        help='what runs the workers: processes of this machine, or Ray (default of bulk jobs: local)',
    )  # fmt: skip
    add(
        '--ray-address', metavar='ADDRESS',
        help="of a cluster, HOST:PORT, ray://HOST:PORT or 'auto' (default: a Ray on this machine, for the job)",
    )  # fmt: skip
    add(
        '--list', action='append', default=argparse.SUPPRESS, metavar='FILE', dest='inputs', type=marked_list,
        help='a text file with a path or address in each line, or CSV or Parquet, in the place of INPUT; may be '
        f'given several times; beside other inputs write {LIST_MARK}FILE',
    )  # fmt: skip
    add('--column', metavar='NAME', help='of CSV and Parquet lists (default: their only one)')
    add(
        '--manifest', metavar='DIR',
        help='folder or address for the manifest (default: manifest in that of the results)',
    )  # fmt: skip
    add(
        '--retries', type=whole_number, default=2, metavar='N',
        help='how often an input that ended its worker is tried again, by itself (default: %(default)s)',
    )  # fmt: skip
    add(
        '--max-failures', type=whole_number, metavar='N',
        help='end the job when more inputs fail (default: any number may)',
    )  # fmt: skip
    add(
        '--retry-failed', action='store_true',
        help='try inputs again that failed in earlier calls',
    )  # fmt: skip


def is_bulk(args: argparse.Namespace) -> bool:
    """Whether a call is a bulk job."""
    return bool(
        args.workers is not None
        or args.engine is not None
        or args.manifest is not None
        or is_remote(args.out)
        or any(each.startswith(LIST_MARK) or is_remote(each) for each in args.inputs)
    )


def check_not_bulk(args: argparse.Namespace) -> None:
    """Refuse options of bulk jobs where the call is none.

    Raises:
        UsageError: there is one.
    """
    for name in ('column', 'max_failures', 'retry_failed', 'ray_address'):
        if getattr(args, name) not in (None, False):
            raise UsageError(
                f'--{name.replace("_", "-")} is for bulk jobs; add --workers, --list or --manifest, or leave it '
                'out'
            )


def job_of(args: argparse.Namespace) -> Job:
    """Return the job that the arguments ask for."""
    return Job(
        inputs=args.inputs,
        column=args.column,
        manifest=args.manifest,
        retries=args.retries,
        max_failures=args.max_failures,
        retry_failed=args.retry_failed,
        overwrite=args.overwrite,
    )


def setup_of(args: argparse.Namespace, workers: int, *, threads: int | None = None) -> Setup:
    """Return what each worker needs to know.

    Args:
        args: of the call.
        workers: their number.
        threads: of each, where the arguments do not say it; None for their share of the cores.

    Raises:
        BulkError: an option is about all files together.
        HubError: there is no model of that name.
    """
    for name, is_asked in (('sheet', args.sheet), ('annotations', bool(args.annotations))):
        if is_asked:
            raise BulkError(
                f'--{name} is about all files together, which a bulk job does not hold; leave it out (the page of '
                'the job shows samples)'
            )
    model = {name: getattr(args, name) for name in _MODEL}
    model['device_type'] = _device_type(args)
    return Setup(
        model=model,
        options=options_of(args),
        out=os.fspath(args.out),
        threads=args.threads or threads or _threads_of_a_worker(args, workers),
        kernels=_kernels(args),
        color_blind=args.palette == 'color-blind',
        scratch=f'{manifest_address(job_of(args), args.out)}/{BANDS}',
    )


def _kernels(args: argparse.Namespace) -> Kernels | None:
    """Return what all workers take: by the clock they would not all come to the same."""
    if _device_type(args) != 'cpu' or is_exported(args.checkpoint):
        return None
    return usual_kernels(choose_dtype(args.dtype, torch.device('cpu')))


def _threads_of_a_worker(args: argparse.Namespace, workers: int) -> int:
    if args.ray_address is not None:
        return 1 if _device_type(args) == 'cuda' else _CORES_OF_A_WORKER
    return max(1, torch.get_num_threads() // workers)


def devices_of(args: argparse.Namespace) -> list[str]:
    """Return the device of each worker: the GPUs in turn, or the one that was asked for."""
    devices = arguments.devices_of(args)
    if args.workers not in (None, 'auto'):
        count = int(args.workers)
    elif _device_type(args) == 'cpu':
        count = max(1, torch.get_num_threads() // _CORES_OF_A_WORKER)
    else:
        count = len(devices)
    return [devices[number % len(devices)] for number in range(count)]


def engine_of(args: argparse.Namespace, setup: Setup, devices: list[str]) -> Engine:
    """Return the engine that the arguments ask for."""
    if args.engine != 'ray':
        if args.ray_address is not None:
            raise UsageError('--ray-address is for --engine ray; add that, or leave it out')
        return LocalEngine(setup, devices)
    if args.ray_address is None:
        return RayEngine(setup, len(devices))
    is_counted = args.workers not in (None, 'auto')
    return RayEngine(setup, len(devices) if is_counted else None, args.ray_address)


def _device_type(args: argparse.Namespace) -> str:
    device = str(args.device)
    if device == 'auto':
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    return 'cuda' if device == 'gpu' else device.partition(':')[0]


def marked_list(text: str) -> str:
    """Turn the path of a list into what stands for it among the inputs."""
    return f'{LIST_MARK}{text}'


def whole_number(text: str) -> int:
    """Turn ``0``, ``1`` ... into a number."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'0 or more is expected, not {text!r}')
    return int(text)
