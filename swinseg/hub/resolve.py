"""The one way from a model's name to its files."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swinseg.checkpoints.reading import SUFFIXES, read_checkpoint
from swinseg.errors import CheckpointError, HubError, shown
from swinseg.hub import huggingface
from swinseg.hub.catalogue import CATALOGUE, PublishedModel, published
from swinseg.hub.folder import (
    CONFIG,
    INDEX,
    OLD_WEIGHTS,
    PROCESSOR,
    WEIGHTS,
    read_architecture,
    read_folder,
    weight_files,
)
from swinseg.hub.published import completed
from swinseg.runtimes.opening import is_exported

_ADDRESS = re.compile(r'https?://')
_LIKE_A_REPOSITORY = re.compile(r'\w[\w.-]*/[\w.-]+(@[\w./-]+)?', re.ASCII)


@dataclass(frozen=True)
class ModelSource:
    """Where a model is.

    Attributes:
        name: by which it was asked for.
        weights: path or http(s) address of its weights, as ``swinseg.checkpoints.read_checkpoint`` takes it.
        folder: that ``swinseg.hub.folder.read_folder`` reads; None for a file.
        published: the entry of the catalogue that it was asked for by; None for other models.
    """

    name: str
    weights: str
    folder: Path | None = None
    published: PublishedModel | None = None

    def read(self, *, with_config: bool = True) -> dict[str, Any]:
        """Return the checkpoint, with what its name says of the model where the file says nothing.

        Args:
            with_config: whether to say how images are prepared; False where a config of the caller's own does.

        Returns:
            As ``swinseg.checkpoints.read_checkpoint``. The config in it is to be trusted as little as that of any
            checkpoint, whoever published it.

        Raises:
            CheckpointError: a file cannot be read or downloaded, it is of another architecture, or was exported.
            OutputError: there is no room for what is downloaded.
        """
        if is_exported(self.weights):
            raise CheckpointError(
                f'{self.name} is an exported file, which has no weights for PyTorch; give the checkpoint that it '
                'was made of, or open it with Predictor.from_exported'
            )
        if self.published is not None:
            return completed(read_checkpoint(self.weights), self.published)
        if self.folder is not None:
            return read_folder(self.folder, with_config=with_config)
        return read_checkpoint(self.weights)


def resolve(name: str | os.PathLike[str]) -> ModelSource:
    """Return where the model of a name is; files of the Hugging Face hub are fetched for it.

    A name of the catalogue comes before a file of that name, which is written ``./NAME``.

    Args:
        name: one of the catalogue (``upernet-swin-t-ade20k``), ``hf:owner/repo`` or ``hf:owner/repo@revision``, a
            folder with a model, an http(s) address, or the path of a checkpoint or of an exported file.

    Raises:
        HubError: there is no such model, or it cannot be had.
        CheckpointError: it is of another architecture.
        DownloadError: a file cannot be downloaded.
        OutputError: the cache cannot be written.
    """
    text = os.fspath(name)
    entry = published(text)
    where = text if entry is None else entry.address
    if where.startswith(huggingface.PREFIX):
        weights = _fetch(huggingface.Repository.parse(where))
        return ModelSource(text, str(weights), weights.parent, entry)
    if _ADDRESS.match(where):
        return ModelSource(text, where, None, entry)
    path = Path(where).expanduser()
    if path.is_dir():
        if (path / CONFIG).is_file():
            return ModelSource(text, str(path / WEIGHTS), path)
        return ModelSource(text, str(_checkpoint_in(path)))
    if path.exists() or path.suffix in SUFFIXES or is_exported(path):
        return ModelSource(text, str(path))
    raise _unknown(text)


def is_remote_name(name: str | os.PathLike[str]) -> bool:
    """Whether a name is one of the catalogue or of a repository, and so neither a path nor an address."""
    text = os.fspath(name)
    entry = published(text)
    return text.startswith(huggingface.PREFIX) or (entry is not None and entry.name == text)


def _fetch(repository: huggingface.Repository) -> Path:
    """Return the weights of a repository, with its other files beside them."""
    try:
        config = huggingface.fetch(repository, CONFIG)
    except huggingface.MissingFileError as error:
        raise HubError(
            f'{repository} has no {CONFIG}, so nothing says how its model is built; download its weights and give '
            'them with --config'
        ) from error
    # All files of one version, whatever happens to the branch meanwhile.
    commit = huggingface.commit_of(config) or repository.revision
    pinned = huggingface.Repository(repository.id, commit)
    with contextlib.suppress(huggingface.MissingFileError):
        huggingface.fetch(pinned, PROCESSOR)
    # Before its weights, which are large.
    read_architecture(config.parent)
    with contextlib.suppress(huggingface.MissingFileError):
        return huggingface.fetch(pinned, WEIGHTS, is_large=True)
    with contextlib.suppress(huggingface.MissingFileError):
        index = huggingface.fetch(pinned, INDEX)
        for file in weight_files(config.parent):
            huggingface.fetch(pinned, file.name, is_large=True)
        return index
    try:
        return huggingface.fetch(pinned, OLD_WEIGHTS, is_large=True)
    except huggingface.MissingFileError as error:
        raise HubError(
            f'{repository} has none of {WEIGHTS}, {INDEX} and {OLD_WEIGHTS}; use a repository with weights of '
            'PyTorch'
        ) from error


def _checkpoint_in(folder: Path) -> Path:
    """Return the best checkpoint of a training's folder, or the only file of weights.

    Raises:
        HubError: there is none, or there are several.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    best = [path for path in files if path.name.startswith('best')]
    if len(best) == 1 or len(files) == 1:
        return (best if len(best) == 1 else files)[0]
    if not files:
        raise HubError(
            f'expected {CONFIG} and {WEIGHTS}, or a checkpoint, in the folder {folder}, found neither; check the '
            'path'
        )
    names = ', '.join(path.name for path in files[:5])
    raise HubError(
        f'{folder} has no {CONFIG} and {len(files)} checkpoints; name one of them: {names}'
    )


def _unknown(name: str) -> HubError:
    if os.sep in name or name.startswith(('.', '~')):
        hint = 'check the path'
        if _LIKE_A_REPOSITORY.fullmatch(name):
            hint += f', or write hf:{name} for a repository of the Hugging Face hub'
        return HubError(f'no model {shown(name)}: there is no such file or folder; {hint}')
    known = [model.name for model in CATALOGUE]
    nearest = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.3) or known[:3]
    return HubError(
        f'no model {shown(name)}: it is no file or folder and no published model; did you mean '
        f'{" or ".join(nearest)} (see all with: swinseg models)'
    )
