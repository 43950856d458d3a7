"""Reading a weight file: from a path or an address, never running code that the file contains."""

from __future__ import annotations

import difflib
import hashlib
import os
import pickle
import re
import struct
import urllib.parse
import urllib.request
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from safetensors import SafetensorError, safe_open
from torch import Tensor

from swinseg.archives import damage_told
from swinseg.checkpoints.errors import CheckpointError
from swinseg.files import atomic_path, make_folder

SUFFIXES = ('.pth', '.pt', '.bin', '.ckpt', '.safetensors')
_TIMEOUT_SECONDS = 30
_CHUNK_BYTES = 1 << 20
_WRAPPERS = ('state_dict', 'model', 'model_state_dict', 'model_state', 'module', 'params', 'net')
# OpenMMLab, PyTorch and timm end published names with the first digits of the file's SHA-256.
_HASH_IN_NAME = re.compile(r'-([0-9a-f]{8,64})\.[a-z]+$')


def read_checkpoint(
    path_or_url: str | os.PathLike[str], *, map_location: str | torch.device = 'cpu'
) -> dict[str, Any]:
    """Read a checkpoint without running any code from it.

    Args:
        path_or_url: a ``.pth``, ``.pt``, ``.bin`` or ``.safetensors`` file, or an http(s) address of one, which
            is kept in the ``checkpoints`` folder of ``torch.hub.get_dir()`` and fetched once.
        map_location: device that the tensors are put on.

    Returns:
        What the file holds; a ``.safetensors`` file as ``{'state_dict': tensors, 'meta': its metadata}``.

    Raises:
        CheckpointError: no such file, a failed download, an empty, truncated or other file, or a pickle that
            needs code.
    """
    text = os.fspath(path_or_url)
    path = _download(text) if re.match(r'https?://', text) else _existing(Path(text).expanduser())
    try:
        size = path.stat().st_size
        with open(path, 'rb') as file:
            start = file.read(64)
    except OSError as error:
        raise CheckpointError(f'cannot read {path}: {error.strerror or error}') from error
    if size == 0:
        raise CheckpointError(f'{path} is empty (0 bytes); fetch or save it again')
    if start.startswith(b'version https://git-lfs'):
        raise CheckpointError(
            f'{path} is a Git LFS pointer, not the weights; run "git lfs pull" in its repository'
        )
    if _is_safetensors(path, start, size):
        return _read_safetensors(path, map_location)
    return _read_pickle(path, start, map_location)


