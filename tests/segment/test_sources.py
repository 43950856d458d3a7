"""Which images are found, and what their results are called."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swinseg.segment.sources import InputError, Source, _with_unique_names, find_sources


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in (
        'photos/a.jpg', 'photos/b.PNG', 'photos/notes.txt', 'photos/sub/a.jpg', 'photos/x.y.tif',
        'other/a.jpg', 'other/c.jpg', 'odd[1].jpg', 'photos/masks/a_labels.png', 'scan.raw', 'clips/walk.MP4',
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
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


@pytest.mark.parametrize('inputs', [['nothing'], ['*.bmp'], ['missing.jpg'], ['missing/', '*.gif']])
def test_find_sources__nothing(tree, inputs):
    with pytest.raises(InputError, match=r'no image or video was found in .*; give files'):
        found(inputs)


parts = st.sampled_from(['a', 'b', 'c.d'])
paths = st.builds(
    lambda folders, stem, suffix: Path('/r', *folders, stem + suffix),
    st.lists(parts, max_size=3),
    parts,
    st.sampled_from(['.jpg', '.png']),
)


@given(st.lists(paths, min_size=1, unique=True))
def test_unique_names__no_two_images_share_a_result(images):
    sources = _with_unique_names([Source(path, path.stem) for path in images])
    assert [source.path for source in sources] == images
    assert len({source.name for source in sources}) == len(images)
    for source in sources:
        assert not Path(source.name).is_absolute()
        assert '..' not in Path(source.name).parts
