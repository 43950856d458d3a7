"""Tables as text for the terminal and as Markdown for ``benchmarks/README.md``."""

from __future__ import annotations

from collections.abc import Sequence

from swinseg.benchmark.exactness import AGREEMENT
from swinseg.benchmark.results import Result, Row, Table, times_as_fast


def as_text(table: Table) -> str:
    """Return a table for the terminal, with what was left out and the notes below it."""
    header, lines = cells(table)
    widths = [max(len(line[i]) for line in (header, *lines)) for i in range(len(header))]
    first_number = 1 + (len(table.cases) > 1)

    def row(line: Sequence[str]) -> str:
        parts = [
            cell.ljust(width) if i < first_number else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return '  '.join(parts).rstrip()

    body = [table.title, row(header), *(row(line) for line in lines)]
    return '\n'.join([*body, *_remarks(table)])


def as_markdown(table: Table) -> str:
    """Return a table as Markdown under its title in bold."""
    header, lines = cells(table)
    first_number = 1 + (len(table.cases) > 1)
    rule = ['---' if i < first_number else '---:' for i in range(len(header))]
    rows = [f'| {" | ".join(line)} |' for line in (header, rule, *lines)]
    remarks = [f'- {remark}' for remark in _remarks(table)]
    parts = [f'**{table.title}**', '\n'.join(rows), *(['\n'.join(remarks)] if remarks else [])]
    return '\n\n'.join(parts)


def environment_line(result: Result) -> str:
    """Return one line with processor, threads, versions and date."""
    found = result.environment
    packages = ', '.join(f'{name} {version}' for name, version in found['packages'].items())
    revision = f' ({found["revision"]})' if found['revision'] else ''
    place = found['gpu'] or f'{found["processor"]}; {found["threads"]} threads in use'
    waiting = f'OMP_WAIT_POLICY {found["OMP_WAIT_POLICY"] or "not set"}'
    if found.get('GOMP_SPINCOUNT'):  # older results lack it
        waiting += f', GOMP_SPINCOUNT {found["GOMP_SPINCOUNT"]}'
    if result.options.get('load'):
        waiting += f'; {result.options["load"]} other processes computing'
    return (
        f'{place}; {waiting}; swinseg {found["swinseg"]}{revision}, Python {found["python"]}, '
        f'{packages}; {found["date"]}'
    )


def cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table as text; columns that no row fills are left away."""
    figures = list(dict.fromkeys(name for row in table.rows for name in row.figures))
    measures = list(dict.fromkeys(name for row in table.rows for name in row.exactness))
    header = [
        'case',
        '',
        'median',
        'spread (rounds)',
        f'{table.baseline} / this',
        f'this / {table.ours}',
        *figures,
        *measures,
        'verdict',
    ]
    lines = []
    for row in table.rows:
        lines.append(
            [
                row.case,
                row.name,
                seconds(row.median),
                _spread(row),
                _ratio(table, row),
                _lead(table, row),
                *(_number(row.figures.get(name)) for name in figures),
                *(_measure(name, row.exactness.get(name)) for name in measures),
                row.verdict,
            ]
        )
    several = len(table.cases) > 1
    keep = [
        i == 1 or (any(line[i] for line in lines) and (several if i == 0 else True))
        for i in range(len(header))
    ]
    return _kept(header, keep), [_kept(line, keep) for line in lines]


def _kept(line: list[str], keep: list[bool]) -> list[str]:
    return [cell for cell, kept in zip(line, keep, strict=True) if kept]


def _spread(row: Row) -> str:
    if not row.seconds:
        return ''
    rounds = f'({len(row.seconds)})'
    return rounds if row.spread is None else f'± {100 * row.spread:.1f}% {rounds}'


def _ratio(table: Table, row: Row) -> str:
    baseline = table.row(table.baseline, row.case)
    return '' if baseline is None else _factor(times_as_fast(row, baseline))


def _lead(table: Table, row: Row) -> str:
    # With only two rows it would say the same as the column before it.
    if len({other.name for other in table.rows}) < 3:
        return ''
    ours = table.row(table.ours, row.case)
    return '' if ours is None else _factor(times_as_fast(ours, row))


def _factor(value: float | None) -> str:
    return '' if value is None else f'{value:.2f}x'


def seconds(value: float | None) -> str:
    """Return a duration with three digits and its unit."""
    if value is None:
        return ''
    for unit, size in (('s', 1.0), ('ms', 1e-3)):
        if value >= size:
            return f'{_three_digits(value / size)} {unit}'
    return f'{_three_digits(value / 1e-6)} µs'


def _three_digits(value: float) -> str:
    return (
        f'{value:.0f}' if value >= 99.95 else f'{value:.1f}' if value >= 9.995 else f'{value:.2f}'
    )


def _number(value: float | None) -> str:
    if value is None:
        return ''
    # Bounds of relative errors would all be 0.00.
    if 0 < abs(value) < 0.01:
        return f'{value:.2g}'
    return f'{value:,.0f}' if value >= 1000 else _three_digits(value)


def _measure(name: str, value: float | None) -> str:
    if value is None:
        return ''
    if name == AGREEMENT:
        return f'{value:.3f}'
    return f'{value:.3g}'


def _remarks(table: Table) -> list[str]:
    return [*table.notes, *(f'left out: {name}: {why}' for name, why in table.left_out.items())]
