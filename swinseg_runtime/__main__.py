"""``python -m swinseg_runtime``: images in, labels out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from swinseg_runtime.errors import ModelFileError
from swinseg_runtime.model import Model
from swinseg_runtime.sessions import DEVICES

_EXIT_BAD_INPUT = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Segment files from the command line and return the exit code: 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog='python -m swinseg_runtime', description='Segment images with an exported model.'
    )
    parser.add_argument('model', metavar='MODEL', help='.onnx, or .xml of OpenVINO')
    parser.add_argument('images', nargs='+', metavar='IMAGE')
    parser.add_argument(
        '--out', type=Path, default=Path('masks'), metavar='DIR', help='(default: %(default)s)'
    )
    parser.add_argument('--device', default='auto', choices=DEVICES)
    parser.add_argument('--threads', type=int, metavar='N', help='(default: all cores)')
    parser.add_argument(
        '--provider', action='append', metavar='NAME',
        help="ONNX Runtime's execution provider or OpenVINO's device; may be given several times",
    )  # fmt: skip
    args = parser.parse_args(argv)
    try:
        targets = _targets(args.images, args.out)
        model = Model(args.model, device=args.device, threads=args.threads, providers=args.provider)
        for image, target in targets.items():
            model(image).save(target)
            print(target)
    except ModelFileError as error:
        print(f'error: {error}', file=sys.stderr)
        return _EXIT_BAD_INPUT
    return 0


def _targets(images: Sequence[str], folder: Path) -> dict[str, Path]:
    """Return where the labels of each image are written, in a folder that is there."""
    targets = {image: folder / f'{Path(image).stem}_labels.png' for image in images}
    twice = [path for path in targets.values() if list(targets.values()).count(path) > 1]
    if twice:
        raise ModelFileError(f'{twice[0]} would be that of several images; give them one at a time')
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelFileError(
            f'cannot make the folder {folder}: {error.strerror}; name another'
        ) from error
    return targets


if __name__ == '__main__':
    sys.exit(main())
