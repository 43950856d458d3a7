"""The arguments of ``swinseg segment`` about how to segment."""

from __future__ import annotations

import argparse
import os
import re
from typing import Any

from swinseg.inference import source_identity
from swinseg.inference.tiling import BLENDS
from swinseg.predictor import PredictOptions
from swinseg.predictor.arguments import memory_size, source_of
from swinseg.segment.annotations import FILES
from swinseg.segment.batch import Options
from swinseg.segment.scenes.kinds import SCENE_PIXELS
from swinseg.segment.videos.libraries import CODECS

PALETTES = ('checkpoint', 'color-blind')


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that ``options_of`` reads."""
    add = parser.add_argument
    add('--tta', action='store_true', help="average the config's scales and flips")
    add('--confidence', action='store_true', help='also write the probability of the labels')
    add(
        '--reject-below', type=float, metavar='P',
        help="label pixels whose probability is lower 'rejected'",
    )  # fmt: skip
    add('--alpha', type=float, default=0.5, help='weight of the colors in overlays, 0 to 1')
    add(
        '--borders', action=argparse.BooleanOptionalAction, default=True,
        help="draw each class's rim in its full color in overlays (default: yes)",
    )  # fmt: skip
    add(
        '--palette', choices=PALETTES, default=PALETTES[0],
        help="the checkpoint's colors, or ones that color-blind eyes tell apart as well",
    )  # fmt: skip
    add(
        '--class-masks', action='store_true',
        help='of a model of which a pixel may have several classes, also write a mask for each class',
    )  # fmt: skip
    add(
        '--sheet', action='store_true',
        help='also write sheet.png: small overlays of all images and scenes in one picture',
    )  # fmt: skip
    add(
        '--annotations', choices=FILES, action='append', default=[], metavar='TOOL',
        help='also write files of images in which people correct the labels in an annotation tool: cvat, '
        'label-studio or yolo; may be given several times',
    )  # fmt: skip
    add(
        '--image-address', default='', metavar='PREFIX',
        help='what stands before the names of images where Label Studio finds them, such as '
        '"/data/local-files/?d=photos/"',
    )  # fmt: skip
    add(
        '--frame-stride', type=int, default=1, metavar='N',
        help='segment each N-th frame of a video',
    )  # fmt: skip
    add(
        '--video-codec', choices=CODECS,
        help='of the videos that are written (default: h264, in MP4; vp9 is in WebM)',
    )  # fmt: skip
    _add_scene_options(parser)


def _add_scene_options(parser: argparse.ArgumentParser) -> None:
    scenes = parser.add_argument_group(
        'scenes',
        'A GeoTIFF, an .npy file and an image with more than '
        f'{SCENE_PIXELS:,} pixels are segmented by windows at their own resolution, and, with --window, so is '
        "every image. Others go through the config's test pipeline. Interrupted work is continued by the same "
        'command.',
    )
    scenes.add_argument(
        '--window', type=window_size, metavar='SIZE',
        help='side, or HEIGHTxWIDTH (default: that of the model, or 512)',
    )  # fmt: skip
    scenes.add_argument(
        '--stride', type=window_size, metavar='SIZE',
        help='from window to window (default: that of the model, or 3/4 window)',
    )  # fmt: skip
    scenes.add_argument(
        '--blend', choices=BLENDS, help='of windows (default: that of the model, or gaussian)'
    )
    scenes.add_argument(
        '--max-memory', type=memory_size, metavar='SIZE',
        help='for windows and scores beside the model, such as 2G; fewer windows at a time, then scores in half '
        'precision',
    )  # fmt: skip
    scenes.add_argument(
        '--bands', type=band_numbers, metavar='N,N,N',
        help='of a TIFF, from 1 (default: red, green, blue)',
    )  # fmt: skip


def options_of(args: argparse.Namespace) -> Options:
    """Return what the arguments ask for; checkpoint, config, dtype and palette tell the model from others.

    Raises:
        HubError: there is no model of that name.
    """
    identity = {
        'checkpoint': _identity(source_of(args).weights),
        'config': None if args.config is None else _identity(args.config),
        'dtype': args.dtype,
        'palette': args.palette,
    }
    if args.provider:
        identity['providers'] = args.provider
    return Options(
        predict=PredictOptions(
            tta=args.tta, confidence=args.confidence, reject_below=args.reject_below
        ),
        alpha=args.alpha,
        borders=args.borders,
        sheet=args.sheet,
        annotations=args.annotations,
        image_address=args.image_address,
        class_masks=args.class_masks,
        window=args.window,
        stride=args.stride,
        blend=args.blend,
        max_memory=args.max_memory,
        bands=args.bands,
        frame_stride=args.frame_stride,
        video_codec=args.video_codec,
        model_identity=identity,
    )


def _identity(path: str) -> dict[str, Any]:
    return source_identity(path) if os.path.isfile(path) else {'address': os.fspath(path)}


def window_size(text: str) -> int | tuple[int, int]:
    """Turn ``512`` into a side, and ``512x768`` into height and width."""
    found = re.fullmatch(r'(\d+)(?:x(\d+))?', text)
    if not found or int(found[1]) < 1 or (found[2] is not None and int(found[2]) < 1):
        raise argparse.ArgumentTypeError(
            f'pixels such as 512, or 512x768 (height x width), are expected, not {text!r}'
        )
    return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))


def band_numbers(text: str) -> tuple[int, ...]:
    """Turn ``4,3,2`` into numbers."""
    if not re.fullmatch(r'\d+(,\d+)*', text):
        raise argparse.ArgumentTypeError(f'numbers such as 4,3,2 are expected, not {text!r}')
    return tuple(int(number) for number in text.split(','))
