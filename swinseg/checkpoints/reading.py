"""Reading a weight file, from a path or an address, without running code that it contains.

The config inside a file is data here; what may be built from it is decided in ``swinseg.config.untrusted``.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import os
import pickle
import re
import struct
import urllib.parse
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from mmengine.logging import print_log
from safetensors import SafetensorError, safe_open
from torch import Tensor

from swinseg.checkpoints.pickle_scan import has_endless_key
from swinseg.downloads import Checksum, DownloadError, download
from swinseg.errors import CheckpointError
from swinseg.files import make_folder, zip_errors_as

SUFFIXES = ('.pth', '.pt', '.bin', '.ckpt', '.safetensors')
# Before version 1.6 PyTorch wrote one after the other, then the numbers.
_PICKLES_OF_OLD_FILES = 5
# state_dict in model in module, say; a wrapper that contains itself has no end.
_MOST_WRAPPERS = 8
# What a file holds, entries that it repeats by reference counted each time. A training of Swin-L saves some
# 30,000, and its log a few for each iteration.
_MOST_ENTRIES = 50_000_000
_WRAPPERS = ('state_dict', 'model', 'model_state_dict', 'model_state', 'module', 'params', 'net')
# OpenMMLab, PyTorch and timm end published names with the first digits of the file's SHA-256; pip's addresses name
# all of them.
_HASH_IN_NAME = re.compile(r'-([0-9a-f]{8,64})\.[a-z]+$')
_HASH_IN_FRAGMENT = re.compile(r'sha256=([0-9a-f]{64})')


def read_checkpoint(
    path_or_url: str | os.PathLike[str], *, map_location: str | torch.device = 'cpu'
) -> dict[str, Any]:
    """Read a checkpoint without running any code from it.

    Args:
        path_or_url: a ``.pth``, ``.pt``, ``.bin`` or ``.safetensors`` file, or an http(s) address of one, which
            is fetched once and kept by the whole address, under ``checkpoints`` in the folder that the environment
            variable ``SWINSEG_HOME`` names, or else in ``torch.hub.get_dir()``. It is compared with the SHA-256 in
            its name (``...-0123abcd.pth``) or behind the address (``#sha256=...``).
        map_location: device that the tensors are put on.

    Returns:
        What the file holds; a ``.safetensors`` file as ``{'state_dict': tensors, 'meta': its metadata}``.

    Raises:
        CheckpointError: no such file, a failed download, an empty, truncated or other file, or a pickle that
            needs code.
    """
    text = os.fspath(path_or_url)
    if not re.match(r'https?://', text):
        return _read_file(_existing(Path(text).expanduser()), map_location)
    is_new = not cached_path(text).is_file()
    path = _download(text)
    try:
        return _read_file(path, map_location)
    except CheckpointError:
        # A server that does not say how long a file is may have sent a part; the next call fetches it again.
        if is_new and path == cached_path(text):
            path.unlink()
        raise


def _read_file(path: Path, map_location: str | torch.device) -> dict[str, Any]:
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
    for _ in range(_MOST_WRAPPERS):
        wrapper = _wrapper(content)
        if wrapper is None:
            break
        content = content[wrapper]
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(
            f'expected a state dict, found no tensors under the keys {", ".join(map(str, checkpoint)) or "(none)"}'
        )
    for key, value in tensors.items():
        _check_tensor(key, value)
    for prefix in ('module.', '_orig_mod.', 'module.'):
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return {key.replace('._orig_mod.', '.'): value for key, value in tensors.items()}


def _check_tensor(key: str, value: Tensor) -> None:
    """Refuse a tensor that is no plain array of the file's numbers.

    Raises:
        CheckpointError: it is sparse, nested, quantized or without values, complex, or longer than what is stored.
    """
    kind = str(value.layout).removeprefix('torch.')
    if value.is_meta:
        found = 'a tensor without values (on the device meta)'
    elif value.is_nested or value.layout is not torch.strided:
        found = 'a nested tensor' if value.is_nested else f'a tensor of the layout {kind}'
    elif value.is_quantized or value.is_complex():
        found = f'a tensor of {value.dtype}'
    elif value.numel() * value.element_size() > value.untyped_storage().nbytes():
        found = f'a view of {value.numel():,} numbers on {value.untyped_storage().nbytes():,} bytes'
    else:
        return
    raise CheckpointError(
        f'expected a dense tensor of real numbers at {key}, found {found}; save the weights of a model in memory, '
        'in float32 or a half precision'
    )


def _wrapper(content: Mapping[str, Any]) -> str | None:
    for name in _WRAPPERS:
        if isinstance(content.get(name), Mapping) and content[name]:
            return name
    return None


def _existing(path: Path) -> Path:
    if os.path.isfile(path):
        return path
    if os.path.isdir(path):
        inside = sorted(file.name for file in path.iterdir() if file.suffix in SUFFIXES)
        hint = (
            f'name one of its files: {", ".join(inside[:5])}' if inside else 'it holds no weights'
        )
        raise CheckpointError(f'expected a weight file, {path} is a folder; {hint}')
    if not os.path.isdir(path.parent):
        raise CheckpointError(f'no weight file {path}: there is no folder {path.parent}')
    neighbors = [file.name for file in path.parent.iterdir() if file.suffix in SUFFIXES]
    similar = difflib.get_close_matches(path.name, neighbors, n=3, cutoff=0.5)
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
        _check_parts(path)
    _check_keys(path)
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
        TypeError,
        RecursionError,
        MemoryError,
        OverflowError,
    ) as error:
        raise _truncated(path) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f'expected a state dict or a checkpoint with one in {path}, found a {type(content).__name__}'
        )
    _check_extent(content, path)
    return dict(content)


def _check_keys(path: Path) -> None:
    """Refuse a pickle with a key of a dict that would be hashed without end; a damaged one is found later.

    Raises:
        CheckpointError: it has one.
    """
    is_endless = False
    with contextlib.suppress(ValueError, IndexError, KeyError, OSError), open(path, 'rb') as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    if name.endswith('data.pkl') and not is_endless:
                        # Read byte by byte, for which a file inside an archive is slow.
                        content = io.BufferedReader(cast(io.RawIOBase, archive.open(name)))
                        is_endless = has_endless_key(content)
        else:
            file.seek(0)
            is_endless = any(has_endless_key(file) for _ in range(_PICKLES_OF_OLD_FILES))
    if is_endless:
        raise _endless(path, 'a key that is made of itself')


def _check_extent(content: Any, path: Path) -> None:
    """Refuse containers that contain themselves, or hold so many by reference that walking them never ends.

    Raises:
        CheckpointError: they do.
    """
    # Entries of each container that is finished; None for those that are being counted.
    extents: dict[int, int | None] = {}
    waiting: list[Any] = [content]
    while waiting:
        node = waiting[-1]
        inner = [item for item in _contained(node) if isinstance(item, (Mapping, list, tuple, set))]
        if id(node) not in extents:
            extents[id(node)] = None
            if any(extents.get(id(item), 0) is None for item in inner):
                raise _endless(path, 'a container that contains itself')
            waiting.extend(item for item in inner if id(item) not in extents)
            continue
        waiting.pop()
        if extents[id(node)] is None:
            extent = len(node) + sum(extents[id(item)] or 0 for item in inner)
            if extent > _MOST_ENTRIES:
                raise _endless(
                    path, f'more than {_MOST_ENTRIES:,} entries, most of them by reference'
                )
            extents[id(node)] = extent


def _contained(node: Any) -> Iterable[Any]:
    return node.values() if isinstance(node, Mapping) else node


def _endless(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f'expected a checkpoint in {path}, found {what}; no training writes such a file, fetch it from elsewhere'
    )


def _check_parts(path: Path) -> None:
    """Look at what torch.load does not: how large the parts of a zip file are unpacked, and their CRC-32."""
    try:
        with zip_errors_as(lambda error: _truncated(path)), zipfile.ZipFile(path) as file:
            unpacked = sum(part.file_size for part in file.infolist())
            # PyTorch stores without compression, so a file that unpacks to more is made to fill the memory.
            if unpacked > path.stat().st_size:
                raise CheckpointError(
                    f'{path} has {path.stat().st_size:,} bytes but unpacks to {unpacked:,}; PyTorch does not '
                    'compress its files, fetch it again from where it was published'
                )
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
    """Return the file of an address, which is fetched once."""
    address, _, fragment = url.partition('#')
    name = Path(urllib.parse.urlparse(address).path).name
    if name in ('', '.', '..'):
        raise CheckpointError(f'the address {url} names no file')
    digits = _HASH_IN_FRAGMENT.fullmatch(fragment) or _HASH_IN_NAME.search(name)
    checksum = Checksum('sha256', digits[1]) if digits else None
    path = cached_path(url)
    if path.is_file():
        return path
    elsewhere = Path(torch.hub.get_dir()) / 'checkpoints' / name
    # PyTorch, timm and mmengine keep their downloads here, by the name alone; with a checksum that suffices.
    if checksum is not None and elsewhere.is_file() and checksum.matches(elsewhere):
        return elsewhere
    make_folder(path.parent)
    print_log(f'downloading {url} to {path}', logger='current')
    try:
        download(address, path, checksum=checksum)
    except DownloadError as error:
        raise CheckpointError(
            f'{error}, or fetch it by other means and put it at {path}, or give the path of a file in place of '
            'the address'
        ) from error
    finally:
        with contextlib.suppress(OSError):
            path.parent.rmdir()
    return path


def cached_path(url: str) -> Path:
    """Return where the file of an http(s) address is kept, whether it is there or not.

    The whole address decides, its query included: files of many models have one and the same name.
    """
    name = Path(urllib.parse.urlparse(url).path).name
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    return cache_folder() / 'checkpoints' / key / name


def cache_folder() -> Path:
    """Return where files are kept that can be had again: ``SWINSEG_HOME``, or PyTorch's cache."""
    home = os.environ.get('SWINSEG_HOME')
    return Path(home).expanduser() if home else Path(torch.hub.get_dir())


def _line(error: BaseException) -> str:
    return ' '.join(str(error).split()) or type(error).__name__
