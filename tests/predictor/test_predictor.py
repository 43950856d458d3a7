"""The Predictor against ``tools/test.py``'s own predictions, and what it says about bad input."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from support import tiny_checkpoint
from swinseg.engine import evaluate, load_config
from swinseg.errors import DataError
from swinseg.predictor import PredictOptions, Predictor, PredictorError

SLIDE = {'mode': 'slide', 'crop_size': (48, 48), 'stride': (31, 31)}


@pytest.mark.slow
@pytest.mark.parametrize('tta', [False, True], ids=['plain', 'tta'])
@pytest.mark.parametrize('stock', [False, True], ids=['ours', 'stock'])
@pytest.mark.parametrize('test_cfg', [{'mode': 'whole'}, SLIDE], ids=['whole', 'slide'])
def test_call__labels_are_those_that_the_evaluation_scores(
    data, images, tmp_path, test_cfg, stock, tta
):
    cfg = tiny_checkpoint.config(data, stock=stock, **test_cfg)
    checkpoint = tiny_checkpoint.save(tmp_path / 'tiny.pth', cfg)
    cfg.test_evaluator = dict(
        type='MeanIoUMetric', format_only=True, output_dir=str(tmp_path / 'evaluated')
    )
    evaluate(cfg, checkpoint, tta=tta, work_dir=tmp_path / 'work')
    predictor = Predictor.from_checkpoint(checkpoint)
    for path in images:
        expected = np.array(Image.open(tmp_path / 'evaluated' / path.name))
        assert len(np.unique(expected)) > 1
        np.testing.assert_array_equal(predictor(path, tta=tta).labels, expected)


def test_call__a_path_an_array_and_a_pil_image_are_the_same(predictor, images):
    for path in images:
        expected = predictor(path).labels
        image = Image.open(path)
        array = np.array(image)
        before = array.copy()
        np.testing.assert_array_equal(predictor(str(path)).labels, expected)
        np.testing.assert_array_equal(predictor(array).labels, expected)
        np.testing.assert_array_equal(predictor(image).labels, expected)
        np.testing.assert_array_equal(array, before)


def test_call__the_result_has_the_images_size_and_colors(predictor, images):
    result = predictor(images[1])
    assert result.labels.shape == (97, 61)
    assert result.labels.dtype == np.uint8
    assert result.confidence is None
    assert result.classes == tiny_checkpoint.CLASSES
    assert result.palette.tolist() == tiny_checkpoint.PALETTE
    np.testing.assert_array_equal(result.image, np.array(Image.open(images[1])))


@pytest.mark.parametrize('tta', [False, True], ids=['plain', 'tta'])
def test_call__confidence_is_the_labels_probability(predictor, images, tta):
    result = predictor(images[0], confidence=True, tta=tta)
    np.testing.assert_array_equal(result.labels, predictor(images[0], tta=tta).labels)
    assert result.confidence.shape == result.labels.shape
    assert result.confidence.dtype == np.float32
    assert result.confidence.min() >= 1 / len(result.classes)
    assert result.confidence.max() <= 1


@pytest.mark.parametrize('size', [(1, 1), (3, 40), (200, 7), (2, 8000)])
def test_call__tiny_and_narrow_images(predictor, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert predictor(image).labels.shape == size


def test_call__honors_exif_orientation(predictor, images, tmp_path):
    image = Image.open(images[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image.save(tmp_path / 'turned.jpg', exif=exif)
    assert predictor(tmp_path / 'turned.jpg').labels.shape == (70, 50)
    assert predictor(Image.open(tmp_path / 'turned.jpg')).labels.shape == (70, 50)


@pytest.mark.parametrize('mode', ['L', 'P', 'RGBA', 'CMYK'])
def test_call__pil_images_of_other_modes(predictor, images, mode):
    image = Image.open(images[0])
    expected = predictor(np.array(image.convert(mode).convert('RGB'))).labels
    np.testing.assert_array_equal(predictor(image.convert(mode)).labels, expected)


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (np.zeros((4, 4), np.uint8), r'must be \(height, width, 3\) uint8 RGB, but is \(4, 4\) uint8'),
        (np.zeros((4, 4, 3)), r'but is \(4, 4, 3\) float64'),
        (np.zeros((0, 4, 3), np.uint8), r'but is \(0, 4, 3\)'),
        (Image.new('I;16', (4, 4)), 'must have 8 bits per channel, but its mode is I;16'),
        (17, 'must be a path, an array or a PIL image, but is a int$'),
        (['a.png'], r'but is a list; give several images to Predictor\.stream$'),
    ],
    ids=['gray', 'float', 'empty', '16-bit', 'number', 'list'],
)  # fmt: skip
def test_call__images_of_the_wrong_kind(predictor, image, message):
    with pytest.raises(PredictorError, match=message):
        predictor(image)


def test_call__16_bits_mean_what_the_config_says(predictor, data, checkpoint, images, tmp_path):
    photo = np.array(Image.open(images[0]))
    deep = photo.astype(np.uint16) * 10 + 500
    cv2.imwrite(str(tmp_path / 'deep.png'), deep[..., ::-1])
    cfg = tiny_checkpoint.config(data)
    cfg.test_dataloader.dataset.pipeline[0].value_range = [500, 3050]
    ours = Predictor.from_checkpoint(checkpoint, cfg)
    expected = predictor(photo)
    for image in (tmp_path / 'deep.png', deep):
        result = ours(image)
        np.testing.assert_array_equal(result.labels, expected.labels)
        np.testing.assert_array_equal(result.image, photo)
    with pytest.raises(DataError, match=r'deep\.png holds 16-bit values'):
        predictor(tmp_path / 'deep.png')
    given = Predictor.from_checkpoint(checkpoint, value_range=[[500, 3050]] * 3)
    assert given.value_range.setting == [[500, 3050]] * 3
    np.testing.assert_array_equal(given(deep).labels, expected.labels)


def test_call__damaged_files(predictor, images, tmp_path):
    (tmp_path / 'text.jpg').write_text('not an image')
    (tmp_path / 'empty.png').write_bytes(b'')
    Image.open(images[0]).save(tmp_path / 'whole.jpg')
    (tmp_path / 'cut.jpg').write_bytes((tmp_path / 'whole.jpg').read_bytes()[:-200])
    for name in ('text.jpg', 'empty.png', 'cut.jpg', 'missing.jpg'):
        with pytest.raises(DataError, match=name):
            predictor(tmp_path / name)
    with pytest.raises(PredictorError, match='the PIL image cannot be decoded'):
        predictor(Image.open(tmp_path / 'cut.jpg'))


def test_call__tta_that_the_config_does_not_have(data, checkpoint):
    cfg = tiny_checkpoint.config(data)
    cfg.pop('tta_pipeline')
    predictor = Predictor.from_checkpoint(checkpoint, cfg)
    with pytest.raises(PredictorError, match='needs a tta_pipeline'):
        predictor(np.zeros((40, 40, 3), np.uint8), tta=True)


def test_call__a_model_of_one_channel(data, tmp_path):
    """Loaders of gray images: a file is loaded as the config says, and so is an array."""
    cfg = tiny_checkpoint.config(data)
    cfg.model.backbone.in_channels = 1
    cfg.model.data_preprocessor = dict(type='SegDataPreProcessor', mean=[120.0], std=[60.0])
    cfg.test_dataloader.dataset.pipeline[0] = dict(
        type='LoadImageFromFile', color_type='grayscale', to_float32=True
    )
    predictor = Predictor.from_checkpoint(tiny_checkpoint.save(tmp_path / 'gray.pth', cfg))
    gray = np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)
    Image.fromarray(gray).save(tmp_path / 'gray.png')
    result = predictor(tmp_path / 'gray.png')
    np.testing.assert_array_equal(result.image, np.repeat(gray[..., None], 3, axis=2))
    np.testing.assert_array_equal(predictor(result.image).labels, result.labels)


def test_init__understands_the_pipelines_of_this_repository():
    cfg = load_config(Path(__file__).parents[2] / 'configs' / 'upernet_swin_t_mini.py')
    predictor = Predictor(
        tiny_checkpoint.build(tiny_checkpoint.config(Path())),
        cfg.test_dataloader.dataset.pipeline,
        classes=tiny_checkpoint.CLASSES,
        tta_pipeline=cfg.tta_pipeline,
    )
    image = np.zeros((40, 48, 3), np.uint8)
    assert predictor(image).labels.shape == (40, 48)
    assert predictor(image, tta=True).labels.shape == (40, 48)


def noise(number, size=(40, 48)):
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 1, 3), np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))[: size[0], : size[1]]


@pytest.fixture
def several():
    """Two sizes; the pipeline makes 53 x 64 of 40 x 48, and 64 x 64 of squares."""
    sizes = [(40, 48), (40, 48), (30, 30), (64, 64), (40, 48), (40, 48), (40, 48), (40, 48)]
    return [noise(number, size) for number, size in enumerate(sizes)]


@pytest.fixture
def batches(predictor):
    """The number of images at each call of the model."""
    seen = []
    handle = predictor.model.backbone.register_forward_pre_hook(
        lambda _, inputs: seen.append(len(inputs[0]))
    )
    yield seen
    handle.remove()


def stream(predictor, images, **options):
    return list(predictor.stream(images, PredictOptions(**options)))


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.labels.shape == other.labels.shape
        assert (one.labels == other.labels).mean() > 0.999
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-5)


@pytest.mark.parametrize(
    ('batch_size', 'expected'),
    [(None, [1] * 8), (2, [2, 2, 2, 2]), (3, [2, 2, 3, 1]), (100, [2, 2, 4])],
)
def test_stream__several_images_are_those_one_by_one(
    predictor, several, batches, batch_size, expected
):
    alone = [predictor(image, confidence=True) for image in several]
    batches.clear()
    found = stream(predictor, several, confidence=True, batch_size=batch_size)
    assert batches == expected
    assert_same(found, alone)


@pytest.mark.parametrize('options', [{'tta': True}, {'probabilities': True}], ids=str)
def test_stream__several_images_with_options(predictor, several, options):
    several = several[:4]
    alone = [predictor(image, confidence=True, **options) for image in several]
    assert_same(stream(predictor, several, confidence=True, batch_size=2, **options), alone)


def test_stream__several_images_by_windows(data, tmp_path, several):
    cfg = tiny_checkpoint.config(data, **SLIDE)
    predictor = Predictor.from_checkpoint(tiny_checkpoint.save(tmp_path / 'tiny.pth', cfg))
    alone = [predictor(image, confidence=True) for image in several[:4]]
    assert_same(stream(predictor, several[:4], confidence=True, batch_size=2), alone)


@pytest.mark.parametrize('kind', [tuple, iter, lambda images: (image for image in images)])
def test_stream__any_iterable(predictor, images, kind):
    found = predictor.stream(kind(images))
    assert [result.name for result in found] == ['0', '1', '2']
    assert list(predictor.stream([])) == []


def test_stream__halves_the_batch_when_memory_runs_out(predictor, several):
    sizes = []

    def run_out(_, inputs):
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    alone = [predictor(image, confidence=True) for image in several]
    handle = predictor.model.backbone.register_forward_pre_hook(run_out)
    try:
        found = stream(predictor, several, confidence=True, batch_size=4)
    finally:
        handle.remove()
    assert sizes == [2, 2, 4, 2, 2]
    assert_same(found, alone)


def test_stream__says_which_image_is_of_the_wrong_kind(predictor, several):
    with pytest.raises(PredictorError, match=r'^image 2 of the given ones: an image array must be'):
        stream(predictor, [several[0], np.zeros((4, 4), np.uint8)])


@pytest.mark.parametrize(
    ('image', 'kind'), [('a.png', 'str'), (np.zeros((4, 4, 3)), 'ndarray'), (Path(), r'\w*Path'), (3, 'int')]
)  # fmt: skip
def test_stream__a_single_image(predictor, image, kind):
    with pytest.raises(PredictorError, match=f'was given one {kind}; put it into a list, or call'):
        predictor.stream(image)


def test_stream__reads_images_when_they_are_needed(predictor, images):
    asked = []

    def paths():
        for path in images:
            asked.append(path)
            yield path

    results = predictor.stream(paths())
    assert asked == []
    first = next(results)
    assert len(asked) <= 2
    np.testing.assert_array_equal(first.labels, predictor(images[0]).labels)
    assert [result.name for result in results] == ['1', '2']


def test_stream__options_that_the_model_cannot_do_at_once(data, checkpoint, images):
    cfg = tiny_checkpoint.config(data)
    cfg.pop('tta_pipeline')
    predictor = Predictor.from_checkpoint(checkpoint, cfg)
    with pytest.raises(PredictorError, match='needs a tta_pipeline'):
        predictor.stream(images, PredictOptions(tta=True))


@pytest.mark.parametrize('options', [{}, dict(tta=True, confidence=True), dict(reject_below=0.3)])
def test_call__is_predict_with_options(predictor, images, options):
    expected = predictor.predict(images[0], PredictOptions(**options))
    found = predictor(images[0], **options)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.classes == expected.classes
    assert (found.confidence is None) == (expected.confidence is None)


def test_call__an_option_that_there_is_not(predictor, images):
    with pytest.raises(TypeError, match="unexpected keyword argument 'confidnce'"):
        predictor(images[0], confidnce=True)


@pytest.mark.parametrize('tta', [False, True], ids=['plain', 'tta'])
@pytest.mark.parametrize('test_cfg', [{'mode': 'whole'}, SLIDE], ids=['whole', 'slide'])
def test_predict__probabilities_belong_to_labels_and_confidence(
    data, images, tmp_path, test_cfg, tta
):
    cfg = tiny_checkpoint.config(data, **test_cfg)
    predictor = Predictor.from_checkpoint(tiny_checkpoint.save(tmp_path / 'tiny.pth', cfg))
    result = predictor(images[1], probabilities=True, confidence=True, tta=tta)
    assert result.probabilities.shape == (4, 97, 61)
    assert result.probabilities.dtype == np.float32
    np.testing.assert_allclose(result.probabilities.sum(0), 1, atol=1e-5)
    np.testing.assert_allclose(result.probabilities.max(0), result.confidence, atol=1e-6)
    plain = predictor(images[1], tta=tta)
    assert plain.probabilities is None
    np.testing.assert_array_equal(result.labels, plain.labels)
    at_label = np.take_along_axis(result.probabilities, result.labels[None].astype(int), 0)[0]
    np.testing.assert_allclose(at_label, result.confidence, atol=1e-6)


@pytest.mark.parametrize('tta', [False, True], ids=['plain', 'tta'])
def test_predict__probabilities_of_a_head_with_one_channel(data, images, tmp_path, tta):
    cfg = tiny_checkpoint.config(data)
    cfg.model.decode_head.update(num_classes=2, out_channels=1, threshold=0.4)
    model = tiny_checkpoint.build(cfg)
    pipeline = cfg.test_dataloader.dataset.pipeline
    predictor = Predictor(model, pipeline, classes=('no', 'yes'), tta_pipeline=cfg.tta_pipeline)
    result = predictor(images[0], probabilities=True, confidence=True, tta=tta)
    assert result.probabilities.shape == (2, 50, 70)
    np.testing.assert_array_equal(result.labels, result.probabilities[1] > 0.4)
    np.testing.assert_allclose(result.probabilities.sum(0), 1, atol=1e-6)
    assert len(np.unique(result.labels)) == 2
