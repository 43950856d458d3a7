"""docs/models.md: each number of its table is computed anew, on shapes alone."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from swinseg import load_config
from swinseg.benchmark.pairs import with_stock_types
from swinseg.benchmark.peak_memory import peak_bytes
from swinseg.hub import CATALOGUE
from swinseg.models.complexity import count_multiply_adds

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs' / 'models.md').read_text(encoding='utf-8')
CONFIGS = [
    'upernet_swin_t_ade20k',
    'upernet_swin_s_ade20k',
    'upernet_swin_b_ade20k',
    'upernet_swin_b_22k_w12_ade20k',
    'upernet_swin_b_22k_ade20k_640',
    'upernet_swin_l_22k_ade20k_640',
]
GIB = 2**30
# Weights, gradients and both moments of AdamW, in float32.
BYTES_PER_PARAMETER = 16
IMAGES_OF_A_STEP = 2
IMAGES_OF_THE_RECIPE = 160_000 * 16
MULTIPLY_ADDS_PER_SECOND = 10e12


def build(settings):
    """Build a model on the meta device; stock Swin cannot be built there, so its weights are left undrawn."""
    with pytest.MonkeyPatch.context() as patch, DefaultScope.overwrite_default_scope('mmseg'):
        for name in ('uniform_', 'normal_', 'erfinv_'):
            patch.setattr(torch.Tensor, name, lambda self, *_, **__: self)
        return MODELS.build(settings).to('meta')


def samples(side):
    labels = PixelData(data=torch.empty(1, side, side, dtype=torch.int64, device='meta'))
    return [SegDataSample(gt_sem_seg=labels, metainfo=dict(img_shape=(side, side)))]


def images(count, side):
    return torch.empty(count, 3, side, side, device='meta')


def training_peak(model, side):
    model.train()

    def step():
        losses = model.loss(images(IMAGES_OF_A_STEP, side), samples(side) * IMAGES_OF_A_STEP)
        sum(value for name, value in losses.items() if 'loss' in name).backward()

    return peak_bytes(step)


def inference_peak(model, side):
    with torch.inference_mode():
        return peak_bytes(lambda: model.eval()(images(1, side), mode='tensor'))


def row_of(name):
    config = load_config(f'{ROOT}/configs/{name}.py')
    side = config.model.data_preprocessor.size[0]
    ours = build(config.model)
    parameters = sum(parameter.numel() for parameter in ours.parameters())
    used = parameters - sum(p.numel() for p in ours.auxiliary_head.parameters())
    cost = count_multiply_adds(ours, (side, side))
    stock = count_multiply_adds(build(with_stock_types(config.model)), (side, side))
    training = BYTES_PER_PARAMETER * parameters + training_peak(ours, side)
    inference = 4 * used + inference_peak(ours, side)
    # A backward pass costs about twice the forward pass.
    hours = 3 * cost * IMAGES_OF_THE_RECIPE / MULTIPLY_ADDS_PER_SECOND / 3600
    return (
        f'| {side} | {parameters / 1e6:.0f} M | {cost / 1e9:.0f} G | {stock / 1e9:.0f} G | '
        f'{inference / GIB:.1f} GiB | {training / GIB:.1f} GiB | {hours:.0f} h |'
    )


@pytest.mark.parametrize(
    'name',
    [CONFIGS[0], *(pytest.param(x, marks=pytest.mark.full) for x in CONFIGS[1:-1]), CONFIGS[-1]],
)
def test_table__has_what_is_counted(name):
    (line,) = re.findall(rf'^\|.*`{name}`.*$', PAGE, re.M)
    assert row_of(name) in line


def test_table__has_the_published_figures_of_the_configs():
    for name in CONFIGS:
        (line,) = re.findall(rf'^\|.*`{name}`.*$', PAGE, re.M)
        published = re.findall(r'[\d.]+', line.split('|')[-3] + line.split('|')[-2])
        figures = [each for each in published if float(each) > 1]
        assert f'{load_config(f"{ROOT}/configs/{name}.py").published_miou:g}' in figures
        readme = (ROOT / 'README.md').read_text(encoding='utf-8')
        (row,) = re.findall(rf'^\| \[`{name}\.py`\].*$', readme, re.M)
        assert figures == re.findall(r'[\d.]+', row.split('|')[-3] + row.split('|')[-2])


def test_names__are_in_the_catalogue_with_their_figures():
    catalogue = {model.name: model for model in CATALOGUE}
    names = set(re.findall(r'`(upernet-swin-[\w-]+)`', PAGE))
    assert names <= set(catalogue)
    largest = catalogue['upernet-swin-l-22k-w12-ade20k']
    assert f'({largest.miou}, with scales and flips {largest.miou_multi_scale})' in PAGE


@pytest.mark.parametrize('page', ['README.md', *(f'docs/{p.name}' for p in ROOT.glob('docs/*.md'))])
def test_pages__name_models_that_exist(page):
    text = (ROOT / page).read_text(encoding='utf-8')
    names = set(re.findall(r"(?:--model |from_pretrained\(')(upernet-swin[\w-]+)", text))
    assert names <= {model.name for model in CATALOGUE}
