"""``swinseg export``: a model as a file for ONNX Runtime, OpenVINO or PyTorch without its code."""

from __future__ import annotations

import argparse

from swinseg.cli.arguments import add_cfg_options
from swinseg.cli.frame import Command
from swinseg.config.loading import load_config
from swinseg.errors import ExportError
from swinseg.exporting import export
from swinseg.exporting.arguments import OPSET
from swinseg.exporting.gate import MAX_DROP
from swinseg.exporting.quantizing.calibration import CALIBRATION_IMAGES
from swinseg.exporting.targets import DTYPES, TARGETS
from swinseg.predictor.arguments import add_weights, source_of
from swinseg.runtimes.base import INPUTS, OUTPUTS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model, the file and what goes in and out of it."""
    add_weights(parser)
    parser.add_argument('--to', required=True, choices=list(TARGETS), help='what reads the file')
    parser.add_argument(
        '--out', required=True, metavar='FILE',
        help='.onnx, .xml for OpenVINO, .pt2 for torch.export and AOTInductor, or .torchscript; .json with the '
        'comparison is written beside it',
    )  # fmt: skip
    parser.add_argument(
        '--input', default='tensor', choices=INPUTS,
        help='normalized (B, 3, H, W) float32, or (B, H, W, 3) uint8 RGB with the normalization in the graph '
        '(default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--output', default='labels', choices=OUTPUTS,
        help='labels, labels and the probability of each, or the probabilities of all classes (default: '
        '%(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--resize', action='store_true',
        help="with --input image: resize it in the graph as the config's test pipeline does; the output has the "
        "image's own size",
    )  # fmt: skip
    parser.add_argument(
        '--fixed-size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'),
        help='one image of this size at a time, for runtimes that need to know it (default: any batch and size)',
    )  # fmt: skip
    parser.add_argument(
        '--opset', type=int, default=OPSET, metavar='N', help='of ONNX, 17 to 20 (default: %(default)s)'
    )  # fmt: skip
    parser.add_argument(
        '--dtype', default='float32', choices=DTYPES,
        help='what is computed in, or, for OpenVINO, how weights are stored (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--data', metavar='CONFIG',
        help='measure the model and the file on its test set; int8 is calibrated on its training set',
    )  # fmt: skip
    parser.add_argument(
        '--max-drop', type=float, default=MAX_DROP, metavar='POINTS',
        help='of mIoU that the file may lose there (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--calibration-images', type=int, default=CALIBRATION_IMAGES, metavar='N',
        help='of the training set, for int8 (default: %(default)s)',
    )  # fmt: skip
    add_cfg_options(parser, explanation="of --data's config, such as data_root=/data/ade")
    parser.add_argument(
        '--overwrite', action='store_true', help='replace the output if it is there'
    )


def run(args: argparse.Namespace) -> None:
    """Export, compare, and print the figures."""
    if args.trust:
        source_of(args)
    if args.cfg_options and args.data is None:
        raise ExportError(
            '--cfg-options changes the config of --data, which is not given; add --data'
        )
    data = None if args.data is None else load_config(args.data, args.cfg_options)
    print(
        export(
            args.checkpoint,
            args.out,
            to=args.to,
            input=args.input,
            output=args.output,
            resize=args.resize,
            size=args.fixed_size,
            opset=args.opset,
            dtype=args.dtype,
            data=data,
            max_drop=args.max_drop,
            calibration_images=args.calibration_images,
            config=args.config,
            trust=args.trust,
            overwrite=args.overwrite,
        )
    )


COMMAND = Command(
    description='Write a model for ONNX Runtime, OpenVINO or PyTorch without its code, and keep it if it computes '
    'there what PyTorch computes.',
    example='work_dirs/mini/best.pth --to onnx --out mini.onnx --input image',
    add_arguments=add_arguments,
    run=run,
)
