"""OpenVINO."""

from __future__ import annotations

import os
from collections.abc import Sequence

from swinseg.runtimes.base import LOGITS_NAME, SessionRuntime
from swinseg_runtime import OpenVinoSession, Session


class OpenVino(SessionRuntime):
    """A written file in OpenVINO.

    Args:
        path: of the ``.xml`` file.
        device: as for ``swinseg_runtime.OpenVinoSession``, as are the others.
        threads: of the processor.
        providers: in the place of ``device``.
        dtype: that it computes in.

    Raises:
        ExportedFileError: later, when something is asked of it; as ``OpenVinoSession``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = 'auto',
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        dtype: str = 'float32',
    ) -> None:
        def open_session(output: str | None = None) -> Session:
            return OpenVinoSession(
                path,
                output=output,
                device=device,
                threads=threads,
                providers=providers,
                dtype=dtype,
            )

        super().__init__(os.fspath(path), open_session, lambda: open_session(LOGITS_NAME))
