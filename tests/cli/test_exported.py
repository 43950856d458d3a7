"""``segment``, ``test`` and ``serve`` with exported files, beside what they make of the checkpoint."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from support import scripts, tiny_checkpoint
from swinseg.cli import segment, test
from swinseg.cli.export import COMMAND as EXPORT
from swinseg.cli.frame import main


@pytest.fixture(scope='module')
def config(exported_files):
    path = exported_files.root / 'config.py'
    cfg = tiny_checkpoint.config(
        exported_files.root, mode='slide', crop_size=(48, 64), stride=(32, 40)
    )
    cfg.model.backbone.depths = (1, 1, 1, 1)
    cfg.dump(path)
    return path


def labels_in(folder):
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.glob('*_labels.png'))}


@pytest.mark.slow
@pytest.mark.parametrize('to', ['onnx', pytest.param('openvino', marks=pytest.mark.full)])
def test_segment__images_and_scenes(exported_files, tmp_path, to):
    exported = exported_files.exported(to, 'slide', output='confidence')
    for name, model in (('of_file', exported), ('expected', exported_files.checkpoint('slide'))):
        images = map(str, exported_files.images)
        scene = ['--window', '40', '--blend', 'gaussian', '--max-memory', '2G']
        out = ['--out', str(tmp_path / name)]
        assert main(segment.COMMAND, [str(model), *images, *out, '--threads', '1']) == 0
        images = map(str, exported_files.images)
        out = ['--out', str(tmp_path / f'{name}_scenes'), '--device', 'cpu']
        assert main(segment.COMMAND, [str(model), *images, *out, *scene]) == 0
    for kind in ('', '_scenes'):
        found, expected = (labels_in(tmp_path / f'{x}{kind}') for x in ('of_file', 'expected'))
        assert found.keys() == expected.keys()
        assert len(found) == 3
        assert all(np.array_equal(found[name], expected[name]) for name in found)


def test_segment__a_video(exported_files, tmp_path):
    path = tmp_path / 'walk.avi'
    pixels = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), dtype=np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 5, (64, 48))
    for frame in pixels:
        writer.write(frame)
    writer.release()
    areas = {}
    for model in (exported_files.exported('onnx', 'whole'), exported_files.checkpoint('whole')):
        out = tmp_path / model.suffix[1:]
        assert main(segment.COMMAND, [str(model), str(path), '--out', str(out)]) == 0
        areas[model.suffix] = (out / 'walk_areas.csv').read_text()
        assert len(areas[model.suffix].splitlines()) > len(pixels)
    assert areas['.onnx'] == areas['.pth']


@pytest.mark.slow
def test_test__metrics_and_report(exported_files, config, tmp_path, capsys):
    exported = exported_files.exported('onnx', 'slide', output='confidence')
    found = {}
    for model in (exported, exported_files.checkpoint('slide')):
        out = tmp_path / model.suffix[1:]
        given = [str(config), str(model), '--out', str(out), '--work-dir', str(tmp_path / 'work')]
        assert main(test.COMMAND, [*given, '--report', str(out / 'report')]) == 0
        assert main(test.COMMAND, [*given, '--tta', '--out', str(out / 'tta')]) == 0
        files = (out / 'metrics.json', out / 'tta' / 'metrics.json')
        found[model.suffix] = [json.loads(file.read_text()) for file in files]
    assert [x['headline'] for x in found['.onnx']] == [x['headline'] for x in found['.pth']]
    assert found['.onnx'][0]['checkpoint'] == str(exported)
    assert str(exported) in (tmp_path / 'onnx' / 'report' / 'report.html').read_text()
    capsys.readouterr()
    other = f'test_dataloader.dataset.classes={["sky", "tree", "road", "boat"]}'.replace(' ', '')
    code = main(test.COMMAND, [*given[:1], str(exported), *given[2:], '--cfg-options', other])
    scripts.assert_one_clear_line(code, capsys, r'class 3 is car in it and boat in the set')


@pytest.mark.slow
def test_serve__an_image(exported_files):
    testclient = pytest.importorskip('starlette.testclient')
    from swinseg.predictor import Predictor
    from swinseg.web.app import create_app

    predictor = Predictor.from_exported(
        exported_files.exported('onnx', 'slide', output='confidence')
    )
    photo = exported_files.images[0]
    expected = Predictor.from_checkpoint(exported_files.checkpoint('slide'))(photo)
    with testclient.TestClient(
        create_app(predictor, name='tiny.onnx'), base_url='http://localhost'
    ) as client:
        answer = client.post('/v1/segment', content=photo.read_bytes())
    assert answer.status_code == 200
    found = {each['name']: each['area'] for each in answer.json()['classes']}
    assert found == expected.areas()


@pytest.mark.parametrize(
    ('model', 'options', 'sentence'),
    [
        ('onnx', ['--provider', 'NoProvider'], r'no execution provider NoProvider; it has .*CPU'),
        ('onnx', ['--device', 'tpu'], "must be one of auto, cpu, gpu, not 'tpu'"),
        ('onnx', ['--dtype', 'bfloat16'], r'and not in bfloat16; leave dtype out'),
        ('onnx', ['--compile'], '--compile is for checkpoints, not for the exported file'),
        ('onnx', ['--threads', '0'], '--threads must be at least 1, not 0'),
        (
            'pth',
            ['--provider', 'CUDAExecutionProvider'],
            r'--provider is for exported files \(\.onnx',
        ),
        ('no.xml', [], r'no file .*no\.xml'),
    ],
)
def test_segment__what_does_not_go_together(
    exported_files, tmp_path, capsys, model, options, sentence
):
    path = {
        'onnx': exported_files.exported('onnx', 'whole'),
        'pth': exported_files.checkpoint('whole'),
    }.get(model, tmp_path / model)
    out = tmp_path / 'out'
    code = main(
        segment.COMMAND, [str(path), str(exported_files.images[0]), '--out', str(out), *options]
    )
    scripts.assert_one_clear_line(code, capsys, sentence)
    assert not labels_in(out)


def test_test_and_export__what_does_not_go_together(exported_files, config, tmp_path, capsys):
    work = ['--work-dir', str(tmp_path / 'work')]
    checkpoint = str(exported_files.checkpoint('slide'))
    code = main(test.COMMAND, [str(config), checkpoint, '--device', 'cpu', *work])
    scripts.assert_one_clear_line(
        code, capsys, 'device and providers are chosen for exported files'
    )
    exported = str(exported_files.exported('onnx', 'whole'))
    code = main(EXPORT, [exported, '--to', 'onnx', '--out', str(tmp_path / 'again.onnx')])
    scripts.assert_one_clear_line(code, capsys, r'is an exported file, which has no weights')
