"""Int8 for OpenVINO, by NNCF."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from swinseg.exporting.openvino_file import save
from swinseg.exporting.quantizing.layers import operations_of
from swinseg_runtime.openvino_core import openvino_core

_NO_OPERATIONS = ('Constant', 'Parameter', 'Result')


def quantize(
    source: Path, path: Path, *, inputs: Sequence[NDArray], float_layers: Collection[str]
) -> int:
    """Write an OpenVINO file in int8, with ``FakeQuantize`` before the layers that compute in it.

    NNCF on its own also rounds sums, norms and attention's scores, which costs accuracy; here it gets the layers
    with weights alone. Their biases are corrected by it.

    Args:
        source: in float32.
        path: to be written, in a folder of its own.
        inputs: the calibration's, as the graph takes them.
        float_layers: names of layers that stay in float.

    Returns:
        The number of operations.

    Raises:
        OutputError: OpenVINO could not write all of it.
    """
    model = openvino_core().read_model(source)
    chosen = {name for layer, name in operations_of(model).items() if layer not in float_layers}
    if chosen:
        with _quiet_nncf() as nncf, _one_core():
            others = [
                operation.get_friendly_name()
                for operation in model.get_ops()
                if operation.get_type_name() not in _NO_OPERATIONS
                and operation.get_friendly_name() not in chosen
            ]
            model = nncf.quantize(
                model,
                nncf.Dataset(list(inputs)),
                subset_size=len(inputs),
                model_type=nncf.ModelType.TRANSFORMER,
                ignored_scope=nncf.IgnoredScope(names=others, validate=False),
            )
    save(model, path)
    return len(model.get_ops())


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Give NNCF, which makes cores of its own, that of the process."""
    import openvino

    of_its_own = openvino.Core
    openvino.Core = openvino_core
    try:
        yield
    finally:
        openvino.Core = of_its_own


@contextlib.contextmanager
def _quiet_nncf() -> Iterator[Any]:
    """Import NNCF without its messages, progress bars and reports to its makers, which it leaves out in a CI."""
    before = os.environ.get('NNCF_CI')
    os.environ['NNCF_CI'] = '1'
    kind = logging.getLoggerClass()
    try:
        import nncf
    finally:
        # The import makes all loggers after it its own.
        logging.setLoggerClass(kind)
        if before is None:
            del os.environ['NNCF_CI']
        else:
            os.environ['NNCF_CI'] = before
    logger = logging.getLogger('nncf')
    level = logger.level
    # Not nncf.set_log_level, which changes handlers, too, and leaves them so.
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield nncf
    finally:
        logger.setLevel(level)
