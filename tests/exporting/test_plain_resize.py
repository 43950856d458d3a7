"""The resize of a test pipeline inside the graph: mmcv's sizes, OpenCV's bytes, the predictor's labels."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmcv.image.geometric import rescale_size
from PIL import Image

import swinseg
from support import scripts, tiny_checkpoint
from swinseg.cli.export import COMMAND
from swinseg.cli.frame import main
from swinseg.exporting.plain_resize import resize_pixels, resized_size
from swinseg.exporting.scale import Scale
from swinseg.exporting.targets import TARGETS

sides = st.integers(1, 9000)


def require(target):
    for package in TARGETS[target].needs:
        pytest.importorskip(package)


@given(
    height=sides,
    width=sides,
    scale=st.sampled_from([(2048, 512), (480, 360), (683, 512), (769, 769)]),
)
def test_resized_size__is_mmcvs(height, width, scale):
    expected = rescale_size((width, height), scale)[::-1]
    found = resized_size(height, width, Scale(*scale, keep_ratio=True))
    assert found == tuple(max(1, side) for side in expected)
    traced = resized_size(torch.tensor(height), torch.tensor(width), Scale(*scale, keep_ratio=True))
    assert tuple(map(int, traced)) == found


def test_resized_size__ratio_not_kept():
    assert resized_size(31, 7, Scale(40, 20, keep_ratio=False)) == (20, 40)


@pytest.mark.parametrize('target', [(64, 90), (41, 29), (25, 35), (50, 70), (1, 1), (150, 3)])
@pytest.mark.parametrize('source', [(50, 70), (97, 61), (3, 4), (1, 1)])
def test_resize_pixels__opencvs_bytes(source, target):
    pixels = np.random.default_rng(0).integers(0, 256, (2, *source, 3), dtype=np.uint8)
    found = resize_pixels(torch.from_numpy(pixels), target)
    expected = [cv2.resize(each, target[::-1], interpolation=cv2.INTER_LINEAR) for each in pixels]
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tiny_checkpoint.make_folder(tmp_path_factory.mktemp('resize'))


@pytest.fixture(scope='module')
def predictor(folder):
    return swinseg.Predictor.from_checkpoint(folder / 'tiny.pth', device='cpu')


def export_resizing(folder, target, **options):
    """Return what was exported into a folder of its own, and the runtime that has it open."""
    require(target)
    path = folder / f'{target}-{len(options)}' / f'tiny{TARGETS[target].suffix}'
    options.update(to=target, input='image', output='confidence', resize=True)
    exported = swinseg.export(folder / 'tiny.pth', path, **options)
    assert all(case.is_equal for case in exported.cases)
    return exported, TARGETS[target].runtime(path)


@pytest.fixture(scope='module')
def exported(folder):
    return export_resizing(folder, 'onnx')


def assert_predicts(runtime, predictor, image):
    labels, confidence = runtime.outputs(np.asarray(Image.open(image).convert('RGB'))[None])
    expected = predictor(image, confidence=True)
    assert labels[0].shape == expected.labels.shape
    assert np.mean(labels[0] == expected.labels) > 0.9999
    np.testing.assert_allclose(confidence[0], expected.confidence, atol=1e-4)


@pytest.mark.slow
def test_export__resizes_as_the_predictor_does(exported, folder, predictor):
    for image in (folder / 'images').iterdir():
        assert_predicts(exported[1], predictor, image)
    receipt = json.loads(exported[0].files[-1].read_text())
    assert receipt['model']['resizes']
    assert receipt['model']['protocol'] == {'resize': None, 'mode': 'whole', 'other_steps': []}
    assert 'Resize' not in receipt['model']['config']
    # Other sizes than a graph has that leaves images as they are.
    assert [case['size'] for case in receipt['compared']] == [[1, 128, 160], [2, 97, 61]]


@pytest.mark.slow
@pytest.mark.skipif(
    'SWINSEG_TEST_DATA' not in os.environ, reason='SWINSEG_TEST_DATA names no folder of photographs'
)
def test_export__real_photographs(exported, predictor):
    root = Path(os.environ['SWINSEG_TEST_DATA'])
    for name in ('ade20k', 'camvid'):
        photographs = sorted((root / name / 'images').rglob('*.*g'))[:3]
        assert len(photographs) == 3
        for photograph in photographs:
            assert_predicts(exported[1], predictor, photograph)


@pytest.mark.full
def test_export__openvino_resizes_as_the_predictor_does(folder, predictor):
    _, runtime = export_resizing(folder, 'openvino')
    for image in (folder / 'images').iterdir():
        assert_predicts(runtime, predictor, image)


@pytest.mark.parametrize('target', ['onnx', pytest.param('openvino', marks=pytest.mark.full)])
def test_export__resizes_images_of_one_size(target, folder, predictor):
    _, runtime = export_resizing(folder, target, size=(97, 61))
    assert_predicts(runtime, predictor, folder / 'images' / '1.png')


def test_command__resize_without_an_image(folder, tmp_path, capsys):
    require('onnx')
    given = [
        str(folder / 'tiny.pth'),
        '--to',
        'onnx',
        '--out',
        str(tmp_path / 'tiny.onnx'),
        '--resize',
    ]
    scripts.assert_one_clear_line(
        main(COMMAND, given), capsys, r"not for input='tensor'; give .*--input image"
    )
    assert not (tmp_path / 'tiny.onnx').exists()
