"""Schema in ``/openapi.json`` of the addresses whose bodies FastAPI cannot read off a function."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field


class Refusal(BaseModel):
    """The answer to a request that is refused."""

    error: str = Field(description='One sentence: what is wrong, and what to do.')


class ClassEntry(BaseModel):
    """A class of the model."""

    id: int
    name: str
    color: str = Field(description='#rrggbb')


class ClassPresent(ClassEntry):
    """A class in an image."""

    area: float = Field(description='Share of the image, 0 to 1.')


class TakenOn(BaseModel):
    """The limits of the server."""

    bytes: int = Field(description='of an image file')
    pixels: int = Field(description='of an image')
    requests: int = Field(description='to segment that are taken at a time')
    seconds: float = Field(description='for a request to arrive, and then to be answered')


class Model(BaseModel):
    """What the model knows and the server takes."""

    checkpoint: str
    classes: list[ClassEntry]
    limits: TakenOn


class Segmented(BaseModel):
    """The answer in the format ``json``."""

    width: int
    height: int
    classes: list[ClassPresent] = Field(description='those present, the largest area first')
    labels: str = Field(description='PNG in base64: class indices, 8 bits (16 above 256 classes)')
    confidence: str = Field(
        description='PNG in base64: probability of the label, 0 to 255 for 0 to 1'
    )
    seconds: float = Field(description='from the arrival of the image to its answer')


_FILE = {'type': 'string', 'format': 'binary'}

_REFUSALS = {
    HTTPStatus.BAD_REQUEST: 'There is no image, it is damaged, or a parameter is wrong.',
    HTTPStatus.UNAUTHORIZED: 'The token is missing or wrong.',
    HTTPStatus.FORBIDDEN: "Another site's page asks, and may not.",
    HTTPStatus.REQUEST_TIMEOUT: 'The image did not arrive in time.',
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: 'The image has too many bytes or pixels.',
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: 'The file is no image of a known format.',
    HTTPStatus.MISDIRECTED_REQUEST: 'The name in the header Host is not one of the server.',
    HTTPStatus.UNPROCESSABLE_ENTITY: 'The image costs too much to decode.',
    HTTPStatus.TOO_MANY_REQUESTS: 'The queue is full; Retry-After says when to come again.',
    HTTPStatus.SERVICE_UNAVAILABLE: 'The server starts or stops, has too much to do, or has too little memory.',
    HTTPStatus.GATEWAY_TIMEOUT: 'The image was not segmented in time.',
}


def _refusals(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    return {int(s): {'model': Refusal, 'description': _REFUSALS[s]} for s in statuses}


MODEL: dict[str, Any] = {
    'response_model': Model,
    'responses': _refusals(HTTPStatus.UNAUTHORIZED),
}
"""Arguments of the route of ``/v1/model``."""

SEGMENT: dict[str, Any] = {
    'response_model': Segmented,
    'responses': {
        200: {
            'description': 'As the format says: all in JSON, the labels or the overlay as PNG, or polygons.',
            'content': {'image/png': {'schema': _FILE}, 'application/geo+json': {}},
        },
        **_refusals(*_REFUSALS),
    },
    'openapi_extra': {
        'requestBody': {
            'required': True,
            'content': {
                'application/octet-stream': {'schema': _FILE},
                'image/*': {'schema': _FILE},
                'multipart/form-data': {
                    'schema': {
                        'type': 'object', 'properties': {'file': _FILE}, 'required': ['file'],
                    }
                },
            },
        }
    },
}  # fmt: skip
"""Arguments of the route of ``/v1/segment``."""
