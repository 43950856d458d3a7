from __future__ import annotations

import json

import pytest
import torch

from support import hub_folders
from swinseg.errors import CheckpointError
from swinseg.hub.card import (
    CardContent,
    Figures,
    best_figures,
    card_metadata,
    model_card,
    read_figures,
)
from swinseg.hub.folder_writing import write_folder

huggingface_hub = pytest.importorskip('huggingface_hub')

METRICS = {
    'config': 'configs/x.py',
    'checkpoint': 'work_dirs/x/best.pth',
    'protocol': {'text': 'single scale 512 x 512', 'flip': False},
    'headline': {'aAcc': 81.25, 'mIoU': 44.5, 'mAcc': None, 'other': 3.0},
}


def content(**changes):
    values = dict(
        name='my_model',
        architecture='Swin-T: embed_dims 96',
        classes=['sky', 'a|b', '*star*'],
        dataset='ADE20K',
        dataset_name='ADE20K',
        preprocessing='Images are segmented at their own size.',
        notes=['Windows are left out.'],
        figures=Figures({'mIoU': 44.5, 'aAcc': 81.25}, 'single scale'),
        license='apache-2.0',
    )
    return CardContent(**{**values, **changes})


def test_model_card__as_the_hub_reads_it():
    card = huggingface_hub.ModelCard(model_card(content()))
    data = card.data
    assert (data.license, data.library_name, data.pipeline_tag) == (
        'apache-2.0',
        'transformers',
        'image-segmentation',
    )
    assert 'semantic-segmentation' in data.tags
    assert data.datasets == ['scene_parse_150']
    results = {result.metric_type: result for result in data.eval_results}
    assert results['mean_iou'].metric_value == 44.5
    assert results['mean_iou'].metric_name == 'Mean IoU (single scale)'
    assert results['mean_iou'].dataset_name == 'ADE20K'
    assert results['accuracy'].metric_value == 81.25
    for sentence in (
        'protocol: single scale',
        '| mIoU | 44.50 |',
        '- Windows are left out.',
        r'1 a\|b, 2 \*star\*',
        'UperNetForSemanticSegmentation.from_pretrained(folder)',
        "Predictor.from_pretrained('FOLDER')",
    ):
        assert sentence in card.text


def test_model_card__says_nothing_that_is_not_known():
    text = model_card(content(figures=None, license=None, dataset=None, dataset_name='mine'))
    data = huggingface_hub.ModelCard(text).data
    assert (data.license, data.datasets, data.eval_results) == (None, None, None)
    assert 'None were given' in text
    assert 'The license is not stated' in text
    assert card_metadata(text, name='README.md')['library_name'] == 'transformers'


def test_model_card__names_that_are_yaml_and_more():
    figures = Figures({'mIoU': 1.0}, 'a: "b" #c')
    text = model_card(content(name='a: [b', dataset=None, dataset_name='x: {y', figures=figures))
    (result,) = huggingface_hub.ModelCard(text).data.eval_results
    assert result.dataset_name == 'x: {y'
    assert result.dataset_type == 'x-y'
    assert result.metric_name == 'Mean IoU (a: "b" #c)'


@pytest.mark.parametrize('as_folder', [False, True])
def test_read_figures__of_an_evaluation(as_folder, tmp_path):
    (tmp_path / 'metrics.json').write_text(json.dumps(METRICS))
    path = tmp_path if as_folder else tmp_path / 'metrics.json'
    figures = read_figures(path, checkpoint='elsewhere/best.pth')
    assert figures == Figures({'aAcc': 81.25, 'mIoU': 44.5}, 'single scale 512 x 512')


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        (None, 'cannot read the evaluation .*metrics.json: No such file.*swinseg test writes'),
        ('{', r'metrics\.json is not JSON'),
        ('[]', 'has no "headline" with a figure'),
        (json.dumps({**METRICS, 'headline': {'mIoU': None}}), 'has no "headline" with a figure'),
        (json.dumps({**METRICS, 'protocol': None}), 'or no protocol'),
        (json.dumps({**METRICS, 'checkpoint': 'a/last.pth'}), "of 'last.pth', not of best.pth"),
    ],
)
def test_read_figures__what_is_wrong(text, expected, tmp_path):
    if text is not None:
        (tmp_path / 'metrics.json').write_text(text)
    with pytest.raises(CheckpointError, match=expected):
        read_figures(tmp_path, checkpoint='best.pth')


@pytest.mark.parametrize(
    ('info', 'file', 'expected'),
    [
        ({'best_score': 3.5, 'best_ckpt': '/a/best_mIoU_iter_4.pth'}, 'best_mIoU_iter_4.pth', 3.5),
        ({'best_score': 3.5, 'best_ckpt': r'C:\a\best_mIoU_iter_4.pth'}, 'best_mIoU_iter_4.pth', 3.5),
        (
            {'best_score_mIoU': 3.5, 'best_ckpt_mIoU': '/a/best_mIoU_iter_4.pth', 'best_score': 9},
            'best_mIoU_iter_4.pth',
            3.5,
        ),
        ({'best_score': 3.5, 'best_ckpt': '/a/best_mIoU_iter_2.pth'}, 'iter_4.pth', None),
        ({'best_score': 3.5, 'best_ckpt': '/a/renamed.pth'}, 'renamed.pth', None),
        ({'best_score': 'high', 'best_ckpt': '/a/best_mIoU_iter_4.pth'}, 'best_mIoU_iter_4.pth', None),
        (None, 'best_mIoU_iter_4.pth', None),
    ],
)  # fmt: skip
def test_best_figures(info, file, expected):
    found = best_figures({'runtime_info': info}, checkpoint=f'w/{file}', protocol='whole image')
    if expected is None:
        assert found is None
    else:
        assert found == Figures(
            {'mIoU': expected}, 'whole image, by the validation of the training'
        )


def card_of(folder):
    return huggingface_hub.ModelCard.load(str(folder / 'README.md'))


def test_card_of_a_folder__figures_of_its_training(tiny_run, tmp_path):
    (best,) = tiny_run.glob('best_mIoU_*.pth')
    write_folder(best, tmp_path / 'out')
    data = card_of(tmp_path / 'out').data
    score = torch.load(best, weights_only=False)['message_hub']['runtime_info']['best_score']
    (result,) = data.eval_results
    assert result.metric_value == score
    assert 'single scale 256 x 64' in result.metric_name
    # The mini set has some of ADE20K's classes, and is not ADE20K.
    assert data.datasets is None
    assert result.dataset_type == 'data'


def test_card_of_a_folder__given_figures_and_license(tmp_path):
    source = hub_folders.save(tmp_path / 'best.pth', hub_folders.config(tmp_path / 'mine'))
    (tmp_path / 'metrics.json').write_text(json.dumps(METRICS))
    write_folder(source, tmp_path / 'out', license='mit', evaluation=tmp_path / 'metrics.json')
    card = card_of(tmp_path / 'out')
    assert card.data.license == 'mit'
    assert {result.metric_value for result in card.data.eval_results} == {81.25, 44.5}
    assert 'Dataset: mine.' in card.text
    with pytest.raises(CheckpointError, match='cannot read the evaluation'):
        write_folder(source, tmp_path / 'other', evaluation=tmp_path / 'absent.json')
    assert not (tmp_path / 'other').exists()
