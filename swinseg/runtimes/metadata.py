"""What an exported file says about itself, in the keys of swinseg and in those that other tools read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import swinseg_runtime
from swinseg.versions import __version__

MODEL_INFO = 'model_info'
"""The section that OpenVINO's Model API reads."""


class Metadata(swinseg_runtime.Metadata):
    """What is said about an exported model, and how files say it; they are read by the base class."""

    def own(self) -> dict[str, str]:
        """Return swinseg's keys; values that are no plain text are JSON."""
        entries = {
            'swinseg_version': __version__,
            'classes': json.dumps(self.classes, ensure_ascii=False),
            'palette': json.dumps(self.palette),
            'mean': json.dumps(self.mean),
            'std': json.dumps(self.std),
            'channel_order': self.channel_order,
            'input': self.input,
            'output': self.output,
            'stride': str(self.stride),
            'dtype': self.dtype,
            'resize': 'inside' if self.resizes else 'outside',
        }
        optional = {
            'size': _json(self.size),
            'threshold': _json(self.threshold),
            'protocol': _json(self.protocol),
            'config': self.config,
            'checkpoint_sha256': self.checkpoint_sha256,
        }
        return entries | {key: value for key, value in optional.items() if value is not None}

    def ultralytics(self) -> dict[str, str]:
        """Return the keys of Ultralytics' exports, with values in the syntax of Python."""
        entries = {
            'description': 'semantic segmentation by swinseg',
            'task': 'semantic',
            'names': repr(dict(enumerate(self.classes))),
            'stride': str(self.stride),
            'batch': '1',
            'channels': str(len(self.mean)),
        }
        if self.size is not None:
            entries['imgsz'] = repr(list(self.size))
        return entries

    def model_info(self) -> dict[str, str]:
        """Return the keys of OpenVINO's Model API, whose images are RGB; a name is a word there."""
        entries = {
            'model_type': 'Segmentation',
            'labels': ' '.join('_'.join(name.split()) for name in self.classes),
            'resize_type': 'standard',
            'return_soft_prediction': str(self.output == 'probabilities'),
        }
        if self.input == 'tensor':
            entries['mean_values'] = _numbers(self.mean)
            entries['scale_values'] = _numbers(self.std)
            entries['reverse_input_channels'] = str(self.channel_order == 'BGR')
        return entries

    def for_onnx(self) -> dict[str, str]:
        """Return all of it as ``metadata_props`` of an ONNX file; Model API takes a path of words as a key."""
        nested = {f'{MODEL_INFO} {key}': value for key, value in self.model_info().items()}
        return {**self.ultralytics(), **self.own(), **nested}

    def for_openvino(self) -> Mapping[str, Mapping[str, str]]:
        """Return all of it as sections of OpenVINO's ``rt_info``."""
        return {MODEL_INFO: self.model_info(), 'swinseg': self.own()}


def _numbers(values: Sequence[float]) -> str:
    return ' '.join(f'{value:g}' for value in values)


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)
