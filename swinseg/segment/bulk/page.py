"""The page about a bulk job, made from its manifest: totals, classes, slowest inputs, failures, and samples."""

from __future__ import annotations

import heapq
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swinseg.errors import UserError
from swinseg.report.html_page import html_page, picture, swatch
from swinseg.segment.bulk.hashes import hash_of
from swinseg.segment.bulk.manifest import DONE, Manifest, Row
from swinseg.segment.bulk.storage import Place
from swinseg.terminal import format_duration
from swinseg.visualization.resize import fit_image

_SAMPLES = 24
_SAMPLE_SIDE = 300
_SLOWEST = 15
_FAILURES = 200
_CLASSES = 200

_STYLE = """
body { max-width: 72rem; }
dl.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .6rem; margin: 1rem 0; }
dl.tiles div { background: var(--card); border-radius: .4rem; padding: .6rem .9rem; }
dl.tiles dt { color: var(--soft); font-size: .85rem; }
dl.tiles dd { margin: 0; font-size: 1.5rem; font-weight: 600; font-variant-numeric: tabular-nums; }
dl.tiles .bad dd { color: var(--error); }
tbody tr { border-top: 1px solid var(--line); }
td.share { width: 40%; min-width: 6rem; } td.number, thead th { white-space: nowrap; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 11rem), 1fr)); gap: .8rem; }
.samples img { width: 100%; height: auto; display: block; }
"""


@dataclass
class Survey:
    """What the rows of a manifest say together.

    Attributes:
        classes: names of the model's classes, in its order.
        done: inputs that were segmented.
        failed: inputs that were not.
        kinds: number of images, scenes and videos.
        seconds: of all inputs that were done, each by itself.
        pixels: of images and scenes.
        shares: sum of each class's shares over the inputs.
        inputs_with: number of inputs that show a class.
        slowest: the slowest rows, the slowest first.
        failures: the first rows that failed, by their inputs.
        samples: some rows with pictures, chosen by their inputs alone.
    """

    classes: Sequence[str] = ()
    done: int = 0
    failed: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    pixels: int = 0
    shares: dict[str, float] = field(default_factory=dict)
    inputs_with: Counter[str] = field(default_factory=Counter)
    slowest: list[Row] = field(default_factory=list)
    failures: list[Row] = field(default_factory=list)
    samples: list[Row] = field(default_factory=list)


def survey(manifest: Manifest, classes: Sequence[str] = ()) -> Survey:
    """Go once through the rows of a manifest; what is kept does not grow with their number."""
    found = Survey(classes)
    slowest: list[tuple[float, int, Row]] = []
    samples: list[tuple[int, int, Row]] = []
    for number, row in enumerate(manifest.rows()):
        if row.state != DONE:
            found.failed += 1
            if len(found.failures) < _FAILURES:
                found.failures.append(row)
            continue
        found.done += 1
        found.kinds[row.kind] += 1
        found.seconds += row.seconds
        found.pixels += row.height * row.width
        for name, share in row.classes:
            found.shares[name] = found.shares.get(name, 0.0) + share
            found.inputs_with[name] += 1
        _keep(slowest, (row.seconds, number, row), _SLOWEST)
        if '_overlay.png' in row.files:
            _keep(samples, (-hash_of(row.input), number, row), _SAMPLES)
    found.slowest = [row for _, _, row in sorted(slowest, reverse=True)]
    found.samples = sorted((row for _, _, row in samples), key=lambda row: row.input)
    found.failures.sort(key=lambda row: row.input)
    return found


def _keep(heap: list[Any], item: tuple[Any, ...], most: int) -> None:
    """Keep the largest items."""
    if len(heap) < most:
        heapq.heappush(heap, item)
    else:
        heapq.heappushpop(heap, item)


def write_page(
    place: Place,
    name: str,
    out: Place,
    found: Survey,
    palette: Sequence[Sequence[int]],
    *,
    title: str,
) -> str:
    """Write the page, and return its address.

    Args:
        place: of the manifest.
        name: of the page there.
        out: the folder of results, whose overlays are shown.
        found: what the rows say.
        palette: a color for each of the classes.
        title: what the job is called.

    Raises:
        OutputError: it cannot be written.
    """
    parts = [
        '<main>',
        f'<h1>Bulk job: {escape(title)}</h1>',
        _tiles(found),
        *_failures(found),
        *_classes(found, palette),
        *_samples(found, out),
        *_slowest(found),
        '</main>',
    ]
    place.write(name, html_page(f'Bulk job: {title}', parts, style=_STYLE).encode())
    return f'{place.address}/{name}'


