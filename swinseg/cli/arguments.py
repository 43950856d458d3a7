"""Arguments that several commands have, so that they are named and explained alike."""

from __future__ import annotations

import argparse

from swinseg.engine.distributed.launch import LAUNCHERS

CONFIG_HELP = 'a file, or a shipped one by name, such as upernet_swin_t_ade20k (swinseg configs)'


def add_cfg_options(
    parser: argparse.ArgumentParser, *, explanation: str = 'such as data_root=/data/ade'
) -> None:
    """Add ``--cfg-options``, a list of overrides for ``load_config``."""
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='K=V', help=explanation)


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher``, which :func:`~swinseg.cli.frame.launched` takes."""
    parser.add_argument(
        '--launcher', choices=LAUNCHERS, default='none',
        help='how this process was started, when it is one of several',
    )  # fmt: skip
