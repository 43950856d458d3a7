"""Which images are found, and what their results are called."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swinseg.files import NAME_BYTES
from swinseg.output_record import OutputRecord
from swinseg.segment.sources import (
    InputError,
    Source,
    _with_unique_names,
    find_sources,
    folded,
)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in (
        'photos/a.jpg', 'photos/b.PNG', 'photos/notes.txt', 'photos/sub/a.jpg', 'photos/x.y.tif',
        'other/a.jpg', 'other/c.jpg', 'odd[1].jpg', 'photos/masks/a_labels.png', 'scan.raw', 'clips/walk.MP4',
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    masks = OutputRecord(tmp_path / 'photos' / 'masks')
    result = tmp_path / 'photos' / 'masks' / 'a_labels.png'
    masks.add(result, result, masks.source_name(tmp_path / 'photos' / 'a.jpg'))
    (tmp_path / 'nothing').mkdir()
    (tmp_path / 'photos' / 'folder.jpg').mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(inputs, out='photos/masks'):
    return {str(s.path): s.name for s in find_sources(inputs, out=Path(out))}


@pytest.mark.parametrize(
    ('inputs', 'expected'),
    [
        (['photos/a.jpg'], {'photos/a.jpg': 'a'}),
        (['scan.raw'], {'scan.raw': 'scan'}),
        (['clips'], {'clips/walk.MP4': 'walk'}),
        (
            ['photos'],
            {
                'photos/a.jpg': 'a', 'photos/b.PNG': 'b',
                'photos/sub/a.jpg': 'sub/a', 'photos/x.y.tif': 'x.y',
            },
        ),
        (['photos/*.jpg'], {'photos/a.jpg': 'a'}),
        (['photos/**/*.jpg'], {'photos/a.jpg': 'a', 'photos/sub/a.jpg': 'sub/a'}),
        (['*/c.jpg'], {'other/c.jpg': 'c'}),
        (['odd[1].jpg'], {'odd[1].jpg': 'odd[1]'}),
        (['photos/a.jpg', './photos/a.jpg', 'photos/a.*'], {'photos/a.jpg': 'a'}),
        (['other', 'photos/b.PNG'], {'other/a.jpg': 'a', 'other/c.jpg': 'c', 'photos/b.PNG': 'b'}),
        (
            ['other/a.jpg', 'photos/a.jpg'],
            {'other/a.jpg': 'other/a', 'photos/a.jpg': 'photos/a'},
        ),
        (
            ['other', 'photos/sub'],
            {'other/a.jpg': 'other/a', 'other/c.jpg': 'other/c', 'photos/sub/a.jpg': 'photos/sub/a'},
        ),
        (['missing.jpg', 'other/c.jpg'], {'missing.jpg': 'missing', 'other/c.jpg': 'c'}),
    ],
    ids=str,
)  # fmt: skip
def test_find_sources__names(tree, inputs, expected):
    assert found(inputs) == expected


def test_find_sources__same_stem_in_one_folder(tree):
    (tree / 'other' / 'a.png').touch()
    assert found(['other']) == {
        'other/a.jpg': 'a.jpg', 'other/a.png': 'a.png', 'other/c.jpg': 'c',
    }  # fmt: skip


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['a.jpg', 'a.png', 'a.jpg.png'], ['a.jpg', 'a.png', 'a.jpg.png']),
        (
            ['a.jpg', 'a.png', 'a.jpg.png', 'a.jpg.png.tif'],
            ['a.jpg', 'a.png', 'a.jpg.png', 'a.jpg.png.tif'],
        ),
        (['a.jpg', 'A.png'], ['a.jpg', 'A.png']),
        (['x/a.jpg', 'x/b.jpg', 'x/A.png'], ['a.jpg', 'b', 'A.png']),
        # Composed and decomposed, as they come from a Mac.
        (['\u00e9.jpg', 'e\u0301.png'], ['\u00e9.jpg', 'e\u0301.png']),
    ],
    ids=str,
)
def test_unique_names__a_name_with_its_suffix_is_none_without(names, expected):
    sources = _with_unique_names([Source(Path('/r', name), Path(name).stem) for name in names])
    assert [source.name for source in sources] == expected
    assert not any(source.renamed for source in sources)


@pytest.mark.parametrize(
    'names',
    [
        ['a.jpg', 'A.JPG'],
        ['a.jpg', 'A.jpg', 'a.JPG'],
        ['\u00e9.jpg', 'e\u0301.jpg'],
        ['x/A.jpg', 'X/a.jpg'],
        ['strasse.jpg', 'stra\u00dfe.jpg'],
    ],
)
def test_unique_names__by_case_or_accents_only_get_a_checksum(names):
    def named(order):
        sources = _with_unique_names([Source(Path('/r', n), Path(n).stem) for n in order])
        assert all(source.renamed for source in sources)
        return {source.path: source.name for source in sources}

    found = named(names)
    assert len({folded(name) for name in found.values()}) == len(names)
    assert named(names[::-1]) == found


def test_find_sources__names_that_are_too_long(tmp_path):
    for name in ('n' * 250 + '.jpg', 'n' * 249 + 'm.jpg', '\u96ea' * 80 + '.png'):
        (tmp_path / name).touch()
    sources = find_sources([tmp_path], out=tmp_path / 'out')
    assert all(source.renamed for source in sources)
    assert len({source.name for source in sources}) == 3
    for source in sources:
        (tmp_path / f'{source.name}_confidence.png').touch()
        (tmp_path / f'.{source.name}_confidence.tif.partial.labels').touch()
    # No file can have such a name; reading it says so.
    (missing, _) = find_sources(['x' * 300, next(tmp_path.glob('*.jpg'))], out=tmp_path / 'out')
    assert len(missing.name.encode()) < NAME_BYTES


def test_find_sources__results_in_the_folder_of_the_inputs_are_left_aside_and_nothing_else(tree):
    record = OutputRecord('photos')
    for name in ('photos/a_color.png', 'photos/sub/a_labels.png', 'photos/own_labels.png'):
        (tree / name).write_text('picture')
        if 'own' not in name:
            record.add(tree / name, tree / name, 'a.jpg')
    (tree / 'photos' / '.b_labels.77.partial.png').write_text('what a kill has left')
    (tree / 'photos' / 'sub' / 'a_labels.png').write_text('mended by hand')
    everything = {'photos/a.jpg', 'photos/b.PNG', 'photos/x.y.tif', 'photos/sub/a.jpg'}
    expected = {*everything, 'photos/own_labels.png', 'photos/sub/a_labels.png'}
    assert set(found(['photos'], out='photos')) == expected
    # A pattern says what is wanted, but for the results of the same call.
    expected |= {'photos/notes.txt', 'photos/masks/a_labels.png'}
    assert set(found(['photos/**/*.*'], out='photos')) == expected
    # Named by the user, not found.
    assert set(found(['photos/a_color.png'], out='photos')) == {'photos/a_color.png'}


def test_find_sources__one_file_by_two_spellings(tree):
    (tree / 'link').symlink_to('photos')
    inputs = ['photos/a.jpg', 'photos/sub/../a.jpg', 'link/a.jpg', str(tree / 'photos' / 'a.jpg')]
    assert found(inputs) == {'photos/a.jpg': 'a'}
    (tree / 'photos' / 'alias.jpg').symlink_to('a.jpg')
    assert set(found(['photos/a.jpg', 'photos/alias.jpg']).values()) == {'a', 'alias'}


@pytest.mark.parametrize('inputs', [['nothing'], ['*.bmp'], ['missing.jpg'], ['missing/', '*.gif']])
def test_find_sources__nothing(tree, inputs):
    with pytest.raises(InputError, match=r'no image or video was found in .*; give files'):
        found(inputs)


parts = st.sampled_from(['a', 'A', 'a.jpg', 'c.d'])
paths = st.builds(
    lambda folders, stem, suffix: Path('/r', *folders, stem + suffix),
    st.lists(parts, max_size=3),
    parts,
    st.sampled_from(['.jpg', '.png', '.JPG']),
)


@given(st.lists(paths, min_size=1, unique=True))
def test_unique_names__no_two_images_share_a_result(images):
    sources = _with_unique_names([Source(path, path.stem) for path in images])
    assert [source.path for source in sources] == images
    assert len({folded(source.name) for source in sources}) == len(images)
    for source in sources:
        assert not Path(source.name).is_absolute()
        assert '..' not in Path(source.name).parts


def test_find_sources__videos_and_rasters_by_their_content(tmp_path):
    content = {
        'walk': b'\x1aE\xdf\xa3', 'walk.ts': (b'G' + bytes(187)) * 3, 'clip.m2ts': b'', 'clip.y4m': b'',
        'scene.img': b'EHFA_HEADER_TAG', 'main.ts': b'import', 'disk.img': bytes(512), 'README': b'text',
        'picture': b'\x89PNG\r\n\x1a\n', 'a.jfif': b'', 'b.jpe': b'', 'mosaic.vrt': b'<VRTDataset',
    }  # fmt: skip
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    expected = {'walk', 'walk.ts', 'clip.m2ts', 'clip.y4m', 'scene.img', 'a.jfif', 'b.jpe'}

    def names(*inputs):
        return {source.path.name for source in find_sources(inputs, out=tmp_path / 'out')}

    assert names(tmp_path) == expected
    # A VRT names other files: who wants it read says so.
    assert 'mosaic.vrt' not in names(f'{tmp_path}/*')
    assert names(f'{tmp_path}/*.vrt') == names(tmp_path / 'mosaic.vrt') == {'mosaic.vrt'}


def test_find_sources__arrays_in_a_folder(tree):
    """Those that are pictures are taken, and of others a sentence says that they are not."""
    np.save(tree / 'other' / 'picture.npy', np.zeros((4, 5, 3), np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert 'other/picture.npy' in found(['other'])
    np.save(tree / 'other' / 'features.npy', np.zeros((8, 4, 5), np.float32))
    np.save(tree / 'other' / 'mask.npy', np.zeros((4, 5), np.uint8))
    np.savez(tree / 'other' / 'many.npz', np.zeros((4, 5, 3), np.uint8))
    (tree / 'other' / 'text.npy').write_text('text')
    with pytest.warns(
        UserWarning,
        match=r'^4 of the arrays in other are left .* the first, features\.npy, is \(8, 4, 5\) float32; name',
    ) as said:
        assert found(['other']) == {
            'other/a.jpg': 'a', 'other/c.jpg': 'c', 'other/picture.npy': 'picture',
        }  # fmt: skip
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert found(['other/mask.npy', 'other/f*.npy']) == {
            'other/mask.npy': 'mask', 'other/features.npy': 'features',
        }  # fmt: skip


def test_find_sources__heic_and_avif_in_a_folder(tree):
    for name in ('x.heic', 'y.HEIF', 'z.avif', 'w.jfif', 'v.jpe'):
        (tree / 'other' / name).touch()
    names = {Path(path).name for path in found(['other'])}
    assert names == {'a.jpg', 'c.jpg', 'x.heic', 'y.HEIF', 'z.avif', 'w.jfif', 'v.jpe'}


def test_find_sources__addresses_of_files(tree):
    odd = tree / 'other' / 'a b#1.jpg'
    odd.touch()
    assert found([odd.as_uri()]) == {str(odd): 'a b#1'}
    assert len(found([(tree / 'other').as_uri()])) == 3
    for missing in ((tree / 'none.png').as_uri(), 's3://bucket/a.png'):
        with pytest.raises(InputError, match=r'^no image or video was found in (file|s3)://'):
            found([missing])
