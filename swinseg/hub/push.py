"""Upload of a folder to the Hugging Face hub, by ``huggingface_hub``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swinseg.errors import UserError
from swinseg.hub.card import card_metadata
from swinseg.hub.folder import CARD, CONFIG, INDEX, PROCESSOR, read_architecture, weight_files

_LICENSE_TEXT = 'LICENSE'
_BRANCH = 'main'
# Packages whose errors say that the hub was not reached or did not want what was sent.
_CLIENTS = ('huggingface_hub', 'httpx', 'httpcore', 'requests', 'urllib3', 'hf_xet')
_ADVICE = {
    400: 'mend what it says',
    401: 'make a token with write access at {endpoint}/settings/tokens, and log in with "hf auth login" or '
    'set HF_TOKEN',
    403: 'use a token with write access to {owner}, or push under your own name',
    404: 'check the name of the repository, and that the token may see it',
    409: 'try again later',
}


class PushError(UserError):
    """A folder cannot be uploaded."""


@dataclass(frozen=True)
class PushReceipt:
    """What was uploaded, or would be.

    Attributes:
        address: of the repository.
        revision: the branch.
        private: whether a new repository is seen by its owner alone.
        files: name and bytes of each.
        remarks: sentences about what is left out or not known.
        commit: address of the commit; None for a dry run.
    """

    address: str
    revision: str
    private: bool
    files: tuple[tuple[str, int], ...]
    remarks: tuple[str, ...]
    commit: str | None

    def __str__(self) -> str:
        """Return the receipt as lines to print."""
        done = 'would upload' if self.commit is None else 'uploaded'
        new = 'private' if self.private else 'public'
        lines = [
            f'{done} to {self.address}, revision {self.revision} ({new}, if it is new):',
            *(f'  {name}  {size:,} bytes' for name, size in self.files),
            *(f'  note: {remark}' for remark in self.remarks),
        ]
        if self.commit is not None:
            lines.append(self.commit)
        return '\n'.join(lines)


def push_folder(
    path: str | os.PathLike[str],
    repo: str,
    *,
    token: str | None = None,
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
) -> PushReceipt:
    """Upload a folder to a repository of the hub, which is created where it does not exist.

    Args:
        path: a folder that :func:`~swinseg.hub.folder_writing.write_folder` or transformers wrote. Of its files,
            only those of the model go.
        repo: ``'owner/name'``.
        token: with write access; None takes ``HF_TOKEN`` or that of ``hf auth login``.
        private: whether a new repository is seen by its owner alone; one that exists stays as it is.
        revision: branch, created where it does not exist; None for ``main``.
        dry_run: only check the folder and say what would go; needs no token and no network.

    Raises:
        CheckpointError: the folder or its card is incomplete, or of another architecture.
        PushError: there is no token, or the hub does not take the files. The commit is one: either all files are
            there, or none.
    """
    folder = Path(path)
    files, remarks = _files(folder)
    hub = _library()
    endpoint = os.environ.get('HF_ENDPOINT') or hub.constants.ENDPOINT
    owner, _, name = repo.partition('/')
    if not owner or not name:
        raise PushError(f"expected a repository as 'owner/name', found {repo!r}; add the owner")
    try:
        hub.utils.validate_repo_id(repo)
    except ValueError as error:
        raise PushError(
            f'{repo!r} cannot be the name of a repository: {_first_line(error)}; name it owner/name'
        ) from error
    branch = revision or _BRANCH
    sizes = tuple((file.name, file.stat().st_size) for file in files)
    address = f'{endpoint}/{repo}'
    receipt = PushReceipt(address, branch, private, sizes, tuple(remarks), None)
    if dry_run:
        return receipt
    secret = token or hub.get_token()
    if not secret:
        raise PushError(
            f'no token for {endpoint}, without which nothing can be uploaded; log in with "hf auth login", set '
            'HF_TOKEN, or give token'
        )
    api = hub.HfApi(endpoint=endpoint, token=secret)
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        if branch != _BRANCH and not branch.startswith('refs/'):
            api.create_branch(repo, branch=branch, exist_ok=True)
        commit = api.create_commit(
            repo,
            [
                hub.CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=str(file))
                for file in files
            ],
            commit_message='Upload a UPerNet with a Swin Transformer',
            revision=branch,
        )
    except Exception as error:  # each transport of the client has errors of its own
        sentence = _sentence(error, endpoint=endpoint, repo=repo)
        if sentence is None:
            raise
        raise PushError(sentence) from error
    return PushReceipt(address, branch, private, sizes, tuple(remarks), str(commit.commit_url))


def _files(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the files of a folder that belong to its model, and remarks."""
    read_architecture(folder)
    card = folder / CARD
    missing = [name for name in (PROCESSOR, CARD) if not (folder / name).is_file()]
    if missing:
        raise PushError(
            f'{folder} has no {" and no ".join(missing)}, without which nobody could use the model; write the '
            'folder with convert --to huggingface'
        )
    metadata = card_metadata(card.read_text(encoding='utf-8', errors='replace'), name=str(card))
    weights = weight_files(folder)
    lost = [file.name for file in weights if not file.is_file()]
    if lost:
        raise PushError(f'{folder} lacks {", ".join(lost)}, which its index names; write it anew')
    files = [card, folder / CONFIG, folder / PROCESSOR, *weights]
    files += [file for file in (folder / INDEX, folder / _LICENSE_TEXT) if file.is_file()]
    names = {file.name for file in files}
    others = sorted(entry.name for entry in folder.iterdir() if entry.name not in names)
    remarks = []
    if not metadata.get('license'):
        remarks.append(f'the card names no license; add "license: apache-2.0", say, to {CARD}')
    if others:
        more = f' and {len(others) - 3} more' if len(others) > 3 else ''
        remarks.append(f'not of the model, and left here: {", ".join(others[:3])}{more}')
    return files, remarks


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.utils
    except ImportError as error:
        raise PushError(
            'huggingface_hub, which talks to the hub, is not installed; run: pip install huggingface_hub'
        ) from error
    return huggingface_hub


def _sentence(error: BaseException, *, endpoint: str, repo: str) -> str | None:
    """Return what went wrong in one sentence, or None for an error that is not of the hub."""
    causes = list(_causes(error))
    for cause in causes:
        status = getattr(getattr(cause, 'response', None), 'status_code', None)
        if isinstance(status, int):
            said = getattr(cause, 'server_message', None) or _first_line(cause)
            advice = _ADVICE.get(status, 'try again later').format(
                endpoint=endpoint, owner=repo.partition('/')[0]
            )
            return f'{endpoint} refused {repo} ({status}: {said.strip().rstrip(".")}); {advice}'
    for cause in reversed(causes):
        is_of_client = type(cause).__module__.partition('.')[0] in _CLIENTS
        if is_of_client or isinstance(cause, ConnectionError | TimeoutError | ValueError):
            return (
                f'cannot upload to {endpoint}: {_first_line(cause)}; check the network, HF_ENDPOINT and '
                'HF_HUB_OFFLINE, and push again'
            )
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip('.') if lines else type(error).__name__
