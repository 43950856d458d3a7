"""The example page that computes in the browser: labels of ONNX Runtime Web beside those of ONNX Runtime."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import swinseg
from support import tiny_checkpoint
from support.browser import launched_browser, violations, watch
from support.static_server import served_folder
from swinseg.runtimes.onnx import OnnxRuntime

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGE = Path(__file__).parents[2] / 'examples' / 'browser'
# What lets a page share memory between threads.
ISOLATED = {
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
}

INPUT_SIZE = "async (given) => (await import('/page.js')).inputSize(...given)"

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with its runtime, a model beside it, and images."""
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    if not (PAGE / 'ort' / 'ort.wasm.min.mjs').is_file():
        pytest.skip('ONNX Runtime Web is not there; make browser fetches it')
    folder = tmp_path_factory.mktemp('browser') / 'page'
    shutil.copytree(PAGE, folder)
    tiny_checkpoint.make_folder(folder)
    swinseg.export(folder / 'tiny.pth', folder / 'tiny.onnx', input='image', resize=True)
    return folder


def described(folder: Path, path: Path, **metadata: str) -> Path:
    """Write the model with other words about itself to ``path``."""
    import onnx

    proto = onnx.load(folder / 'tiny.onnx')
    onnx.helper.set_model_props(proto, {p.key: p.value for p in proto.metadata_props} | metadata)
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.fixture(scope='module')
def labels(folder: Path) -> Callable[[Path], NDArray[np.uint8]]:
    """What ONNX Runtime makes of an image outside of the browser."""
    runtime = OnnxRuntime(folder / 'tiny.onnx')
    return lambda path: runtime.outputs(np.asarray(Image.open(path))[None])[0][0]


@pytest.fixture(scope='module')
def browser() -> Iterator[Browser]:
    with launched_browser() as browser:
        yield browser


@contextmanager
def visited(
    browser: Browser, folder: Path, query: str = '', *, isolated: bool = False, **options: object
) -> Iterator[tuple[Page, list[str]]]:
    """Open the page in a fresh window, and give what it does wrong; nothing of that may be left at the end."""
    problems: list[str] = []
    with served_folder(folder, ISOLATED if isolated else None) as address:
        context = browser.new_context(**options)
        page = context.new_page()
        watch(page, address, problems)
        page.goto(f'{address}index.html{query}')
        yield page, problems
        context.close()
    assert problems == []


def choose(page: Page, label: str, path: Path) -> None:
    page.get_by_label(label).set_input_files(path)


def wait_for(page: Page, facts: str) -> None:
    page.locator('#facts', has_text=facts).wait_for()


def downloaded(page: Page) -> Image.Image:
    with page.expect_download() as waiting:
        page.get_by_role('button', name='Download the mask').click()
    assert waiting.value.suggested_filename == '1_labels.png'
    return Image.open(waiting.value.path())


@pytest.mark.parametrize('isolated', [False, True], ids=['one thread', 'threads'])
def test_page__has_the_labels_of_onnx_runtime(browser, folder, labels, isolated):
    photo = folder / 'images' / '1.png'
    with visited(browser, folder, '?model=tiny.onnx', isolated=isolated) as (page, _):
        page.locator('#model-state', has_text='tiny.onnx: 4 classes').wait_for()
        choose(page, 'Choose a photograph', photo)
        wait_for(page, '61 × 97 pixels')
        mask = downloaded(page)
        rows = [row.inner_text().split('\t') for row in page.locator('#classes tr').all()]
        assert (' on 1 thread.' in page.locator('#facts').inner_text()) != isolated

    expected = labels(photo)
    np.testing.assert_array_equal(np.asarray(mask), expected)
    assert np.array_equal(np.reshape(mask.getpalette()[:12], (4, 3)), tiny_checkpoint.PALETTE)
    areas = np.bincount(expected.ravel(), minlength=4) / expected.size
    order = [int(each) for each in np.argsort(-areas, kind='stable') if areas[each]]
    assert [name.strip() for name, _ in rows] == [tiny_checkpoint.CLASSES[each] for each in order]
    shares = [float(area.strip('<%')) for _, area in rows]
    np.testing.assert_allclose(shares, 100 * areas[order], atol=0.06)


def test_page__photograph_before_model_and_another_after(browser, folder, labels):
    with visited(browser, folder) as (page, _):
        choose(page, 'Choose a photograph', folder / 'images' / '0.png')
        wait_for(page, 'Choose a model, too.')
        choose(page, 'Choose a model', folder / 'tiny.onnx')
        wait_for(page, '70 × 50 pixels')
        choose(page, 'Choose a photograph', folder / 'images' / '1.png')
        wait_for(page, '61 × 97 pixels')
        np.testing.assert_array_equal(
            np.asarray(downloaded(page)), labels(folder / 'images' / '1.png')
        )
        page.get_by_label('Mask').fill('30')
        assert page.locator('#mask').evaluate('mask => mask.style.opacity') == '0.3'


