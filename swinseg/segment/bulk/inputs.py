"""The inputs of a bulk job, one after the other: files, folders, globs and lists of millions of lines.

What tells an input from others is its address: the absolute path, or the URL as it was given. The names of its
results depend on its address alone, so that neither order nor interruption changes them.
"""

from __future__ import annotations

import csv
import glob
import io
import os
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from swinseg.datasets.files.images import local_path
from swinseg.errors import UserError, shown
from swinseg.files import fitted_name, is_partial
from swinseg.output_record import RECORD_FILE, OutputRecord
from swinseg.segment.bulk import remote
from swinseg.segment.bulk.extra import BulkError, import_extra
from swinseg.segment.bulk.hashes import Hashes, hash_of
from swinseg.segment.bulk.manifest import MANIFEST, SETTINGS_FILE
from swinseg.segment.sidecars import is_sidecar
from swinseg.segment.sources import LONGEST_NAME, SUFFIXES, folded, is_looked_for, other_array

LIST_MARK = '@'
"""Stands before the path of a list among the inputs."""

_PARQUET, _CSV = ('.parquet', '.pq'), ('.csv', '.csv.gz')
# Of which those that hold no picture are left aside, as where one process works.
_ARRAYS = ('.npy', '.npz')
_UNSAFE = re.compile(r'[<>:"\\|?*\x00-\x1f]')
_TOLD_DUPLICATES = 5
# Rows of a Parquet list that are in memory at a time.
_BATCH = 8192


@dataclass(frozen=True)
class Input:
    """What is to be segmented.

    Attributes:
        address: absolute path or URL; it tells the input from others.
        name: of the results, relative to the folder of results: they begin with it.
        fault: a sentence where an entry of a list is no address at all, else None.
    """

    address: str
    name: str
    fault: str | None = None


@dataclass(frozen=True)
class _Entry:
    """An address as it was found.

    Attributes:
        address: see :class:`Input`.
        parts: of the address below its root, the name of the file last.
        origin: where it was named, for messages.
        fault: see :class:`Input`.
    """

    address: str
    parts: tuple[str, ...]
    origin: str
    fault: str | None = None


