"""The notebook of docs/ runs from top to bottom, on a model of a second's size, and is small enough to keep."""

import shutil
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image

from support.tiny_config import tiny_config
from swinseg import Predictor

NOTEBOOK = Path(__file__).parents[1] / 'docs' / 'notebook.ipynb'


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def text_of(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    return ''.join(output.get('text', '') for output in outputs)


@pytest.mark.full
def test_notebook__goes_from_an_image_to_a_report(notebook, tiny_run, tiny_dataset, tmp_path):
    for folder in ('docs', 'configs', 'work_dirs/mini'):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copytree(tiny_dataset, tmp_path / 'data' / 'mini')
    (tmp_path / 'configs' / 'upernet_swin_t_mini.py').write_text(tiny_config('data/mini'))
    weights = shutil.copy(next(tiny_run.glob('best_*.pth')), tmp_path / 'work_dirs' / 'mini')
    nbclient.NotebookClient(
        notebook, timeout=300, resources={'metadata': {'path': str(tmp_path / 'docs')}}
    ).execute()

    photo = min((tmp_path / 'data/mini/images/validation').glob('*.jpg'))
    results = tmp_path / 'work_dirs' / 'notebook'
    written = np.array(Image.open(results / f'{photo.stem}_labels.png'))
    np.testing.assert_array_equal(written, Predictor.from_checkpoint(weights)(photo).labels)
    page = (results / 'report' / 'report.html').read_text(encoding='utf-8')
    assert page.startswith('<!doctype html>')
    assert '2 images; open work_dirs/notebook/report/report.html' in text_of(notebook)


def test_notebook__is_kept_with_its_results_and_no_more(notebook):
    assert NOTEBOOK.stat().st_size < 500_000
    ran = [cell.execution_count for cell in notebook.cells if cell.cell_type == 'code']
    assert ran == list(range(1, len(ran) + 1))
    assert 'mIoU' in text_of(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    assert {output.output_type for output in outputs} <= {'stream', 'execute_result'}
    # Warnings on it tell of the machine, not of the work.
    assert not any(output.get('name') == 'stderr' for output in outputs)
