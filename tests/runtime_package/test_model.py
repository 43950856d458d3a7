"""Exported files without PyTorch; the package's predictor says what is expected."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from swinseg.predictor import Predictor
from swinseg_runtime import Model, ModelFileError

WITHOUT_PYTORCH = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('torch', 'mmseg', 'mmengine', 'mmcv', 'cv2', 'swinseg'):
            raise ImportError(f'{name} is not installed')

sys.meta_path.insert(0, Blocker())
from swinseg_runtime.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize('to', ['onnx', pytest.param('openvino', marks=pytest.mark.full)])
def test_command__without_pytorch(exported_files, tmp_path, to):
    path = exported_files.exported(to, 'plain', input='image' if to == 'onnx' else 'tensor')
    given = [*map(str, exported_files.images), '--out', str(tmp_path), '--threads', '1']
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT_PYTORCH, str(path), *given], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, '')
    predictor = Predictor.from_checkpoint(exported_files.checkpoint('plain'))
    for image in exported_files.images:
        expected = predictor(image)
        with Image.open(tmp_path / f'{image.stem}_labels.png') as found:
            assert np.array_equal(np.asarray(found), expected.labels)
            assert np.array_equal(np.asarray(found.convert('RGB')), expected.color())


@pytest.mark.slow
def test_model__resized_images_and_probabilities(exported_files):
    image = exported_files.images[0]
    given = np.asarray(Image.open(image))
    predictor = Predictor.from_checkpoint(exported_files.checkpoint('whole'))
    expected = predictor(given, probabilities=True)
    found = Model(exported_files.exported('onnx', 'whole', output='probabilities'))(given)
    assert found.probabilities.shape == expected.probabilities.shape
    # Probabilities are resized where the package resizes logits.
    assert np.abs(found.probabilities - expected.probabilities).mean() < 0.02
    assert np.mean(found.labels == expected.labels) > 0.97
    assert np.array_equal(found.confidence, found.probabilities.max(0))
    labels_only = Model(exported_files.exported('onnx', 'whole'))(image)
    assert np.mean(labels_only.labels == expected.labels) > 0.9
    assert labels_only.confidence is None


def test_model__means_of_windows(exported_files):
    """Against windows that are run one by one."""
    path = exported_files.exported('onnx', 'windows', output='probabilities')
    model = Model(path)
    given = np.asarray(Image.open(exported_files.images[1]))  # 97 x 61, windows of 48 x 64
    sums, count = np.zeros((4, 97, 61)), np.zeros((97, 1))
    for top in (0, 32, 49):
        sums[:, top : top + 48] += model(given[top : top + 48]).probabilities
        count[top : top + 48] += 1
    found = model(given)
    assert np.allclose(found.probabilities, sums / count, atol=1e-6)
    expected = Predictor.from_checkpoint(exported_files.checkpoint('windows'))(given)
    assert np.mean(found.labels == expected.labels) > 0.97
    labels = Model(exported_files.exported('onnx', 'windows'))
    with pytest.raises(
        ModelFileError, match='sliding windows, which need probabilities, but gives labels'
    ):
        labels(given)
    assert labels(given[:48]).labels.shape == (48, 61)


def test_model__fixed_size(exported_files):
    model = Model(exported_files.exported('onnx', 'plain', size=(64, 64)), device='cpu')
    assert model(exported_files.images[2]).labels.shape == (64, 64)
    with pytest.raises(ModelFileError, match=r'takes images of 64 x 64 pixels .* found 50 x 70'):
        model(exported_files.images[0])


def test_model__orientation_of_a_photograph(exported_files, tmp_path):
    model = Model(exported_files.exported('onnx', 'plain', input='image'))
    upright = Image.open(exported_files.images[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 270 degrees
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / 'turned.png', exif=exif)
    assert np.array_equal(model(tmp_path / 'turned.png').labels, model(upright).labels)


@pytest.mark.parametrize(
    ('image', 'sentence'),
    [
        ('no.png', r'cannot read the image no\.png: No such file'),
        (np.zeros((4, 4), np.uint8), r'found \(4, 4\) uint8'),
        (np.zeros((4, 4, 3)), r'found \(4, 4, 3\) float64'),
        (3, 'found int'),
        (Image.new('I;16', (4, 4)), 'must have 8 bits per channel, but its mode is I;16'),
    ],
)
def test_model__no_image(exported_files, image, sentence):
    model = Model(exported_files.exported('onnx', 'plain', input='image'))
    with pytest.raises(ModelFileError, match=sentence):
        model(image)
