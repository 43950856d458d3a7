"""Reading small YAML files of users: bounded, without aliases, and with a sentence about what is wrong."""

from __future__ import annotations

import os
from typing import Any

import yaml

from swinseg.errors import DataError, shown

_MOST_CHARACTERS = 2**20


class _PlainLoader(yaml.SafeLoader):
    """Reads YAML without aliases, a few lines of which can stand for more than the memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(
                None,
                None,
                'an alias is used, which a list of classes does without',
                self.peek_event().start_mark,
            )
        return super().compose_node(parent, index)


def read_yaml(path: str | os.PathLike[str], what: str, *, fix: str) -> Any:
    """Return the content of a YAML file.

    Args:
        path: the file.
        what: it is, such as ``'the classes file'``, for the message.
        fix: what to do where it cannot be read, for the message.

    Raises:
        DataError: it cannot be read, is too long, or is no YAML.
    """
    where = os.fspath(path)
    try:
        with open(path, encoding='utf-8') as file:
            text = file.read(_MOST_CHARACTERS + 1)
        if len(text) > _MOST_CHARACTERS:
            raise DataError(
                f'{what} {where} is longer than {_MOST_CHARACTERS} characters, which no list of classes is; {fix}'
            )
        return yaml.load(text, _PlainLoader)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, 'strerror', None) or 'it is not UTF-8 text'
        raise DataError(f'{what} {where} cannot be read: {reason}; {fix}') from error
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        line = f' in line {mark.line + 1}' if mark else ''
        problem = getattr(error, 'problem', None) or 'it cannot be parsed'
        raise DataError(f'{what} {where} is not valid YAML{line}: {problem}') from error
    except DataError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        # PyYAML turns texts into dates and numbers without looking whether they are some.
        raise DataError(
            f'{what} {where} is not valid YAML: {shown(str(error))}; quote names that look like dates or numbers'
        ) from error
