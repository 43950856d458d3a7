"""A check from splits to findings and figures, on everything or on a sample, and those as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from swinseg.datasets.check.band_lines import lines_for_config
from swinseg.datasets.check.findings import Finding, by_severity, some
from swinseg.datasets.check.listing import Split
from swinseg.datasets.check.pair import Job, PairFacts
from swinseg.datasets.check.rules.duplicates import duplicate_findings
from swinseg.datasets.check.rules.normalization import Normalization
from swinseg.datasets.check.rules.of_split import WHOLE_SET_RULES, is_undecided, split_findings
from swinseg.datasets.check.scan import inspect_pairs
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
        labeled: how many of them have a label.
        classes: how often each class occurs.
        images: sizes and channels; None where no image could be read.
        samples: a few pairs without a problem, evenly spread, to be shown.
        config_lines: of the training split, lines of the config that say which bands there are and what they hold;
            none for images of 8-bit colors.
    """

    split: Split
    looked_at: int
    labeled: int
    classes: ClassStatistics
    images: ImageStatistics | None
    samples: tuple[Job, ...]
    config_lines: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what goes into a JSON file."""
        weights = self.classes.loss_weights()
        rows = zip(
            self.classes.names,
            self.classes.pixels.tolist(),
            self.classes.shares.tolist(),
            self.classes.images.tolist(),
            weights.tolist(),
            self.classes.gentle_loss_weights().tolist(),
            strict=True,
        )
        images = self.images
        return {
            'pairs': len(self.split.jobs),
            'looked_at': self.looked_at,
            'labeled': self.labeled,
            'ignored_pixels': self.classes.ignored,
            'ignored_share': self.classes.ignored_share,
            'pixels_outside_classes': self.classes.outside,
            'classes': [
                {
                    'name': n,
                    'pixels': p,
                    'share': s,
                    'images': i,
                    'loss_weight': round(w, 4),
                    'gentle_loss_weight': round(g, 4),
                }
                for n, p, s, i, w, g in rows
            ],
            'loss_weights': 'median frequency balancing (Eigen and Fergus, ICCV 2015)',
            'gentle_loss_weights': 'inverse square root of the share, 1 for the mean pixel',
            'images': None
            if images is None
            else {
                'smallest_wh': images.smallest,
                'median_wh': images.median,
                'largest_wh': images.largest,
                'mean_rgb': images.mean,
                'std_rgb': images.std,
            },
            'config_lines': list(self.config_lines),
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
    whole_set_rules: bool = True,
    workers: int | None = None,
    progress: bool = False,
    found_before: Sequence[Finding] = (),
) -> DatasetReport:
    """Look at all pairs of all splits, or at a sample, and report everything that can be known.

    What is found is what :mod:`swinseg.datasets.check.rules.of_split` has, and that says what a sample can know. A
    sample grows by the pairs whose files are not there, and by labels, without their images, where it holds
    nothing to learn from.

    Args:
        splits: what :func:`swinseg.datasets.check.listing.list_split` returns, the training split first.
        name: of the config, for the report.
        normalization: what the model does with the channels; None compares nothing.
        sample: look at this many pairs of each split, evenly spread, instead of all.
        whole_set_rules: whether to apply ``WHOLE_SET_RULES``, where all pairs are looked at.
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
        facts = _look_at(split, sample, workers=workers, progress=progress)
        findings += split_findings(
            split,
            facts,
            normalization=normalization,
            training=facts_of.get('train', ()),
            is_whole=len(facts) == len(split.jobs),
        )
        facts_of[split.name], reports[split.name] = facts, _report(split, facts)
    if 'train' in reports and 'val' in reports:
        findings += _compare(reports['train'], reports['val'])
        findings += duplicate_findings(facts_of['train'], facts_of['val'])
    if not whole_set_rules or any(
        sample is not None and sample < len(split.jobs) for split in splits
    ):
        findings = [finding for finding in findings if finding.code not in WHOLE_SET_RULES]
    return DatasetReport(name, tuple(by_severity(findings)), reports)


def _look_at(
    split: Split, sample: int | None, *, workers: int | None, progress: bool
) -> list[PairFacts]:
    """Look at pairs of a split, all or a sample that is large enough to decide, in their order."""
    count = len(split.jobs)
    if sample is None or sample >= count:
        return inspect_pairs(split.jobs, split.loading, workers=workers, progress=progress)
    missing = (index for index, job in enumerate(split.jobs) if _is_missing(job))
    chosen = sorted({*_spread(count, sample), *missing})
    found: dict[int, PairFacts] = {}

    def read(indices: Sequence[int], *, with_images: bool) -> None:
        jobs = [split.jobs[index] for index in indices]
        facts = inspect_pairs(
            jobs,
            split.loading,
            with_images=with_images,
            workers=workers,
            progress=progress and with_images,
        )
        found.update(zip(indices, facts, strict=True))

    read(chosen, with_images=True)
    # In any order but that of the names, by which what is alike lies together.
    others = np.random.default_rng(0).permutation(count).tolist()
    waiting = [index for index in others if index not in found]
    while waiting and is_undecided(split, list(found.values())):
        more, waiting = waiting[: len(found)], waiting[len(found) :]
        read(more, with_images=False)
    return [found[index] for index in sorted(found)]


def _is_missing(job: Job) -> bool:
    # A file behind a URL is found out about when it is read.
    return any(
        path is not None and '://' not in path and not os.path.isfile(path)
        for path in (job.image, job.label)
    )


def _spread(size: int, count: int) -> list[int]:
    """Return ``count`` positions of ``size``, evenly spread, the first and the last among them."""
    chosen = np.linspace(0, size - 1, max(1, min(count, size))).round().astype(int)
    return [int(index) for index in np.unique(chosen)]


def _report(split: Split, facts: Sequence[PairFacts]) -> SplitReport:
    good = [
        pair.job for pair in facts if pair.image is not None and pair.label and not pair.problems
    ]
    return SplitReport(
        split=split,
        looked_at=len(facts),
        labeled=sum(pair.job.label is not None for pair in facts),
        classes=class_statistics(facts, split.classes),
        images=image_statistics(facts),
        samples=tuple(good[index] for index in _spread(len(good), _SAMPLES)) if good else (),
        config_lines=lines_for_config(facts, split.loading) if split.name == 'train' else (),
    )


def _compare(train: SplitReport, val: SplitReport) -> list[Finding]:
    """Compare the classes and the bands of the two splits."""
    if train.split.classes != val.split.classes:
        sentence = (
            f'the training set has the classes {some(train.split.classes, limit=5)} but the validation set '
            f'{some(val.split.classes, limit=5)}; give both the same classes in the same order'
        )
        return [Finding('class-lists', 'error', 'train, val', sentence)]
    if train.split.loading.bands != val.split.loading.bands:
        sentence = (
            f'the training pipeline loads the bands {list(train.split.loading.bands or ())} but that of the '
            f'validation {list(val.split.loading.bands or ())}, so that the model would be shown others than it '
            f'has learnt; set the same bands in both'
        )
        return [Finding('bands-differ', 'error', 'train, val', sentence)]
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
