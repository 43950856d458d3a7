"""The HTML page of an evaluation: one file that needs no other, with every name in it escaped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files as resources
from pathlib import Path

import numpy as np

from swinseg.evaluation.calibration import Calibration
from swinseg.evaluation.confusion import mean_over_classes
from swinseg.evaluation.object_size import size_names
from swinseg.files import require_own, write_text
from swinseg.report.figures import confusion_figure, object_size_figure, reliability_figure
from swinseg.report.html_page import HTML_MARK, html_page
from swinseg.report.panels import example
from swinseg.report.record import EvaluationRecord, ImageRecord
from swinseg.report.storage import (
    RECORD_FILE,
    RECORD_MARK,
    TABLE_FILE,
    TABLE_MARK,
    ReportError,
    save_record,
)
from swinseg.report.tables import class_table, confusion_table, percent, row_shares

PAGE_FILE = 'report.html'
SHOWN = 8
"""How many of the worst and of the best images a page shows."""

_WEAK_CLASSES = 12  # that get an example of their own


def write_report(
    record: EvaluationRecord, folder: str | os.PathLike[str], *, shown: int = SHOWN
) -> Path:
    """Write the record, the table of the images and the page; return the page's path.

    Args:
        record: whose label maps are in the folder already.
        folder: of the report.
        shown: how many of the worst and of the best images the page shows.

    Raises:
        OutputError: the folder cannot be written.
        UserError: an image or its label map is no longer there.
    """
    save_record(record, folder)
    path = Path(folder) / PAGE_FILE
    write_text(path, evaluation_page(record, Path(folder), shown=shown))
    return path


def require_report_folder(folder: str | os.PathLike[str]) -> None:
    """Make sure that no file of someone else is where those of a report are written.

    Raises:
        OutputError: one is.
    """
    record = Path(folder) / RECORD_FILE
    require_own(record, RECORD_MARK)
    if record.is_file():
        return
    # A report that was interrupted has label maps only.
    require_own(record.with_name(PAGE_FILE), HTML_MARK)
    require_own(record.with_name(TABLE_FILE), TABLE_MARK)


def check_shown(shown: int) -> None:
    """Refuse a number of images that is none, before work that would end in one.

    Raises:
        ReportError: it is less than one.
    """
    if shown < 1:
        raise ReportError(
            f'a page shows at least one of the worst images, but {shown} was asked for; give a larger number'
        )


def evaluation_page(record: EvaluationRecord, folder: Path, *, shown: int = SHOWN) -> str:
    """Return the page; see :func:`write_report`."""
    title = f'Evaluation of {Path(record.checkpoint).name}'
    worst, best = worst_and_best(record.worst_first(), shown)
    taken = {image.index for image in (*worst, *best)}
    weak = [image for image in _of_weak_classes(record) if image.index not in taken]
    examples = _examples(record, [*worst, *best, *weak])
    sections = [
        ('classes', 'Classes', [class_table(record, examples)]),
        ('confusions', 'Confusions', list(_confusions(record))),
        ('size', 'Size and confidence', list(_plots(record))),
        *(
            (name, heading, ['<div class="examples">', *(example(record, i, folder) for i in images), '</div>'])
            for name, heading, images in (
                ('worst', 'Worst images', worst),
                ('best', 'Best images', best),
                ('weak', 'Images of weak classes', weak),
            )
            if images
        ),
    ]  # fmt: skip
    parts = [
        f'<header><h1>{escape(title)}</h1>',
        f'<p class="soft">{escape(record.dataset)}, {len(record.images)} images. Protocol: '
        f'{escape(record.protocol)}.</p></header>',
        '<main>',
        tiles(_headline(record)),
        f'<p class="soft">Intervals hold {100 * record.bootstrap.level:.0f}% of {record.bootstrap.resamples:,} '
        'draws of as many images, with replacement: they tell how much depends on which images were in the '
        'set, and nothing of another training.</p>',
        *sectioned(sections),
        '</main>',
        _footer(record),
    ]
    return report_page(title, parts)


def report_page(title: str, parts: Sequence[str]) -> str:
    """Return a page with the style and the script of reports."""
    static = resources('swinseg.report') / 'static'
    style, script = (
        (static / f'page.{kind}').read_text(encoding='utf-8') for kind in ('css', 'js')
    )
    return html_page(title, parts, style=style, script=script)


def sectioned(sections: Sequence[tuple[str, str, Sequence[str]]]) -> Iterator[str]:
    """Yield links to sections, and the sections.

    Args:
        sections: (id, heading as plain text, HTML) of each.
    """
    links = ''.join(
        f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title, _ in sections
    )
    yield f'<nav aria-label="Sections"><ul>{links}</ul></nav>'
    for name, title, parts in sections:
        yield f'<section id="{name}"><h2>{escape(title)}</h2>'
        yield from parts
        yield '</section>'


def tiles(figures: Iterable[tuple[str, str, str]]) -> str:
    """Return headline figures: (name, value, remark) of each, all plain text."""
    items = (
        f'<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(remark)}</small></dd></div>'
        for name, value, remark in figures
    )
    return f'<dl class="tiles">{"".join(items)}</dl>'


def worst_and_best(
    worst_first: Sequence[ImageRecord], most: int
) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """Return up to ``most`` of the worst, worst first, and of the others the best, best first."""
    worst = list(worst_first[:most])
    return worst, list(reversed(worst_first[most:][-most:]))


def _headline(record: EvaluationRecord) -> Iterator[tuple[str, str, str]]:
    for name in ('mIoU', 'aAcc', 'mAcc'):
        ends = record.bootstrap.headline[name]
        yield name, f'{record.report.headline[name]:.2f}%', f'{ends.low:.2f} to {ends.high:.2f}'
    yield 'boundary mIoU', f'{percent(mean_over_classes(record.boundary.iou), digits=2)}%', ''
    if record.calibration is not None:
        error = f'{percent(record.calibration.expected_error, digits=2)}%'
        yield 'expected calibration error', error, ''


def _of_weak_classes(record: EvaluationRecord) -> list[ImageRecord]:
    """Return, for each of the classes of lowest IoU, the image with most of its wrong pixels."""
    iou = record.report.per_class['IoU']
    weakest = [int(index) for index in np.argsort(iou)[:_WEAK_CLASSES] if not np.isnan(iou[index])]
    found = (image for index in weakest if (image := _most_wrong(record, record.images)[index]))
    return list({image.index: image for image in found}.values())


def _examples(record: EvaluationRecord, images: Sequence[ImageRecord]) -> dict[int, ImageRecord]:
    """Return the image with most wrong pixels of each class, of those with any."""
    found = enumerate(_most_wrong(record, images))
    return {index: image for index, image in found if image is not None}


def _most_wrong(
    record: EvaluationRecord, images: Sequence[ImageRecord]
) -> list[ImageRecord | None]:
    count = len(record.report.classes)
    most = np.zeros(count, np.int64)
    where: list[ImageRecord | None] = [None] * count
    for image in images:
        matrix = image.matrix(count)
        wrong = matrix.sum(0) + matrix.sum(1) - 2 * matrix.diagonal()
        for index in np.flatnonzero(wrong > most).tolist():
            most[index], where[index] = wrong[index], image
    return where


def _confusions(record: EvaluationRecord) -> Iterator[str]:
    classes, matrix = record.report.classes, record.report.matrix
    cells = [[*map(int, place), int(matrix[tuple(place)])] for place in np.argwhere(matrix)]
    data = escape(json.dumps({'classes': classes, 'cells': cells}))
    largest = max(3, len(classes) // 8)
    yield (
        '<p class="soft">Each row is a class of the labels: the share of its pixels that is predicted as each '
        'class, in percent.</p>'
        f'<div data-matrix="{data}"><div class="controls" hidden><label>Zoom <input type="range" min="1" '
        f'max="{largest}" step="0.25" value="1"></label><output></output></div>'
        '<div class="matrix" tabindex="0" role="region" aria-label="Confusion matrix">'
        f'{confusion_figure(row_shares(matrix), classes)}</div></div>'
    )
    if table := confusion_table(record):
        yield f'<h3>Worst confusions</h3>{table}'
    else:
        yield '<p>No pixel is wrong.</p>'


def _plots(record: EvaluationRecord) -> Iterator[str]:
    sizes = record.object_sizes
    yield '<div class="plots"><div><h3>IoU against object size</h3>'
    yield object_size_figure(size_names(), sizes.iou, sizes.objects.sum(0))
    yield (
        '<p class="soft">An object is a connected region of a label; its IoU is that of the regions of the '
        'prediction that touch it (Chan et al. 2021). Under the percentages: the number of objects.</p></div>'
    )
    if record.calibration is None:
        yield '</div><p class="soft">The predictions came without confidences.</p>'
    else:
        yield from _calibration(record.calibration)
        yield '</div>'


def _calibration(calibration: Calibration) -> Iterator[str]:
    error = percent(calibration.expected_error, digits=2)
    share = calibration.pixels / max(int(calibration.pixels.sum()), 1)
    yield '<div><h3>Reliability</h3>'
    yield reliability_figure(calibration.confidence, calibration.accuracy, share)
    yield (
        f'<p class="soft">Below the dashed line the model is too sure of itself. The distance from it, averaged '
        f'over pixels, is the expected calibration error: {error}% (Guo et al. 2017).</p></div>'
    )


def _footer(record: EvaluationRecord) -> str:
    versions = ', '.join(f'{name} {version}' for name, version in record.versions.items())
    return (
        f'<footer class="soft"><p>Config {escape(record.config)}; weights {escape(record.checkpoint)}; '
        f'{escape(record.date)}; {record.seconds:.1f} s. {escape(versions)}.</p>'
        f'<p>Each image by itself: {TABLE_FILE}; all figures: {RECORD_FILE}; both beside this page.</p></footer>'
    )
