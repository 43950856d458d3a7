"""Figures of merit: confusion matrix, mIoU metric and reports; importing it registers
``MeanIoUMetric``.
"""

from swinseg.evaluation.confusion import EvaluationError, confusion_matrix
from swinseg.evaluation.iou_metric import MeanIoUMetric
from swinseg.evaluation.report import (
    Protocol,
    Report,
    format_metrics,
    format_table,
    make_report,
    write_json,
)

__all__ = [
    'EvaluationError',
    'MeanIoUMetric',
    'Protocol',
    'Report',
    'confusion_matrix',
    'format_metrics',
    'format_table',
    'make_report',
    'write_json',
]