class Inputs:
    """All inputs of a job that are not finished yet, each once; to be iterated over once.

    Args:
        arguments: paths, globs, URLs, and ``@`` before the path or URL of a list.
        lists: paths or URLs of lists: text with an address in each line, CSV with a header, or Parquet.
        column: of CSV and Parquet lists; None where they have one only.
        out: the folder of results, which is left aside where a folder with it is searched.
        finished: hashes of the addresses that are finished.
        names: hashes of the folded names that their results have.
        say: takes a sentence about an entry that is left out.

    Attributes:
        found: inputs so far, without repetitions.
        skipped: those of them that were finished.
        repeated: entries that named an input again.
        is_exhausted: whether no further one comes.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        lists: Sequence[str] = (),
        *,
        column: str | None = None,
        out: str = '',
        finished: Hashes | None = None,
        names: Hashes | None = None,
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._plain = [each for each in arguments if not each.startswith(LIST_MARK)]
        marked = [each[len(LIST_MARK) :] for each in arguments if each.startswith(LIST_MARK)]
        self._lists = [*lists, *marked]
        self._column = column
        self._out = '' if remote.is_remote(out) else os.path.realpath(out)
        self._finished = Hashes() if finished is None else finished
        self._names = Hashes() if names is None else names
        self._say = say
        self._root = () if self._lists else _common_root(self._plain)
        self.found = self.skipped = self.repeated = 0
        self.is_exhausted = False

    def check(self) -> None:
        """Look at what can be told before the work begins.

        Raises:
            BulkError: a list is not there, or has no such column, or nothing was named.
        """
        if not self._plain and not self._lists:
            raise BulkError(
                'nothing to segment was named; give files, folders, URLs or --list FILE'
            )
        for name in self._lists:
            entries = self._in_list(name)
            next(entries, None)
            entries.close()
        for argument in self._plain:
            if remote.is_remote(argument) or glob.has_magic(argument):
                continue
            path = local_path(argument)
            if not os.path.exists(path) and len(self._plain) == 1 and not self._lists:
                raise BulkError(f'{path} does not exist; give files, folders or quoted globs')

    def __iter__(self) -> Iterator[Input]:
        seen = Hashes()
        for entry in self._entries():
            value = hash_of(entry.address)
            if not seen.add(value):
                self.repeated += 1
                if self.repeated <= _TOLD_DUPLICATES:
                    self._say(f'{entry.origin}: {entry.address} was named before; it counts once')
                continue
            self.found += 1
            if value in self._finished:
                self.skipped += 1
                continue
            yield Input(entry.address, self._name(entry), entry.fault)
        self.is_exhausted = True

    def announced(self) -> int | None:
        """Return the number of entries, repeated ones among them, where it can be told at once; else None."""
        if any(not _is_single_file(each) for each in self._plain):
            return None
        total = len(self._plain)
        for name in self._lists:
            count = _count_list(name)
            if count is None:
                return None
            total += count
        return total

    def _name(self, entry: _Entry) -> str:
        cleaned = [_UNSAFE.sub('_', part).rstrip(' .') or '_' for part in entry.parts]
        folders = [fitted_name(part, LONGEST_NAME) for part in cleaned[:-1]]
        tag = f'~{hash_of(entry.address):016x}'
        is_changed = cleaned != list(entry.parts) or '?' in entry.address
        last = fitted_name(cleaned[-1], LONGEST_NAME - len(tag))
        name = '/'.join([*folders, f'{last}{tag}' if is_changed else last])
        if not self._names.add(hash_of(folded(name))):
            # Another input's name but for what some file systems take for the same.
            name = '/'.join([*folders, f'{last}{tag}'])
            self._names.add(hash_of(folded(name)))
        return name

    def _entries(self) -> Iterator[_Entry]:
        for argument in self._plain:
            yield from self._of_argument(argument)
        for name in self._lists:
            yield from self._in_list(name)

    def _of_argument(self, argument: str) -> Iterator[_Entry]:
        if remote.is_remote(argument):
            for address in remote.remote_files(argument, SUFFIXES):
                yield self._entry(address, argument)
            return
        path = local_path(argument)
        if os.path.isdir(path):
            yield from (self._entry(each, argument) for each in self._in_folder(Path(path)))
        elif os.path.exists(path) or not glob.has_magic(path):
            yield self._entry(os.path.abspath(path), argument)
        else:
            for match in sorted(glob.glob(path, recursive=True)):
                if os.path.isdir(match):
                    if not path.endswith('**'):
                        yield from (self._entry(e, argument) for e in self._in_folder(Path(match)))
                elif not is_sidecar(match) and not is_partial(match):
                    yield self._entry(os.path.abspath(match), argument)

    def _entry(self, address: str, origin: str) -> _Entry:
        parts = parts_of(address)
        if parts[: len(self._root)] == self._root and len(parts) > len(self._root):
            parts = parts[len(self._root) :]
        return _Entry(address, parts, origin)

    def _in_folder(self, folder: Path) -> Iterator[str]:
        """Yield the images and videos below a folder, but results of earlier calls."""
        root = os.path.abspath(folder)
        records: dict[str, OutputRecord] = {}
        for above, folders, names in os.walk(root):
            folders[:] = sorted(each for each in folders if not self._is_of_job(above, each))
            if RECORD_FILE in names:
                records[above] = OutputRecord(above)
            inside = [record for at, record in records.items() if _is_below(above, at)]
            for name in sorted(names):
                path = Path(above) / name
                if not is_looked_for(path, path.relative_to(root)) or any(
                    is_partial(path) or record.is_result(path) for record in inside
                ):
                    continue
                if path.suffix.lower() in _ARRAYS and other_array(path) is not None:
                    continue
                yield str(path)

    def _is_of_job(self, above: str, folder: str) -> bool:
        path = os.path.join(above, folder)
        if self._out and os.path.realpath(path) == self._out:
            return True
        return os.path.exists(os.path.join(path, MANIFEST, SETTINGS_FILE))

    def _in_list(self, name: str) -> Generator[_Entry, None, None]:
        lower = name.lower()
        if lower.endswith(_PARQUET):
            cells: Iterator[tuple[str, Any]] = _parquet_cells(name, self._column)
        elif lower.endswith(_CSV):
            cells = _csv_cells(name, self._column)
        else:
            cells = _text_lines(name)
        for origin, value in cells:
            yield self._listed(value, origin)

    def _listed(self, value: Any, origin: str) -> _Entry:
        if not isinstance(value, str) or '\x00' in value:
            found = 'nothing' if value is None else shown(value)
            fault = f'{origin}: the path or URL of an image is expected, but {found} was found'
            return _Entry(origin, ('broken entries', f'{hash_of(origin):016x}'), origin, fault)
        if remote.is_remote(value):
            return _Entry(value, parts_of(value), origin)
        path = local_path(value)
        relative = os.path.normpath(path)
        is_below = not os.path.isabs(relative) and not relative.startswith(os.pardir)
        address = os.path.abspath(path)
        parts = tuple(relative.replace('\\', '/').split('/')) if is_below else parts_of(address)
        return _Entry(address, parts, origin)


def parts_of(address: str) -> tuple[str, ...]:
    """Return the parts of an address for names: the host or bucket, folders, and the file."""
    if remote.is_remote(address):
        split = urlsplit(address)
        path = unquote(split.path)
        parts = [split.netloc.rpartition('@')[2], *path.split('/')]
    else:
        parts = [part.rstrip(':') for part in address.replace('\\', '/').split('/')]
    kept = tuple(part for part in parts if part not in ('', '.', '..'))
    return kept or ('input',)


def _common_root(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the parts that all of the folders, globs and files that were named begin with."""
    if len({remote.scheme_of(each) for each in arguments}) != 1:
        return ()
    first, *others = [_root_of(argument) for argument in arguments]
    length = len(first)
    while any(other[:length] != first[:length] for other in others):
        length -= 1
    return first[:length]


