import pytest

from swinseg.datasets.files.suffixes import infer_suffixes


@pytest.mark.parametrize(
    ('images', 'labels', 'expected'),
    [
        (['a_000_019_leftImg8bit.jpg', 'a_003_019_leftImg8bit.jpg'],
         ['a_000_019_gtFine_labelIds.png', 'a_003_019_gtFine_labelIds.png'],
         ('_leftImg8bit.jpg', '_gtFine_labelIds.png')),
        (['x/1.tif', 'y/1.tif'], ['x/1_seg.tif', 'y/1_seg.tif', 'y/2_seg.tif'], ('.tif', '_seg.tif')),
        (['1.jpg', '10.jpg'], ['1-mask.png', '10-mask.png'], ('.jpg', '-mask.png')),
        (['1.jpg', 'notes.txt'], ['1_m.png', 'notes_m.txt'], ('.jpg', '_m.png')),
        (['1.jpg', '2.jpg'], ['1_m.png'], None),
        (['1.jpg'], ['2.png'], None),
        (['1.jpg'], [], None),
    ],
)  # fmt: skip
def test_infer_suffixes__two_folders(images, labels, expected):
    found = infer_suffixes(images, labels)
    assert (found and (found.image, found.label)) == expected


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['a.jpg', 'a.png', 'b.jpg', 'b.png'], ('.jpg', '.png')),
        (['a.png', 'a_mask.png', 'b.png', 'b_mask.png'], ('.png', '_mask.png')),
        (['a.png', 'b.png', 'c.png'], None),
    ],
)
def test_infer_suffixes__one_folder(names, expected):
    found = infer_suffixes(names, names, one_folder=True)
    assert (found and (found.image, found.label)) == expected
