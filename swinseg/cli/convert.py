"""``swinseg convert``: weights from one library's names to those of another."""

from __future__ import annotations

import argparse

from swinseg.checkpoints.convert import convert
from swinseg.checkpoints.formats import FORMATS
from swinseg.cli.frame import Command
from swinseg.errors import CheckpointError
from swinseg.hub.folder_writing import is_folder_name, write_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add input, output and their formats."""
    parser.add_argument('input', help='checkpoint to read: a file or an http(s) address')
    parser.add_argument(
        'output',
        help='file to write: .pth or .safetensors; with --to huggingface also a folder for transformers',
    )
    parser.add_argument('--to', default='mmseg', choices=FORMATS, help='default: mmseg')
    parser.add_argument(
        '--from',
        default='auto',
        dest='source_format',
        choices=['auto', *FORMATS],
        help='default: tell from the keys',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace the output if it is there'
    )
    folder = parser.add_argument_group('folders for transformers')
    folder.add_argument('--config', help='config of weights that hold none')
    folder.add_argument('--license', metavar='ID', help='of the weights, for the card: apache-2.0')
    folder.add_argument(
        '--evaluation', metavar='PATH', help='metrics.json of swinseg test, for the card'
    )


def run(args: argparse.Namespace) -> None:
    """Convert the file and print what was done."""
    if args.to == 'huggingface' and is_folder_name(args.output):
        print(
            write_folder(
                args.input,
                args.output,
                config=args.config,
                source_format=args.source_format,
                license=args.license,
                evaluation=args.evaluation,
                overwrite=args.overwrite,
            )
        )
        return
    for option in ('config', 'license', 'evaluation'):
        if getattr(args, option) is not None:
            raise CheckpointError(
                f'--{option} is about a folder for transformers, but the output {args.output} is a file; leave it '
                'out, or write a folder with --to huggingface'
            )
    print(
        convert(
            args.input,
            args.output,
            target=args.to,
            source_format=args.source_format,
            overwrite=args.overwrite,
        )
    )


COMMAND = Command(
    description='Convert a checkpoint between mmseg, Microsoft, timm, Hugging Face and torchvision.',
    example='work_dirs/t/best_mIoU_iter_160000.pth swin_t_hf.safetensors --to huggingface',
    add_arguments=add_arguments,
    run=run,
    notes='formats:\n' + '\n'.join(f'  {name}: {what}' for name, what in FORMATS.items()),
)
