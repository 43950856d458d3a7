"""Bad arguments: one sentence that says which and why."""

import pytest
import torch

from swinseg.benchmark.options import make_options
from swinseg.benchmark.suites import SUITES
from swinseg.errors import BenchmarkError


@pytest.mark.parametrize(
    ('suite', 'given', 'message'),
    [
        ('model', {'repeats': 0}, '--repeats must be at least 1, found 0'),
        ('model', {'load': -1}, '--load must not be negative, found -1'),
        ('model', {'seconds': -1.0}, '--seconds must not be negative'),
        ('model', {'threads': 0}, '--threads must be at least 1'),
        ('model', {'device': 'tpu'}, "--device must be cpu or cuda, found 'tpu'"),
        ('model', {'sizes': [16]}, '--sizes takes sides in pixels of at least 32, found 16'),
        ('model', {'sizes': [64, 64]}, '--sizes takes each size once, found 64 again'),
        ('model', {'sizes': []}, '--sizes needs at least one value'),
        ('model', {'dtypes': ['int8']}, "--dtypes takes float32, bfloat16, float16, found 'int8'"),
        ('model', {'peers': ['tensorrt']}, "--peers takes .*, found 'tensorrt'"),
        ('model', {'batch_size': 0}, '--batch-size must be at least 1, found 0'),
        ('model', {'images': 3}, 'the suite model takes no --images'),
        ('metric', {'checkpointing': True}, 'the suite metric takes no --checkpointing'),
        ('metric', {'num_classes': 300}, '--num-classes must be from 2 to 255'),
        ('metric', {'image_size': [64]}, '--image-size takes height and width, found 1'),
        ('train', {'batch_size': 1}, '--batch-size must be at least 2'),
        ('train', {'dtypes': ['float16']}, 'use --dtypes bfloat16'),
        ('data', {'device': 'cuda'}, '(needs a GPU|runs on the CPU)'),
        ('data', {'images': 0}, '--images must be at least 1'),
        ('slide', {'stride': 600}, '--stride must be from 1 to the window, 512, found 600'),
        ('slide', {'image_size': [512]}, '--image-size takes height and width'),
    ],
)
def test_make_options__refuses(suite, given, message):
    with pytest.raises(BenchmarkError, match=message) as caught:
        make_options(SUITES[suite].options, suite, given)
    assert '\n' not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_make_options__a_gpu_that_is_not_there():
    with pytest.raises(BenchmarkError, match=r'needs a GPU .* use --device cpu'):
        make_options(SUITES['model'].options, 'model', {'device': 'cuda'})


def test_make_options__none_is_the_default_and_lists_become_tuples():
    options = make_options(SUITES['model'].options, 'model', {'repeats': None, 'sizes': [64]})
    assert options.repeats == 7
    assert options.sizes == (64,)


def test_make_options__no_peers_are_allowed():
    assert make_options(SUITES['model'].options, 'model', {'peers': []}).peers == ()
