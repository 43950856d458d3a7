"""Two evaluations of the same images side by side: what changed from run A to run B."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from swinseg.evaluation.confusion import Rates, mean_over_classes
from swinseg.report.html_page import picture
from swinseg.report.page import SHOWN, report_page, sectioned, tiles
from swinseg.report.panels import draw_panels, figure, legend
from swinseg.report.record import EvaluationRecord, ImageRecord
from swinseg.report.storage import ReportError, load_record
from swinseg.report.tables import name_cell, number, percent, rate_cell, sortable_table


@dataclass(frozen=True)
class ImageChange:
    """One image in both runs; ``change`` is its mean IoU in B less that in A, in [-1, 1]."""

    first: ImageRecord
    second: ImageRecord
    change: float


@dataclass(frozen=True)
class Comparison:
    """Two evaluations of the same images and classes.

    Attributes:
        first: run A.
        second: run B.
        folders: of their reports.
    """

    first: EvaluationRecord
    second: EvaluationRecord
    folders: tuple[Path, Path]

    @property
    def class_change(self) -> Rates:
        """(K,) IoU in B less that in A; nan where one is undefined."""
        return self.second.report.per_class['IoU'] - self.first.report.per_class['IoU']

    def image_changes(self) -> list[ImageChange]:
        """Return the images from the largest loss to the largest gain, without those undefined in a run."""
        pairs = zip(self.first.images, self.second.images, strict=True)
        changes = [ImageChange(a, b, b.mean_iou - a.mean_iou) for a, b in pairs]
        defined = [change for change in changes if not np.isnan(change.change)]
        return sorted(defined, key=lambda change: change.change)


def compare(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> Comparison:
    """Read two reports' folders.

    Raises:
        ReportError: one is no report's folder, or the reports are not of the same images and classes.
    """
    a, b = load_record(first), load_record(second)
    if a.report.classes != b.report.classes:
        raise ReportError(
            f'both reports must be of the same classes, but {os.fspath(first)} has '
            f'{_classes(a, b)} and {os.fspath(second)} {_classes(b, a)}; evaluate both on the same test set'
        )
    names_a, names_b = ([Path(i.image).name for i in record.images] for record in (a, b))
    if names_a != names_b:
        only = sorted(set(names_a) ^ set(names_b))
        which = f'; {only[0]} is in one only' if only else ', in another order'
        raise ReportError(
            f'both reports must be of the same images, but {os.fspath(first)} has {len(names_a)} and '
            f'{os.fspath(second)} {len(names_b)}{which}; evaluate both on the same test set'
        )
    return Comparison(a, b, (Path(first), Path(second)))


def _classes(record: EvaluationRecord, other: EvaluationRecord) -> str:
    """Say what sets the classes of a record apart: their number, or the first that differs."""
    names, others = record.report.classes, other.report.classes
    if len(names) != len(others):
        return str(len(names))
    return repr(next(name for name, wanted in zip(names, others, strict=True) if name != wanted))


def comparison_text(comparison: Comparison) -> str:
    """Return the headline figures of both runs and the classes that changed most, as a few lines."""
    lines = [f'{"":14}{"A":>8}{"B":>8}{"B - A":>9}']
    for name, (a, b) in _headline(comparison).items():
        lines.append(f'{name:14}{a:8.2f}{b:8.2f}{b - a:+9.2f}')
    change, classes = comparison.class_change, comparison.first.report.classes
    order = np.argsort(change).tolist()
    for title, chosen in (
        ('lost most', [index for index in order if change[index] < 0][:5]),
        ('gained most', [index for index in reversed(order) if change[index] > 0][:5]),
    ):
        if chosen:
            parts = (f'{classes[index]} {100 * change[index]:+.1f}' for index in chosen)
            lines.append(f'{title}: {", ".join(parts)}')
    return '\n'.join(lines)


def comparison_page(comparison: Comparison, *, shown: int = SHOWN) -> str:
    """Return an HTML page that needs no other file.

    Args:
        comparison: whose photographs and label maps are read again.
        shown: how many of the images with the largest loss and of those with the largest gain are shown.

    Raises:
        UserError: an image or its label map is no longer there.
    """
    changes = comparison.image_changes()
    lost = [change for change in changes if change.change < 0][:shown]
    gained = [change for change in reversed(changes) if change.change > 0][:shown]
    a, b = comparison.first, comparison.second
    title = f'{Path(a.checkpoint).name} and {Path(b.checkpoint).name}'
    figures = [
        (name, f'{second - first:+.2f}', f'A {first:.2f}%, B {second:.2f}%')
        for name, (first, second) in _headline(comparison).items()
    ]
    sections = [
        ('classes', 'Classes', [_class_table(comparison)]),
        *(
            (name, heading, ['<div class="examples">', *_examples(comparison, chosen), '</div>'])
            for name, heading, chosen in (
                ('lost', 'Images that lost most', lost),
                ('gained', 'Images that gained most', gained),
            )
            if chosen
        ),
    ]
    runs = ''.join(
        f'<li><b>{name}</b>: {escape(record.checkpoint)}, {escape(record.config)}. '
        f'Protocol: {escape(record.protocol)}. {escape(record.date)}.</li>'
        for name, record in (('A', a), ('B', b))
    )
    header = (
        f'<header><h1>{escape(title)}</h1><ul class="soft">{runs}</ul><p class="soft">{len(a.images)} images; '
        'differences are B less A, in percentage points.</p></header>'
    )
    return report_page(title, [header, '<main>', tiles(figures), *sectioned(sections), '</main>'])


def _headline(comparison: Comparison) -> dict[str, tuple[float, float]]:
    """Return the figures of both runs in percent."""
    a, b = comparison.first, comparison.second
    figures = {
        name: (a.report.headline[name], b.report.headline[name])
        for name in ('mIoU', 'aAcc', 'mAcc')
    }
    means = [100 * mean_over_classes(record.boundary.iou) for record in (a, b)]
    figures['boundary mIoU'] = (means[0], means[1])
    if a.calibration is not None and b.calibration is not None:
        errors = [100 * c.expected_error for c in (a.calibration, b.calibration)]
        figures['ECE'] = (errors[0], errors[1])
    return figures


def _class_table(comparison: Comparison) -> str:
    a, b, change = comparison.first, comparison.second, comparison.class_change
    boundary = b.boundary.iou - a.boundary.iou
    largest = max(float(np.nanmax(np.abs(change), initial=0)), 1e-9)
    rows = [
        name_cell(a, index)
        + _change_cell(change[index], largest)
        + rate_cell(a.report.per_class['IoU'][index])
        + rate_cell(b.report.per_class['IoU'][index])
        + f'<td class="number" data-value="{number(boundary[index])}">{_signed(boundary[index])}</td>'
        for index in np.argsort(change, kind='stable').tolist()
    ]
    header = [
        ('Class', ''), ('Difference of IoU', ' aria-sort="ascending"'), ('IoU of A, %', ''),
        ('IoU of B, %', ''), ('Difference of boundary IoU', ''),
    ]  # fmt: skip
    return sortable_table(header, rows, 'IoU of each class in both runs')


def _change_cell(change: float, largest: float) -> str:
    bar = ''
    if not np.isnan(change):
        width = 100 * abs(change) / largest
        bar = f'<div class="{"less" if change < 0 else "more"}" style="width:{width:.2f}%"></div>'
    return (
        f'<td class="rate" data-value="{number(change)}"><div><span>{_signed(change)}</span>'
        f'<div class="track difference">{bar}</div></div></td>'
    )


def _signed(change: float) -> str:
    return '-' if np.isnan(change) else f'{100 * change:+.1f}'


def _examples(comparison: Comparison, changes: Sequence[ImageChange]) -> Iterator[str]:
    for change in changes:
        first = draw_panels(comparison.first, change.first, comparison.folders[0])
        second = draw_panels(comparison.second, change.second, comparison.folders[1])
        name = Path(change.first.image).name
        yield figure(
            change.first,
            f'mIoU {percent(change.first.mean_iou)}% in A, {percent(change.second.mean_iou)}% in B '
            f'({_signed(change.change)})',
            {
                'photograph': picture(first.photo, f'{name}: photograph'),
                'truth': picture(first.truth, f'{name}: true labels', lossless=True),
                'A': picture(first.prediction, f'{name}: labels of A', lossless=True),
                'B': picture(second.prediction, f'{name}: labels of B', lossless=True),
            },
            legend(comparison.first, change.first, change.second),
        )
