"""The page about a job: what is on it, that nothing breaks out of it, and that it needs no other file."""

import numpy as np
import pytest
from PIL import Image

from support import bulk_jobs
from support.browser import launched_browser, violations, watch
from swinseg.segment.bulk import page as module
from swinseg.segment.bulk.manifest import DONE, FAILED, Manifest, Row
from swinseg.segment.bulk.page import survey, write_page
from swinseg.segment.bulk.storage import place_of

CLASSES, PALETTE = ('sky', 'road <b>'), [[70, 130, 180], [120, 120, 120]]


@pytest.fixture
def written(tmp_path):
    """The survey and the text of a page about five inputs, and its path."""
    manifest = Manifest(str(tmp_path / 'out' / 'manifest'))
    out = place_of(tmp_path / 'out')
    for number in range(4):
        name = f'photos/{number}<i>.jpg'
        manifest.add(
            Row(
                f'/{name}', DONE, output=name, files=('_overlay.png',), kind='scene' if number else 'image',
                height=100, width=200, classes=((CLASSES[0], 0.75), (CLASSES[1], 0.25))[: 2 - number % 2],
                seconds=number + 0.5,
            )
        )  # fmt: skip
        if number < 3:
            path = tmp_path / 'out' / f'{name}_overlay.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((400, 800, 3), 60 * number, np.uint8)).save(path)
    manifest.add(Row('/x.jpg', FAILED, error='image /x<script>.jpg is truncated'))
    manifest.compact()
    found = survey(manifest, CLASSES)
    address = write_page(manifest.place, '_page.html', out, found, PALETTE, title='masks & more')
    path = tmp_path / 'out' / 'manifest' / '_page.html'
    assert address == str(path)
    return found, path.read_text(encoding='utf-8'), path


def test_survey__counts(written):
    found, _, _ = written
    assert (found.done, found.failed, found.kinds) == (4, 1, {'scene': 3, 'image': 1})
    assert (found.seconds, found.pixels) == (8.0, 80_000)
    assert found.inputs_with == {'sky': 4, 'road <b>': 2}
    assert [row.seconds for row in found.slowest] == [3.5, 2.5, 1.5, 0.5]


def test_page__says_it_all_and_escapes_it(written):
    _, text, _ = written
    for part in (
        'Bulk job: masks &amp; more', 'image /x&lt;script&gt;.jpg is truncated', 'road &lt;b&gt;', '75.00%',
        '12.50%',
        'photos/2&lt;i&gt;.jpg', '200 x 100', '3 scenes, 1 image',
    ):  # fmt: skip
        assert part in text
    assert text.count('<figure>') == 3  # the overlay of one is not there
    assert 'http' not in text.replace('http-equiv', '')


def test_survey__keeps_little_of_many(tmp_path, monkeypatch):
    monkeypatch.setattr(module, '_SAMPLES', 3)
    monkeypatch.setattr(module, '_FAILURES', 2)
    manifest = Manifest(str(tmp_path))
    for number in range(50):
        state = FAILED if number % 5 == 0 else DONE
        manifest.add(Row(f'/{number}.jpg', state, files=('_overlay.png',), kind='image', error='x'))
    manifest.compact()
    found = survey(manifest)
    assert (len(found.samples), len(found.failures), len(found.slowest)) == (3, 2, 15)
    assert (found.done, found.failed) == (40, 10)
    assert [row.input for row in survey(manifest).samples] == [row.input for row in found.samples]


@pytest.mark.slow
def test_page__in_a_browser(written):
    _, _, path = written
    with launched_browser() as browser:
        page = browser.new_page(viewport={'width': 390, 'height': 800})
        problems: list[str] = []
        watch(page, path.as_uri(), problems)
        page.goto(path.as_uri())
        assert problems == []
        assert violations(page) == []
        assert page.evaluate('document.documentElement.scrollWidth <= innerWidth')
        page.close()


def test_empty_manifest__is_a_page_too(tmp_path):
    manifest = Manifest(str(tmp_path / 'manifest'))
    found = survey(manifest)
    write_page(manifest.place, '_page.html', place_of(tmp_path), found, [], title='nothing')
    assert bulk_jobs.contents(tmp_path) == {}
    assert '<dd>0</dd>' in (tmp_path / 'manifest' / '_page.html').read_text()
