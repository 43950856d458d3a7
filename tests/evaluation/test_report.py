"""The table, the JSON, and the protocol that stands beside a figure."""

import json

import numpy as np
import pytest

import swinseg
from swinseg.evaluation.confusion import EvaluationError
from swinseg.evaluation.report import (
    Protocol,
    format_table,
    make_report,
    to_dict,
    write_json,
)
from swinseg.files import OutputError

MATRIX = np.array([[90, 10, 0], [30, 70, 0], [0, 0, 0]])
CLASSES = ['sky', 'swimming pool', 'ship']


def test_make_report__headline_is_in_percent_with_two_decimals():
    report = make_report(MATRIX, CLASSES)
    iou = [90 / 130, 70 / 110]
    assert report.headline == {'aAcc': 80.0, 'mIoU': round(50 * sum(iou), 2), 'mAcc': 80.0}
    np.testing.assert_allclose(report.per_class['IoU'], [*iou, np.nan])


def test_make_report__names_must_match():
    with pytest.raises(EvaluationError, match='3 classes were counted, but 2 class names'):
        make_report(MATRIX, ['a', 'b'])


def test_format_table__lists_classes_headline_rule_and_protocol():
    report = make_report(MATRIX, CLASSES, metrics=['mIoU', 'mDice'])
    lines = format_table(report, protocol='single scale').splitlines()
    assert lines[0].split() == ['Class', 'IoU', 'Acc', 'Dice', 'Pixels']
    assert lines[2].split() == ['sky', '69.23', '90.00', '81.82', '50.00%']
    assert lines[3].split() == ['swimming', 'pool', '63.64', '70.00', '77.78', '50.00%']
    assert lines[4].split() == ['ship', '-', '-', '-', '0.00%']
    assert lines[6] == 'aAcc 80.00  mIoU 66.43  mAcc 80.00  mDice 79.80'
    assert lines[7].startswith('1 of 3 classes occur in neither')
    assert lines[8] == 'protocol: single scale'
    assert len({len(line) for line in lines[:6]}) == 1


def test_format_table__other_names_and_no_absent_class():
    report = make_report(MATRIX[:2, :2], CLASSES[:2])
    text = format_table(report, ['one', 'two'])
    assert 'one' in text
    assert 'sky' not in text
    assert 'occur in neither' not in text


def test_format_table__of_no_pixels():
    text = format_table(make_report(np.zeros((2, 2), np.int64), ['a', 'b']))
    assert 'mIoU undefined' in text


def test_write_json__can_be_read_back(tmp_path):
    report = make_report(MATRIX, CLASSES)
    protocol = Protocol(scale=(2048, 512), window=(512, 512), stride=(341, 341))
    write_json(tmp_path / 'r.json', report, protocol=protocol, extra={'checkpoint': 'best.pth'})
    content = json.loads((tmp_path / 'r.json').read_text())
    assert content['checkpoint'] == 'best.pth'
    assert content['headline'] == report.headline
    assert content['protocol']['text'] == str(protocol)
    assert content['protocol']['stride'] == [341, 341]
    assert content['per_class'][0] == {
        'class': 'sky', 'IoU': 69.2308, 'Acc': 90.0,
        'labeled_pixels': 100, 'predicted_pixels': 120, 'right_pixels': 90,
    }  # fmt: skip
    assert content['per_class'][2]['IoU'] is None
    assert content['versions']['swinseg'] == swinseg.__version__
    assert content['versions']['mmsegmentation'] == '1.2.2'


def test_to_dict__undefined_headline_is_none():
    content = to_dict(make_report(np.zeros((2, 2), np.int64), ['a', 'b']))
    assert content['headline']['mIoU'] is None
    assert content['protocol'] is None


def test_write_json__where_it_cannot(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='cannot write'):
        write_json(tmp_path / 'file' / 'r.json', make_report(MATRIX, CLASSES))


def cfg(steps, *, test_cfg=None, tta=None):
    content = {
        'model': {'test_cfg': test_cfg or {'mode': 'whole'}},
        'test_dataloader': {'dataset': {'pipeline': steps}},
    }
    return content | ({'tta_pipeline': tta} if tta else {})


def augmented(*resizes, flip=True):
    flips = [{'type': 'RandomFlip', 'prob': prob} for prob in ((0.0, 1.0) if flip else (0.0,))]
    groups = [list(resizes), flips, [{'type': 'PackSegInputs'}]]
    return [{'type': 'LoadImage'}, {'type': 'TestTimeAug', 'transforms': groups}]


RESIZE = {'type': 'Resize', 'scale': (2048, 512), 'keep_ratio': True}


@pytest.mark.parametrize(
    ('config', 'tta', 'expected'),
    [
        (cfg([]), False, "single scale the image's own size; whole image; no flip"),
        (cfg([RESIZE]), False, 'single scale 2048 x 512 (ratio kept); whole image; no flip'),
        (
            cfg([{'type': 'Resize', 'scale': 640}]), False,
            'single scale 640 x 640 (distorted); whole image; no flip',
        ),
        (
            cfg([RESIZE], test_cfg={'mode': 'slide', 'crop_size': (512, 512), 'stride': (341, 300)}),
            False,
            'single scale 2048 x 512 (ratio kept); window 512 x 512, stride 341 x 300; no flip',
        ),
        (
            cfg([RESIZE], tta=augmented(*({**RESIZE, 'scale': (s * 4, s)} for s in (256, 512, 896)))),
            True,
            'scales 0.5, 1, 1.75 of 2048 x 512 (ratio kept); whole image; horizontal flip averaged',
        ),
        (
            cfg([RESIZE], tta=augmented({'type': 'Resize', 'scale_factor': 0.5}, flip=False)),
            True,
            "scales 0.5 of the image's own size; whole image; no flip",
        ),
        (
            cfg([RESIZE], tta=augmented()), True,
            'single scale 2048 x 512 (ratio kept); whole image; horizontal flip averaged',
        ),
    ],
)  # fmt: skip
def test_protocol__from_config(config, tta, expected):
    assert str(Protocol.from_config(config, tta=tta)) == expected


def test_protocol__augmentation_that_is_not_there():
    with pytest.raises(EvaluationError, match='needs a tta_pipeline'):
        Protocol.from_config(cfg([RESIZE]), tta=True)
