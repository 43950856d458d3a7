"""One HTML page of a dataset check: verdict, findings, class shares as bars, and a few labels over their images.

The page is one file that needs nothing else, and every name in it is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np

from swinseg.datasets.check import DatasetReport, Finding, SplitReport
from swinseg.datasets.check.findings import percent
from swinseg.datasets.check.pair import Job, planes_of_job
from swinseg.datasets.check.statistics import channel_order
from swinseg.datasets.check.text import verdict
from swinseg.datasets.files import images as image_files
from swinseg.datasets.files.picture import read_picture
from swinseg.datasets.labels.colors import decode_by_rule
from swinseg.datasets.labels.map import IGNORE_INDEX, rule_tables
from swinseg.datasets.labels.multi_label import bits_of_masks
from swinseg.report.html_page import html_page, picture, swatch
from swinseg.visualization.colorize import overlay
from swinseg.visualization.overlaps import overlay_overlaps
from swinseg.visualization.resize import fitting_size, resize_image, resize_labels

_LONGEST_SIDE = 420
_FILES = 200
_MOST_BITS = 64

_STYLE = """
.verdict { font-weight: 600; font-size: 1.1rem; margin: .3rem 0 1rem; }
.error { --tone: var(--error); } .warning { --tone: var(--warning); } .note { --tone: var(--note); }
.good { --tone: var(--good); } .verdict, .kind { color: var(--tone); }
article { background: var(--card); border-left: .3rem solid var(--tone); border-radius: .3rem;
  padding: .6rem .9rem; margin: .7rem 0; } article p { margin: 0; } .kind { font-weight: 600; }
pre { background: var(--back); border: 1px solid var(--line); border-radius: .3rem; padding: .5rem;
  margin: .5rem 0 0; white-space: pre-wrap; font: .85rem/1.4 ui-monospace, monospace; }
details { margin-top: .5rem; } ul { margin: .3rem 0; padding-left: 1.2rem; font-size: .85rem; }
td.share { width: 45%; min-width: 6rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: .8rem; }
figure div { display: flex; gap: 2px; } figure img { width: 50%; height: auto; }
"""


def dataset_page(report: DatasetReport) -> str:
    """Return the page.

    Args:
        report: what was found; the files of its samples are read again.
    """
    title = f'Dataset check: {Path(report.name).name}'
    tone = 'good' if not report.findings else 'warning' if report.ok else 'error'
    parts = [
        f'<h1>{escape(title)}</h1>',
        f'<p class="verdict {tone}">{escape(verdict(report))}</p>',
        *(_finding(finding) for finding in report.findings),
        *(part for split in report.splits.values() for part in _split(split)),
    ]
    return html_page(title, parts, style=_STYLE)


def _finding(finding: Finding) -> str:
    paste = ''.join(f'<pre>{escape(setting)}</pre>' for setting in finding.paste)
    files = ''
    if len(finding.files) > 1:
        items = ''.join(f'<li>{escape(path)}</li>' for path in finding.files[:_FILES])
        rest = len(finding.files) - _FILES
        more = f'<p class="soft">and {rest} more</p>' if rest > 0 else ''
        files = f'<details><summary>{len(finding.files)} files</summary><ul>{items}</ul>{more}</details>'
    return (
        f'<article class="{finding.severity}"><p><span class="kind">{finding.severity}</span> '
        f'<span class="soft">({escape(finding.split)})</span> {escape(finding.sentence)}</p>'
        f'{paste}{files}</article>'
    )


def _split(report: SplitReport) -> Iterator[str]:
    of = '' if report.looked_at == len(report.split.jobs) else f' of {len(report.split.jobs)}'
    yield f'<h2>{escape(report.split.name)}: {report.looked_at}{of} images</h2>'
    images = report.images
    if images is not None:
        sizes = ', '.join(
            f'{what} {width} x {height}'
            for what, (width, height) in (
                ('smallest', images.smallest),
                ('median', images.median),
                ('largest', images.largest),
            )
        )
        yield f'<p class="soft">Width x height: {sizes}.'
        if images.mean is not None and images.std is not None:
            mean, std = (', '.join(f'{v:.1f}' for v in of) for of in (images.mean, images.std))
            yield f' Channels{channel_order(images.mean)}: mean {mean}; standard deviation {std}.'
        yield f' {percent(report.classes.ignored_share)} of the labeled pixels are ignored.</p>'
    pictures = [_picture(job, report) for job in report.samples]
    if pictures:
        yield f'<div class="pictures">{"".join(pictures)}</div>'
    if report.labeled and report.classes.names:
        yield _class_table(report)


def _class_table(report: SplitReport) -> str:
    classes = report.classes
    shares, weights = classes.shares, classes.loss_weights()
    longest = max(float(shares.max(initial=0)), 1e-9)
    rows = []
    for index in np.argsort(-shares, kind='stable').tolist():
        occurs = classes.pixels[index] > 0
        rows.append(
            f'<tr><td>{swatch(report.split.palette[index])}{escape(classes.names[index])}</td>'
            f'<td class="share"><div class="bar" style="width:{100 * shares[index] / longest:.2f}%"></div></td>'
            f'<td class="number">{percent(shares[index])}</td>'
            f'<td class="number">{classes.images[index]}</td>'
            f'<td class="number">{f"{weights[index]:.3g}" if occurs else ""}</td></tr>'
        )
    return (
        '<table><thead><tr><th>class</th><th>share of pixels</th><th class="number"></th>'
        '<th class="number">images</th><th class="number">loss weight</th></tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table>'
        '<p class="soft">Loss weights by median frequency balancing (Eigen and Fergus, ICCV 2015), for '
        '<code>class_weight</code> of the loss.</p>'
    )


def _picture(job: Job, report: SplitReport) -> str:
    """Draw a photograph and the same with its label over it; the files have been read without a problem before."""
    assert job.label is not None
    split = report.split
    image = read_picture(job.image, split.loading.value_range, split.loading.bands)
    size = fitting_size(image.shape[:2], min(_LONGEST_SIDE, max(image.shape[:2])))
    photo = resize_image(image, size)
    if job.multi_label is not None:
        planes = planes_of_job(job, split.loading, image.shape[:2])[..., :_MOST_BITS]
        masks = (resize_labels(plane, size) == 1 for plane in planes.transpose(2, 0, 1))
        bits = bits_of_masks(masks, classes=planes.shape[2], shape=size)
        painted = overlay_overlaps(photo, bits, split.palette[:_MOST_BITS], alpha=0.6)
    else:
        raw = decode_by_rule(image_files.read_bytes(job.label, what='label'), job.label, job.rule)
        table, allowed = rule_tables(job.rule, 65536)
        indices = np.where(allowed & (table < len(split.classes)), table, IGNORE_INDEX)
        labels = indices[resize_labels(raw, size)]
        painted = overlay(photo, labels, split.palette, alpha=0.6)
    name = Path(job.image).name
    return (
        f'<figure><div>{picture(photo, f"{name}, photograph")}{picture(painted, f"{name}, labels")}</div>'
        f'<figcaption>{escape(name)}</figcaption></figure>'
    )
