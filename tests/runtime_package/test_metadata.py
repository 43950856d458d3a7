import json

import pytest

from swinseg.runtimes.metadata import Metadata as Written
from swinseg_runtime import Metadata, ModelFileError

WRITTEN = Written(
    classes=('sky', 'Straße'), palette=((1, 2, 3), (4, 5, 6)), mean=(1.5, 2.0, 3.0), std=(1.0, 2.0, 3.5),
    channel_order='BGR', input='tensor', output='confidence', resizes=False, size=(32, 48), stride=32,
    checkpoint_sha256='ab', threshold=0.3, config='model = {}',
    protocol=dict(resize=None, mode='slide', crop_size=[3, 4], stride=[1, 2], other_steps=['Pad']),
)  # fmt: skip


def test_metadata__is_read_as_it_was_written():
    for entries in (WRITTEN.own(), WRITTEN.for_onnx()):
        assert vars(Metadata.parse(entries, name='a.onnx')) == vars(WRITTEN)
    optional = ('size', 'threshold', 'protocol', 'config', 'checkpoint_sha256')
    least = {key: value for key, value in WRITTEN.own().items() if key not in optional}
    found = Metadata.parse(least, name='a.onnx')
    assert (found.size, found.protocol, found.threshold, found.config) == (None, None, None, None)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('classes', '[]'), ('classes', '["a", 3]'), ('classes', '["a", "\\u001b[2J"]'), ('classes', None),
        ('palette', '[[1, 2, 3]]'), ('palette', '[[1, 2, 300], [1, 2, 3]]'), ('std', '[1, 0, 1]'), ('mean', '{'),
        ('size', '[0, 3]'), ('size', '[1000000, 3]'), ('input', 'bytes'), ('threshold', '7'), ('stride', '"32"'),
        ('protocol', '{"mode": "slide", "crop_size": [3, 3]}'),
        ('protocol', '{"mode": "whole", "resize": {"scale": [1e9, 3], "keep_ratio": true}}'),
        ('protocol', '[' * 100_000),
    ],
)  # fmt: skip
def test_metadata__what_anyone_may_have_written(key, value):
    entries = WRITTEN.own() | {key: value}
    if value is None:
        del entries[key]
    with pytest.raises(ModelFileError, match=rf'a\.onnx says .* of {key}'):
        Metadata.parse(entries, name='a.onnx')


def test_metadata__keeps_names_of_all_languages():
    assert json.loads(WRITTEN.own()['classes'])[1] == 'Straße'
