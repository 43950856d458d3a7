"""The HTTP interface, asked by a client in this process: each answer and each refusal."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from starlette import testclient

import swinseg
from support import costly_images, tiny_checkpoint
from support.server import served
from swinseg.errors import ServerError
from swinseg.predictor import PredictOptions
from swinseg.web.access import Access
from swinseg.web.app import create_app
from swinseg.web.limits import Limits

LIMITS = Limits(bytes=1_000_000, pixels=200_000, requests=3)


class TestClient(testclient.TestClient):
    """Starlette's, under a name to which the server answers."""

    __test__ = False

    def __init__(self, app: FastAPI, **options: object) -> None:
        super().__init__(app, base_url='http://localhost', **options)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint.make_folder(tmp_path_factory.mktemp('app'))


@pytest.fixture(scope='module')
def predictor(folder: Path) -> swinseg.Predictor:
    return swinseg.Predictor.from_checkpoint(folder / 'tiny.pth', device='cpu')


@pytest.fixture
def photo(folder: Path) -> Path:
    """An image 61 pixels wide and 97 high."""
    return folder / 'images' / '1.png'


@pytest.fixture
def app(predictor: swinseg.Predictor) -> FastAPI:
    return create_app(predictor, name='tiny.pth', limits=LIMITS)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


