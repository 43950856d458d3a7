"""What a bulk job is told to segment, and how the results are named."""

import gzip
import os
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from swinseg.segment.bulk.extra import BulkError
from swinseg.segment.bulk.hashes import Hashes, hash_of
from swinseg.segment.bulk.inputs import Inputs
from swinseg.segment.bulk.remote import StorageError


def names(*arguments, **options):
    return [each.name for each in Inputs([str(a) for a in arguments], **options)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        'photos/a.jpg',
        'photos/a.png',
        'photos/sub/b.jpg',
        'photos/notes.txt',
        'more/a.jpg',
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'x')
    return tmp_path


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['photos'], ['a.jpg', 'a.png', 'sub/b.jpg']),
        (['photos/*.jpg'], ['a.jpg']),
        (['photos/**/*.jpg'], ['a.jpg', 'sub/b.jpg']),
        (['photos/sub/b.jpg'], ['b.jpg']),
        (['photos', 'more'], ['photos/a.jpg', 'photos/a.png', 'photos/sub/b.jpg', 'more/a.jpg']),
        (['photos/a.jpg', 'photos/sub/b.jpg'], ['a.jpg', 'sub/b.jpg']),
        (['photos/missing.jpg', 'photos/a.jpg'], ['missing.jpg', 'a.jpg']),
    ],
)  # fmt: skip
def test_names__are_below_what_the_arguments_share(arguments, expected, folder):
    assert names(*arguments) == expected


def test_names__do_not_depend_on_order_or_on_what_is_finished(folder):
    inputs = Inputs(['photos', 'more'])
    by_address = {each.address: each.name for each in inputs}
    assert {each.address: each.name for each in Inputs(['more', 'photos'])} == by_address
    done = Hashes()
    done.add(hash_of(str(folder / 'photos' / 'a.jpg')))
    rest = Inputs(['photos', 'more'], finished=done)
    assert {each.address: each.name for each in rest}.items() < by_address.items()
    assert (rest.skipped, rest.found) == (1, 4)


def test_folder__leaves_the_results_and_those_of_other_jobs_aside(folder):
    for job in ('photos/masks', 'photos/earlier'):
        (folder / job / 'manifest').mkdir(parents=True)
        (folder / job / 'a.jpg_color.png').write_bytes(b'x')
    (folder / 'photos/earlier/manifest/_job.json').write_text('{}')
    assert names('photos', out=str(folder / 'photos/masks')) == ['a.jpg', 'a.png', 'sub/b.jpg']


def test_folder__leaves_arrays_aside_that_are_no_pictures(folder):
    np.save(folder / 'photos' / 'picture.npy', np.zeros((4, 5, 3), np.uint8))
    np.save(folder / 'photos' / 'features.npy', np.zeros((4, 5), np.float32))
    assert 'picture.npy' in names('photos')
    assert 'features.npy' not in names('photos')


TEXT = b'\xef\xbb\xbfphotos/a.jpg\r\n\nphotos/sub/../a.jpg\n  photos/a.png \n\xff\xfe.jpg\ns3://bucket/x y.jpg\n'


@pytest.mark.parametrize('compressed', [False, True])
def test_text_list__missing_repeated_and_broken_entries(compressed, folder):
    path = folder / ('list.txt.gz' if compressed else 'list.txt')
    path.write_bytes(gzip.compress(TEXT) if compressed else TEXT)
    said = []
    inputs = Inputs(['@' + path.name], say=said.append)
    found = list(inputs)
    assert [each.name for each in found] == [
        'photos/a.jpg', 'photos/a.png', found[2].name, 'bucket/x y.jpg'
    ]  # fmt: skip
    assert found[2].address == f'{path.name}, line 5'
    assert 'line 5: the path or URL of an image is expected' in found[2].fault
    assert (inputs.found, inputs.repeated, inputs.is_exhausted) == (4, 1, True)
    assert said == [
        f'{path.name}, line 3: {folder / "photos/a.jpg"} was named before; it counts once'
    ]


def test_csv_and_parquet__the_column_that_was_named(folder):
    (folder / 'list.csv').write_text('id,path\n1,photos/a.jpg\n2,\n3,"photos/a.png"\n')
    pq.write_table(pa.table({'path': ['photos/a.jpg', None], 'id': [1, 2]}), 'list.parquet')
    for name, number in (('list.csv', 'line 3'), ('list.parquet', 'row 2')):
        found = list(Inputs([], [name], column='path'))
        assert found[0].address == str(folder / 'photos/a.jpg')
        assert found[1].fault == (
            f'{name}, {number}: the path or URL of an image is expected, but nothing was found'
        )
        with pytest.raises(BulkError, match='say which by --column'):
            Inputs([], [name]).check()
        with pytest.raises(
            BulkError, match=r"columns (id, path|path, id); but not 'url'|but not url"
        ):
            Inputs([], [name], column='url').check()
    with pytest.raises(BulkError, match='has int64 in its column id'):
        Inputs([], ['list.parquet'], column='id').check()


def test_lists__that_are_none(folder):
    (folder / 'bad.parquet').write_bytes(b'PAR?')
    with pytest.raises(BulkError, match=r'bad.parquet cannot be read as Parquet'):
        Inputs(['@bad.parquet']).check()
    with pytest.raises(StorageError, match=r'none.txt does not exist'):
        Inputs(['@none.txt']).check()
    with pytest.raises(BulkError, match='nothing to segment was named'):
        Inputs([]).check()
    with pytest.raises(BulkError, match='nowhere does not exist'):
        Inputs(['nowhere']).check()


def test_names__are_such_that_every_file_system_takes(folder):
    lines = [
        'https://host/a.jpg?size=1', 'https://host/a.jpg?size=2', 'https://host/a%20b.jpg', 's3://b/c:d/e*.jpg',
        's3://b/A.jpg', 's3://b/a.jpg', f's3://b/{"x" * 400}.jpg', 's3://b/../../up.jpg',
    ]  # fmt: skip
    (folder / 'list').write_text('\n'.join(lines))
    found = names('@list')
    assert len({name.casefold() for name in found}) == len(lines)
    assert all(
        len(part) < 255 and not set(part) & set('<>:"\\|?*') for n in found for part in n.split('/')
    )
    assert found[2] == 'host/a b.jpg'
    assert found[0].startswith('host/a.jpg~')
    assert found[4] == 'b/A.jpg'
    assert found[5].startswith('b/a.jpg~')
    assert found[7] == 'b/up.jpg'


def test_list_of_many_lines__is_read_as_it_is_needed(folder):
    count = 50_000
    with open('long.txt', 'w') as file:
        file.writelines(f's3://bucket/{"folder" * 20}/{i}.jpg\n' for i in range(count))
    assert os.path.getsize('long.txt') > 6e6
    inputs = Inputs(['@long.txt'])
    assert inputs.announced() == count
    tracemalloc.start()
    assert sum(1 for _ in inputs) == count
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Two sets of hashes, while one of them grows.
    assert peak < count * 90
