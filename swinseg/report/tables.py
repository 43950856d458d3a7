"""The tables of a report: what is known of each class, and the worst confusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from swinseg.evaluation.confusion import Matrix, Rates
from swinseg.report.html_page import swatch
from swinseg.report.panels import anchor
from swinseg.report.record import EvaluationRecord, ImageRecord

_CONFUSIONS = 20


def class_table(record: EvaluationRecord, examples: Mapping[int, ImageRecord]) -> str:
    """Return the figures of each class, from the highest IoU to the lowest.

    Args:
        record: whose classes these are.
        examples: class -> an image of the page that shows it.
    """
    report = record.report
    labeled = report.matrix.sum(1)
    shares = labeled / max(int(labeled.sum()), 1)
    iou, level = report.per_class['IoU'], f'{100 * record.bootstrap.level:.0f}%'
    header = [
        ('Class', ''), ('IoU', ' aria-sort="descending"'), (f'{level} interval', ''), ('Boundary IoU', ''),
        ('Precision', ''), ('Recall', ''), ('Pixels', ''), ('Example', ''),
    ]  # fmt: skip
    rows = []
    for index in np.argsort(-np.nan_to_num(iou, nan=-1), kind='stable').tolist():
        low, high = record.bootstrap.iou[index]
        between = '' if np.isnan(low) else f'{100 * low:.1f} to {100 * high:.1f}'
        rows.append(
            name_cell(record, index)
            + bar_cell(iou[index])
            + f'<td class="number" data-value="{number(high - low)}">{between}</td>'
            + rate_cell(record.boundary.iou[index])
            + rate_cell(report.per_class['Precision'][index])
            + rate_cell(report.per_class['Recall'][index])
            + rate_cell(shares[index], digits=2)
            + _example_cell(report.classes[index], examples.get(index))
        )
    return sortable_table(header, rows, 'Figures of each class, in percent')


def name_cell(record: EvaluationRecord, index: int) -> str:
    """Return a row's header: the class's color and name."""
    return f'<th scope="row">{swatch(record.palette[index])}{escape(record.report.classes[index])}</th>'


def bar_cell(rate: float) -> str:
    """Return a rate in [0, 1] as a number in percent with a bar."""
    filled = '' if np.isnan(rate) else f'<div class="bar" style="width:{100 * rate:.2f}%"></div>'
    bar = f'<div class="track">{filled}</div>'
    return f'<td class="rate" data-value="{number(rate)}"><div><span>{percent(rate)}</span>{bar}</div></td>'


def rate_cell(rate: float, *, digits: int = 1) -> str:
    """Return a rate in [0, 1] as a number in percent, ``-`` where it is undefined."""
    return f'<td class="number" data-value="{number(rate)}">{percent(rate, digits=digits)}</td>'


def percent(rate: float, *, digits: int = 1) -> str:
    """Return a rate in [0, 1] in percent without the sign, ``-`` where it is undefined."""
    return '-' if np.isnan(rate) else f'{100 * rate:.{digits}f}'


def number(value: float) -> str:
    """Return what a table is sorted by: empty where the value is undefined."""
    return '' if np.isnan(value) else f'{value:.6g}'


def sortable_table(header: Sequence[tuple[str, str]], rows: Sequence[str], name: str) -> str:
    """Return a table that the page's script sorts, in a frame of its own for narrow screens.

    Args:
        header: (plain text, attributes) of each column; the first one is the rows' header.
        rows: HTML of the cells of each row.
        name: plain text that says what the table holds.
    """
    cells = ''.join(
        f'<th scope="col" class="{"number" if place > 1 else ""}"{attributes}>{escape(text)}</th>'
        for place, (text, attributes) in enumerate(header)
    )
    body = ''.join(f'<tr>{row}</tr>' for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}"><table data-sortable>'
        f'<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _example_cell(name: str, image: ImageRecord | None) -> str:
    if image is None:
        return '<td class="number" data-value=""></td>'
    label = f'an image with {name}'
    return (
        f'<td class="number" data-value="{image.index}"><a href="#{anchor(image)}" '
        f'aria-label="{escape(label)}">image</a></td>'
    )


def confusion_table(record: EvaluationRecord) -> str:
    """Return the confusions that cost most pixels, the most costly one first; empty where all is right."""
    matrix = record.report.matrix
    labeled = matrix.sum(1)
    wrong = int(matrix.sum() - matrix.trace())
    rows = []
    for true, predicted in worst_confusions(matrix, most=_CONFUSIONS):
        count = int(matrix[true, predicted])
        rows.append(
            name_cell(record, true)
            + f'<td>{swatch(record.palette[predicted])}{escape(record.report.classes[predicted])}</td>'
            + rate_cell(count / wrong)
            + rate_cell(count / int(labeled[true]))
            + f'<td class="number" data-value="{count}">{count:,}</td>'
        )
    header = [
        ('Labeled', ''), ('Predicted', ''), ('Share of all errors, %', ' aria-sort="descending"'),
        ('Share of the class, %', ''), ('Pixels', ''),
    ]  # fmt: skip
    return sortable_table(header, rows, 'Worst confusions') if rows else ''


def worst_confusions(matrix: Matrix, *, most: int) -> list[tuple[int, int]]:
    """Return the (label, prediction) pairs of different classes that hold most pixels, the largest first."""
    wrong = matrix - np.diag(matrix.diagonal())
    order = np.argsort(-wrong.reshape(-1), kind='stable')[:most]
    pairs = (divmod(int(flat), len(matrix)) for flat in order)
    return [pair for pair in pairs if wrong[pair]]


def row_shares(matrix: Matrix) -> Rates:
    """Return (K, K) float64 shares of each label's pixels; nan in the rows of classes without any."""
    total = matrix.sum(1, keepdims=True)
    return np.divide(matrix, total, out=np.full(matrix.shape, np.nan), where=total > 0)