@pytest.fixture
def gate(predictor: swinseg.Predictor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(predictor.stream)
    monkeypatch.setattr(predictor, 'stream', gate)
    yield gate
    gate.opened.set()


class Gate:
    """The predictor's method, which waits until it is opened.

    Attributes:
        reached: set when it was called.
        opened: lets calls through.
        batches: the number of images of each call.
    """

    def __init__(self, stream: Callable[..., object]) -> None:
        self._stream = stream
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.batches: list[int] = []

    def __call__(self, images: list[object], options: PredictOptions) -> object:
        self.batches.append(len(images))
        self.reached.set()
        assert self.opened.wait(60)
        return self._stream(images, options)


def from_base64(text: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def metric(client: httpx.Client, name: str, **labels: str) -> float:
    """Return a sample of what ``/metrics`` says."""
    families = text_string_to_metric_families(client.get('/metrics').text)
    samples = [sample for family in families for sample in family.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline


def assert_refused(response: httpx.Response, status: int, *words: str) -> None:
    """Check that a refusal is JSON with one sentence that has these words."""
    assert response.status_code == status, response.text
    assert list(response.json()) == ['error']
    sentence = response.json()['error']
    assert all(word in sentence for word in words), sentence
    assert '\n' not in sentence
    assert 'Traceback' not in sentence


def test_model(client):
    expected = [
        {'id': i, 'name': name, 'color': '#{:02x}{:02x}{:02x}'.format(*color)}
        for i, (name, color) in enumerate(
            zip(tiny_checkpoint.CLASSES, tiny_checkpoint.PALETTE, strict=True)
        )
    ]
    assert client.get('/v1/model').json() == {
        'checkpoint': 'tiny.pth',
        'classes': expected,
        'limits': {'bytes': 1_000_000, 'pixels': 200_000, 'requests': 3, 'seconds': 60.0},
    }


def test_segment__json(client, predictor, photo):
    answer = client.post('/v1/segment', content=photo.read_bytes()).json()
    expected = predictor(photo, confidence=True)

    assert (answer['width'], answer['height']) == (61, 97)
    assert {c['name']: c['area'] for c in answer['classes']} == expected.areas()
    assert [c['area'] for c in answer['classes']] == sorted(expected.areas().values())[::-1]
    assert all(tiny_checkpoint.CLASSES[c['id']] == c['name'] for c in answer['classes'])
    np.testing.assert_array_equal(from_base64(answer['labels']), expected.labels)
    confidence = from_base64(answer['confidence'])
    assert confidence.dtype == np.uint8
    np.testing.assert_allclose(confidence / 255, expected.confidence, atol=0.501 / 255)
    assert 0 < answer['seconds'] < 60


def test_segment__other_formats(client, predictor, photo):
    expected = predictor(photo, confidence=True)
    answers = {
        kind: client.post(f'/v1/segment?format={kind}', files={'file': photo.read_bytes()})
        for kind in ('png', 'overlay', 'geojson')
    }

    labels = Image.open(io.BytesIO(answers['png'].content))
    np.testing.assert_array_equal(np.asarray(labels), expected.labels)
    np.testing.assert_array_equal(np.asarray(labels.convert('RGB')), expected.color())
    overlay = np.asarray(Image.open(io.BytesIO(answers['overlay'].content)))
    np.testing.assert_array_equal(overlay, expected.overlay())
    assert answers['geojson'].json() == json.loads(json.dumps(expected.to_geojson()))
    assert [answer.headers['content-type'] for answer in answers.values()] == [
        'image/png',
        'image/png',
        'application/geo+json',
    ]


@pytest.mark.parametrize('kind', ['JPEG', 'WEBP', 'TIFF', 'BMP', 'GIF', 'PPM'])
def test_segment__as_the_predictor_reads_the_file(client, predictor, photo, tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # Turned by a quarter.
    options = {'exif': exif} if kind == 'JPEG' else {}
    data = encoded(Image.open(photo), kind, **options)
    (tmp_path / 'image').write_bytes(data)

    answer = client.post('/v1/segment', content=data).json()
    np.testing.assert_array_equal(
        from_base64(answer['labels']), predictor(tmp_path / 'image').labels
    )
    assert (answer['width'] == 97) == (kind == 'JPEG')


def test_segment__writes_no_file(predictor, monkeypatch):
    # Whoever makes a temporary file fails.
    monkeypatch.setattr(tempfile, 'tempdir', '/nowhere')
    noise = np.random.default_rng(0).integers(0, 256, (900, 600, 3), np.uint8)
    with TestClient(create_app(predictor, name='x')) as client:
        files = {'file': encoded(Image.fromarray(noise), 'PNG')}
        assert client.post('/v1/segment', files=files).status_code == 200


PNG = encoded(Image.new('RGB', (20, 10)), 'PNG')
# Its header is fine.
DAMAGED_PNG = PNG[: PNG.index(b'IDAT') + 8] + bytes(6) + PNG[PNG.index(b'IDAT') + 14 :]


@pytest.mark.parametrize(
    ('body', 'status', 'words'),
    [
        (b'', 400, ['no image']),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 415, ['JPEG, PNG']),
        (b'\x00\x00\x00\x0cjP  \r\n\x87\n' + bytes(99), 415, ['no image that']),
        (PNG[:-12], 400, ['PNG file is cut short']),
        (DAMAGED_PNG, 400, ['PNG file is damaged']),
        (encoded(Image.new('RGB', (20, 10)), 'JPEG')[:-9], 400, ['JPEG file is cut short']),
        (b'\xff\xd8\xff\xd9', 400, ['JPEG file is damaged']),
        (b'GIF89a' + bytes(3), 400, ['GIF file is damaged']),
        (encoded(Image.new('1', (500, 401)), 'PNG'), 413, ['more than 200,000 pixels']),
        (b'P5 99999999 99999999 255\n', 413, ['more than 200,000 pixels']),
        (bytes(1_000_001), 413, ['more than 1,000,000 bytes']),
    ],
)
def test_segment__refused(client, body, status, words):
    assert_refused(client.post('/v1/segment', content=body), status, *words)


@pytest.mark.parametrize(
    ('body', 'kind', 'words'),
    [
        (b'abc', 'multipart/form-data; boundary=x', ['multipart body cannot be read']),
        (b'abc', 'multipart/form-data', ['oundary']),
        (b'--x\r\n\r\na\r\n--x--\r\n', 'multipart/form-data; boundary=x', ['multipart body']),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc\r\n--x--\r\n',
            'multipart/form-data; boundary=x',
            ['no image'],
        ),
    ],
)
def test_segment__bad_multipart(client, body, kind, words):
    response = client.post('/v1/segment', content=body, headers={'Content-Type': kind})
    assert_refused(response, 400, *words)


def test_segment__two_files(client):
    files = [('file', PNG), ('file', PNG)]
    assert_refused(client.post('/v1/segment', files=files), 400, 'one file as field')


def test_segment__large_multipart(client):
    for size in (1_000_001, 1_100_000):
        response = client.post('/v1/segment', files={'file': bytes(size)})
        assert_refused(response, 413, 'more than 1,000,000 bytes')


def test_segment__without_a_declared_length(client):
    def chunks() -> Iterator[bytes]:
        for _ in range(12):
            yield bytes(100_000)

    assert_refused(client.post('/v1/segment', content=chunks()), 413, 'more than 1,000,000 bytes')


def test_other_mistakes(client):
    assert_refused(
        client.post('/v1/segment?format=gif', content=PNG), 400, "'json', 'png', 'overlay'"
    )
    assert_refused(client.get('/v1/nothing'), 404, '/openapi.json')
    assert_refused(client.get('/..%2f..%2fapp.py'), 404)
    assert_refused(client.delete('/v1/model'), 405)


def test_token(predictor):
    app = create_app(predictor, name='tiny.pth', token='sésame')
    right = {'Authorization': b'Bearer ' + 'sésame'.encode()}
    with TestClient(app) as client:
        for address in ('/', '/app.js', '/healthz', '/readyz'):
            assert client.get(address).status_code == 200
        for headers in ({}, {'Authorization': 'Bearer sesam'}, {'Authorization': b'\xff'}):
            for response in (
                client.post('/v1/segment', content=PNG, headers=headers),
                client.get('/v1/model', headers=headers),
                client.get('/metrics', headers=headers),
            ):
                assert_refused(response, 401, 'Authorization: Bearer TOKEN')
                assert response.headers['WWW-Authenticate'] == 'Bearer'
        assert client.post('/v1/segment', content=PNG, headers=right).status_code == 200
        assert client.get('/metrics', headers=right).status_code == 200


def test_page_and_headers(client):
    page = client.get('/')
    assert page.headers['content-type'].startswith('text/html')
    assert page.headers['x-content-type-options'] == 'nosniff'
    assert page.headers['content-security-policy'] == "frame-ancestors 'none'"


def test_openapi__names_bodies_answers_and_refusals(client):
    api = client.get('/openapi.json').json()
    assert set(api['paths']) == {'/healthz', '/readyz', '/metrics', '/v1/model', '/v1/segment'}
    segment = api['paths']['/v1/segment']['post']
    assert 'multipart/form-data' in segment['requestBody']['content']
    assert set(segment['responses']) >= {'200', '400', '401', '413', '415', '429', '503', '504'}
    assert set(segment['responses']['200']['content']) == {
        'application/json',
        'image/png',
        'application/geo+json',
    }
    parameter = segment['parameters'][0]
    assert parameter['name'] == 'format'
    assert 'geojson' in json.dumps([parameter, api['components']])


def test_metrics(client, photo):
    client.post('/v1/segment', content=photo.read_bytes())
    client.post('/v1/segment?format=png', content=b'x')

    assert metric(client, 'swinseg_requests_total', format='json', status='200') == 1
    assert metric(client, 'swinseg_requests_total', format='png', status='415') == 1
    assert metric(client, 'swinseg_pixels_total') == 61 * 97
    assert metric(client, 'swinseg_answer_seconds_count') == 1
    assert metric(client, 'swinseg_batch_images_sum') == 1
    assert metric(client, 'swinseg_requests_in_flight') == 0
    assert metric(client, 'process_resident_memory_bytes') > 2**20


def test_queue__full(app, client, gate, photo):
    data = photo.read_bytes()
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(client.post, '/v1/segment', content=data) for _ in range(3)]
        assert gate.reached.wait(60)
        wait_until(lambda: metric(client, 'swinseg_requests_waiting') == 2)
        refused = client.post('/v1/segment', content=data)
        assert_refused(refused, 429, '3 requests at work')
        assert 1 <= int(refused.headers['Retry-After']) <= 20
        gate.opened.set()
        assert [answer.result().status_code for answer in answers] == [200] * 3
    assert client.post('/v1/segment', content=data).status_code == 200


def test_batches__of_what_waits(predictor, gate, photo, folder):
    app = create_app(predictor, name='x', limits=Limits(batch=8))
    images = [photo, folder / 'images' / '0.png', folder / 'images' / '2.png'] * 2
    with TestClient(app) as client, ThreadPoolExecutor(8) as pool:
        first = pool.submit(client.post, '/v1/segment', content=photo.read_bytes())
        assert gate.reached.wait(60)
        others = [
            pool.submit(client.post, '/v1/segment', content=path.read_bytes()) for path in images
        ]
        bad = pool.submit(client.post, '/v1/segment', content=DAMAGED_PNG)
        wait_until(lambda: metric(client, 'swinseg_requests_waiting') == 6)
        gate.opened.set()
        assert first.result().status_code == 200
        assert bad.result().status_code == 400
        for path, answer in zip(images, others, strict=True):
            labels = from_base64(answer.result().json()['labels'])
            np.testing.assert_array_equal(labels, predictor(path).labels)
    assert gate.batches[:2] == [1, 6]


def test_several_models__share_the_work(predictor, gate, folder, photo):
    """Those of one queue: where one is held up, the other goes on."""
    other = swinseg.Predictor.from_checkpoint(folder / 'tiny.pth', device='cpu')
    expected = other(photo).labels
    app = create_app([predictor, other], name='x', limits=Limits(batch=1, requests=200))
    data = photo.read_bytes()
    with TestClient(app) as client, ThreadPoolExecutor(8) as pool:
        assert metric(client, 'swinseg_workers') == 2
        answers = []
        while not gate.reached.is_set():
            answers.append(pool.submit(client.post, '/v1/segment', content=data))
            gate.reached.wait(0.02)
        for _ in range(3):
            assert client.post('/v1/segment', content=data).status_code == 200
        assert client.get('/readyz').status_code == 200
        wait_until(lambda: sum(answer.done() for answer in answers) == len(answers) - 1)
        gate.opened.set()
        for answer in answers:
            labels = from_base64(answer.result().json()['labels'])
            np.testing.assert_array_equal(labels, expected)
    assert gate.batches[0] == 1


def test_timeout__of_the_answer(predictor, gate, photo):
    app = create_app(predictor, name='x', limits=Limits(seconds=0.3, requests=1))
    with TestClient(app) as client:
        response = client.post('/v1/segment', content=photo.read_bytes())
        assert_refused(response, 504, 'not segmented within 0.3 seconds')
        assert response.headers['Retry-After'] == '20'
        gate.opened.set()


def test_timeout__of_an_image_that_waits(predictor, gate, photo):
    app = create_app(predictor, name='x', limits=Limits(seconds=0.6, batch=1))
    with TestClient(app) as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, '/v1/segment', content=photo.read_bytes())
        assert gate.reached.wait(60)
        waits = client.post('/v1/segment', content=photo.read_bytes())
        assert_refused(waits, 503, 'other images at work for 0.6 seconds')
        assert first.result().status_code == 504
        gate.opened.set()


