"""One HTML page of a dataset check: verdict, findings, class shares as bars, and a few labels over their images.

The page is one file that needs nothing else, and every name in it is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape
from pathlib import Path

import cv2
import numpy as np

from swinseg.datasets import image_files
from swinseg.datasets.check import DatasetReport, Finding, SplitReport
from swinseg.datasets.check.findings import percent
from swinseg.datasets.check.pair import Job
from swinseg.datasets.check.text import verdict
from swinseg.datasets.label_colors import decode_by_rule
from swinseg.datasets.label_map import IGNORE_INDEX, rule_tables
from swinseg.visualization.colorize import RGBImage, overlay

_LONGEST_SIDE = 420
_JPEG_QUALITY = 82
_FILES = 200

_STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0;
  --card: #f6f8fa; --error: #b3261e; --warning: #8a5a00; --note: #0b5cad; --good: #1a6b34; --bar: #4f7cac; }
@media (prefers-color-scheme: dark) { :root { --back: #16191d; --ink: #e6e9ec; --soft: #9aa4ae; --line: #3a424a;
  --card: #20252b; --error: #ff8a80; --warning: #f2bd5c; --note: #8abfff; --good: #7bd79a; --bar: #6f9fd1; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--back); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.soft { color: var(--soft); } .verdict { font-weight: 600; font-size: 1.1rem; margin: .3rem 0 1rem; }
.error { --tone: var(--error); } .warning { --tone: var(--warning); } .note { --tone: var(--note); }
.good { --tone: var(--good); } .verdict, .kind { color: var(--tone); }
article { background: var(--card); border-left: .3rem solid var(--tone); border-radius: .3rem;
  padding: .6rem .9rem; margin: .7rem 0; } article p { margin: 0; } .kind { font-weight: 600; }
pre { background: var(--back); border: 1px solid var(--line); border-radius: .3rem; padding: .5rem;
  margin: .5rem 0 0; white-space: pre-wrap; font: .85rem/1.4 ui-monospace, monospace; }
details { margin-top: .5rem; } ul { margin: .3rem 0; padding-left: 1.2rem; font-size: .85rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 500; } td, th { padding: .15rem .5rem .15rem 0; }
td.number, th.number { text-align: right; } td.share { width: 45%; min-width: 6rem; }
.swatch { display: inline-block; width: .8em; height: .8em; border: 1px solid var(--line); margin-right: .4em; }
.bar { height: .8em; background: var(--bar); min-width: 1px; border-radius: .1rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: .8rem; }
figure { margin: 0; } figure div { display: flex; gap: 2px; } figure img { width: 50%; height: auto; }
figcaption { font-size: .8rem; color: var(--soft); }
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
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n'
        + '\n'.join(parts)
        + '\n</body>\n</html>\n'
    )


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
            yield f' Channels (RGB, 0 to 255): mean {mean}; standard deviation {std}.'
        yield f' {percent(report.classes.ignored_share)} of the labelled pixels are ignored.</p>'
    pictures = [picture for job in report.samples if (picture := _picture(job, report))]
    if pictures:
        yield f'<div class="pictures">{"".join(pictures)}</div>'
    if report.labelled and report.classes.names:
        yield _class_table(report)


def _class_table(report: SplitReport) -> str:
    classes = report.classes
    shares, weights = classes.shares, classes.loss_weights()
    longest = max(float(shares.max(initial=0)), 1e-9)
    rows = []
    for index in np.argsort(-shares, kind='stable').tolist():
        red, green, blue = report.split.palette[index]
        occurs = classes.pixels[index] > 0
        rows.append(
            f'<tr><td><span class="swatch" style="background:rgb({red},{green},{blue})"></span>'
            f'{escape(classes.names[index])}</td>'
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
    image = image_files.decode_image(image_files.read_bytes(job.image), job.image)
    raw = decode_by_rule(image_files.read_bytes(job.label, what='label'), job.label, job.rule)
    scale = min(1.0, _LONGEST_SIDE / max(raw.shape))
    size = max(1, round(raw.shape[1] * scale)), max(1, round(raw.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    table, allowed = rule_tables(job.rule, 65536)
    indices = np.where(allowed & (table < len(report.split.classes)), table, IGNORE_INDEX)
    labels = indices[cv2.resize(raw, size, interpolation=cv2.INTER_NEAREST)]
    photo = cv2.cvtColor(small, cv2.COLOR_BGR2RGB)
    painted = overlay(photo, labels, report.split.palette, alpha=0.6)
    name = escape(Path(job.image).name)
    return (
        f'<figure><div>{_img(photo, f"{name}, photograph")}{_img(painted, f"{name}, labels")}</div>'
        f'<figcaption>{name}</figcaption></figure>'
    )


def _img(pixels: RGBImage, description: str) -> str:
    _, data = cv2.imencode(
        '.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    encoded = base64.b64encode(data.tobytes()).decode('ascii')
    return f'<img alt="{description}" src="data:image/jpeg;base64,{encoded}">'
