"""Segmenting files, folders and globs of images, scenes and videos: what ``swinseg segment`` calls."""

from swinseg.segment.batch import Options, results_of, segment_all
from swinseg.segment.outcome import Done, Outcome, summary, table
from swinseg.segment.scenes.scene import SceneResult, segment_scene
from swinseg.segment.sources import InputError, Source, find_sources
from swinseg.segment.videos.video import VideoResult, segment_video

__all__ = [
    'Done',
    'InputError',
    'Options',
    'Outcome',
    'SceneResult',
    'Source',
    'VideoResult',
    'find_sources',
    'results_of',
    'segment_all',
    'segment_scene',
    'segment_video',
    'summary',
    'table',
]