def test_timeout__of_the_upload(predictor):
    app = create_app(predictor, name='x', limits=Limits(seconds=0.2, requests=1))
    sent = []

    async def stalled() -> dict[str, object]:
        if not sent:
            sent.append('a part')
            return {'type': 'http.request', 'body': PNG[:20], 'more_body': True}
        await asyncio.Event().wait()
        raise AssertionError

    async def ask() -> list[dict[str, object]]:
        answer: list[dict[str, object]] = []

        async def keep(message: dict[str, object]) -> None:
            answer.append(message)

        scope = {
            'type': 'http', 'method': 'POST', 'path': '/v1/segment', 'raw_path': b'/v1/segment',
            'query_string': b'', 'headers': [], 'root_path': '', 'scheme': 'http',
            'http_version': '1.1', 'server': ('test', 80), 'client': ('test', 1),
        }  # fmt: skip
        async with app.router.lifespan_context(app):
            await app(scope, stalled, keep)
        return answer

    start, body = asyncio.run(ask())[:2]
    assert start['status'] == 408
    assert 'did not arrive within 0.2 seconds' in json.loads(body['body'])['error']


def test_client_that_leaves__is_left_out(predictor, gate, photo):
    app = create_app(predictor, name='x', limits=Limits(requests=2))
    data = photo.read_bytes()
    with served(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(client.post, 'v1/segment', content=data)
            assert gate.reached.wait(60)
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f'{address}v1/segment', content=data, timeout=0.5)
            wait_until(lambda: metric(client, 'swinseg_requests_in_flight') == 1)
            gate.opened.set()
            assert first.result().status_code == 200
        assert client.post('v1/segment', content=data).status_code == 200
        assert metric(client, 'swinseg_requests_total', status='499') == 1
    assert gate.batches == [1, 1]


