"""The addresses of the server, and what each answers.

app = create_app(Predictor.from_checkpoint('best.pth'), name='best.pth')
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import swinseg
from swinseg.errors import RequestError
from swinseg.predictor import Predictor
from swinseg.web import metrics
from swinseg.web.access import Access, AccessGuard
from swinseg.web.answers import Format, describe_classes
from swinseg.web.limits import Limits
from swinseg.web.openapi import MODEL, SEGMENT
from swinseg.web.service import Service
from swinseg.web.uploads import Body

_STATIC = Path(__file__).parent / 'static'

# Nobody reads the answer; proxies write this status into their logs.
_CLIENT_CLOSED_REQUEST = 499


def create_app(
    predictor: Predictor | Sequence[Predictor],
    *,
    name: str,
    limits: Limits | None = None,
    token: str | None = None,
    access: Access | None = None,
) -> FastAPI:
    """Make the application of ``swinseg serve``.

    Args:
        predictor: used by this application only; or several of one model, each on a device of its own, which
            share the work.
        name: of the checkpoint, as clients shall see it.
        limits: None for the usual ones.
        token: that requests must bring (``Authorization: Bearer TOKEN``), save for the page itself and
            whether the server is alive and ready; None for none.
        access: the names under which the server is asked, and by which pages; None for this machine's own
            name ``localhost``, and the server's page.
    """
    limits, access = limits or Limits(), access or Access()
    predictors = [predictor] if isinstance(predictor, Predictor) else list(predictor)
    predictor = predictors[0]
    service = Service(predictors, limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await run_in_threadpool(service.close)

    # FastAPI's pages of documentation load scripts from other servers; ours come without.
    app = FastAPI(
        title='swinseg', version=swinseg.__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )  # fmt: skip
    if access.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=sorted(access.origins),
            allow_methods=['GET', 'POST'],
            allow_headers=['Authorization', 'Content-Type'],
        )
    app.add_middleware(AccessGuard, access=access)
    app.add_middleware(_SafetyHeaders)
    _handle_errors(app)

    @app.get('/healthz', summary='Whether the server is alive')
    async def healthz() -> dict[str, str]:
        return {'status': 'alive'}

    @app.get('/readyz', summary='Whether images are segmented; 503 where not')
    async def readyz(response: Response) -> dict[str, str]:
        if service.is_ready:
            return {'status': 'ready'}
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return {'status': 'not ready'}

    @app.get('/metrics', summary="Figures in Prometheus's text format", response_class=Response)
    async def figures(request: Request) -> Response:
        _check_token(request, token)
        return Response(service.metrics.text(), media_type=metrics.MEDIA_TYPE)

    @app.get('/v1/model', summary='What the model knows and the server takes', **MODEL)
    async def model(request: Request) -> dict[str, Any]:
        _check_token(request, token)
        return {
            'checkpoint': name,
            'classes': describe_classes(predictor.classes, predictor.palette),
            'limits': {
                'bytes': limits.bytes,
                'pixels': limits.pixels,
                'requests': limits.requests,
                'seconds': limits.seconds,
            },
        }

    @app.post('/v1/segment', summary='Segment an image', **SEGMENT)
    async def segment(
        request: Request, kind: Annotated[Format, Query(alias='format')] = Format.JSON
    ) -> Response:
        body = Body(request, limits)
        try:
            _check_token(request, token)
            answer = await service.segment(body, kind)
        except RequestError as error:
            await body.discard()
            service.metrics.count_request(kind.value, error.status)
            raise
        except ClientDisconnect:
            service.metrics.count_request(kind.value, _CLIENT_CLOSED_REQUEST)
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        service.metrics.count_request(kind.value, HTTPStatus.OK)
        return Response(answer.content, media_type=answer.media_type)

    app.mount('/', StaticFiles(directory=_STATIC, html=True))
    return app


def _check_token(request: Request, token: str | None) -> None:
    given = request.headers.get('authorization', '')
    if token is None or hmac.compare_digest(given.encode('latin-1'), f'Bearer {token}'.encode()):
        return
    raise RequestError(
        HTTPStatus.UNAUTHORIZED,
        'this server asks for its token: send the header "Authorization: Bearer TOKEN"',
    )


def _handle_errors(app: FastAPI) -> None:
    """Let every answer to a mistake be JSON with one sentence."""

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> JSONResponse:
        headers = {}
        if error.retry_after is not None:
            headers['Retry-After'] = str(error.retry_after)
        if error.status == HTTPStatus.UNAUTHORIZED:
            headers['WWW-Authenticate'] = 'Bearer'
        return _sentence(error.status, str(error), headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return _sentence(
            HTTPStatus.BAD_REQUEST,
            f'the parameter {first["loc"][-1]} is wrong: {first["msg"][:1].lower()}{first["msg"][1:]}',
        )

    @app.exception_handler(HTTPException)
    async def not_served(request: Request, error: HTTPException) -> JSONResponse:
        return _sentence(
            error.status_code,
            f'{request.method} of this address is answered with {error.status_code} '
            f'({error.detail}); /openapi.json lists what there is',
            error.headers,
        )

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        return _sentence(
            HTTPStatus.INTERNAL_SERVER_ERROR, 'the server failed at this; its log says more'
        )


def _sentence(status: int, sentence: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({'error': sentence}, status, headers)


class _SafetyHeaders:
    """Adds to each answer what keeps browsers from guessing its type and from giving it to other pages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message['type'] == 'http.response.start':
                message['headers'] = [
                    *message['headers'],
                    (b'x-content-type-options', b'nosniff'),
                    (b'content-security-policy', b"frame-ancestors 'none'"),
                    (b'cross-origin-resource-policy', b'same-origin'),
                ]
            await send(message)

        await self._app(scope, receive, send_with_headers)
