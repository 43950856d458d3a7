"""Segmenting files, folders and globs: what ``tools/segment.py`` calls."""

from swinseg.segment.images import Outcome, segment_images, summary
from swinseg.segment.sources import InputError, Source, find_images

__all__ = ['InputError', 'Outcome', 'Source', 'find_images', 'segment_images', 'summary']
