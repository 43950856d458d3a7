"""Figures of merit: confusion matrix, metrics and reports; importing it registers ``MeanIoUMetric`` and
``MultiLabelMetric``.
"""

from swinseg.evaluation.confusion import EvaluationError, confusion_matrix
from swinseg.evaluation.iou_metric import MeanIoUMetric
from swinseg.evaluation.multi_label import MultiLabelMetric, MultiLabelReport
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
    'MultiLabelMetric',
    'MultiLabelReport',
    'Protocol',
    'Report',
    'confusion_matrix',
    'format_metrics',
    'format_table',
    'make_report',
    'write_json',
]
