"""Files that swinseg wrote are told from those of others, whatever happens in between."""

import multiprocessing
import os
import shutil

import pytest

from swinseg.files import OutputError, atomic_path
from swinseg.output_record import RECORD_FILE, OutputRecord


def write(folder, name, content='labels', source='photo.jpg'):
    record = OutputRecord(folder)
    with atomic_path(folder / name) as temporary:
        temporary.write_text(content)
        record.add(folder / name, temporary, record.source_name(folder / source))
    return folder / name


def test_is_result__a_file_as_it_was_written_and_from_its_source(tmp_path):
    path = write(tmp_path, 'a.png')
    record = OutputRecord(tmp_path)
    assert record.is_result(path)
    assert record.is_result(path, source=record.source_name(tmp_path / 'photo.jpg'))
    assert not record.is_result(path, source=record.source_name(tmp_path / 'other.jpg'))
    assert record.why_not(path) == f'it was made from {tmp_path / "photo.jpg"}'


def test_is_result__not_what_was_put_there_or_changed(tmp_path):
    path = write(tmp_path, 'a.png')
    (tmp_path / 'b.png').write_text('labels')
    path.write_text('mended')  # of the same size
    record = OutputRecord(tmp_path)
    assert not record.is_result(path)
    assert record.why_not(path) == 'it was changed after an earlier call had written it'
    assert not record.is_result(tmp_path / 'b.png')
    assert record.why_not(tmp_path / 'b.png') == 'no earlier call wrote it'
    assert not record.is_result(tmp_path / 'c.png')


def test_is_result__a_copy_of_the_folder_and_a_moved_project(tmp_path):
    (tmp_path / 'project' / 'out').mkdir(parents=True)
    write(tmp_path / 'project' / 'out', 'a.png', source='../photo.jpg')
    shutil.copytree(tmp_path / 'project', tmp_path / 'copy', copy_function=shutil.copyfile)
    os.utime(tmp_path / 'copy' / 'out' / 'a.png', ns=(0, 0))  # as a copy that keeps no times
    for project in (tmp_path / 'copy', (tmp_path / 'project').rename(tmp_path / 'moved')):
        record = OutputRecord(project / 'out')
        source = record.source_name(project / 'photo.jpg')
        assert record.is_result(project / 'out' / 'a.png', source=source)


def test_add__a_kill_before_the_rename_leaves_the_earlier_result_known(tmp_path):
    path = write(tmp_path, 'a.png')
    record = OutputRecord(tmp_path)
    (tmp_path / 'new').write_text('other labels')
    record.add(path, tmp_path / 'new', record.source_name(tmp_path / 'photo.jpg'))
    assert OutputRecord(tmp_path).is_result(path)
    os.replace(tmp_path / 'new', path)
    assert OutputRecord(tmp_path).is_result(path)


@pytest.mark.parametrize(
    'garbage', [b'{"file": "a.p', b'\x00\xff\n', b'[1]\n{"file": 3}\n', b'{"a":' * 99_999]
)
def test_record__what_cannot_be_read_vouches_for_nothing_and_spoils_nothing(tmp_path, garbage):
    write(tmp_path, 'a.png')
    with open(tmp_path / RECORD_FILE, 'ab') as file:
        file.write(garbage)
    write(tmp_path, 'b.png')
    record = OutputRecord(tmp_path)
    assert record.is_result(tmp_path / 'a.png')
    assert record.is_result(tmp_path / 'b.png')


def test_record__that_is_a_folder_is_one_sentence(tmp_path):
    (tmp_path / RECORD_FILE).mkdir()
    with pytest.raises(OutputError, match=r'cannot read .*swinseg-outputs.*choose another folder'):
        OutputRecord(tmp_path)


def test_record__of_a_folder_that_is_not_there_or_below_a_file(tmp_path):
    (tmp_path / 'file').touch()
    for folder in (tmp_path / 'none', tmp_path / 'file' / 'out', tmp_path / ('n' * 300)):
        assert not OutputRecord(folder).is_result(folder / 'a.png')


def _write_many(folder, prefix):
    for number in range(40):
        write(folder, f'{prefix}{number}.png')


def test_record__several_processes_write_into_one_folder(tmp_path):
    context = multiprocessing.get_context('fork')
    processes = [context.Process(target=_write_many, args=(tmp_path, name)) for name in 'abc']
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    record = OutputRecord(tmp_path)
    assert all(record.is_result(path) for path in tmp_path.glob('*.png'))
    assert len(list(tmp_path.glob('*.png'))) == 120
