"""The error of this package that a user can mend."""

from swinseg.errors import UserError


class ArchitectureError(UserError):
    """The arguments of a model contradict each other or the input."""
