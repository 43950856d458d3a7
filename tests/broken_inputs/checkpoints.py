"""Files of weights, given to each tool that reads them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from broken_inputs.place import CommandLine, Place
from swinseg.checkpoints import read_checkpoint

WIDER = (
    'model.backbone.embed_dims=32', 'model.decode_head.in_channels=[32,64,128,256]',
    'model.auxiliary_head.in_channels=128',
)  # fmt: skip
TWO_CLASSES = """
classes = dict(metainfo=dict(classes=('wall', 'sky')))
test_dataloader = dict(dataset=classes)
train_dataloader = dict(dataset=classes)
val_dataloader = dict(dataset=classes)
model = dict(decode_head=dict(num_classes=2), auxiliary_head=dict(num_classes=2))
"""
OTHER_BACKBONE = """
model = dict(backbone=dict(
    _delete_=True, type='ResNetV1c', depth=18, base_channels=16, norm_cfg=dict(type='BN'),
))
"""
OTHER_ORDER = """
other = dict(metainfo=dict(classes=(
    'building', 'wall', 'sky', 'floor', 'tree', 'road', 'grass', 'person', 'car', 'water',
)))
test_dataloader = dict(dataset=other)
train_dataloader = dict(dataset=other)
val_dataloader = dict(dataset=other)
"""

Weights = Callable[[Place], Path]


class _Call:
    """Pickles as a command for the shell."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ('true',)


def _saved(name: str, content: Callable[[dict[str, Any]], Any]) -> Weights:
    """Save something made from the state dict of a good checkpoint."""

    def make(place: Place) -> Path:
        path = place.folder / name
        torch.save(content(dict(read_checkpoint(place.checkpoint)['state_dict'])), path)
        return path

    return make


def _half(place: Place) -> Path:
    content = place.checkpoint.read_bytes()
    return place.file('half.pth', content[: len(content) // 2])


def _flipped_bit(place: Place) -> Path:
    state = read_checkpoint(place.checkpoint)['state_dict']
    content = bytearray(place.checkpoint.read_bytes())
    weights = state['decode_head.conv_seg.weight'].numpy().tobytes()
    content[content.index(weights) + len(weights) // 2] ^= 1
    return place.file('flipped.pth', bytes(content))


def _lacking(state: dict[str, Any]) -> dict[str, Any]:
    return {
        k: v for i, (k, v) in enumerate(state.items()) if i % 2 or not k.startswith('backbone.')
    }


def _without_head(state: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in state.items() if k.startswith('backbone.')}


def _named(name: str) -> Weights:
    return lambda place: place.folder / name


def _file(name: str, content: bytes | str) -> Weights:
    return lambda place: place.file(name, content)


def _test(weights: Weights) -> Callable[[Place], CommandLine]:
    return lambda place: place.test(checkpoint=weights(place))


def _resume(weights: Weights) -> Callable[[Place], CommandLine]:
    return lambda place: place.train('--resume', weights(place))


def _load_from(weights: Weights, *options: str) -> Callable[[Place], CommandLine]:
    return lambda place: place.train(options=(*options, f'load_from={weights(place)}'))


def _segment(weights: Weights) -> Callable[[Place], CommandLine]:
    return lambda place: place.segment(place.good_data / 'images', checkpoint=weights(place))


def _convert(weights: Weights, output: str) -> Callable[[Place], CommandLine]:
    return lambda place: ['convert_checkpoint', weights(place), place.folder / output]


def _good(place: Place) -> Path:
    return place.checkpoint


_WEIGHTS = _saved('weights.pth', lambda state: {'state_dict': state})
_EVIL = _file('evil.pth', pickle.dumps({'state_dict': {}, 'meta': _Call()}))

KINDS: dict[str, tuple[Callable[[Place], CommandLine], str]] = {
    'not there': (_test(_named('gone.pth')), r'no weight file .*gone\.pth'),
    'a folder without a model': (
        _test(lambda place: place.folder),
        r'expected config.json and model.safetensors, or a checkpoint, in the folder .*found neither'),
    'empty': (_test(_file('empty.pth', '')), r'empty\.pth is empty'),
    'cut short': (_test(_half), r'half\.pth is truncated or damaged'),
    'a flipped bit': (_test(_flipped_bit), r'flipped\.pth is damaged: the checksum'),
    'text': (
        _load_from(_file('text.pth', 'text')), r'expected a PyTorch or \.safetensors checkpoint, .*text\.pth'),
    'a web page': (_segment(_file('page.pth', '<html>404</html>')), r'page\.pth is .*begins with'),
    'a Git LFS pointer': (
        _segment(_file('pointer.pth', 'version https://git-lfs.github.com/spec/v1\n')), r'run "git lfs pull"'),
    'a pickle that runs a command': (_segment(_EVIL), r'evil\.pth holds more than weights'),
    'a pickle that runs a command, to be trained from': (_load_from(_EVIL), r'evil\.pth holds more than weights'),
    'a pickle that runs a command, to go on from': (_resume(_EVIL), r'evil\.pth holds more than weights'),
    'safetensors that are none': (_segment(_file('no.safetensors', b'\xff' * 64)), r'no readable \.safetensors'),
    'a list': (_segment(_saved('list.pth', lambda state: [1, 2])), r'list\.pth, found a list'),
    'no tensors': (_test(_saved('none.pth', lambda state: {'state_dict': {}})), r'found no tensors'),
    'weights without their config': (_segment(_WEIGHTS), r'weights\.pth has no config inside'),
    'of another network': (
        _convert(_saved('other.pth', lambda state: {'layer1.0.conv1.weight': torch.ones(2, 2)}), 'out.pth'),
        r'of no known format'),
    'converted to an unknown suffix': (_convert(_good, 'out.onnx'), r'expected an output file ending with'),
    'half of the backbone': (_test(_saved('lacking.pth', _lacking)), r'lacking\.pth fills .*% of the backbone'),
    'half of the backbone, to be trained from': (
        _load_from(_saved('lacking.pth', _lacking)), r'lacking\.pth fills .*% of the backbone'),
    'the backbone alone': (_test(_saved('alone.pth', _without_head)), r'alone\.pth .*decode_head'),
    'of another size': (lambda place: place.test(options=WIDER), r'iter_4\.pth.*embed_dims=16'),
    'of another size, to be trained from': (
        _load_from(_saved('weights.pth', dict), *WIDER), r'weights\.pth.*embed_dims=16'),
    'of another size, to go on from': (
        lambda place: place.train('--resume', place.checkpoint, options=WIDER), r'iter_4\.pth.*embed_dims=16'),
    'of another number of classes': (
        lambda place: place.test(extra=TWO_CLASSES), r'has 10 classes in the file and 2'),
    'of another backbone': (
        lambda place: place.test(extra=OTHER_BACKBONE), r'iter_4\.pth fills 0\.0% of the backbone'),
    'of another backbone, to go on from': (
        lambda place: place.train('--resume', place.checkpoint, extra=OTHER_BACKBONE),
        r'iter_4\.pth has 129 groups of parameters in its optimizer'),
    'of classes in another order': (lambda place: place.test(extra=OTHER_ORDER), r'classes that differ'),
    'nothing to go on from': (lambda place: place.train('--resume'), r'no checkpoint to resume from'),
    'not there, to go on from': (_resume(_named('gone.pth')), r'no weight file .*gone\.pth'),
    'cut short, to go on from': (_resume(_half), r'half\.pth is truncated or damaged'),
    'weights alone, to go on from': (_resume(_WEIGHTS), r'weights\.pth has no optimizer'),
}  # fmt: skip
"""As in ``data.KINDS``."""
