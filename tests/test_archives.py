"""Archives of every method with bytes that were changed: one kind of error, whatever Python raises."""

import errno
import io
import random
import zipfile

import pytest

from swinseg.errors import UserError
from swinseg.files import damage_told


class DamagedError(UserError):
    """What the tests ask for."""


def _check(data: bytes) -> str | None:
    with (
        damage_told(lambda error: DamagedError(str(error))),
        zipfile.ZipFile(io.BytesIO(data)) as file,
    ):
        return file.testzip()


@pytest.mark.parametrize(
    'method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_damage__is_told_wherever_it_is(method):
    draws = random.Random(method)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', method) as file:
        for number in range(3):
            file.writestr(f'part/{number}', bytes(draws.choices(range(40), k=300)))
    whole = buffer.getvalue()
    assert _check(whole) is None
    refused = 0
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(draws.choice((1, 3))):
            data[draws.randrange(len(data))] = draws.randrange(256)
        try:
            _check(bytes(data[: draws.choice((None, None, draws.randrange(len(data))))]))
        except DamagedError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize(
    'error', [OSError(errno.ENOSPC, 'No space left on device'), UserError('a sentence')]
)
def test_damage__other_errors_pass(error):
    with pytest.raises(type(error)) as caught, damage_told(lambda error: DamagedError('no')):
        raise error
    assert caught.value is error
