"""The page in a real browser, in front of the real server with a small model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import swinseg
from support import tiny_checkpoint
from support.browser import launched_browser, violations, watch
from support.server import served
from swinseg.predictor.segmentation import Segmentation
from swinseg.web.app import create_app
from swinseg.web.limits import Limits

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Download, Page

TOKEN = 'sesame'

MASK = """() => {
  const mask = document.querySelector('.mask');
  const copy = document.createElement('canvas');
  [copy.width, copy.height] = [mask.width, mask.height];
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(mask, 0, 0);
  return [...context.getImageData(0, 0, mask.width, mask.height).data];
}"""

GIVE = """([kind, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([Uint8Array.from(bytes)], 'given.png', { type: 'image/png' }));
  const options = { bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data };
  const event = kind === 'paste' ? new ClipboardEvent(kind, options) : new DragEvent(kind, options);
  document.body.dispatchEvent(event);
}"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint.make_folder(tmp_path_factory.mktemp('page'))


@pytest.fixture(scope='module')
def photo(folder: Path) -> Path:
    """An image 61 pixels wide and 97 high."""
    return folder / 'images' / '1.png'


@pytest.fixture(scope='module')
def segmented(folder: Path) -> Callable[[Path], Segmentation]:
    """What the predictor makes of an image without any server."""
    predictor = swinseg.Predictor.from_checkpoint(folder / 'tiny.pth', device='cpu')
    return lambda path: predictor(path, confidence=True)


@contextmanager
def serving(folder: Path, **options: object) -> Iterator[str]:
    """Run the real server in a thread and give its address."""
    predictor = swinseg.Predictor.from_checkpoint(folder / 'tiny.pth', device='cpu')
    limits = Limits(bytes=1_000_000, pixels=3_000_000)
    app = create_app(predictor, name='tiny.pth', limits=limits, **options)
    with served(app) as address:
        yield address


@pytest.fixture(scope='module')
def address(folder: Path) -> Iterator[str]:
    with serving(folder) as address:
        yield address


@pytest.fixture
def guarded_address(folder: Path) -> Iterator[str]:
    """The address of a server that asks for ``TOKEN``."""
    with serving(folder, token=TOKEN) as address:
        yield address


@pytest.fixture(scope='module')
def browser() -> Iterator[Browser]:
    with launched_browser() as browser:
        yield browser


@pytest.fixture
def problems() -> Iterator[list[str]]:
    """What a page did wrong, in the console or by asking other servers; nothing may be left at the end."""
    found: list[str] = []
    yield found
    assert found == []


@pytest.fixture
def visit(browser: Browser, address: str, problems: list[str]) -> Iterator[Callable[..., Page]]:
    """Open the page in a fresh window."""
    contexts = []

    def visit(url: str = address, **options: object) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        watch(page, url, problems)
        page.goto(url)
        return page

    yield visit
    for context in contexts:
        context.close()


def upload(page: Page, *files: Path) -> None:
    page.locator('#files').set_input_files(list(files))


def wait_for(page: Page, facts: str) -> None:
    """Wait until the facts of the selected image say this."""
    page.locator('#facts', has_text=facts).wait_for()


def rows(page: Page) -> list[tuple[str, str]]:
    """Return the names and areas of the table of classes."""
    return [
        (row.locator('th').inner_text().strip(), row.locator('td').inner_text())
        for row in page.locator('#classes tr').all()
    ]


