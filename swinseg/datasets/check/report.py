"""The whole check: from splits to findings and figures, and those as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from swinseg.datasets.check.colors import color_findings
from swinseg.datasets.check.depth import depth_findings
from swinseg.datasets.check.duplicates import contradiction_findings, duplicate_findings
from swinseg.datasets.check.files import file_findings, odd_image_findings
from swinseg.datasets.check.findings import Finding, by_severity, some
from swinseg.datasets.check.labels import label_findings
from swinseg.datasets.check.listing import Split
from swinseg.datasets.check.normalization import Normalization, normalization_findings
from swinseg.datasets.check.pair import Job, PairFacts
from swinseg.datasets.check.scan import look_at_pairs
from swinseg.datasets.check.statistics import (
    ClassStatistics,
    ImageStatistics,
    class_statistics,
    image_statistics,
)

_SAMPLES = 6


JSON_MARK = '"findings": ['
"""Stands near the beginning of every report in JSON."""


@dataclass(frozen=True)
class SplitReport:
    """Figures of a split.

    Attributes:
        split: what was looked at.
        looked_at: how many of its pairs.
        labelled: how many of them have a label.
        classes: how often each class occurs.
        images: sizes and channels; None where no image could be read.
        samples: a few pairs without a problem, evenly spread, to be shown.
    """

    split: Split
    looked_at: int
    labelled: int
    classes: ClassStatistics
    images: ImageStatistics | None
    samples: tuple[Job, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what goes into a JSON file."""
        weights = self.classes.loss_weights()
        rows = zip(
            self.classes.names,
            self.classes.pixels.tolist(),
            self.classes.shares.tolist(),
            self.classes.images.tolist(),
            weights.tolist(),
            strict=True,
        )
        images = self.images
        return {
            'pairs': len(self.split.jobs),
            'looked_at': self.looked_at,
            'labelled': self.labelled,
            'ignored_pixels': self.classes.ignored,
            'ignored_share': self.classes.ignored_share,
            'pixels_outside_classes': self.classes.outside,
            'classes': [
                {'name': n, 'pixels': p, 'share': s, 'images': i, 'loss_weight': round(w, 4)}
                for n, p, s, i, w in rows
            ],
            'loss_weights': 'median frequency balancing (Eigen and Fergus, ICCV 2015)',
            'images': None
            if images is None
            else {
                'smallest_wh': images.smallest,
                'median_wh': images.median,
                'largest_wh': images.largest,
                'mean_rgb': images.mean,
                'std_rgb': images.std,
            },
        }


@dataclass(frozen=True)
class DatasetReport:
    """What a check found.

    Attributes:
        name: of the config.
        findings: the errors first.
        splits: figures of each split that could be listed, by name.
    """

    name: str
    findings: tuple[Finding, ...]
    splits: dict[str, SplitReport]

    @property
    def ok(self) -> bool:
        """Whether training can start and mean something."""
        return all(finding.severity != 'error' for finding in self.findings)

    def count(self, severity: str) -> int:
        """Return how many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_json(self) -> str:
        """Return everything as JSON."""
        content = {
            'config': self.name,
            'ok': self.ok,
            'findings': [finding.to_dict() for finding in self.findings],
            'splits': {name: report.to_dict() for name, report in self.splits.items()},
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + '\n'


def check_splits(
    splits: Sequence[Split],
    *,
    name: str = '',
    normalization: Normalization | None = None,
    sample: int | None = None,
    workers: int | None = None,
    progress: bool = False,
    found_before: Sequence[Finding] = (),
) -> DatasetReport:
    """Look at all pairs of all splits and report everything.

    Args:
        splits: what :func:`swinseg.datasets.check.listing.list_split` returns, the training split first.
        name: of the config, for the report.
        normalization: what the model does with the channels; None compares nothing.
        sample: look at this many pairs of each split, evenly spread, instead of all.
        workers: processes; None takes one for each core.
        progress: draw a bar on stderr, where that is a terminal.
        found_before: findings of splits that cannot be listed.

    Raises:
        DataError: a worker process was killed.
    """
    findings = list(found_before)
    facts_of: dict[str, list[PairFacts]] = {}
    reports: dict[str, SplitReport] = {}
    for split in splits:
        jobs = split.jobs if sample is None else _spread(split.jobs, sample)
        facts = look_at_pairs(jobs, split.loading, workers=workers, progress=progress)
        report = _report(split, facts)
        findings += [
            *split.findings,
            *file_findings(split.name, facts),
            *color_findings(split.name, facts, palette=split.palette),
            *label_findings(split.name, facts, report.classes),
            *contradiction_findings(split.name, facts),
            *odd_image_findings(split.name, facts),
            *depth_findings(
                split.name, facts, split.loading.value_range, training=facts_of.get('train', ())
            ),
            *normalization_findings(split.name, report.images, normalization),
        ]
        facts_of[split.name], reports[split.name] = facts, report
    if 'train' in reports and 'val' in reports:
        findings += _compare(reports['train'], reports['val'])
        findings += duplicate_findings(facts_of['train'], facts_of['val'])
    return DatasetReport(name, tuple(by_severity(findings)), reports)


def _spread(jobs: Sequence[Job], count: int) -> list[Job]:
    """Return ``count`` jobs, evenly spread, the first and the last among them."""
    chosen = np.linspace(0, len(jobs) - 1, max(1, min(count, len(jobs)))).round().astype(int)
    return [jobs[index] for index in np.unique(chosen).tolist()]


def _report(split: Split, facts: Sequence[PairFacts]) -> SplitReport:
    good = [
        pair.job for pair in facts if pair.image is not None and pair.label and not pair.problems
    ]
    return SplitReport(
        split=split,
        looked_at=len(facts),
        labelled=sum(pair.job.label is not None for pair in facts),
        classes=class_statistics(facts, split.classes),
        images=image_statistics(facts),
        samples=tuple(_spread(good, _SAMPLES)) if good else (),
    )


def _compare(train: SplitReport, val: SplitReport) -> list[Finding]:
    """Compare the classes of the two splits."""
    if train.split.classes != val.split.classes:
        sentence = (
            f'the training set has the classes {some(train.split.classes, limit=5)} but the validation set '
            f'{some(val.split.classes, limit=5)}; give both the same classes in the same order'
        )
        return [Finding('class-lists', 'error', 'train, val', sentence)]
    never_trained = [
        name
        for name, trained, tested in zip(
            train.classes.names, train.classes.pixels, val.classes.pixels, strict=True
        )
        if tested and not trained
    ]
    if not never_trained or not train.classes.pixels.any():
        return []
    sentence = (
        f'{some(never_trained, limit=5)} {"is" if len(never_trained) == 1 else "are"} in the validation set '
        'but not in the training set and cannot be learnt; move images from one to the other'
    )
    return [Finding('classes-not-trained', 'warning', 'train, val', sentence)]
