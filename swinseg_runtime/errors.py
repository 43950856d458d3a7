"""The one error of this package."""


class ModelFileError(ValueError):
    """An exported file cannot be opened or run, or an image cannot be put through it; one sentence."""
