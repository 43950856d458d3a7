"""The page of an evaluation in a real browser: complete, usable, without requests, and safe from any name."""

from __future__ import annotations

import re
from html import escape

import numpy as np
import pytest

from support.browser import launched_browser, violations, watch
from support.report_folder import make_record
from swinseg.errors import DataError
from swinseg.report.page import evaluation_page, worst_and_best, write_report
from swinseg.report.storage import ReportError, load_record
from swinseg.report.tables import row_shares, worst_confusions

HOSTILE = (
    '</script>"--><script>document.title=1</script>',
    '<img src=x onerror=alert(1)>',
    "a'&$x$",
)
IMAGES = 8


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('report')
    write_report(make_record(path, classes=(*HOSTILE, 'absent'), images=IMAGES), path, shown=3)
    return path


@pytest.fixture(scope='module')
def browser():
    with launched_browser() as found:
        yield found


@pytest.fixture
def problems():
    return []


@pytest.fixture
def page(browser, folder, problems):
    page = browser.new_page(viewport={'width': 1280, 'height': 900})
    watch(page, 'file://', problems)
    page.goto((folder / 'report.html').as_uri())
    yield page
    page.close()


def test_page__is_whole_and_well_behaved(page, folder, problems):
    record = load_record(folder)
    assert page.title() == 'Evaluation of weights_0.pth'
    tiles = page.locator('dl.tiles').inner_text()
    interval = record.bootstrap.headline['mIoU']
    assert f'{record.report.headline["mIoU"]:.2f}%' in tiles
    assert f'{interval.low:.2f} to {interval.high:.2f}' in tiles
    # Every picture is a picture, and every link leads to something.
    widths = page.eval_on_selector_all('img', 'all => all.map((one) => one.naturalWidth)')
    assert len(widths) == 4 * 6
    assert min(widths) > 0
    targets = page.eval_on_selector_all(
        'a', 'all => all.map((one) => document.querySelector(one.getAttribute("href")) !== null)'
    )
    assert len(targets) > 5
    assert all(targets)
    ids = page.eval_on_selector_all('[id]', 'all => all.map((one) => one.id)')
    assert len(ids) == len(set(ids))
    assert problems == []


@pytest.mark.parametrize(('width', 'scheme'), [(390, 'light'), (1280, 'dark')])
def test_page__fits_and_is_accessible(browser, folder, width, scheme):
    page = browser.new_page(viewport={'width': width, 'height': 800}, color_scheme=scheme)
    page.goto((folder / 'report.html').as_uri())
    assert page.evaluate('document.documentElement.scrollWidth') == width
    assert violations(page) == []
    page.close()


def test_page__sorts_classes_by_any_column(page, folder):
    def order():
        return page.locator('#classes tbody th').all_inner_texts()

    record = load_record(folder)
    iou = record.report.per_class['IoU']
    names = np.array(record.report.classes)
    falling = names[np.argsort(-iou, kind='stable')].tolist()
    assert order() == falling  # nan sorts last
    page.get_by_role('button', name='IoU', exact=True).press('Enter')
    assert order() == [*names[np.argsort(iou, kind='stable')][:3], 'absent']
    assert page.locator('#classes th[aria-sort]').get_attribute('aria-sort') == 'ascending'
    page.get_by_role('button', name='Class', exact=True).click()
    first = order()
    page.get_by_role('button', name='Class', exact=True).click()
    assert order() == first[::-1] != falling


def test_page__tells_the_cell_under_the_pointer(page, folder):
    matrix = load_record(folder).report.matrix
    svg = page.locator('[data-matrix] svg')
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    left, top, width, height = map(float, svg.get_attribute('data-cells').split())
    row, column = 1, 2
    page.mouse.move(
        box['x'] + box['width'] * (left + width * (column + 0.5) / 4),
        box['y'] + box['height'] * (top + height * (row + 0.5) / 4),
    )
    share = 100 * matrix[row, column] / matrix[row].sum()
    assert page.locator('[data-matrix] output').inner_text() == (
        f'{HOSTILE[row]}: {share:.2f}% predicted as {HOSTILE[column]} ({matrix[row, column]:,} pixels)'
    )


def test_page__enlarges_the_matrix(page):
    svg = page.locator('[data-matrix] svg')
    before = svg.bounding_box()['width']
    zoom = page.get_by_label('Zoom')
    zoom.fill('2')
    assert svg.bounding_box()['width'] == pytest.approx(2 * before, rel=0.01)
    zoom.fill('1')
    assert svg.bounding_box()['width'] == pytest.approx(before, rel=0.01)


def test_page__needs_nothing_else_and_escapes_names(folder):
    text = (folder / 'report.html').read_text(encoding='utf-8')
    without = re.sub(r'base64,[^"]+', '', text)
    for name in HOSTILE[:2]:
        assert name not in text
        assert escape(name) in text
    assert len(re.findall('<script', without)) == 1
    # The two addresses are the names of SVG's own vocabulary, and are asked by nobody.
    addresses = set(re.findall(r'https?://[^\s"<]+', without))
    assert addresses <= {'http://www.w3.org/2000/svg', 'http://www.w3.org/1999/xlink'}


def test_page__without_confidences_says_so(folder, tmp_path):
    record = make_record(tmp_path, images=2, calibrated=False)
    text = evaluation_page(record, tmp_path)
    assert 'without confidences' in text
    assert 'calibration error' not in text


def test_page__of_a_perfect_model_names_no_confusion(tmp_path):
    text = evaluation_page(make_record(tmp_path, images=1), tmp_path)  # the first image is right
    assert 'No pixel is wrong.' in text
    assert 'id="worst"' in text
    assert 'id="best"' not in text


def test_page__names_the_photograph_that_is_gone(tmp_path):
    record = make_record(tmp_path, images=1)
    (tmp_path / 'photos/0.png').unlink()
    with pytest.raises(DataError, match=r'0\.png'):
        evaluation_page(record, tmp_path)


def test_page__names_the_label_map_that_is_gone(tmp_path):
    record = make_record(tmp_path, images=1)
    (tmp_path / record.images[0].truth_file).unlink()
    with pytest.raises(ReportError, match=r'000000\.png cannot be read'):
        evaluation_page(record, tmp_path)


def test_worst_and_best__share_no_image(tmp_path):
    images = make_record(tmp_path, images=5).worst_first()
    worst, best = worst_and_best(images, 3)
    assert [image.index for image in worst] == [image.index for image in images[:3]]
    assert [image.index for image in best] == [images[4].index, images[3].index]
    assert worst_and_best(images, 9) == (images, [])


def test_worst_confusions__names_the_largest_first():
    matrix = np.array([[9, 2, 0], [5, 9, 0], [1, 0, 9]])
    assert worst_confusions(matrix, most=2) == [(1, 0), (0, 1)]
    assert worst_confusions(matrix, most=9) == [(1, 0), (0, 1), (2, 0)]


def test_row_shares__leave_rows_without_pixels_undefined():
    shares = row_shares(np.array([[3, 1], [0, 0]]))
    np.testing.assert_array_equal(shares, [[0.75, 0.25], [np.nan, np.nan]])
