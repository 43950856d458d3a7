"""Two reports side by side: signs, order and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from support.report_folder import make_record
from swinseg.report.compare import compare, comparison_text
from swinseg.report.storage import ReportError, save_record


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Reports of a model and of one that is worse, the more so for the first images."""
    found = []
    for seed in (0, 2):
        folder = tmp_path_factory.mktemp(f'run{seed}')
        save_record(make_record(folder, seed=seed, images=4), folder)
        found.append(folder)
    return found


def test_compare__differences_are_b_less_a(folders):
    comparison = compare(*folders)
    a, b = (record.report.per_class['IoU'] for record in (comparison.first, comparison.second))
    np.testing.assert_array_equal(comparison.class_change, b - a)
    assert np.isnan(comparison.class_change[3])
    changes = comparison.image_changes()
    assert [c.change for c in changes] == sorted(c.change for c in changes)
    assert changes[0].change < 0
    for change in changes:
        assert change.first.image.rsplit('/', 1)[1] == change.second.image.rsplit('/', 1)[1]
        assert change.change == change.second.mean_iou - change.first.mean_iou


def test_compare__swapped_runs_give_the_opposite(folders):
    forth, back = compare(*folders), compare(*reversed(folders))
    np.testing.assert_array_equal(forth.class_change, -back.class_change)


def test_compare__a_run_with_itself_changes_nothing(folders):
    text = comparison_text(compare(folders[0], folders[0]))
    assert 'lost most' not in text
    assert 'gained most' not in text
    assert '+0.00' in text


def test_compare__refuses_other_classes_and_images(folders, tmp_path):
    for name, made, message in (
        (
            'names',
            {'classes': ('sky', 'tree', 'sea', 'absent'), 'images': 4},
            "'road' and .* 'sea'",
        ),
        ('number', {'classes': ('sky', 'absent'), 'images': 4}, 'has 4 and .* 2'),
        ('images', {'images': 3}, r'has 4 and .* 3; 3\.png is in one only'),
    ):
        folder = tmp_path / name
        save_record(make_record(folder, **made), folder)
        with pytest.raises(ReportError, match=message):
            compare(folders[0], folder)
