"""The files of a report's folder: ``record.json``, ``images.csv`` and the label maps."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinseg import files
from swinseg.errors import UserError
from swinseg.evaluation import confusion
from swinseg.evaluation.bootstrap import Bootstrap, Interval
from swinseg.evaluation.boundary import BoundaryCounts
from swinseg.evaluation.calibration import Calibration
from swinseg.evaluation.object_size import ObjectSizes
from swinseg.evaluation.report import Report
from swinseg.report.record import EvaluationRecord, ImageRecord

RECORD_FILE, TABLE_FILE = 'record.json', 'images.csv'
RECORD_MARK, TABLE_MARK = '{"format": ', 'index,image,label,prediction file,'
"""What they begin with."""

FORMAT = 1
"""Written into ``record.json``; raised when its entries change."""


class ReportError(UserError):
    """A folder is not that of a report, or a file in it cannot be read."""


def save_record(record: EvaluationRecord, folder: str | os.PathLike[str]) -> None:
    """Write ``record.json`` and ``images.csv`` into ``folder``.

    Raises:
        OutputError: the folder cannot be written.
    """
    target = files.make_folder(folder)
    content = {'format': FORMAT, **_plain(record)}
    files.write_text(target / RECORD_FILE, json.dumps(content, allow_nan=False) + '\n')
    files.write_text(target / TABLE_FILE, _table(record))


def load_record(folder: str | os.PathLike[str]) -> EvaluationRecord:
    """Read what :func:`save_record` wrote.

    Raises:
        ReportError: the folder has no record, or it cannot be read.
    """
    path = Path(folder) / RECORD_FILE
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        version = content.pop('format')
        if version == FORMAT:
            return _record(content)
    except OSError as error:
        raise ReportError(
            f'{os.fspath(folder)} has no {RECORD_FILE} that can be read ({error.strerror}); give a folder that '
            'swinseg test wrote with --report'
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReportError(
            f'{path} is not the record of an evaluation, or is damaged; write it anew with swinseg test --report'
        ) from error
    raise ReportError(
        f'{path} has format {version}, but this version reads format {FORMAT}; write it anew with '
        'swinseg test --report'
    )


def read_labels(folder: str | os.PathLike[str], name: str) -> NDArray[np.integer]:
    """Return the (H, W) labels of an image's ``prediction_file`` or ``truth_file``.

    Raises:
        ReportError: the file is missing or damaged.
    """
    path = Path(folder) / name
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except (OSError, SyntaxError) as error:
        raise ReportError(
            f'{path} cannot be read as a label map; write the report anew with swinseg test --report'
        ) from error


def _plain(value: Any) -> Any:
    """Return a record's parts as what JSON can hold; undefined figures become None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _record(content: dict[str, Any]) -> EvaluationRecord:
    report, bootstrap, sizes = content['report'], content['bootstrap'], content['object_sizes']
    calibration = content['calibration']
    return EvaluationRecord(
        **{
            **content,
            'palette': np.array(content['palette'], np.uint8),
            'report': Report(
                classes=tuple(report['classes']),
                matrix=_whole(report['matrix']),
                headline={name: _number(value) for name, value in report['headline'].items()},
                per_class={name: _rates(values) for name, values in report['per_class'].items()},
            ),
            'bootstrap': Bootstrap(
                **{
                    **bootstrap,
                    'headline': {
                        name: Interval(_number(ends['low']), _number(ends['high']))
                        for name, ends in bootstrap['headline'].items()
                    },
                    'iou': _rates(bootstrap['iou']),
                }
            ),
            'boundary': BoundaryCounts(
                **{name: _whole(values) for name, values in content['boundary'].items()}
            ),
            'object_sizes': ObjectSizes(_whole(sizes['objects']), _rates(sizes['iou_sum'])),
            'calibration': None
            if calibration is None
            else Calibration(
                _whole(calibration['pixels']),
                _whole(calibration['right']),
                _rates(calibration['confidence_sum']),
            ),
            'images': tuple(_image(entry) for entry in content['images']),
        }
    )


def _image(entry: dict[str, Any]) -> ImageRecord:
    indices, pixels = entry['counts']
    rates = ('accuracy', 'mean_iou', 'boundary_iou', 'confidence')
    return ImageRecord(
        **{
            **entry,
            **{name: _number(entry[name]) for name in rates},
            'counts': (np.array(indices, np.int32), _whole(pixels)),
        }
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _rates(values: list) -> NDArray[np.float64]:
    return np.array(values, np.float64)  # None becomes nan


def _whole(values: list) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def _table(record: EvaluationRecord) -> str:
    """Return one line per image: figures in percent, empty where undefined."""
    classes = record.report.classes
    text = io.StringIO()
    writer: csv.DictWriter | None = None
    for image in record.images:
        iou = confusion.iou(image.matrix(len(classes)))
        row = {
            'index': image.index,
            'image': image.image,
            'label': image.label,
            'prediction file': image.prediction_file,
            'truth file': image.truth_file,
            'height': image.height,
            'width': image.width,
            'pixels': int(image.counts[1].sum()),
            'aAcc': _cell(image.accuracy),
            'mIoU': _cell(image.mean_iou),
            'boundary mIoU': _cell(image.boundary_iou),
            'confidence': _cell(image.confidence),
            **{f'IoU {name}': _cell(rate) for name, rate in zip(classes, iou, strict=True)},
        }
        if writer is None:
            writer = csv.DictWriter(text, row, lineterminator='\n')
            writer.writeheader()
        writer.writerow(row)
    return text.getvalue()


def _cell(rate: float) -> str:
    return '' if math.isnan(rate) else f'{100 * rate:.4f}'
