"""OpenVINO."""

from __future__ import annotations

from swinseg.runtimes.base import LOGITS_NAME, SessionRuntime
from swinseg_runtime import OpenVinoSession, Session


class OpenVino(SessionRuntime):
    """An ``.xml`` file in OpenVINO, whose ``dtype`` is as ``swinseg_runtime.OpenVinoSession`` takes it."""

    def _open_all(self) -> Session:
        return OpenVinoSession(self.name, dtype=self._dtype, **self._options)

    def _open_logits(self) -> Session:
        return OpenVinoSession(self.name, output=LOGITS_NAME, dtype=self._dtype, **self._options)
