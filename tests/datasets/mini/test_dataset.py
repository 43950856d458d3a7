import cv2
import numpy as np
import pytest
from mmseg.datasets import ADE20KDataset
from mmseg.registry import DATASETS

from swinseg.datasets.check import list_split
from swinseg.datasets.check.before_training import check_before_training
from swinseg.datasets.mini import dataset as synthetic
from swinseg.datasets.mini.__main__ import main
from swinseg.datasets.mini.canvas import RAW_VALUES
from swinseg.datasets.mini.scenes import draw_scene
from swinseg.engine import load_config
from swinseg.files import OutputError


def snapshot(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


@pytest.fixture(scope='module')
def scenes():
    """Forty scenes, (image, label) each."""
    return [
        draw_scene(np.random.default_rng([5, index]), height=96, width=112) for index in range(40)
    ]


def test_raw_values__are_ade20ks():
    names = ADE20KDataset.METAINFO['classes']
    assert all(names[value - 1] == name for name, value in RAW_VALUES.items())
    assert tuple(name for name in names if name in RAW_VALUES) == synthetic.CLASSES


def test_palette__is_ade20ks():
    colors = ADE20KDataset.METAINFO['palette']
    assert [list(colors[value - 1]) for value in RAW_VALUES.values()] == synthetic.PALETTE


@pytest.mark.parametrize(('height', 'width'), [(192, 224), (33, 47), (160, 160)])
def test_draw_scene__size_and_values(height, width):
    image, label = draw_scene(np.random.default_rng(1), height=height, width=width)
    assert image.shape == (height, width, 3)
    assert image.dtype == label.dtype == np.uint8
    assert label.shape == (height, width)
    assert set(np.unique(label)) <= {0, *RAW_VALUES.values()}


def test_draw_scene__every_class_often_and_little_unlabeled(scenes):
    labels = np.stack([label for _, label in scenes])
    assert (labels == 0).mean() < 0.06
    for value in RAW_VALUES.values():
        per_scene = (labels == value).mean(axis=(1, 2))
        assert per_scene.mean() > 0.015
        # Where a class occurs it is more than a speck.
        assert (per_scene > 0.01).sum() >= 6


def test_draw_scene__never_two_alike(scenes):
    small = np.stack([cv2.resize(image, (16, 16)).astype(np.float32) for image, _ in scenes])
    for index in range(len(small) - 1):
        assert np.abs(small[index + 1 :] - small[index]).mean(axis=(1, 2, 3)).min() > 4


def test_draw_scene__label_follows_the_picture(scenes):
    # The mean color of a class in one scene is farther from that of other classes than noise would be: a
    # label that was shifted or mirrored would mix them.
    for image, label in scenes:
        mirrored = label[:, ::-1]
        spread, spread_mirrored = (
            sum(
                image[mask == value].astype(np.float32).var(axis=0).sum() * (mask == value).sum()
                for value in np.unique(label)
            )
            for mask in (label, mirrored)
        )
        assert spread <= spread_mirrored * 1.02


def test_make_dataset__same_seed_same_bytes(tmp_path):
    for name in ('a', 'b'):
        assert synthetic.make_dataset(tmp_path / name, train=5, val=3, size=64, seed=3)
    first = snapshot(tmp_path / 'a')
    assert first == snapshot(tmp_path / 'b')
    assert len(first) == 2 * (5 + 3) + 1
    synthetic.make_dataset(tmp_path / 'c', train=5, val=3, size=64, seed=4)
    other = snapshot(tmp_path / 'c')
    assert not any(other[name] == first[name] for name in first if name.endswith('.jpg'))


def test_make_dataset__more_scenes_keep_the_first(tmp_path):
    synthetic.make_dataset(tmp_path, train=2, val=1, size=48)
    before = snapshot(tmp_path)
    assert synthetic.make_dataset(tmp_path, train=4, val=2, size=48)
    after = snapshot(tmp_path)
    assert all(after[name] == data for name, data in before.items() if 'mini_set' not in name)


def test_make_dataset__complete_folder_is_left_alone(tmp_path):
    options = {'train': 2, 'val': 1, 'size': 48}
    assert synthetic.make_dataset(tmp_path, **options)
    assert not synthetic.make_dataset(tmp_path, **options)
    (tmp_path / 'annotations' / 'validation' / 'mini_val_00001.png').unlink()
    assert synthetic.make_dataset(tmp_path, **options)
    assert not synthetic.make_dataset(tmp_path, **options)


def test_make_dataset__fewer_scenes_leave_none_behind(tmp_path):
    synthetic.make_dataset(tmp_path, train=4, val=2, size=48)
    (tmp_path / 'images' / 'training' / 'mine.txt').write_text('keep me')
    synthetic.make_dataset(tmp_path, train=2, val=2, size=48)
    images = {path.name for path in (tmp_path / 'images' / 'training').iterdir()}
    assert images == {'mini_train_00001.jpg', 'mini_train_00002.jpg', 'mine.txt'}


def test_make_dataset__folder_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='cannot write to the output folder'):
        synthetic.make_dataset(tmp_path / 'file' / 'mini', train=1, val=1)


def test_mini_config__trains_on_what_is_drawn(tmp_path):
    synthetic.make_dataset(tmp_path, train=6, val=2)
    config = load_config('configs/_base_/datasets/mini.py')
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.data_root = str(tmp_path)
        dataset = DATASETS.build({**loader.dataset, '_scope_': 'mmseg'})
        assert tuple(dataset.metainfo['classes']) == synthetic.CLASSES
        assert dataset.metainfo['palette'] == synthetic.PALETTE
        check_before_training([list_split('train', dataset)])
        assert dataset[0]['inputs'].shape[0] == 3


def test_main__says_what_it_did(tmp_path, capsys):
    arguments = ['--out', str(tmp_path), '--train-images', '1', '--val-images', '1', '--size', '48']
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith(f'drew 1 + 1 scenes in {tmp_path} in ')
    assert main(arguments) == 0
    assert capsys.readouterr().out == f'{tmp_path} is complete already\n'
