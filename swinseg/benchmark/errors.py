"""The error of this package that a user can mend."""

from swinseg.errors import UserError


class BenchmarkError(UserError):
    """A benchmark's arguments, or the files that it reads, do not fit."""
