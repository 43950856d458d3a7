"""``swinseg push``: a folder of a model to the Hugging Face hub."""

from __future__ import annotations

import argparse

from swinseg.cli.frame import Command
from swinseg.hub.push import push_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder, where it goes, and how."""
    parser.add_argument('folder', help='as swinseg convert --to huggingface writes it')
    parser.add_argument('repo', metavar='OWNER/NAME', help='created where it does not exist')
    parser.add_argument('--private', action='store_true', help='a new one only its owner sees')
    parser.add_argument('--revision', metavar='BRANCH', help='default: main')
    parser.add_argument(
        '--dry-run', action='store_true', help='say what would go; needs no token and no network'
    )


def run(args: argparse.Namespace) -> None:
    """Upload the folder and print what went."""
    print(
        push_folder(
            args.folder,
            args.repo,
            private=args.private,
            revision=args.revision,
            dry_run=args.dry_run,
        )
    )


COMMAND = Command(
    description='Upload a model folder to the Hugging Face hub, by the token of HF_TOKEN or "hf auth login".',
    example='swin_t_mini_hf me/upernet-swin-t-mini --dry-run',
    add_arguments=add_arguments,
    run=run,
)
