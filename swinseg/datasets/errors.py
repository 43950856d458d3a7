"""What this package raises when somebody's data is wrong."""

from __future__ import annotations

from swinseg.errors import UserError


class DataError(UserError):
    """An image, a label, a folder or a class list is not what training needs; the message says the fix.

    Attributes:
        setting: arguments of the dataset that mend it, as they stand in the message; empty where there are none.
    """

    def __init__(self, message: str, *, setting: str = '') -> None:
        super().__init__(message)
        self.setting = setting


class PrepareError(DataError):
    """A dataset cannot be converted."""


class DecodingError(ValueError):
    """The bytes of an image are not decoded; the message is a clause about the file: ``holds complex numbers``.

    Attributes:
        fix: what to do about it.
    """

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class LabelChannelsError(DataError):
    """A label is a picture with several channels where one channel of class indices is expected."""


class LabelColorsError(DataError):
    """A label whose colours say the class has one that is of no class."""