def _tiles(found: Survey) -> str:
    kinds = ', '.join(
        f'{count:,} {kind}{"" if count == 1 else "s"}' for kind, count in found.kinds.most_common()
    )
    tiles = [
        ('segmented', f'{found.done:,}', ''),
        ('failed', f'{found.failed:,}', 'bad' if found.failed else ''),
        ('megapixels', f'{found.pixels / 1e6:,.1f}', ''),
        ('time of workers', format_duration(found.seconds), ''),
        ('each', f'{found.seconds / max(found.done, 1):.2f} s', ''),
    ]
    cells = ''.join(
        f'<div class="{tone}"><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>'
        for name, value, tone in tiles
    )
    return f'<dl class="tiles">{cells}</dl><p class="soft">{escape(kinds)}</p>'


def _failures(found: Survey) -> list[str]:
    if not found.failed:
        return []
    rows = ''.join(f'<tr><td>{escape(row.error)}</td></tr>' for row in found.failures)
    rest = found.failed - len(found.failures)
    more = f'<p class="soft">and {rest:,} more in the manifest</p>' if rest else ''
    return [
        '<h2>Failures</h2><table><thead><tr><th scope="col">what is wrong</th></tr></thead>'
        f'<tbody>{rows}</tbody></table>{more}'
    ]


def _classes(found: Survey, palette: Sequence[Sequence[int]]) -> list[str]:
    if not found.shares:
        return []
    color_of = dict(zip(found.classes, palette, strict=False))
    most = heapq.nlargest(_CLASSES, found.shares.items(), key=lambda each: each[1])
    means = {name: total / found.done for name, total in most}
    longest = max(means.values())
    rows = ''.join(
        f'<tr><td>{swatch(color_of[name]) if name in color_of else ""}{escape(name)}</td>'
        f'<td class="share"><div class="bar" style="width:{100 * mean / longest:.2f}%"></div></td>'
        f'<td class="number">{100 * mean:.2f}%</td>'
        f'<td class="number">{found.inputs_with[name]:,}</td></tr>'
        for name, mean in means.items()
    )
    return [
        '<h2>Classes</h2><table><thead><tr><th scope="col">class</th>'
        '<th scope="col" colspan="2">mean share of an input</th>'
        f'<th scope="col" class="number">inputs with it</th></tr></thead><tbody>{rows}</tbody></table>'
    ]


def _samples(found: Survey, out: Place) -> list[str]:
    figures = []
    for row in found.samples:
        pixels = _overlay(out, row)
        if pixels is not None:
            figures.append(
                f'<figure>{picture(pixels, f"overlay of {row.output}")}'
                f'<figcaption>{escape(row.output)}</figcaption></figure>'
            )
    return [f'<h2>Samples</h2><div class="samples">{"".join(figures)}</div>'] if figures else []


def _overlay(out: Place, row: Row) -> NDArray[np.uint8] | None:
    """Return the overlay of an input at a small size, or None where it cannot be read."""
    try:
        data = out.read(f'{row.output}_overlay.png')
        if data is None:
            return None
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.array(image.convert('RGB'))
            if row.kind == 'image':
                # Beside or below it is the legend.
                pixels = pixels[: row.height, : row.width]
            return fit_image(pixels, _SAMPLE_SIDE)
    except (UserError, OSError, Image.DecompressionBombError):
        return None


def _slowest(found: Survey) -> list[str]:
    rows = ''.join(
        f'<tr><td>{escape(row.input)}</td><td>{escape(row.kind)}</td>'
        f'<td class="number">{f"{row.width:,} x {row.height:,}" if row.width else ""}</td>'
        f'<td class="number">{row.seconds:.2f}</td></tr>'
        for row in found.slowest
    )
    if not rows:
        return []
    return [
        '<h2>Slowest</h2><table><thead><tr><th scope="col">input</th><th scope="col">kind</th>'
        '<th scope="col" class="number">width x height</th>'
        f'<th scope="col" class="number">seconds</th></tr></thead><tbody>{rows}</tbody></table>'
    ]
