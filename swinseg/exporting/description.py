"""What is said of a graph in its file."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.config import Config

from swinseg.config.pipelines import pipeline_of
from swinseg.config.untrusted import prediction_config
from swinseg.errors import ConfigError
from swinseg.exporting.graph import Graph
from swinseg.exporting.targets import DType
from swinseg.hub.folder import config_text
from swinseg.runtimes.metadata import Metadata
from swinseg.runtimes.protocol import protocol_of


def metadata_of(
    graph: Graph,
    *,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    size: tuple[int, int] | None,
    config: Config | None,
    checkpoint_sha256: str | None,
    dtype: DType,
) -> Metadata:
    """Return what is to be said of a graph."""
    normalization = graph.normalization
    is_bgr = normalization.is_bgr and graph.input == 'tensor'
    step = -1 if is_bgr else 1
    return Metadata(
        classes=tuple(classes),
        palette=tuple(tuple(int(value) for value in color) for color in palette),
        mean=tuple(round(value, 6) for value in normalization.mean[::step]),
        std=tuple(round(value, 6) for value in normalization.std[::step]),
        channel_order='BGR' if is_bgr else 'RGB',
        input=graph.input,
        output=graph.output,
        resizes=graph.scale is not None,
        size=size,
        stride=graph.backbone.patch * 2 ** (len(graph.backbone.stages) - 1),
        checkpoint_sha256=checkpoint_sha256,
        threshold=graph.threshold,
        protocol=None if config is None else protocol_of(config),
        config=None if config is None else _config_inside(config),
        dtype=dtype,
    )


def _config_inside(config: Config) -> str | None:
    """Return the text of what prediction needs of a config, or None where it names classes that are not known.

    Whoever gets the file trusts it as little as a checkpoint, and reads the text by the same rules.
    """
    parts = {
        'model': {key: value for key, value in config['model'].items() if key != 'auxiliary_head'},
        'test_pipeline': list(pipeline_of(config)),
        'tta_pipeline': config.get('tta_pipeline'),
    }
    try:
        return config_text(prediction_config(Config(parts).to_dict(), name='the config'))
    except ConfigError:
        return None
