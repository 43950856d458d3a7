"""The command ``swinseg``: its table of subcommands, and what it answers without loading PyTorch.

A module beside the package, because importing anything of the package repairs the third-party stack and fills
mmseg's registries, which takes seconds; ``--help``, ``--version`` and a misspelled subcommand need none of it.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

SUBCOMMANDS: dict[str, tuple[str, str]] = {
    'train': ('swinseg.cli.train', 'train a segmentor from a config'),
    'test': ('swinseg.cli.test', "evaluate a checkpoint on a config's test set"),
    'segment': ('swinseg.cli.segment', 'labels, colors and overlays of images, scenes and videos'),
    'serve': ('swinseg.cli.serve', 'a web page and an HTTP interface'),
    'export': (
        'swinseg.cli.export',
        'a file for ONNX Runtime, OpenVINO, ..., compared with PyTorch',
    ),
    'check': ('swinseg.cli.check', "what is wrong with a config's datasets, and the fix"),
    'prepare': ('swinseg.cli.prepare', 'draw the mini set, get ADE20K, convert annotations'),
    'convert': ('swinseg.cli.convert', 'weights between mmseg, Microsoft, timm, Hugging Face, ...'),
    'models': ('swinseg.cli.models', 'list the published models, which have names'),
    'push': ('swinseg.cli.push', "a model's folder to the Hugging Face hub"),
    'compare': ('swinseg.cli.compare', 'two evaluations side by side'),
    'plot': ('swinseg.cli.plot', 'curves of one training or of several'),
    'complexity': ('swinseg.cli.complexity', 'multiply-adds of a model at several image sizes'),
    'benchmark': (
        'swinseg.cli.benchmark',
        'seconds beside the peers, with the difference of results',
    ),
    'configs': ('swinseg.cli.configs', 'list the shipped configs, or copy one to edit'),
    'env': ('swinseg.cli.env', 'versions and devices, for bug reports'),
    'completion': ('swinseg.cli.completion', 'a script that lets the shell complete this command'),
}
"""Module of each subcommand, which holds its ``COMMAND``, and what the list of all of them says about it."""

DESCRIPTION = 'Semantic segmentation with a Swin Transformer backbone and a UPerNet head.'

EXAMPLE = """\
example:
  swinseg prepare mini --out data/mini
  swinseg train upernet_swin_t_mini --work-dir work_dirs/mini
  swinseg segment work_dirs/mini/best_*.pth photo.jpg --out masks

'swinseg SUBCOMMAND --help' says more of each."""


def main(argv: Sequence[str] | None = None) -> int:
    """Answer, or run the subcommand, and return the exit code: 2 for bad usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    first = arguments[0] if arguments else ''
    if first in ('-h', '--help'):
        print(help_text())
        return 0
    if first == '--version':
        print(f'swinseg {version()}')
        return 0
    if first not in SUBCOMMANDS:
        print(f'error: {_what_is_wrong_with(first)}', file=sys.stderr)
        return EXIT_BAD_INPUT
    try:
        module = importlib.import_module(SUBCOMMANDS[first][0])
    except KeyboardInterrupt:  # which is likely while PyTorch loads
        print('interrupted', file=sys.stderr)
        return EXIT_INTERRUPTED
    from swinseg.cli.frame import main as run_command

    return run_command(module.COMMAND, arguments[1:], prog=f'swinseg {first}')


def help_text() -> str:
    """Return what ``swinseg --help`` prints."""
    width = max(map(len, SUBCOMMANDS))
    return '\n'.join(
        [
            'usage: swinseg [--help] [--version] SUBCOMMAND ...',
            '',
            DESCRIPTION,
            '',
            'subcommands:',
            *(f'  {name:{width}}  {text}' for name, (_, text) in SUBCOMMANDS.items()),
            '',
            EXAMPLE,
        ]
    )


def version() -> str:
    """Return the version of the package, from the file that it has it from."""
    package = importlib.util.find_spec('swinseg')
    assert package is not None
    assert package.origin is not None
    spec = importlib.util.spec_from_file_location(
        'swinseg_versions', Path(package.origin).with_name('versions.py')
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.__version__)


def _what_is_wrong_with(first: str) -> str:
    if not first:
        return 'expected a subcommand, found none; swinseg --help lists them'
    if first.startswith('-'):
        return (
            f'before the subcommand swinseg takes --help and --version, found {first}; put other options behind '
            'the subcommand'
        )
    near = difflib.get_close_matches(first, SUBCOMMANDS, n=2, cutoff=0.5)
    meant = f'did you mean {" or ".join(near)}? ' if near else ''
    return f'there is no subcommand {first!r}; {meant}swinseg --help lists them all'


if __name__ == '__main__':
    sys.exit(main())
