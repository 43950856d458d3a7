import os

import pytest

from swinseg.datasets.files.pairs import Pair, match_files
from swinseg.errors import DataError


@pytest.fixture
def tree(tmp_path):
    """Create empty files from their paths relative to a folder; return the folder."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def find_pairs(*folders, **options):
    return list(match_files(*folders, **options).complete_pairs())


def relative(pairs, root):
    return [
        (
            os.path.relpath(pair.image, root),
            pair.label and os.path.relpath(pair.label, root),
        )
        for pair in pairs
    ]


@pytest.mark.parametrize(
    ('files', 'options', 'expected'),
    [
        (['i/b.jpg', 'i/a.jpg', 'l/a.png', 'l/b.png'], {}, [('i/a.jpg', 'l/a.png'), ('i/b.jpg', 'l/b.png')]),
        (['i/a.JPG', 'i/b.tiff', 'l/a.PNG', 'l/b.bmp'], {}, [('i/a.JPG', 'l/a.PNG'), ('i/b.tiff', 'l/b.bmp')]),
        (['i/x/a.png', 'i/y/a.png', 'l/x/a.png', 'l/y/a.png'], {},
         [('i/x/a.png', 'l/x/a.png'), ('i/y/a.png', 'l/y/a.png')]),
        (['i/a.jpg', 'i/.b.jpg', 'i/notes.txt', 'l/a.png', 'l/unused.png'], {}, [('i/a.jpg', 'l/a.png')]),
        (['i/a.b.jpg', 'l/a.b.png'], {}, [('i/a.b.jpg', 'l/a.b.png')]),
        (
            ['i/s_1_leftImg8bit.jpg', 'l/s_1_gtFine_labelIds.png', 'l/s_1_gtFine_color.png'],
            {'image_suffix': '_leftImg8bit.jpg', 'label_suffix': '_gtFine_labelIds.png'},
            [('i/s_1_leftImg8bit.jpg', 'l/s_1_gtFine_labelIds.png')],
        ),
        (
            ['i/a_rgb.png', 'i/b.png', 'l/a.png', 'l/b.png'],
            {'image_suffix': ['.png', '_rgb.png']},
            [('i/a_rgb.png', 'l/a.png'), ('i/b.png', 'l/b.png')],
        ),
    ],
)  # fmt: skip
def test_match_files__pairs_by_name(tree, files, options, expected):
    root = tree(*files)
    assert relative(find_pairs(root / 'i', root / 'l', **options), root) == expected


def test_match_files__images_and_labels_in_one_folder(tree):
    root = tree('Image_1.jpg', 'Image_1_mask.png', 'Image_2.png', 'Image_2_mask.png')
    pairs = find_pairs(root, root, label_suffix='_mask.png')
    assert relative(pairs, root) == [
        ('Image_1.jpg', 'Image_1_mask.png'),
        ('Image_2.png', 'Image_2_mask.png'),
    ]


def test_match_files__one_folder_needs_suffixes(tree):
    root = tree('a.png')
    with pytest.raises(DataError, match=r'are both in .* set img_suffix and seg_map_suffix'):
        find_pairs(root, root)
    tree('a.jpg')
    pairs = find_pairs(root, root, image_suffix='.jpg')
    assert relative(pairs, root) == [('a.jpg', 'a.png')]


def test_match_files__without_labels(tree):
    root = tree('i/a.jpg')
    assert find_pairs(root / 'i', None) == [Pair(str(root / 'i' / 'a.jpg'), None)]


def test_match_files__names_file_gives_the_order(tree):
    root = tree('i/a.jpg', 'i/b.jpg', 'i/c.jpg', 'l/a.png', 'l/b.png')
    (root / 'split.txt').write_text('b\r\n\na.jpg\nb\n')
    pairs = find_pairs(root / 'i', root / 'l', names_file=root / 'split.txt')
    assert [os.path.basename(pair.image) for pair in pairs] == ['b.jpg', 'a.jpg', 'b.jpg']


@pytest.mark.parametrize(
    ('files', 'options', 'expected'),
    [
        ([], {}, r'the folder of images .*i does not exist; set data_root'),
        (['i'], {}, r'the folder of images .*i is not a folder'),
        (['i/notes.txt'], {}, r'no image whose name ends in one of \.jpg, .* is in .*i; set img_path'),
        (['i/a.png'], {'image_suffix': '.jpg'}, r'no image whose name ends in \.jpg is in'),
        (['i/a.jpg'], {}, r'the folder of labels .*l does not exist'),
        (['i/a.jpg', 'l/b.png'], {}, r'1 of 1 images have no label in .*l: a\.jpg; expected for example a\.png'),
        ([*(f'i/{n}.jpg' for n in range(9)), 'l/8.png'], {},
         r'8 of 9 images have no label .*: 0\.jpg, 1\.jpg, 2\.jpg and 5 more;'),
        (['i/a.jpg', 'i/a.png', 'l/a.png'], {},
         r'two images have the name a: .*a\.jpg and .*a\.png; remove one or set img_suffix'),
        (['i/a_rgb.jpg', 'i/b_rgb.jpg', 'l/a_mask_1.png', 'l/b_mask_1.png'], {},
         r"set img_suffix='_rgb\.jpg', seg_map_suffix='_mask_1\.png', with which every image has its label"),
        (['i/a.jpg', 'l/a.bmp', 'l/a.png'], {}, r'two labels have the name a: .* set seg_map_suffix'),
    ],
)  # fmt: skip
def test_match_files__bad_folders(tree, files, options, expected):
    root = tree(*files)
    with pytest.raises(DataError, match=expected) as caught:
        find_pairs(root / 'i', root / 'l', **options)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        (None, r'the split file .* cannot be read: No such file'),
        (b'\xff\xfe\x00', 'it is not UTF-8 text'),
        (b'\n \n', 'names no image'),
        (b'a\nz\n', r'^z of .* is not among the images'),
        (b'v\nw\nx\ny\n', r'^v, w, x and 1 more of .* are not among the images'),
    ],
)
def test_match_files__bad_names_file(tree, content, expected):
    root = tree('i/a.jpg', 'l/a.png')
    if content is not None:
        (root / 'split.txt').write_bytes(content)
    with pytest.raises(DataError, match=expected):
        find_pairs(root / 'i', root / 'l', names_file=root / 'split.txt')


def test_match_files__hint_says_how_to_get_the_data(tree):
    root = tree()
    with pytest.raises(DataError, match=r'does not exist; get it from the moon$'):
        find_pairs(root / 'i', None, hint='get it from the moon')


def test_match_files__goes_on_after_a_fault(tree):
    root = tree(
        'i/a.jpg', 'i/a.png', 'i/b.jpg', 'i/c.jpg', 'l/a.png', 'l/c.bmp', 'l/c.png', 'l/d.png'
    )
    matching = match_files(root / 'i', root / 'l')
    assert relative(matching.pairs, root) == [('i/a.jpg', 'l/a.png'), ('i/c.jpg', 'l/c.bmp')]
    assert [[os.path.relpath(f, root) for f in fault.files] for fault in matching.faults] == [
        ['i/a.jpg', 'i/a.png'],
        ['l/c.bmp', 'l/c.png'],
        ['i/b.jpg'],
    ]
    assert matching.labels_without_image == (str(root / 'l' / 'd.png'),)


def test_match_files__one_folder_whose_names_say_which_is_which(tree):
    root = tree('Image_6L.jpg', 'Image_6L_1st.png', 'Image_9L.jpg', 'Image_9L_1st.png')
    with pytest.raises(
        DataError, match=r"apart; set img_suffix='\.jpg', seg_map_suffix='_1st\.png'$"
    ):
        match_files(root, root)
