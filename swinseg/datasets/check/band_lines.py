"""Lines for the config of a model that is shown other bands than red, green and blue of 8 bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from swinseg.datasets.check.pair import Loading, PairFacts
from swinseg.datasets.check.rules.depth import measured_range
from swinseg.datasets.check.statistics import image_statistics
from swinseg.datasets.files.value_range import ValueRange


def lines_for_config(facts: Sequence[PairFacts], loading: Loading) -> tuple[str, ...]:
    """Return lines of Python that set bands, their range, mean and deviation; none for images of 8-bit colors.

    The range is the measured one, unless the config has a rule in its place. Mean and deviation are those of the
    values from 0 to 255 that the model gets by it, over the pixels that have data.

    Args:
        facts: of the training split.
        loading: how its pipeline reads images.
    """
    images = image_statistics(facts)
    deep = [
        pair.image.values
        for pair in facts
        if pair.image is not None and pair.image.values is not None and len(pair.image.values)
    ]
    if images is None or (loading.bands is None and not deep):
        return ()
    lines = [] if loading.bands is None else [f'bands = {list(loading.bands)}']
    mean, std = images.mean, images.std
    used = loading.value_range
    if deep and (used is None or used.bands is not None):
        setting = measured_range(deep)
        lines.append(f'value_range = {setting}')
        mean = std = None
        if len({values.shape[1] for values in deep}) == 1:
            mapped = ValueRange.of(setting).to_8_bits(np.concatenate(deep)[None])[0]
            mean, std = (tuple(of.tolist()) for of in (mapped.mean(axis=0), mapped.std(axis=0)))
    if mean is None or std is None:
        return tuple(lines)
    numbers = ', '.join(
        f'{name}=[{", ".join(f"{value:.2f}" for value in values)}]'
        for name, values in (('mean', mean), ('std', std))
    )
    channels = f'backbone=dict(in_channels={len(mean)})'
    return (*lines, f'model = dict({channels}, data_preprocessor=dict({numbers}))')
