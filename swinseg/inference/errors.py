"""Errors of sliding windows."""

from swinseg.errors import UserError


class SlideError(UserError):
    """Windows, strides, memory or scores do not fit the image or one another."""
