"""A report for the terminal."""

from __future__ import annotations

from swinseg.datasets.check.findings import Finding, percent
from swinseg.datasets.check.report import DatasetReport, SplitReport
from swinseg.datasets.check.statistics import channel_order

_FILES = 5
_CLASSES = 30


def format_report(report: DatasetReport) -> str:
    """Return the report as lines: figures of each split, the findings, and the verdict."""
    lines = [line for split in report.splits.values() for line in (*_figures(split), '')]
    for number, finding in enumerate(report.findings, start=1):
        lines += [*_finding(number, finding), '']
    return '\n'.join([*lines, verdict(report)])


def summary(report: SplitReport) -> str:
    """Return one line on what a split holds, as training logs it."""
    labeled = sum(job.label is not None for job in report.split.jobs)
    return (
        f'{report.split.name} set: {len(report.split.jobs)} images, {labeled} with labels; of '
        f'{report.looked_at} looked at, {percent(report.classes.ignored_share)} of the pixels are ignored'
    )


def verdict(report: DatasetReport) -> str:
    """Return the last line: whether training can start."""
    counts = [
        f'{count} {severity}{"s" if count > 1 else ""}'
        for severity in ('error', 'warning')
        if (count := report.count(severity))
    ]
    if not counts:
        return 'ready to train: nothing was found'
    state = 'ready to train' if report.ok else 'not ready to train'
    return f'{state}: {", ".join(counts)}'


def _finding(number: int, finding: Finding) -> list[str]:
    lines = [f'{number}. {finding.severity} ({finding.split}): {finding.sentence}']
    # One file is named in the sentence.
    if len(finding.files) > 1:
        lines += [f'     {path}' for path in finding.files[:_FILES]]
        if len(finding.files) > _FILES:
            lines.append(f'     and {len(finding.files) - _FILES} more (--json has all)')
    joined = ' or' if len(finding.paste) > 1 else ''
    for setting in finding.paste:
        lines.append(f'   paste into the dataset of the config: {setting}{joined}')
        joined = ''
    return lines


def _figures(report: SplitReport) -> list[str]:
    of = '' if report.looked_at == len(report.split.jobs) else f' of {len(report.split.jobs)}'
    lines = [f'{report.split.name}: {report.looked_at}{of} images, {report.labeled} with labels']
    images = report.images
    if images is not None:
        smallest, median, largest = (
            f'{width} x {height}'
            for width, height in (images.smallest, images.median, images.largest)
        )
        sizes = smallest if smallest == largest else f'{smallest} to {largest}, median {median}'
        lines.append(f'  size: {sizes} (width x height)')
        if images.mean is not None and images.std is not None:
            mean, std = (
                ', '.join(f'{value:.2f}' for value in of) for of in (images.mean, images.std)
            )
            lines.append(f'  channels{channel_order(images.mean)}: mean {mean}; std {std}')
    if report.config_lines:
        lines += [
            '  of the bands, for the config:',
            *(f'    {line}' for line in report.config_lines),
        ]
    classes = report.classes
    if not report.labeled or not classes.names:
        return lines
    lines.append(
        f'  ignored: {percent(classes.ignored_share)} of the pixels'
        + (f'; no class: {classes.outside} pixels' if classes.outside else '')
    )
    width = max(len('class'), *(len(name) for name in classes.names))
    lines.append(f'  {"class":<{width}}  pixels  images  loss weight (median frequency balancing)')
    order = sorted(range(len(classes.names)), key=lambda index: -classes.pixels[index])
    weights = classes.loss_weights()
    for index in order[:_CLASSES]:
        if classes.pixels[index]:
            lines.append(
                f'  {classes.names[index]:<{width}}  {percent(classes.shares[index]):>6}  '
                f'{classes.images[index]:>6}  {weights[index]:.3g}'
            )
    rest = len(classes.names) - len(classes.absent) - _CLASSES
    if rest > 0:
        lines.append(f'  and {rest} rarer classes')
    if classes.absent:
        lines.append(f'  {len(classes.absent)} classes do not occur')
    if report.split.name == 'train' and 1 < len(classes.names) <= _CLASSES:
        gentle = ', '.join(f'{weight:.2f}' for weight in classes.gentle_loss_weights())
        lines.append(f'  gentler, for rare classes: class_weight=[{gentle}]')
    return lines