def test_page__resizes_where_the_model_does_not(browser, folder, tmp_path):
    scale = '{"resize": {"scale": [80, 40], "keep_ratio": true}}'
    model = described(folder, tmp_path / 'a.onnx', resize='outside', protocol=scale)
    with visited(browser, folder) as (page, _):
        choose(page, 'Choose a photograph', folder / 'images' / '0.png')
        choose(page, 'Choose a model', model)
        wait_for(page, '56 × 40 pixels of 70 × 50:')
        inside = {'classes': [''] * 150, 'size': None, 'resizes': True, 'scale': None}
        outside = inside | {'resizes': False}
        for metadata, photo, expected in [
            (inside, (640, 480), [640, 480]),
            (inside, (4032, 3024), [1092, 819]),  # 150 scores for each of its pixels are 512 MiB.
            (inside | {'classes': ['', '']}, (4032, 3024), [4032, 3024]),
            (outside | {'classes': ['', '']}, (2000, 1100), [1381, 759]),
            (outside | {'size': [20, 30]}, (640, 480), [30, 20]),
            (outside | {'scale': {'scale': [512, 2048], 'keep_ratio': True}}, (300, 100), [1536, 512]),
            (outside | {'scale': {'scale': [512, 256], 'keep_ratio': False}}, (9, 99), [512, 256]),
        ]:  # fmt: skip
            assert page.evaluate(INPUT_SIZE, [metadata, *photo]) == expected


def test_page__without_the_runtime(browser, tmp_path):
    shutil.copytree(PAGE, tmp_path / 'page', ignore=shutil.ignore_patterns('ort'))
    with visited(browser, tmp_path / 'page') as (page, problems):
        page.get_by_role('alert').get_by_text('"make browser" fetches it').wait_for()
        assert 'status of 404' in problems.pop()


def test_page__files_that_it_cannot_run(browser, folder, tmp_path):
    for name in ('no.onnx', 'no.png'):
        (tmp_path / name).write_bytes(b'\x0fneither')
    with visited(browser, folder, '?model=https://example.com/m.onnx') as (page, _):
        problem = page.get_by_role('alert')
        problem.get_by_text("a file of this page's own server only").wait_for()
        for path, sentence in [
            (tmp_path / 'no.onnx', 'no.onnx: no ONNX file'),
            (described(folder, tmp_path / 'a.onnx', input='tensor'), 'with --input image'),
            (described(folder, tmp_path / 'b.onnx', output='probabilities'), '--output labels'),
            (described(folder, tmp_path / 'c.onnx', swinseg_version=''), 'no ONNX file of swinseg'),
        ]:
            choose(page, 'Choose a model', path)
            problem.get_by_text(sentence).wait_for()
        choose(page, 'Choose a photograph', tmp_path / 'no.png')
        problem.get_by_text('no.png: this browser cannot show it').wait_for()
        assert page.locator('#model-state').inner_text() == 'None yet.'


@pytest.mark.parametrize(('scheme', 'width'), [('light', 1280), ('dark', 390)])
def test_page__accessible(browser, folder, tmp_path, scheme, width):
    options = dict(color_scheme=scheme, viewport={'width': width, 'height': 800})
    with visited(browser, folder, '?model=tiny.onnx', **options) as (page, _):
        choose(page, 'Choose a photograph', folder / 'images' / '0.png')
        wait_for(page, '70 × 50 pixels')
        assert page.evaluate('document.documentElement.scrollWidth') <= width
        page.evaluate("document.querySelector('details').open = true")
        choose(page, 'Choose a model', described(folder, tmp_path / 'a.onnx', input='tensor'))
        page.get_by_role('alert').get_by_text('--input image').wait_for()
        assert violations(page) == []


def test_page__by_keyboard(browser, folder):
    with visited(browser, folder, '?model=tiny.onnx') as (page, _):
        choose(page, 'Choose a photograph', folder / 'images' / '0.png')
        wait_for(page, '70 × 50 pixels')
        page.locator('#model').focus()
        reached = []
        for _ in range(4):
            page.keyboard.press('Tab')
            reached.append(
                page.evaluate('document.activeElement.id || document.activeElement.localName')
            )
        assert reached == ['summary', 'photo', 'opacity', 'save']
