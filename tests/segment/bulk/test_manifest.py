"""The rows of a job: appended, replaced, sorted, and read again."""

import pyarrow.parquet as pq
import pytest

from swinseg.segment.bulk import manifest as module
from swinseg.segment.bulk.extra import BulkError
from swinseg.segment.bulk.hashes import hash_of
from swinseg.segment.bulk.manifest import DONE, FAILED, Manifest, Row


def row(name, state=DONE, **values):
    output = name if state == DONE else ''
    values = {'classes': (('sky', 0.75), ('road', 0.25)), 'files': ('_labels.png',), **values}
    return Row(name, state, output=output, **values)


def test_rows__are_read_as_they_were_written(tmp_path):
    manifest = Manifest(str(tmp_path / 'manifest'))
    rows = [
        row('b', kind='image', height=3, width=4, seconds=0.5, worker='x:0', finished=1.5),
        row('a', FAILED, error='it is broken', attempts=3),
        row('c\udcff.jpg'),
    ]
    for each in rows:
        manifest.add(each)
    manifest.flush()
    assert sorted(Manifest(str(tmp_path / 'manifest')).rows(), key=lambda r: r.input) == [
        rows[1], rows[0], row('c\\udcff.jpg'),
    ]  # fmt: skip
    manifest.compact()
    assert list(manifest.rows()) == [rows[1], rows[0], row('c\\udcff.jpg')]
    (file,) = tmp_path.glob('manifest/*')
    assert pq.read_table(tmp_path / 'manifest').num_rows == 3
    assert file.name.startswith('sorted-')


def test_later_row__counts(tmp_path):
    manifest = Manifest(str(tmp_path))
    for state in (FAILED, FAILED, DONE):
        manifest.add(row('a', state))
        manifest.add(row('b', FAILED, error=state))
        manifest.flush()
    known = manifest.finished(with_failed=False)
    assert (known.done, known.failed, len(known.inputs)) == (1, 1, 1)
    assert hash_of('a') in known.inputs
    assert len(manifest.finished(with_failed=True).inputs) == 2
    expected = [row('a'), row('b', FAILED, error=DONE)]
    assert sorted(manifest.rows(), key=lambda r: r.input) == expected
    manifest.compact()
    assert list(manifest.rows()) == expected


def test_compact__merges_more_rows_than_are_held(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'ROWS_OF_A_FILE', 10)
    monkeypatch.setattr(module, '_BATCH', 4)
    manifest = Manifest(str(tmp_path))
    names = [f'{i * 37 % 101:03d}' for i in range(101)]
    for number, name in enumerate([*names, *names[:30]]):
        manifest.add(row(name, height=number))
        if number % 7 == 0:
            manifest.flush()
    manifest.compact()
    rows = list(manifest.rows())
    assert [each.input for each in rows] == sorted(names)
    assert {each.input: each.height for each in rows}[names[3]] == 104
    assert [pq.read_metadata(path).num_rows for path in sorted(tmp_path.iterdir())] == [10] * 10 + [
        1
    ]
    before = sorted(path.name for path in tmp_path.iterdir())
    manifest.compact()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_kill_while_compacting__loses_and_doubles_nothing(tmp_path, monkeypatch):
    manifest = Manifest(str(tmp_path))
    for name in 'cab':
        manifest.add(row(name))
        manifest.flush()
    monkeypatch.setattr(
        manifest.place, 'remove', lambda name: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        manifest.compact()
    assert len(list(tmp_path.iterdir())) == 4
    again = Manifest(str(tmp_path))
    assert again.finished(with_failed=True).done == 3
    assert sorted(each.input for each in again.rows()) == ['a', 'b', 'c']
    again.add(row('d'))
    again.compact()
    assert [each.input for each in again.rows()] == ['a', 'b', 'c', 'd']


def test_file_that_is_no_manifest__is_named(tmp_path):
    (tmp_path / 'rows-00000001.parquet').write_bytes(b'nonsense')
    with pytest.raises(BulkError, match=r'rows-00000001.parquet is no file of a manifest'):
        Manifest(str(tmp_path)).finished(with_failed=True)
