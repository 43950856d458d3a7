"""Bulk jobs of ``swinseg segment``: many inputs anywhere, several workers, a manifest of what became of each."""

from swinseg.segment.bulk.job import Job, Summary, run_job
from swinseg.segment.bulk.manifest import Manifest, Row
from swinseg.segment.bulk.schedule import Schedule
from swinseg.segment.bulk.work import Segmenter, Setup, Unit

__all__ = ['Job', 'Manifest', 'Row', 'Schedule', 'Segmenter', 'Setup', 'Summary', 'Unit', 'run_job']
