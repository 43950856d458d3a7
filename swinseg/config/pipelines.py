"""The pipelines of a config: the steps between a file and the inputs of a model, as dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LABEL_LOADERS = ('LoadLabel', 'LoadAnnotations')
"""Types of the steps, ours and mmseg's, that load a label; prediction leaves them out."""

PACKERS = ('PackSegInputs', 'PackPlanes')
"""Types of the steps that make a model's input of an image, and change nothing of it."""


def pipeline_of(cfg: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the transforms of a test image, from the test data loader or ``test_pipeline``."""
    return test_dataset_of(cfg).get('pipeline') or cfg.get('test_pipeline') or ()


def test_dataset_of(cfg: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the dict of the test dataset, empty where there is none.

    A dataset wrapper (``dataset=dict(type='ConcatDataset', datasets=[...])``) is followed to its
    first dataset.
    """
    loader = cfg.get('test_dataloader') or {}
    dataset: Mapping[str, Any] = loader.get('dataset') or {}
    while 'pipeline' not in dataset and ('dataset' in dataset or dataset.get('datasets')):
        dataset = dataset.get('dataset') or dataset['datasets'][0]
    return dataset
