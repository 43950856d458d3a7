"""Files for annotation tools about all images that were segmented, read back by the readers of their exports."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from swinseg.datasets.prepare import from_cvat, from_label_studio, from_yolo
from swinseg.files import OutputError
from swinseg.segment import find_sources, segment_all
from swinseg.segment.annotations import annotation_files
from swinseg.segment.batch import Options
from swinseg.segment.sources import InputError

TOOLS = ('cvat', 'label-studio', 'yolo')


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for name in ('a.png', 'sub/b.jpg'):
        path = tmp_path / 'in' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 52, 3), np.uint8)).save(path)
    return tmp_path / 'in'


def test_segment_all__files_for_annotation_tools(predictor, photos, tmp_path):
    out = tmp_path / 'out'
    sources = find_sources([str(photos)], out=out)
    for _ in range(2):  # The same command again replaces what it wrote.
        options = Options(annotations=TOOLS, image_address='/data/local-files/?d=photos/')
        outcome = segment_all(predictor, sources, out, options)
    assert not outcome.skipped
    names = {path.relative_to(out).as_posix() for path in out.rglob('*') if path.is_file()}
    assert names >= set(annotation_files(TOOLS, sources))
    assert {'annotations.xml', 'yolo/labels/a.txt', 'yolo/labels/sub/b.txt'} <= names

    shutil.copytree(photos, out / 'images')
    shutil.copytree(photos, out / 'yolo' / 'images')
    tasks = json.loads((out / 'label-studio.json').read_text())
    for task, name in zip(tasks, ('a.png', 'sub/b.jpg'), strict=True):
        assert task['data'] == {'image': f'/data/local-files/?d=photos/{name}'}
        task['annotations'] = task.pop('predictions')
    (tmp_path / 'submitted.json').write_text(json.dumps(tasks))
    for source in (
        from_cvat(out, val_share=0),
        from_label_studio(tmp_path / 'submitted.json', photos, val_share=0),
        from_yolo(out / 'yolo'),
    ):
        found = {sample.name: sample.label() for sample in source.samples}
        for name in ('a', 'sub/b'):
            predicted = np.array(Image.open(out / f'{name}_labels.png'))
            as_names = np.array(predictor.classes)[predicted]
            np.testing.assert_array_equal(np.array(source.classes)[found[name]], as_names)


def test_segment_all__files_of_others_are_kept(predictor, photos, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'annotations.xml').write_text('mine')
    sources = find_sources([str(photos)], out=out)
    with pytest.raises(
        OutputError,
        match=r'annotations\.xml is there already .* but a file for annotation tools gets',
    ):
        segment_all(predictor, sources, out, Options(annotations=['cvat']))
    assert [path.name for path in out.iterdir()] == ['annotations.xml']


def test_segment_all__a_scene_has_no_files_for_annotation_tools(predictor, photos, tmp_path):
    np.save(photos / 'scene.npy', np.zeros((40, 40, 3), np.uint8))
    sources = find_sources([str(photos / 'scene.npy')], out=tmp_path / 'out')
    outcome = segment_all(predictor, sources, tmp_path / 'out', Options(annotations=['yolo']))
    (sentence,) = outcome.skipped.values()
    assert 'is no photograph (npy file), of which alone files for annotation tools' in sentence
    assert not (tmp_path / 'out' / 'yolo').exists()


def test_annotation_files__two_images_of_one_label_file(photos, tmp_path):
    shutil.copy(photos / 'a.png', photos / 'a.bmp')
    sources = find_sources([str(photos)], out=tmp_path / 'out')
    with pytest.raises(
        InputError, match=r'a\.bmp and .*a\.png have one label file of YOLO, yolo/labels/a\.txt'
    ):
        annotation_files(['yolo'], sources)
    assert annotation_files(['cvat'], sources) == ['annotations.xml']


def test_annotation_files__an_image_whose_results_have_a_similar_name(predictor, photos, tmp_path):
    # Before the underscore stands the name of another image.
    shutil.copy(photos / 'a.png', photos / 'label.png')
    shutil.copy(photos / 'a.png', photos / 'label_b.png')
    out = tmp_path / 'out'
    sources = find_sources([str(photos)], out=out)
    segment_all(predictor, sources, out, Options(annotations=['yolo']))
    assert not segment_all(predictor, sources, out, Options(annotations=['yolo'])).skipped