def mask(page: Page, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the drawn mask, (height, width, 4) RGBA."""
    return np.array(page.evaluate(MASK), np.uint8).reshape(*size, 4)


def download(page: Page, button: str) -> Download:
    with page.expect_download() as waiting:
        page.get_by_role('button', name=button).click()
    return waiting.value


def read(file: Download) -> NDArray[np.uint8]:
    return np.asarray(Image.open(file.path()))


def take_refusals(problems: list[str], *statuses: int) -> None:
    """Take the lines that the browser itself writes for the answers of these statuses out of the problems."""
    for status in statuses:
        line = next(p for p in problems if f'status of {status}' in p)
        problems.remove(line)


def test_upload__shows_the_classes(visit, photo, segmented):
    page = visit()
    upload(page, photo)
    wait_for(page, '61 × 97 pixels')
    expected = segmented(photo)

    assert rows(page) == [(name, f'{100 * area:.1f}%') for name, area in expected.areas().items()]
    shown = mask(page, (97, 61))
    np.testing.assert_array_equal(shown[..., :3], expected.color())
    assert (shown[..., 3] == 255).all()


def test_download__equals_the_predictors(visit, photo, segmented):
    page = visit()
    upload(page, photo)
    wait_for(page, '61 × 97 pixels')
    expected = segmented(photo)

    labels = download(page, 'Labels (PNG)')
    assert labels.suggested_filename == '1_labels.png'
    np.testing.assert_array_equal(read(labels), expected.labels)
    confidence = read(download(page, 'Confidence (PNG)'))
    np.testing.assert_allclose(confidence / 255, expected.confidence, atol=0.51 / 255)
    polygons = download(page, 'Polygons (GeoJSON)')
    assert polygons.suggested_filename == '1_polygons.geojson'
    assert json.loads(polygons.path().read_text()) == expected.to_geojson()


def test_slider__weighs_the_overlay(visit, photo, segmented):
    page = visit()
    upload(page, photo)
    wait_for(page, '61 × 97 pixels')
    expected = segmented(photo)

    for opacity, picture in (('0', expected.image), ('100', expected.color())):
        page.get_by_label('Mask').fill(opacity)
        shown = read(download(page, 'Overlay as shown (PNG)'))
        np.testing.assert_array_equal(shown[..., :3], picture)
    page.get_by_label('Mask').fill('40')
    blended = read(download(page, 'Overlay as shown (PNG)'))[..., :3].astype(float)
    np.testing.assert_allclose(blended, 0.6 * expected.image + 0.4 * expected.color(), atol=2)


def test_hover__tells_class_and_confidence(visit, photo, segmented):
    page = visit()
    upload(page, photo)
    wait_for(page, '61 × 97 pixels')
    page.get_by_label('Size').select_option('400%')
    expected = segmented(photo)

    for x, y in ((0, 0), (60, 0), (17, 33), (60, 96)):
        page.locator('.frame').hover(position={'x': 4 * x + 2, 'y': 4 * y + 2})
        tip = page.locator('.tip').inner_text()
        name, rest = tip.split(', ', 1)
        assert name == expected.classes[expected.labels[y, x]]
        assert rest.endswith(f'% sure (x {x}, y {y})')
        # The confidence has 256 levels on its way and is told in whole percent.
        assert float(rest.split('%')[0]) / 100 == pytest.approx(
            expected.confidence[y, x], abs=0.008
        )
    page.mouse.move(0, 0)
    page.locator('.tip').wait_for(state='hidden')


def test_tap__tells_class_until_another_place_is_tapped(visit, photo):
    page = visit(has_touch=True, viewport={'width': 390, 'height': 800})
    upload(page, photo)
    wait_for(page, '61 × 97 pixels')

    page.locator('.frame').tap(position={'x': 50, 'y': 50})
    tip = page.locator('.tip')
    assert '% sure' in tip.inner_text()
    page.get_by_label('Mask').tap()
    tip.wait_for(state='hidden')


def test_toggle__hides_classes(visit, photo, segmented):
    page = visit()
    upload(page, photo)
    wait_for(page, '61 × 97 pixels')
    expected = segmented(photo)
    name = next(iter(expected.areas()))

    page.get_by_label(name).uncheck()
    seen = mask(page, (97, 61))[..., 3] > 0
    np.testing.assert_array_equal(seen, expected.labels != expected.classes.index(name))
    page.get_by_role('button', name='Hide all').click()
    assert not mask(page, (97, 61)).any()
    page.get_by_role('button', name='Show all').click()
    assert mask(page, (97, 61))[..., 3].all()


def test_keyboard__from_example_to_class(visit):
    page = visit()
    page.locator('#checkpoint', has_text='tiny.pth').wait_for()
    for _ in range(2):
        page.keyboard.press('Tab')
    assert (
        page.evaluate('document.activeElement.textContent || document.activeElement.firstChild.alt')
        == 'Street'
    )
    page.keyboard.press('Enter')
    wait_for(page, '384 × 288 pixels')
    for _ in range(20):
        if page.evaluate('document.activeElement.className') == 'frame':
            break
        page.keyboard.press('Tab')
    page.keyboard.press('ArrowRight')
    page.keyboard.press('Shift+ArrowUp')

    tip = page.locator('.tip')
    assert tip.inner_text().endswith('(x 196, y 106)')
    assert tip.get_attribute('aria-live') == 'polite'
    page.keyboard.press('Escape')
    tip.wait_for(state='hidden')


def test_several__one_of_them_no_image(visit, folder, tmp_path, problems):
    page = visit()
    name = '<img src=x onerror=alert(1)>.png'
    (tmp_path / name).write_bytes(b'\x89PNG and no more')
    upload(page, folder / 'images' / '0.png', tmp_path / name, folder / 'images' / '2.png')
    page.locator('#strip [data-state=failed]').wait_for()
    page.locator('#strip [data-state=done]').nth(1).wait_for()
    take_refusals(problems, 415)

    page.get_by_role('button', name=name).click()
    sentence = page.get_by_role('alert').inner_text()
    assert sentence.startswith(f'{name}: ')
    assert len(sentence) > len(name) + 20
    assert page.locator('img[src=x]').count() == 0
    page.get_by_role('button', name='2.png').click()
    wait_for(page, '64 × 64 pixels')
    assert page.get_by_role('alert').count() == 0
    page.get_by_role('button', name='Remove all').click()
    assert page.locator('#strip li').count() == 0
    assert not page.locator('#view').is_visible()


@pytest.mark.parametrize('kind', ['paste', 'drop'])
def test_given_otherwise(visit, photo, kind):
    page = visit()
    page.evaluate(GIVE, [kind, list(photo.read_bytes())])
    wait_for(page, '61 × 97 pixels')
    assert page.locator('#title').inner_text() == 'given.png'


def test_large__preview_first(visit, tmp_path):
    path = tmp_path / 'large.png'
    coarse = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    Image.fromarray(coarse).resize((1920, 1280), Image.Resampling.NEAREST).save(path)
    page = visit()
    posts = []

    def hold_the_second(route):
        posts.append(route)
        if len(posts) == 1:
            route.continue_()

    page.route('**/v1/segment*', hold_the_second)
    upload(page, path)

    wait_for(page, 'Preview of 768 × 512 pixels')
    assert page.get_by_role('button', name='Labels (PNG)').is_disabled()
    assert rows(page)
    posts[1].continue_()
    wait_for(page, '1920 × 1280 pixels')
    assert read(download(page, 'Labels (PNG)')).shape == (1280, 1920)
    assert posts[0].request.headers['content-type'] == 'image/jpeg'


def test_too_many_pixels__keeps_the_preview(visit, tmp_path, problems):
    Image.new('RGB', (2000, 1600)).save(tmp_path / 'larger.png')
    page = visit()
    upload(page, tmp_path / 'larger.png')

    wait_for(page, 'Preview of 768 × 614 pixels only')
    assert page.get_by_role('alert').inner_text().startswith('larger.png: ')
    assert page.get_by_role('button', name='Labels (PNG)').is_disabled()
    take_refusals(problems, 413)


def test_format_that_browsers_do_not_show(visit, photo, tmp_path, segmented):
    path = tmp_path / 'photo.tif'
    Image.open(photo).save(path)
    page = visit()
    upload(page, path)

    wait_for(page, '61 × 97 pixels')
    np.testing.assert_array_equal(mask(page, (97, 61))[..., :3], segmented(path).color())


def test_busy_server__is_asked_again(visit, photo, problems):
    page = visit()
    answers = iter([429, 429])

    def handle(route):
        status = next(answers, None)
        if status is None:
            route.continue_()
        else:
            body = json.dumps({'error': 'the queue is full'})
            route.fulfill(status=status, body=body, headers={'Retry-After': '0'})

    page.route('**/v1/segment*', handle)
    upload(page, photo)
    wait_for(page, '61 × 97 pixels')
    take_refusals(problems, 429, 429)


def test_server_that_is_gone(visit, photo, problems):
    page = visit()
    page.route('**/v1/segment*', lambda route: route.abort())
    upload(page, photo)
    page.locator('#strip [data-state=failed]').wait_for()

    assert '1.png: The server does not answer' in page.get_by_role('alert').inner_text()
    assert problems.pop().startswith('console: Failed to load resource')


def test_too_large_a_file__is_not_sent(visit, tmp_path):
    page = visit()
    sent = []
    page.on('request', lambda request: sent.append(request) if request.method == 'POST' else None)
    page.locator('#checkpoint', has_text='tiny.pth').wait_for()
    (tmp_path / 'large.png').write_bytes(bytes(1_300_000))
    upload(page, tmp_path / 'large.png')
    page.locator('#strip [data-state=failed]').wait_for()

    assert 'but this server takes 1.0 MB at most' in page.get_by_role('alert').inner_text()
    assert sent == []


@pytest.mark.parametrize(('scheme', 'width'), [('light', 1280), ('dark', 390)])
def test_accessible(visit, photo, tmp_path, problems, scheme, width):
    page = visit(color_scheme=scheme, viewport={'width': width, 'height': 800})
    assert violations(page) == []
    (tmp_path / 'x.png').write_bytes(b'no image')
    upload(page, photo, tmp_path / 'x.png')
    page.locator('#strip [data-state=failed]').wait_for()
    wait_for(page, '61 × 97 pixels')
    page.locator('.frame').hover()
    take_refusals(problems, 415)

    assert violations(page) == []
    assert page.evaluate('document.documentElement.scrollWidth') <= width


def test_token__is_asked_for_once(visit, guarded_address, photo, problems):
    page = visit(guarded_address)
    token = page.get_by_label('This server asks for its token')
    token.wait_for()
    upload(page, photo)
    for text in ('guessed', TOKEN):
        token.fill(text)
        page.get_by_role('button', name='Go on').click()
    wait_for(page, '61 × 97 pixels')

    assert not token.is_visible()
    assert page.locator('#checkpoint').inner_text() == 'tiny.pth'
    assert all('status of 401' in problem for problem in problems)
    problems.clear()


FETCH = """async (address) => {
  try {
    const answer = await fetch(address, { method: 'POST', body: 'x' });
    return `read ${answer.status}`;
  } catch {
    return 'not read';
  }
}"""


def test_page_of_another_site__gets_nothing(browser, address):
    """The other site is the same machine under another name, as pages of other local programs are."""
    context = browser.new_context()
    page = context.new_page()
    page.route('http://other.example/', lambda route: route.fulfill(body='<p>other</p>'))
    page.goto('http://other.example/')
    for kind in ('json', 'geojson'):
        statuses = []
        page.on('response', lambda response, found=statuses: found.append(response.status))
        assert page.evaluate(FETCH, f'{address}v1/segment?format={kind}') == 'not read'
        assert statuses in ([], [403])
    context.close()


def test_name_that_is_led_to_the_server__gets_nothing(address):
    port = httpx.URL(address).port
    for host in (f'rebound.example:{port}', 'rebound.example'):
        answer = httpx.get(f'{address}v1/model', headers={'Host': host})
        assert answer.status_code == 421


def test_every_file_of_the_page_is_packaged():
    tomllib = pytest.importorskip('tomllib', reason='Python 3.10 has no reader of TOML')
    root = Path(swinseg.__file__).parents[1]
    static = root / 'swinseg' / 'web' / 'static'
    packaged = tomllib.loads((root / 'pyproject.toml').read_text())
    patterns = packaged['tool']['setuptools']['package-data']['swinseg.web']
    found = {path for pattern in patterns for path in (root / 'swinseg' / 'web').glob(pattern)}

    assert {path for path in static.rglob('*') if path.is_file()} <= found
