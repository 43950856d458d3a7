"""What is written of an evaluation is what is read again, by us and by others."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from support.report_folder import make_record
from swinseg.evaluation import confusion
from swinseg.report.storage import ReportError, load_record, read_labels, save_record


def assert_same(found, expected, where='record'):
    """Compare dataclasses with arrays and undefined figures inside."""
    assert type(found) is type(expected), where
    if dataclasses.is_dataclass(expected):
        for field in dataclasses.fields(expected):
            name = field.name
            assert_same(getattr(found, name), getattr(expected, name), f'{where}.{name}')
    elif isinstance(expected, dict):
        assert list(found) == list(expected), where
        for key, value in expected.items():
            assert_same(found[key], value, f'{where}[{key}]')
    elif isinstance(expected, tuple):
        assert len(found) == len(expected), where
        for index, value in enumerate(expected):
            assert_same(found[index], value, f'{where}[{index}]')
    else:
        np.testing.assert_array_equal(found, expected, err_msg=where)
        assert getattr(found, 'dtype', None) == getattr(expected, 'dtype', None), where


@pytest.mark.parametrize('calibrated', [True, False])
def test_load_record__gives_back_what_was_saved(tmp_path, calibrated):
    record = make_record(tmp_path, calibrated=calibrated)
    nothing = dataclasses.replace(
        record.images[1], accuracy=np.nan, mean_iou=np.nan, boundary_iou=np.nan, confidence=np.nan
    )
    record = dataclasses.replace(record, images=(record.images[0], nothing))
    save_record(record, tmp_path / 'saved')
    assert_same(load_record(tmp_path / 'saved'), record)


def test_save_record__writes_what_other_readers_take_for_json(tmp_path):
    record = make_record(tmp_path)
    assert np.isnan(record.report.per_class['IoU'][-1])
    save_record(record, tmp_path)

    def refuse(name):
        raise AssertionError(name)

    content = json.loads((tmp_path / 'record.json').read_text(), parse_constant=refuse)
    assert content['report']['per_class']['IoU'][-1] is None


def test_save_record__writes_a_line_per_image(tmp_path):
    classes = ('sky, "blue"', 'tree\nleaf', 'straße', 'absent')
    record = make_record(tmp_path, classes=classes)
    save_record(record, tmp_path)
    with open(tmp_path / 'images.csv', encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(record.images)
    for row, image in zip(rows, record.images, strict=True):
        assert row['image'] == image.image
        assert (tmp_path / row['prediction file']).is_file()
        assert int(row['pixels']) == 48 * 60
        assert float(row['mIoU']) == pytest.approx(100 * image.mean_iou, abs=1e-4)
        iou = confusion.iou(image.matrix(4))
        for name, rate in zip(classes, iou, strict=True):
            expected = '' if np.isnan(rate) else f'{100 * rate:.4f}'
            assert row[f'IoU {name}'] == expected


def test_load_record__another_folder(tmp_path):
    with pytest.raises(ReportError, match=r'has no record\.json that can be read .* --report'):
        load_record(tmp_path)


@pytest.mark.parametrize(
    'damage',
    [
        lambda text: text[:-500],
        lambda text: '[]',
        lambda text: '{}',
        lambda text: 'null',
        lambda text: text.replace('"matrix"', '"matrices"'),
        lambda text: text.replace('"seconds"', '"minutes"'),
        lambda text: text.replace('"counts": [[', '"counts": [["a", '),
    ],
)
def test_load_record__damaged(tmp_path, damage):
    save_record(make_record(tmp_path), tmp_path)
    path = tmp_path / 'record.json'
    path.write_text(damage(path.read_text()))
    with pytest.raises(
        ReportError, match=r'record\.json is not the record of an evaluation, or is'
    ):
        load_record(tmp_path)


def test_load_record__another_format(tmp_path):
    (tmp_path / 'record.json').write_text('{"format": 99}')
    with pytest.raises(ReportError, match='has format 99, but this version reads format 1'):
        load_record(tmp_path)


def test_read_labels__missing_or_damaged(tmp_path):
    image = make_record(tmp_path).images[0]
    assert read_labels(tmp_path, image.truth_file).shape == (48, 64)
    path = tmp_path / image.truth_file
    path.write_bytes(path.read_bytes()[:40])
    for name in (image.truth_file, 'predictions/999999.png'):
        with pytest.raises(ReportError, match=f'{name} cannot be read as a label map'):
            read_labels(tmp_path, name)