def test_slow_uploads__hold_no_places(predictor, photo):
    app = create_app(predictor, name='x', limits=Limits(requests=1, seconds=20))
    head = b'POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\nx'
    with served(app) as address, ExitStack() as stack:
        url = httpx.URL(address)
        for _ in range(34):
            client = stack.enter_context(socket.create_connection((url.host, url.port), 20))
            client.sendall(head)
        for _ in range(3):
            response = httpx.post(f'{address}v1/segment', content=photo.read_bytes(), timeout=20)
            assert response.status_code == 200


def test_uploads__that_arrive_longest_give_way(predictor, photo):
    limits = Limits(bytes=100_000, uploads=2, seconds=20)
    head = b'POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n'
    app = create_app(predictor, name='x', limits=limits)
    with served(app, limits) as address, ExitStack() as stack:
        url = httpx.URL(address)
        clients = [
            stack.enter_context(socket.create_connection((url.host, url.port), 20))
            for _ in range(5)
        ]
        for client in clients:
            client.sendall(head + bytes(90_000))
        response = httpx.post(f'{address}v1/segment', content=photo.read_bytes(), timeout=20)
        assert response.status_code == 200
        answer = clients[0].recv(65536)
        assert answer.startswith(b'HTTP/1.1 503')


def test_model_that_is_stuck__is_not_ready(predictor, gate, photo):
    app = create_app(predictor, name='x', limits=Limits(seconds=0.3))
    with TestClient(app) as client:
        assert client.post('/v1/segment', content=photo.read_bytes()).status_code == 504
        wait_until(lambda: client.get('/readyz').status_code == 503)
        refused = client.post('/v1/segment', content=photo.read_bytes())
        assert_refused(refused, 503, 'does not get on with its work')
        gate.opened.set()
        wait_until(lambda: client.get('/readyz').status_code == 200)


