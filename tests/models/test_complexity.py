"""Multiply-adds: formulas against counts in the layers, and the whole model against published figures."""

import pytest
import torch
from torch import nn

from support.mmseg_pairs import VARIANTS, build_segmentor, without_drawing
from swinseg.errors import ArchitectureError
from swinseg.models.complexity import (
    attention_costs,
    attention_multiply_adds,
    count_multiply_adds,
    growth_exponent,
)
from swinseg.models.swin.backbone import SwinBackbone


def test_attention_multiply_adds__equations_of_the_paper():
    # Section 3.2 with h = w = 56, C = 96, M = 7.
    assert attention_multiply_adds(56, 56, 96, window=7) == 4 * 3136 * 96**2 + 2 * 49 * 3136 * 96
    assert attention_multiply_adds(56, 56, 96, window=None) == 4 * 3136 * 96**2 + 2 * 3136**2 * 96


def test_attention_costs__counts_equal_the_equations():
    costs = attention_costs([7, 14, 28], channels=24, num_heads=3, score_limit=0)
    assert [cost.counted for cost in costs] == [cost.by_equation for cost in costs]
    assert all(cost.seconds is None for cost in costs)


def test_attention_costs__windows_are_linear_and_global_attention_quadratic():
    costs = {(c.attention, c.side): c for c in attention_costs([56, 112], score_limit=0)}
    windows = costs['W-MSA', 112].counted / costs['W-MSA', 56].counted
    everywhere = costs['MSA', 112].counted / costs['MSA', 56].counted
    assert windows == 4
    assert 14 < everywhere < 16


def test_growth_exponent__of_a_power_law():
    assert growth_exponent([1, 4, 9], [5.0, 40.0, 135.0]) == pytest.approx(1.5)


def test_attention_costs__measures_what_fits():
    costs = attention_costs([7, 14], channels=12, num_heads=3, score_limit=3 * 49 * 49 + 1)
    assert [cost.seconds is not None for cost in costs] == [True, False, True, False]


def test_attention_costs__side_must_be_a_multiple_of_the_window():
    with pytest.raises(ArchitectureError, match='found 30; try 28'):
        attention_costs([30])


def test_count_multiply_adds__convolution_by_hand():
    conv = nn.Conv2d(3, 8, 3, padding=1)
    assert count_multiply_adds(conv, (10, 12)) == 10 * 12 * 8 * 3 * 9


@pytest.mark.parametrize(('variant', 'gigas'), [('T', 4.5), ('S', 8.7)])
def test_count_multiply_adds__backbone_equals_table_1_of_the_paper(variant, gigas):
    # Table 1 gives 4.5 G and 8.7 G for the classifiers at 224 x 224; their last layer is 0.001 G.
    with without_drawing():
        backbone = SwinBackbone(**VARIANTS[variant])
    assert count_multiply_adds(backbone, (224, 224)) / 1e9 == pytest.approx(gigas, abs=0.06)


def test_count_multiply_adds__published_model_and_no_change_to_it():
    with without_drawing():
        model = build_segmentor(stock=True, backbone=VARIANTS['T'])
    # Table 3 of the paper gives 945 G for 512 x 2048; mmseg's attention is counted as the paper counts it.
    assert count_multiply_adds(model, (512, 2048)) / 1e9 == pytest.approx(945, rel=0.005)
    assert next(model.parameters()).device == torch.device('cpu')


def test_count_multiply_adds__the_fused_pyramid_takes_less():
    with without_drawing():
        models = [build_segmentor(stock=stock, backbone=VARIANTS['T']) for stock in (True, False)]
    stock, ours = (count_multiply_adds(model, (512, 512)) for model in models)
    assert stock / 1e9 == pytest.approx(236.9, abs=0.5)
    assert ours / 1e9 < 150
