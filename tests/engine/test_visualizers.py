"""The backends of a config's visualizer: their packages, and the one that the curves need."""

from __future__ import annotations

import importlib.util

import pytest
from mmengine.config import Config
from mmengine.visualization import LocalVisBackend, WandbVisBackend

from swinseg.engine import ConfigError, evaluate, load_config, train, visualizers
from swinseg.engine.visualizers import check_vis_backends, with_local_backend


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(visualizers, 'find_spec', lambda package: None)


@pytest.mark.parametrize(
    ('backend', 'package'),
    [
        (dict(type='WandbVisBackend', init_kwargs=dict(project='x')), 'wandb'),
        (dict(type='mmengine.WandbVisBackend'), 'wandb'),
        (dict(type=WandbVisBackend), 'wandb'),
        (dict(type='MLflowVisBackend'), 'mlflow'),
    ],
)
def test_check_vis_backends__says_what_to_install(nothing_installed, backend, package):
    backends = [dict(type='LocalVisBackend'), backend]
    cfg = Config(dict(visualizer=dict(type='SegLocalVisualizer', vis_backends=backends)))
    with pytest.raises(
        ConfigError,
        match=rf'vis_backends\.1 of .*needs the package {package}, .*pip install {package}',
    ):
        check_vis_backends(cfg)


@pytest.mark.parametrize(
    'visualizer',
    [
        None,
        dict(type='SegLocalVisualizer'),
        dict(type='SegLocalVisualizer', vis_backends=None),
        dict(vis_backends=[dict(type='LocalVisBackend'), dict(type='mine.WandbVisBackend')]),
        dict(vis_backends=[LocalVisBackend(save_dir='x')]),
    ],
)
def test_check_vis_backends__others_need_nothing(nothing_installed, visualizer):
    check_vis_backends(Config(dict(visualizer=visualizer)))


@pytest.mark.skipif(importlib.util.find_spec('wandb') is not None, reason='wandb is installed')
def test_train_and_evaluate__say_it_before_they_begin(write_tiny_config, tmp_path):
    path = write_tiny_config(
        extra="visualizer = dict(vis_backends=[dict(type='WandbVisBackend')])",
        root=tmp_path / 'no data',
    )
    with pytest.raises(ConfigError, match='needs the package wandb'):
        train(load_config(path), work_dir=tmp_path / 'work')
    with pytest.raises(ConfigError, match='needs the package wandb'):
        evaluate(load_config(path), 'no.pth', work_dir=tmp_path / 'work')
    assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize(
    ('backends', 'expected'),
    [
        (None, [dict(type='LocalVisBackend')]),
        ([dict(type='A')], [dict(type='LocalVisBackend'), dict(type='A')]),
        ([dict(type='A'), dict(type=LocalVisBackend)], [dict(type='A'), dict(type=LocalVisBackend)]),
    ],
)  # fmt: skip
def test_with_local_backend__adds_it_once(backends, expected):
    visualizer = dict(type='SegLocalVisualizer', vis_backends=backends)
    assert with_local_backend(visualizer)['vis_backends'] == expected
    assert visualizer['vis_backends'] is backends