def _root_of(argument: str) -> tuple[str, ...]:
    if remote.is_remote(argument):
        fixed = re.split(r'[*\[]', argument, maxsplit=1)[0]
        is_folder = argument.endswith('/') or not fixed.lower().endswith(SUFFIXES)
        whole = is_folder and fixed == argument
        return parts_of(argument if whole else fixed.rpartition('/')[0])
    path = local_path(argument)
    if os.path.isdir(path):
        return parts_of(os.path.abspath(path))
    folder = path
    while glob.has_magic(folder) and not os.path.exists(folder):
        folder = os.path.dirname(folder)
    folder = os.path.dirname(folder) if folder == path else folder
    return parts_of(os.path.abspath(folder))


def _is_single_file(argument: str) -> bool:
    if remote.is_remote(argument):
        return not re.search(r'[*\[]', argument) and argument.lower().endswith(SUFFIXES)
    return os.path.isfile(local_path(argument))


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _count_list(name: str) -> int | None:
    """Return about how many entries a list of this machine has."""
    if remote.is_remote(name):
        return None
    path = local_path(name)
    try:
        if name.lower().endswith(_PARQUET):
            return int(import_extra('pyarrow.parquet', 'a list').read_metadata(path).num_rows)
        if name.lower().endswith('.gz'):
            return None
        with open(path, 'rb') as file:
            blocks = iter(lambda: file.read(2**20), b'')
            lines = sum(block.count(b'\n') for block in blocks)
        return lines - 1 if name.lower().endswith(_CSV) else lines
    except (OSError, UserError):
        return None


def _text_lines(name: str) -> Iterator[tuple[str, Any]]:
    with remote.opened(name) as file:
        for number, line in enumerate(file, 1):
            origin = f'{name}, line {number}'
            text = line.strip()
            if number == 1:
                text = text.removeprefix(b'\xef\xbb\xbf')
            if not text:
                continue
            try:
                yield origin, text.decode('utf-8')
            except UnicodeDecodeError:
                yield origin, text


def _csv_cells(name: str, column: str | None) -> Iterator[tuple[str, Any]]:
    with remote.opened(name) as file:
        text = io.TextIOWrapper(file, encoding='utf-8-sig', errors='replace', newline='')
        lines = csv.reader(text)
        header = next(_csv_rows(lines, name), [])
        place = _chosen(header, column, name)
        for row in _csv_rows(lines, name):
            value = row[place].strip() if place < len(row) else ''
            if row:
                yield f'{name}, line {lines.line_num}', value or None


def _csv_rows(lines: Any, name: str) -> Iterator[list[str]]:
    while True:
        try:
            yield next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            raise BulkError(
                f'{name}, line {lines.line_num}, cannot be read as CSV: {error}; mend that line'
            ) from error


def _parquet_cells(name: str, column: str | None) -> Iterator[tuple[str, Any]]:
    parquet = import_extra('pyarrow.parquet', f'the list {name}')
    pyarrow = import_extra('pyarrow', f'the list {name}')
    with remote.opened(name) as file:
        try:
            table = parquet.ParquetFile(file)
        except (pyarrow.ArrowException, OSError) as error:
            raise BulkError(f'{name} cannot be read as Parquet: {error}') from error
        names = list(table.schema_arrow.names)
        chosen = names[_chosen(names, column, name)]
        kind = table.schema_arrow.field(chosen).type
        if pyarrow.types.is_dictionary(kind):
            kind = kind.value_type
        if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
            raise BulkError(
                f'{name} has {kind} in its column {chosen}, but paths or URLs are expected; name another --column'
            )
        number = 0
        for batch in table.iter_batches(_BATCH, columns=[chosen]):
            for value in batch.column(0).to_pylist():
                number += 1
                text = None if value is None else value.strip()
                yield f'{name}, row {number}', text or None


def _chosen(names: Sequence[str], column: str | None, name: str) -> int:
    """Return the place of the column with the addresses."""
    if column is None and len(names) == 1:
        return 0
    if column in names:
        return names.index(column)
    listed = ', '.join(shown(each, most=40) for each in names[:20]) or 'none'
    wanted = 'say which by --column' if column is None else f'but not {shown(column)}'
    raise BulkError(f'{name} has the columns {listed}; {wanted}')