def state_dict_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Take the parameters and buffers out of what a file held.

    Unwraps ``state_dict``, ``model`` and the like, and removes the prefixes of ``DistributedDataParallel``
    (``module.``) and ``torch.compile`` (``_orig_mod.``).

    Raises:
        CheckpointError: there are no tensors.
    """
    content: Mapping[str, Any] = checkpoint
    while (wrapper := _wrapper(content)) is not None:
        content = content[wrapper]
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(
            f'expected a state dict, found no tensors under the keys {", ".join(map(str, checkpoint)) or "(none)"}'
        )
    for prefix in ('module.', '_orig_mod.', 'module.'):
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return {key.replace('._orig_mod.', '.'): value for key, value in tensors.items()}


def _wrapper(content: Mapping[str, Any]) -> str | None:
    for name in _WRAPPERS:
        if isinstance(content.get(name), Mapping) and content[name]:
            return name
    return None


def _existing(path: Path) -> Path:
    if path.is_file():
        return path
    if path.is_dir():
        inside = sorted(file.name for file in path.iterdir() if file.suffix in SUFFIXES)
        hint = (
            f'name one of its files: {", ".join(inside[:5])}' if inside else 'it holds no weights'
        )
        raise CheckpointError(f'expected a weight file, {path} is a folder; {hint}')
    if not path.parent.is_dir():
        raise CheckpointError(f'no weight file {path}: there is no folder {path.parent}')
    neighbours = [file.name for file in path.parent.iterdir() if file.suffix in SUFFIXES]
    similar = difflib.get_close_matches(path.name, neighbours, n=3, cutoff=0.5)
    hint = 'did you mean ' + ' or '.join(similar) if similar else 'check the path'
    raise CheckpointError(f'no weight file {path}; {hint}')


def _is_safetensors(path: Path, start: bytes, size: int) -> bool:
    if path.suffix == '.safetensors':
        return True
    # The format begins with the length of a JSON header.
    return len(start) > 8 and start[8:9] == b'{' and struct.unpack('<Q', start[:8])[0] < size


def _read_safetensors(path: Path, map_location: str | torch.device) -> dict[str, Any]:
    try:
        with safe_open(path, framework='pt', device=str(map_location)) as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            return {'state_dict': tensors, 'meta': dict(file.metadata() or {})}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f'{path} is no readable .safetensors file, it is truncated or something else ({_line(error)}); '
            'fetch or save it again'
        ) from error


def _read_pickle(path: Path, start: bytes, map_location: str | torch.device) -> dict[str, Any]:
    is_zip, is_pickle = start.startswith(b'PK\x03\x04'), start.startswith(b'\x80')
    if not is_zip and not is_pickle:
        what = (
            'a web page'
            if start.lstrip().lower().startswith((b'<!doctype', b'<html'))
            else 'not one'
        )
        raise CheckpointError(
            f'expected a PyTorch or .safetensors checkpoint, {path} is {what}: it begins with {start[:16]!r}; '
            'check what was downloaded or saved'
        )
    if is_zip:
        _check_sums(path)
    try:
        with warnings.catch_warnings():
            # PyTorch warns of pickles that it did not write itself; they are refused or read, either is said.
            warnings.simplefilter('ignore')
            content = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r'(?:GLOBAL|global:?|class) ([A-Za-z_][\w]*(?:\.\w+)+)', str(error))
        needs = f'needs code to be run ({found[1]})' if found else 'needs code to be run'
        raise CheckpointError(
            f'{path} holds more than weights: it {needs}, which is refused because a file could do anything; '
            'save only the state dict of the model and load that'
        ) from error
    except (
        RuntimeError,
        EOFError,
        OSError,
        KeyError,
        ValueError,
        IndexError,
        AttributeError,
    ) as error:
        raise _truncated(path) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f'expected a state dict or a checkpoint with one in {path}, found a {type(content).__name__}'
        )
    return dict(content)


def _check_sums(path: Path) -> None:
    """Compare the parts of a zip file with the CRC-32 beside each, which torch.load does not look at."""
    try:
        with damage_told(lambda error: _truncated(path)), zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except OSError as error:
        raise _truncated(path) from error
    if damaged is not None:
        raise CheckpointError(
            f'{path} is damaged: the checksum of its part {damaged} is wrong; delete it and fetch or save it again'
        )


def _truncated(path: Path) -> CheckpointError:
    return CheckpointError(
        f'{path} is truncated or damaged ({path.stat().st_size:,} bytes); delete it and fetch or save it again'
    )


def _download(url: str) -> Path:
    name = Path(urllib.parse.urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / 'checkpoints' / name
    if not name:
        raise CheckpointError(f'the address {url} names no file')
    if path.is_file():
        return path
    make_folder(path.parent)
    print_log(f'downloading {url} to {path}', logger='current')
    try:
        request = urllib.request.Request(url, headers={'User-Agent': 'swinseg'})
        with (
            urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response,
            atomic_path(path) as temporary,
        ):
            expected = response.headers.get('Content-Length')
            digest, received = hashlib.sha256(), 0
            with open(temporary, 'wb') as file:
                while chunk := response.read(_CHUNK_BYTES):
                    file.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
            if expected is not None and received != int(expected):
                raise OSError(f'{received:,} of {int(expected):,} bytes arrived')
            hash_in_name = _HASH_IN_NAME.search(name)
            if hash_in_name and not digest.hexdigest().startswith(hash_in_name[1]):
                raise OSError('its SHA-256 is not the one in its name')
    except (OSError, ValueError) as error:
        reason = error.__cause__ or error
        raise CheckpointError(
            f'cannot download {url}: {_line(reason)}; fetch it by other means and put it at {path}, or give '
            'the path of a file in place of the address'
        ) from error
    return path


def _line(error: BaseException) -> str:
    return ' '.join(str(error).split()) or type(error).__name__
