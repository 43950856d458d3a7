"""Checking a dataset as a whole: every file, what labels hold, duplicates, and figures of the classes."""

from swinseg.datasets.check.findings import Finding
from swinseg.datasets.check.listing import Split, list_split
from swinseg.datasets.check.report import DatasetReport, SplitReport, check_splits
from swinseg.datasets.check.rules.normalization import Normalization
from swinseg.datasets.check.text import format_report, summary

__all__ = [
    'DatasetReport',
    'Finding',
    'Normalization',
    'Split',
    'SplitReport',
    'check_splits',
    'format_report',
    'list_split',
    'summary',
]
