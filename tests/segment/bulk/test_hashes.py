"""Sets of hashes."""

import tracemalloc

from swinseg.segment.bulk.hashes import Hashes, hash_of


def test_add__says_what_is_new():
    found = Hashes()
    values = [hash_of(str(i)) for i in range(5000)]
    assert all(found.add(value) for value in values)
    assert not any(found.add(value) for value in values)
    assert len(found) == 5000
    assert set(found) == set(values)
    assert hash_of('5000') not in found
    assert hash_of('4999') in found


def test_hash__is_the_same_in_every_process_and_for_names_that_are_no_text():
    assert hash_of('a.jpg') == 9918916968011810814
    assert hash_of('\udcff.jpg') == hash_of('\\udcff.jpg') != hash_of('.jpg')


def test_memory__is_about_16_to_32_bytes_for_each():
    tracemalloc.start()
    found = Hashes()
    for i in range(100_000):
        found.add(hash_of(str(i)))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 100_000 * 36
