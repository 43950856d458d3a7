"""A tiny checkpoint, its images and its predictor."""

import pytest

from support import tiny_checkpoint
from swinseg.predictor import Predictor


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    tiny_checkpoint.make_images(root)
    return root


@pytest.fixture(scope='module')
def images(data):
    return sorted((data / 'images').iterdir())


@pytest.fixture(scope='module')
def checkpoint(data):
    return tiny_checkpoint.save(data / 'tiny.pth', tiny_checkpoint.config(data))


@pytest.fixture(scope='module')
def predictor(checkpoint):
    return Predictor.from_checkpoint(checkpoint)
