"""No result takes the place of an input, of another input's result, or of a file of someone else."""

import itertools
import os

import numpy as np
import pytest
from PIL import Image

from swinseg.errors import UserError
from swinseg.files import OutputError, write_text
from swinseg.output_record import OutputRecord
from swinseg.predictor.segmentation import SUFFIXES
from swinseg.segment import find_sources, segment_scene, segment_video
from swinseg.segment.results import IMAGE_KINDS, Results
from swinseg.segment.scenes.scene import scene_endings
from swinseg.segment.sheets import sheet_name
from swinseg.segment.videos.video import VIDEO_ENDINGS


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    for name in ('a.png', 'b.png'):
        Image.new('RGB', (8, 6)).save(folder / name)
    return folder


def results(inputs, out, **options):
    return Results(out, find_sources(list(map(str, inputs)), out=out), **options)


def record(out, name, source):
    kept = OutputRecord(out)
    kept.add(out / name, out / name, kept.source_name(source))


def test_endings__none_can_be_mistaken_for_the_end_of_a_name_with_another():
    scenes = [
        scene_endings(f'a{suffix}', is_georeferenced=False, with_confidence=True).values()
        for suffix in ('.tif', '.npy', '.png')
    ]
    endings = {*itertools.chain(*scenes), *VIDEO_ENDINGS, *(SUFFIXES[kind] for kind in IMAGE_KINDS)}
    assert all(ending.rindex('_') == 0 for ending in endings)
    assert not any(sheet_name(number).endswith(end) for number in (1, 2) for end in endings)


def test_check__a_file_that_the_user_put_there(photos, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    for name in ('a_labels.png', 'b_overlay.png', 'a_areas.json', 'c_labels.png'):
        (out / name).write_text('mine')
    with pytest.raises(OutputError) as caught:
        results([photos], out).check()
    assert str(caught.value) == (
        f'{out / "a_labels.png"} is there already and no earlier call wrote it, but a result of '
        f'{photos / "a.png"} gets this name; choose another --out, or replace such files with '
        '--overwrite (and 1 more of the kind)'
    )
    results([photos], out, overwrite=True).check()
    # With a window the image is a scene, which has areas too.
    with pytest.raises(OutputError, match='2 more of the kind'):
        results([photos], out, has_window=True).check()


def test_check__a_result_of_the_same_input_of_another_and_one_that_was_changed(photos, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'a_labels.png').write_text('labels')
    record(out, 'a_labels.png', photos / 'a.png')
    results([photos], out).check()
    others = tmp_path / 'others'
    others.mkdir()
    Image.new('RGB', (8, 6)).save(others / 'a.png')
    with pytest.raises(
        OutputError, match=f'it was made from {photos / "a.png"}, but a result of {others}'
    ):
        results([others], out).check()
    (out / 'a_labels.png').write_text('LABELS')
    with pytest.raises(OutputError, match='it was changed after an earlier call had written it'):
        results([photos], out).check()


def test_check__an_input_is_never_replaced(photos):
    Image.new('L', (8, 6)).save(photos / 'a_labels.png')
    for options in ({}, {'overwrite': True}):
        with pytest.raises(
            OutputError, match=r'a_labels\.png is an input, and a result of .*a\.png would'
        ):
            results([photos], photos, **options).check()
    os.link(photos / 'b.png', photos / 'a_color.png')
    with pytest.raises(OutputError, match=r'a_color\.png is an input'):
        results([photos / 'a.png', photos / 'b.png'], photos, overwrite=True).check()


def test_check__folders_where_files_should_be_and_files_where_folders_should_be(photos, tmp_path):
    out = tmp_path / 'out'
    (out / 'b_color.png').mkdir(parents=True)
    with pytest.raises(OutputError, match=r'b_color\.png is a folder, but a result of'):
        results([photos], out, overwrite=True).check()
    (photos / 'sub').mkdir()
    Image.new('RGB', (8, 6)).save(photos / 'sub' / 'c.png')
    (tmp_path / 'second').mkdir()
    (tmp_path / 'second' / 'sub').write_text('a file')
    with pytest.raises(OutputError, match=r'second/sub is a file, but results go into a folder'):
        results([photos], tmp_path / 'second').check()
    (photos / 'A_Labels.PNG').mkdir()
    Image.new('RGB', (8, 6)).save(photos / 'A_Labels.PNG' / 'd.png')
    with pytest.raises(OutputError, match='would be a result and a folder for results of other'):
        results([photos], tmp_path / 'third').check()


def test_check__sheets(photos, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'sheet.png').write_text('mine')
    results([photos], out).check()
    with pytest.raises(
        OutputError, match=r'sheet\.png is there already and no earlier call wrote it'
    ):
        results([photos], out, sheet=True).check()
    record(out, 'sheet.png', photos)
    results([photos], out, sheet=True).check()


def test_kept__a_file_that_comes_in_between_is_not_lost(photos, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    ours = results([photos], out)
    ours.check()
    with ours.kept():
        write_text(out / 'a_labels.png', 'labels')
        write_text(out / 'a_labels.png', 'again')
        (out / 'b_labels.png').write_text('mine')
        with pytest.raises(OutputError, match=r'b_labels\.png is there already'):
            write_text(out / 'b_labels.png', 'labels')
    assert (out / 'b_labels.png').read_text() == 'mine'
    assert sorted(path.name for path in out.glob('*')) == [
        '.swinseg-outputs.jsonl', 'a_labels.png', 'b_labels.png',
    ]  # fmt: skip


def test_segment_scene__its_own_source(predictor, tmp_path):
    path = tmp_path / 'map_labels.npy'
    np.save(path, np.zeros((70, 70, 3), np.uint8))
    before = path.read_bytes()
    with pytest.raises(OutputError, match='which it is made from'):
        segment_scene(predictor, path, tmp_path, stem='map')
    assert path.read_bytes() == before


def test_segment_scene__a_name_that_is_too_long(predictor, tmp_path):
    with pytest.raises(UserError, match=r'n{300}'):
        segment_scene(predictor, tmp_path / ('n' * 300), tmp_path)
    with pytest.raises(UserError, match=r'n{300}'):
        segment_video(predictor, tmp_path / ('n' * 300), tmp_path)
