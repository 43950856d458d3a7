"""Prediction of classes that overlap: results, files, and what has no form for them."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import DATASETS
from PIL import Image

import swinseg
from support.multi_label import CLASSES, PALETTE
from swinseg.cli.frame import main
from swinseg.cli.segment import COMMAND
from swinseg.errors import UserError
from swinseg.hub.folder_writing import write_folder
from swinseg.predictor import MultiLabelSegmentation, PredictorError
from swinseg.predictor.multi_label import mask_suffixes
from swinseg.segment.scenes.scene import segment_scene
from swinseg.segment.videos.video import segment_video
from swinseg.visualization.palette import VisualizationError
from swinseg.web.limits import Limits
from swinseg.web.service import Service


@pytest.fixture(scope='module')
def run(multi_label_run):
    """The images and the checkpoint of a training."""
    root, _, result = multi_label_run
    return root, result.last


@pytest.fixture(scope='module')
def predictor(run):
    return swinseg.Predictor.from_checkpoint(run[1], device='cpu')


def result_of(bits, classes=CLASSES, **options):
    bits = np.asarray(bits)
    return MultiLabelSegmentation(
        labels=bits,
        classes=tuple(classes),
        palette=np.array([PALETTE[index % 3] for index in range(len(classes))], np.uint8),
        image=np.full((*bits.shape, 3), 90, np.uint8),
        **options,
    )


# The predictor


def test_predict__masks_at_the_thresholds_of_the_checkpoint(run, predictor):
    root, _ = run
    result = predictor.predict(
        root / 'images' / '0.png', swinseg.PredictOptions(probabilities=True)
    )
    truth = np.array(Image.open(root / 'masks' / '0.png'))
    assert isinstance(result, MultiLabelSegmentation)
    assert result.labels.dtype == np.uint8
    assert result.masks.shape == (3, *truth.shape)
    assert result.thresholds == predictor.model.thresholds != (0.5,) * 3
    limits = np.array(result.thresholds)[:, None, None]
    np.testing.assert_array_equal(result.masks, result.probabilities >= limits)
    for k in range(3):
        expected = truth >> k & 1 > 0
        assert (result.masks[k] & expected).sum() > 0.6 * (result.masks[k] | expected).sum()
    assert (result.masks.sum(0) > 1).any()


@pytest.mark.parametrize('tta', [False, True])
def test_predict__windows_and_flips(run, predictor, tta):
    root, checkpoint = run
    windows = swinseg.Predictor.from_checkpoint(checkpoint, device='cpu')
    windows.model.test_cfg = Config(dict(mode='slide', crop_size=(48, 48), stride=(32, 32)))._cfg_dict  # fmt: skip
    image = root / 'images' / '1.png'
    whole, parts = (each(image, tta=tta) for each in (predictor, windows))
    same = (whole.labels == parts.labels).mean()
    assert 0.7 < same <= 1
    assert parts.areas().keys() == whole.areas().keys()


def test_stream__as_one_by_one(run, predictor):
    paths = sorted((run[0] / 'images').iterdir())[:3]
    for found, path in zip(predictor.stream(paths), paths, strict=True):
        np.testing.assert_array_equal(found.labels, predictor(path).labels)


@pytest.mark.parametrize('options', [{'confidence': True}, {'reject_below': 0.5}])
def test_predict__options_of_one_class(run, predictor, options):
    with pytest.raises(PredictorError, match='is about the one class of each pixel'):
        predictor(run[0] / 'images' / '0.png', **options)


# Results


def test_areas__overlap():
    result = result_of(np.array([[0, 1], [3, 3]], np.uint8))
    assert result.areas() == {'road': 0.75, 'marking': 0.5}
    assert result.areas(pixel_area=2) == {'road': 6, 'marking': 4}


def test_polygons__of_each_class_by_itself():
    bits = np.zeros((12, 12), np.uint8)
    bits[1:8, 1:8] |= 1
    bits[4:11, 4:11] |= 4
    result = result_of(bits)
    polygons = result.polygons()
    assert {name: [each.area for each in found] for name, found in polygons.items()} == {
        'road': [49],
        'shadow': [49],
    }
    features = result.to_geojson()['features']
    assert len(features) == 2
    assert len(result.to_coco()['annotations']) == 2
    assert result.to_yolo().count('\n') == 2


@pytest.mark.parametrize('classes', [3, 8, 9, 16, 17, 40, 64])
def test_save__a_dataset_reads_it(tmp_path, classes):
    if classes > 16:
        pytest.importorskip('rasterio')
    sizes = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}
    dtype = next(dtype for bits, dtype in sizes.items() if classes <= bits)
    rng = np.random.default_rng(0)
    bits = np.zeros((5, 7), dtype)
    for k in range(classes):
        bits |= rng.integers(0, 2, bits.shape).astype(dtype) << dtype(k)
    result = result_of(bits, [f'class {k}' for k in range(classes)])
    paths = result.save(tmp_path / 'masks', 'a', kinds=('labels', 'overlay', 'color', 'coco'))
    assert all(path.is_file() for path in paths.values())
    (tmp_path / 'images').mkdir()
    Image.fromarray(result.image).save(tmp_path / 'images' / 'a.png')
    dataset = DATASETS.build(
        dict(
            type='FolderDataset', _scope_='mmseg', data_root=str(tmp_path), classes=list(result.classes),
            data_prefix=dict(img_path='images', seg_map_path='masks'), multi_label='bits',
            seg_map_suffix=paths['labels'].name.removeprefix('a'),
            pipeline=[dict(type='LoadImage'), dict(type='LoadLabel')],
        )
    )  # fmt: skip
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'].transpose(2, 0, 1) > 0, result.masks)


def test_save_masks__one_for_each_class(tmp_path):
    paths = result_of(np.array([[0, 1], [3, 3]], np.uint8)).save_masks(tmp_path, 'a')
    assert [path.name for path in paths.values()] == [
        'a_mask-0-road.png', 'a_mask-1-marking.png', 'a_mask-2-shadow.png',
    ]  # fmt: skip
    assert np.array(Image.open(paths['marking'])).tolist() == [[0, 0], [255, 255]]


def test_mask_suffixes__names_that_are_no_file_names():
    assert mask_suffixes(['a_b/c', 'a-b-c', 'Straße']) == [
        '_mask-0-a-b-c.png', '_mask-1-a-b-c.png', '_mask-2-Straße.png',
    ]  # fmt: skip


@pytest.mark.parametrize('kind', ['cvat', 'label-studio'])
def test_save__kinds_without_a_form(tmp_path, kind):
    with pytest.raises(VisualizationError, match='whose polygons may overlap'):
        result_of(np.zeros((3, 4), np.uint8)).save(tmp_path, kinds=[kind])


def test_repr_png__of_a_notebook():
    assert result_of(np.ones((30, 40), np.uint16))._repr_png_()[:4] == b'\x89PNG'


# The command


def test_segment__bit_masks_overlays_and_masks(run, tmp_path, capsys):
    root, checkpoint = run
    out = tmp_path / 'out'
    command = [str(checkpoint), str(root / 'images'), '--out', str(out), '--class-masks']
    assert main(COMMAND, command) == 0
    names = {path.name for path in out.iterdir() if path.name.startswith('0_')}
    assert names == {
        '0_labels.png', '0_color.png', '0_overlay.png',
        '0_mask-0-road.png', '0_mask-1-marking.png', '0_mask-2-shadow.png',
    }  # fmt: skip
    bits = np.array(Image.open(out / '0_labels.png'))
    for k, name in enumerate(CLASSES):
        mask = np.array(Image.open(out / f'0_mask-{k}-{name}.png'))
        np.testing.assert_array_equal(mask > 0, bits >> k & 1 > 0)
    # Given again, it replaces its own results.
    assert main(COMMAND, command) == 0


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (['--sheet'], '--sheet shows one class of each pixel'),
        (['--annotations', 'yolo'], '--annotations shows one class of each pixel'),
        (['--confidence'], 'confidence is about the one class of each pixel'),
        (['--window', '64'], 'scenes are segmented only by models that give each pixel one class'),
    ],
)
def test_segment__what_has_no_form(run, tmp_path, capsys, option, message):
    root, checkpoint = run
    image = str(root / 'images' / '0.png')
    assert main(COMMAND, [str(checkpoint), image, '--out', str(tmp_path), *option]) == 2
    written = capsys.readouterr()
    assert message in written.out + written.err


# What is refused


def test_refused__scenes_videos_servers_and_exports(run, predictor, tmp_path):
    root, checkpoint = run
    image = root / 'images' / '0.png'
    for call in (
        lambda: segment_scene(predictor, image, tmp_path),
        lambda: Service([predictor], Limits()),
        lambda: swinseg.export(checkpoint, tmp_path / 'a.onnx'),
    ):
        with pytest.raises(UserError, match='only by models that give each pixel one class'):
            call()
    with pytest.raises(UserError, match=r'model\.multi_label=True'):
        write_folder(checkpoint, tmp_path / 'folder')


def test_refused__videos(predictor, tmp_path):
    video = tmp_path / 'a.avi'
    video.write_bytes(b'RIFF')
    with pytest.raises(UserError, match='videos are segmented only by models'):
        segment_video(predictor, video, tmp_path)


def test_thresholds__hostile_ones_in_a_checkpoint(run, tmp_path):
    found = torch.load(run[1], weights_only=False)
    text = found['meta']['cfg']
    start = text.index('thresholds=')
    end = text.index(']', start) + 1
    found['meta']['cfg'] = text[:start] + "thresholds=['a', 1, 2]" + text[end:]
    torch.save(found, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='must be 3 probabilities'):
        swinseg.Predictor.from_checkpoint(tmp_path / 'a.pth', device='cpu')
