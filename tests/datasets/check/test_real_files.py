"""Real files of many kinds: each gets the advice that it needs, and trains with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from swinseg.datasets.building import build_dataset
from swinseg.datasets.check.of_config import check_dataset
from swinseg.datasets.labels.cityscapes import TRAIN_IDS
from swinseg.engine import load_config, train

CONFIG = """
dataset = dict(
    _delete_=True,
    type='FolderDataset',
    data_root={root!r},
    data_prefix=dict(img_path={images!r}, seg_map_path={labels!r}),
    classes=[f'class {{index}}' for index in range({classes})],
    {settings}
)
model = dict(decode_head=dict(num_classes={classes}), auxiliary_head=dict(num_classes={classes}))
train_dataloader = dict(dataset=dict(pipeline={{{{_base_.train_pipeline}}}}, **dataset))
val_dataloader = dict(dataset=dict(pipeline={{{{_base_.test_pipeline}}}}, **dataset))
train_cfg = dict(max_iters=2)
"""
NO_VALIDATION = """
val_dataloader = None
val_cfg = None
val_evaluator = None
"""


@dataclass(frozen=True)
class Case:
    """Files of a folder, and the settings that they need one after the other."""

    images: str
    labels: str
    classes: int
    advice: Sequence[str] = ()

    def config(
        self, root: Path, settings: Sequence[str], *, images: str = 'images', labels: str = 'labels'
    ) -> str:
        """Return what changes the tiny config to these files, with settings of the dataset."""
        return CONFIG.format(
            root=str(root), images=images, labels=labels, classes=self.classes,
            settings=''.join(f'{setting},\n    ' for setting in settings),
        )  # fmt: skip


CASES = {
    # None of the files at hand has the last of the 150 classes, so it is left out for 0 to show.
    'ade20k': Case('ade20k/images/validation/*0203.jpg', 'ade20k/annotations/validation/*0203.png', 149,
                   ['reduce_zero_label=True']),
    'camvid': Case('camvid/images/train/0001TP_0066*', 'camvid/annotations/train/0001TP_0066*', 11,
                   ['ignore_values=[11]']),
    'palette_voc': Case('formats/palette_voc/*.jpg', 'formats/palette_voc/*.png', 21),
    'bit_masks_chase': Case('formats/bit_masks_chase/*.jpg', 'formats/bit_masks_chase/*.png', 2,
                            ["img_suffix='.jpg', seg_map_suffix='_1stHO.png'"]),
    'grey_membrane': Case('formats/grey_membrane/images/*', 'formats/grey_membrane/annotations/*', 2,
                          ['label_map={0: 0, 255: 1}']),
    'cityscapes': Case('cityscapes/*.jpg', 'cityscapes/*.png', 19,
                       ["img_suffix='_leftImg8bit.jpg', seg_map_suffix='_gtFine_labelIds.png'",
                        f'label_map={TRAIN_IDS}']),
    'sixteen_bit': Case('cityscapes/*.jpg', 'formats/sixteen_bit/*.png', 19,
                        ["img_suffix='_leftImg8bit.jpg', seg_map_suffix='_gtFine_instanceIds.png'",
                         f'instance_divisor=1000, label_map={TRAIN_IDS}']),
}  # fmt: skip


def linked(real_data: Path, root: Path, case: Case) -> Path:
    """Link the files of a case into two folders."""
    for folder, pattern in (('images', case.images), ('labels', case.labels)):
        (root / folder).mkdir(parents=True)
        for path in sorted(real_data.glob(pattern))[:4]:
            (root / folder / path.name).symlink_to(path)
    return root


def settled(
    case: Case, root: Path, write_config: Callable[..., Path], *, images='images', labels='labels'
) -> tuple[Path, list[str]]:
    """Apply the first error's advice until there is no error; return the config and what was applied."""
    settings: list[str] = []
    while True:
        extra = case.config(root, settings, images=images, labels=labels)
        config = write_config(extra=extra)
        report = check_dataset(load_config(config), splits=['train'])
        errors = [finding for finding in report.findings if finding.severity == 'error']
        if not errors:
            return config, settings
        wanted = [setting for setting in case.advice if setting in errors[0].paste]
        assert wanted, errors[0]
        assert wanted[0] not in settings, errors[0]
        settings.append(wanted[0])


@pytest.mark.parametrize('name', CASES)
def test_advice__is_what_the_files_need(real_data, tmp_path, write_tiny_config, name):
    case = CASES[name]
    root = linked(real_data, tmp_path / 'data', case)
    config, settings = settled(case, root, write_tiny_config)
    assert settings == list(case.advice)
    dataset = build_dataset(load_config(config), 'train_dataloader')
    labels = dataset[0]['data_samples'].gt_sem_seg.data
    assert set(labels.unique().tolist()) <= {*range(case.classes), 255}


@pytest.mark.slow
@pytest.mark.parametrize('name', CASES)
def test_advice__lets_the_files_train(real_data, tmp_path, write_tiny_config, name):
    case = CASES[name]
    root = linked(real_data, tmp_path / 'data', case)
    extra = case.config(root, case.advice) + NO_VALIDATION
    cfg = load_config(write_tiny_config(extra=extra))
    assert train(cfg, work_dir=tmp_path / 'work', seed=0).iterations == 2


@pytest.mark.parametrize(
    ('folder', 'classes', 'advice'),
    [
        ('cityscapes', 19, CASES['cityscapes'].advice),
        ('formats/bit_masks_chase', 2, CASES['bit_masks_chase'].advice),
        ('formats/palette_voc', 21, ["img_suffix='.jpg', seg_map_suffix='.png'"]),
    ],
)
def test_advice__images_and_labels_in_one_folder(
    real_data, write_tiny_config, folder, classes, advice
):
    case = Case('', '', classes, advice)
    _, settings = settled(case, real_data / folder, write_tiny_config, images='', labels='')
    assert settings == list(advice)


def test_check__real_sets_in_their_own_layout(real_data, write_tiny_config):
    extra = f"""
model = dict(decode_head=dict(num_classes=150), auxiliary_head=dict(num_classes=150))
dataset = dict(data_root={str(real_data / 'ade20k')!r}, metainfo=None)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
"""
    report = check_dataset(load_config(write_tiny_config(extra=extra)))
    assert report.ok
    assert {finding.code for finding in report.findings} == {
        'absent-classes',
        'classes-not-trained',
    }
    assert report.splits['val'].looked_at == 33