def test_image_that_costs_too_much__is_refused(client):
    for data in (costly_images.jpeg_of_scans(101), costly_images.gif_of_frames(2001)):
        assert_refused(client.post('/v1/segment', content=data), 422, 'save the image anew')


def test_multipart__whatever_the_case_of_its_type(client, photo):
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body += photo.read_bytes() + b'\r\n--x--\r\n'
    for kind in ('Multipart/Form-Data; boundary=x', 'MULTIPART/FORM-DATA;Boundary=x'):
        response = client.post('/v1/segment', content=body, headers={'Content-Type': kind})
        assert response.status_code == 200, response.text


def test_other_sites__are_refused(client, photo):
    for kind in ('json', 'geojson', 'png'):
        response = client.post(
            f'/v1/segment?format={kind}',
            content=photo.read_bytes(),
            headers={'Origin': 'https://evil.example'},
        )
        assert_refused(response, 403, '--allowed-origin')
    assert_refused(client.get('/', headers={'Host': 'evil.example'}), 421, '--allowed-host')


def test_other_site_that_may_ask__reads_the_answer(predictor, photo):
    origin = 'https://maps.example.org'
    access = Access.of('127.0.0.1', origins=[origin])
    with TestClient(create_app(predictor, name='x', access=access)) as client:
        asked = {'Origin': origin, 'Access-Control-Request-Method': 'POST'}
        assert client.options('/v1/segment', headers=asked).status_code == 200
        response = client.post(
            '/v1/segment', content=photo.read_bytes(), headers={'Origin': origin}
        )
    assert response.status_code == 200
    assert response.headers['access-control-allow-origin'] == origin


def test_stopped__refuses(app, photo):
    with TestClient(app) as client:
        assert client.get('/readyz').status_code == 200
    late = TestClient(app)
    assert late.get('/healthz').status_code == 200
    assert late.get('/readyz').status_code == 503
    refused = late.post('/v1/segment', content=photo.read_bytes())
    assert_refused(refused, 503, 'starting or stopping')
    assert 'Retry-After' in refused.headers


def test_memory__runs_out(predictor, client, photo, monkeypatch):
    def too_little(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(predictor, 'stream', too_little)
    refused = client.post('/v1/segment', content=photo.read_bytes())
    assert_refused(refused, 503, 'too little memory')


def test_defect__tells_nothing_of_the_inside(predictor, app, photo, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise KeyError('secret')

    monkeypatch.setattr(predictor, 'stream', broken)
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.post('/v1/segment', content=photo.read_bytes())
        assert_refused(response, 500, 'log')
        assert 'secret' not in response.text
        assert client.get('/readyz').status_code == 200


@pytest.mark.parametrize('name', [field.name for field in fields(Limits)])
def test_limits__must_be_positive(name):
    with pytest.raises(ServerError, match=f'limit of {name} must be more than 0, but is 0'):
        Limits(**{name: 0})
