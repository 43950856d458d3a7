"""The arguments of the tools that load a predictor."""

from __future__ import annotations

import argparse
import re
from typing import Any

import torch

from swinseg.datasets.files.value_range import HIGH_BYTE, PER_IMAGE, Setting, ValueRange
from swinseg.errors import DataError, PredictorError
from swinseg.hub.resolve import ModelSource, is_remote_name, resolve
from swinseg.predictor.predictor import Predictor
from swinseg.runtimes.opening import RUNTIMES, is_exported

_UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which model, the checkpoint first."""
    add_checkpoint(
        parser,
        'as swinseg train writes it, weights with --config, a folder of a model, an address, the name of a '
        'published model (swinseg models lists them), or hf:OWNER/REPO[@REVISION]; to run one also a file that '
        'swinseg export wrote',
    )
    parser.add_argument(
        '--config',
        help='a file, or a shipped one by name, instead of the config inside the checkpoint',
    )
    parser.add_argument(
        '--trust', action='store_true',
        help='let the config inside the checkpoint name and import anything; only for files whose maker you trust',
    )  # fmt: skip


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that :func:`predictor_of` reads, the checkpoint first."""
    add_weights(parser)
    add_runtime(parser)
    parser.add_argument(
        '--dtype', default='float32', choices=['float32', 'bfloat16', 'float16'],
        help='precision of the model; the half ones are faster and change a few labels',
    )  # fmt: skip
    parser.add_argument(
        '--compile', action='store_true',
        help='compile the network for the sizes of images and windows that come again; meant for GPUs',
    )  # fmt: skip
    parser.add_argument(
        '--value-range', type=value_range, metavar='LOW,HIGH',
        help='values of 16-bit and floating-point images that become 0 and 255, such as 0,4095, or a pair for '
        f"each band, '{HIGH_BYTE}', or '{PER_IMAGE}' for each image's own range (default: as in training)",
    )  # fmt: skip


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say on what a model computes."""
    parser.add_argument(
        '--device', default='auto', help="'auto', 'cpu', 'gpu', and of a checkpoint also 'cuda:1', ..."
    )  # fmt: skip
    parser.add_argument(
        '--threads', type=int, metavar='N', help='of the processor (default: as many as it has cores)'
    )  # fmt: skip
    parser.add_argument(
        '--provider', action='append', metavar='NAME',
        help="of an exported file: ONNX Runtime's execution provider, such as CUDAExecutionProvider, or "
        "OpenVINO's device, in the place of --device; may be given several times, the preferred first",
    )  # fmt: skip


def use_runtime(args: argparse.Namespace) -> None:
    """Check the arguments of :func:`add_runtime`, and give PyTorch as many threads as they say.

    Raises:
        PredictorError: ``--provider`` is given for a checkpoint, or ``--threads`` is none.
    """
    if args.provider and not is_exported(args.checkpoint):
        raise PredictorError(
            f'--provider is for exported files ({", ".join(RUNTIMES)}), not for the checkpoint {args.checkpoint}; '
            'choose its device with --device'
        )
    if args.threads is None:
        return
    if args.threads < 1:
        raise PredictorError(f'--threads must be at least 1, not {args.threads}')
    torch.set_num_threads(args.threads)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the argument that :func:`predictors_of` reads."""
    parser.add_argument(
        '--workers', type=worker_count, metavar='N',
        help='models that compute side by side, each on a GPU of its own or with its share of the cores: a '
        "number, or 'auto' for one on each GPU that is visible, else 1 (default: auto)",
    )  # fmt: skip


