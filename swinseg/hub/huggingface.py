"""Files of the Hugging Face hub, through its own client, with what goes wrong in one sentence."""

from __future__ import annotations

import contextlib
import errno
import re
import sys
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swinseg.downloads import Checksum, DownloadError, download
from swinseg.errors import HubError, shown
from swinseg.files import OutputError, make_folder

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

PREFIX = 'hf:'
_REPOSITORY = re.compile(r'(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?', re.ASCII)
_COMMIT = re.compile(r'[0-9a-f]{40}')
_SHA256 = re.compile(r'[0-9a-f]{64}')
# Of HTTP, from here on: what the server cannot do now.
_SERVER_ERRORS = 500


@dataclass(frozen=True)
class Repository:
    """A repository of models.

    Attributes:
        id: ``owner/name``.
        revision: a branch, a tag or a commit; None for the branch ``main``.
    """

    id: str
    revision: str | None = None

    @classmethod
    def parse(cls, name: str) -> Repository:
        """Return the repository of ``hf:owner/name`` or ``hf:owner/name@revision``.

        Raises:
            HubError: it is none.
        """
        found = _REPOSITORY.fullmatch(name.removeprefix(PREFIX))
        if found is None:
            raise HubError(
                f'expected hf:owner/name or hf:owner/name@revision, found {shown(name)}; check the name'
            )
        return cls(found['id'], found['revision'])

    def __str__(self) -> str:
        """Return ``hf:owner/name@revision``."""
        return f'{PREFIX}{self.id}' + (f'@{self.revision}' if self.revision else '')


class MissingFileError(HubError):
    """The repository has no file of that name."""


def fetch(repository: Repository, filename: str, *, is_large: bool = False) -> Path:
    """Return a file of a repository, from the client's cache or from the hub.

    The cache is the client's own, below ``HF_HOME``; ``HF_ENDPOINT``, ``HF_TOKEN`` and ``HF_HUB_OFFLINE`` hold
    as it reads them.

    Args:
        repository: where it is.
        filename: of the file.
        is_large: whether it is worth going on with what an earlier call left, as the client does not.

    Raises:
        MissingFileError: the repository has no such file.
        HubError: there is no such repository or revision, it is private or gated, or the hub is not reached.
        DownloadError: the file cannot be downloaded, or its checksum differs.
        OutputError: the cache cannot be written.
    """
    with _errors_in_one_sentence(repository, filename), _bars_on_terminals_alone():
        return _fetch(repository, filename, is_large=is_large)


def _fetch(repository: Repository, filename: str, *, is_large: bool) -> Path:
    """Return as :func:`fetch`, with the errors of the client."""
    from huggingface_hub import (
        _CACHED_NO_EXIST,
        constants,
        errors,
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
        try_to_load_from_cache,
    )

    cached = try_to_load_from_cache(repository.id, filename, revision=repository.revision)
    is_settled = constants.HF_HUB_OFFLINE or _COMMIT.fullmatch(repository.revision or '')
    if is_settled and cached is _CACHED_NO_EXIST:
        raise _missing(repository, filename)
    if is_settled and isinstance(cached, str):
        return Path(cached)
    if constants.HF_HUB_OFFLINE:
        raise _not_here(repository, filename, 'HF_HUB_OFFLINE is set', 'unset it')
    url = hf_hub_url(repository.id, filename, revision=repository.revision)
    metadata = None
    try:
        metadata = get_hf_file_metadata(url)
    except errors.EntryNotFoundError:
        pass  # which the client keeps in mind when it finds it itself
    except errors.HfHubHTTPError as error:
        if isinstance(cached, str) and error.response.status_code >= _SERVER_ERRORS:
            return Path(cached)
        raise
    except (errors.HTTPError, OSError) as error:
        # The client would ask for half a minute, which does not bring the network back.
        if isinstance(cached, str):
            return Path(cached)
        where = urllib.parse.urlsplit(url).netloc
        reason = f'{where} is not reached ({shown(str(error))})'
        raise _not_here(
            repository, filename, reason, 'check the network, or HF_ENDPOINT'
        ) from error
    if is_large and metadata is not None:
        _go_on_with(repository, url, metadata)
    return Path(hf_hub_download(repository.id, filename, revision=repository.revision))


def commit_of(path: Path) -> str | None:
    """Return the commit that a file which :func:`fetch` returned is of, None where its place does not tell."""
    commit = path.parent.name
    return commit if _COMMIT.fullmatch(commit) else None


def _go_on_with(repository: Repository, url: str, metadata: HfFileMetadata) -> None:
    """Put a large file where the client's cache keeps its content, so that the client finds it there.

    The client begins a file anew after a kill, and compares no checksum. What it has of its own for large files
    (Xet) is left to it.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils import build_hf_headers

    if metadata.etag is None or not _SHA256.fullmatch(metadata.etag):
        return
    if getattr(metadata, 'xet_file_data', None) is not None:
        return
    folder = repo_folder_name(repo_id=repository.id, repo_type='model')
    blob = Path(constants.HF_HUB_CACHE) / folder / 'blobs' / metadata.etag
    if blob.exists():
        return
    make_folder(blob.parent)
    location = metadata.location
    is_of_hub = urllib.parse.urlsplit(url).netloc == urllib.parse.urlsplit(location).netloc
    token = build_hf_headers().get('authorization')
    headers = {'Authorization': token} if token is not None and is_of_hub else {}
    download(location, blob, checksum=Checksum('sha256', metadata.etag), headers=headers)


@contextlib.contextmanager
def _bars_on_terminals_alone() -> Iterator[None]:
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextlib.contextmanager
def _errors_in_one_sentence(repository: Repository, filename: str) -> Iterator[None]:
    """Say in one sentence what the client raises in the block."""
    from huggingface_hub import constants, errors

    where = urllib.parse.urlsplit(constants.ENDPOINT).netloc
    try:
        yield
    except (HubError, DownloadError, OutputError):
        raise
    except errors.GatedRepoError as error:
        raise HubError(
            f'{repository} is for those who were let in; ask for access on its page at {where}, and log in with '
            '"hf auth login" or HF_TOKEN'
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f'{where} has no repository {repository.id}, or it is private; check the name, or log in with '
            '"hf auth login" or HF_TOKEN'
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(
            f'{repository.id} has no revision {repository.revision} at {where}; name a branch, a tag or a commit '
            'of it, or none for its main branch'
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise _not_here(
            repository, filename, f'{where} is not reached', 'check the network, or HF_ENDPOINT'
        ) from error
    except errors.EntryNotFoundError as error:
        raise _missing(repository, filename) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
            raise OutputError(
                f'cannot write to {constants.HF_HUB_CACHE}: {error.strerror}; make room, or name another folder '
                'in HF_HOME'
            ) from error
        raise _failed(repository, filename, where, error) from error
    except (ValueError, RuntimeError, errors.HTTPError) as error:
        raise _failed(repository, filename, where, error) from error


def _not_here(repository: Repository, filename: str, why: str, fix: str) -> HubError:
    from huggingface_hub import constants

    return HubError(
        f'cannot get {filename} of {repository}: {why}, and the file is not in {constants.HF_HUB_CACHE}; {fix}'
    )


def _missing(repository: Repository, filename: str) -> MissingFileError:
    return MissingFileError(f'{repository} has no {filename}; check the name')


def _failed(repository: Repository, filename: str, where: str, error: Exception) -> HubError:
    reason = shown(str(error).strip().split('\n')[0] or type(error).__name__, most=200)
    return HubError(
        f'cannot get {filename} of {repository} from {where}: {reason}; start again later'
    )