def predictors_of(args: argparse.Namespace) -> list[Predictor]:
    """Return as many predictors of one model as the arguments say, each for a thread of its own.

    On GPUs they go round the devices that ``--device`` leaves open. On a processor each has its share of the cores
    unless ``--threads`` says how many.

    Raises:
        UserError: as :func:`predictor_of`.
    """
    devices = devices_of(args)
    count = len(devices) if args.workers in (None, 'auto') else args.workers
    if count > 1 and args.threads is None and not torch.cuda.is_available():
        args.threads = max(1, torch.get_num_threads() // count)
    return [
        predictor_of(argparse.Namespace(**{**vars(args), 'device': devices[number % len(devices)]}))
        for number in range(count)
    ]


def devices_of(args: argparse.Namespace) -> list[str]:
    """Return the devices that ``--device`` leaves open: all visible GPUs, where it asks for no certain one."""
    # Of an exported file the runtime knows devices by names of its own.
    if args.device in ('auto', 'gpu', 'cuda') and not is_exported(args.checkpoint):
        count = torch.cuda.device_count()
        if count > 1:
            return [f'cuda:{number}' for number in range(count)]
    return [args.device]


def worker_count(text: str) -> int | str:
    """Turn ``4`` into a number; ``auto`` stays as it is."""
    if text == 'auto':
        return text
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"1 or more, or 'auto', is expected, not {text!r}")
    return int(text)


def add_checkpoint(parser: argparse.ArgumentParser, explanation: str) -> None:
    """Add the model as a positional argument, and ``--model`` that stands in its place."""
    parser.add_argument('checkpoint', metavar='MODEL', help=explanation)
    parser.add_argument(
        '--model', dest='checkpoint', default=argparse.SUPPRESS, metavar='NAME',
        help='the same, in the place of MODEL',
    )  # fmt: skip


def source_of(args: argparse.Namespace) -> ModelSource:
    """Return where the model is that the arguments name.

    Raises:
        PredictorError: ``--trust`` is given for a model that is no file or address.
        UserError: as ``swinseg.hub.resolve``.
    """
    if args.trust and is_remote_name(args.checkpoint):
        raise PredictorError(
            f'--trust is for a checkpoint whose maker you know, not for the model {args.checkpoint}; leave it out'
        )
    return resolve(args.checkpoint)


def predictor_of(args: argparse.Namespace) -> Predictor:
    """Return the predictor that the arguments name.

    Raises:
        UserError: as :func:`source_of`, :func:`use_runtime`, ``Predictor.from_pretrained`` and
            ``Predictor.from_exported``.
    """
    use_runtime(args)
    options: dict[str, Any] = dict(dtype=args.dtype, value_range=args.value_range)
    if is_exported(args.checkpoint):
        if args.compile:
            raise PredictorError(
                f'--compile is for checkpoints, not for the exported file {args.checkpoint}, whose runtime '
                'compiles in any case; leave it out'
            )
        return Predictor.from_exported(
            args.checkpoint,
            args.config,
            args.device,
            threads=args.threads,
            providers=args.provider,
            trust=args.trust,
            **options,
        )
    options['compile'] = args.compile
    if not args.trust:
        return Predictor.from_pretrained(args.checkpoint, args.config, args.device, **options)
    source_of(args)
    return Predictor.from_checkpoint(
        args.checkpoint, args.config, args.device, trust=True, **options
    )


def value_range(text: str) -> Setting:
    """Turn ``0,4095`` and ``0,3000,0,2800,0,2500`` into pairs of numbers; names stay as they are."""
    try:
        numbers = [float(part) for part in text.split(',')]
    except ValueError:
        setting: Setting = text
    else:
        setting = [numbers[first : first + 2] for first in range(0, len(numbers), 2)]
    try:
        return ValueRange.of(setting).setting
    except DataError as error:
        raise argparse.ArgumentTypeError(
            f'two increasing numbers such as 0,4095, two for each band, {HIGH_BYTE} or {PER_IMAGE} are expected, '
            f'not {text!r}'
        ) from error


def memory_size(text: str) -> int:
    """Turn ``2G``, ``512M`` or ``1.5 GiB`` into bytes."""
    found = re.fullmatch(r'\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*', text, re.I)
    size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if not size:
        raise argparse.ArgumentTypeError(f'a size such as 2G or 512M is expected, not {text!r}')
    return size
