from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open

from support import scripts
from swinseg.checkpoints import formats
from swinseg.checkpoints.convert import convert
from swinseg.checkpoints.meta import checkpoint_meta
from swinseg.checkpoints.reading import read_checkpoint, state_dict_of
from swinseg.errors import CheckpointError
from swinseg.files import OutputError

META = {
    'dataset_meta': {'classes': ('sky', 'road'), 'palette': [[1, 2, 3], [4, 5, 6]]},
    'cfg': "model = dict(type='SwinSegmentor')\n",
}


@pytest.fixture
def trained(build_segmentor, randomize, tmp_path):
    model = build_segmentor('mmseg')
    randomize(model)
    path = tmp_path / 'trained.pth'
    torch.save({'meta': META, 'state_dict': model.state_dict()}, path)
    return path, model.state_dict()


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('target', ['mmseg', 'official', 'huggingface', 'huggingface-v5'])
def test_convert__there_and_back(target, suffix, trained, tmp_path):
    path, weights = trained
    there, back = tmp_path / f'there{suffix}', tmp_path / 'back.pth'
    receipt = convert(path, there, target=target)
    assert (receipt.source_format, receipt.output_format, receipt.dropped) == ('mmseg', target, ())
    assert formats.detect(state_dict_of(read_checkpoint(there))) == target
    convert(there, back)
    found = state_dict_of(read_checkpoint(back))
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[key], weights[key]) for key in weights)
    # Hugging Face reads a bare state dict, which has no place for anything else.
    if suffix == '.safetensors' or not target.startswith('huggingface'):
        meta = checkpoint_meta(read_checkpoint(back))
        assert meta['classes'] == ('sky', 'road')
        assert meta['palette'] == [[1, 2, 3], [4, 5, 6]]
        assert meta['config']['model']['type'] == 'SwinSegmentor'
        assert receipt.meta == ('classes', 'palette', 'config')
    else:
        assert receipt.meta == ()


def test_convert__says_what_it_leaves_out(trained, tmp_path):
    receipt = convert(trained[0], tmp_path / 'timm.safetensors', target='timm')
    assert 'backbone.norm0.weight' in receipt.dropped
    assert 'decode_head.conv_seg.weight' in receipt.dropped
    assert 'backbone.stages.0.blocks.0.norm1.weight' not in receipt.dropped
    assert 'left out: ' in str(receipt)
    with safe_open(tmp_path / 'timm.safetensors', framework='pt') as file:
        assert file.metadata()['format'] == 'pt'
        assert json.loads(file.metadata()['classes']) == ['sky', 'road']


def test_convert__layout_that_the_library_loads(trained, tmp_path):
    backbone = formats.backbone_part(trained[1])
    source = tmp_path / 'backbone.pth'
    torch.save(backbone, source)
    convert(source, tmp_path / 'official.pth', target='official')
    assert list(torch.load(tmp_path / 'official.pth', weights_only=True)) == ['model']
    convert(source, tmp_path / 'torchvision.pth', target='torchvision')
    assert 'features.0.0.weight' in torch.load(tmp_path / 'torchvision.pth', weights_only=True)


def test_convert__bad_output(trained, tmp_path):
    with pytest.raises(CheckpointError, match=r'ending with one of .pth.*found out.txt'):
        convert(trained[0], tmp_path / 'out.txt')
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='cannot write to the output folder'):
        convert(trained[0], tmp_path / 'file' / 'out.pth')


def test_convert__an_output_that_is_there_or_is_the_source(trained, tmp_path):
    path, _ = trained
    before = path.read_bytes()
    (tmp_path / 'link.pth').symlink_to(path)
    for output in (path, tmp_path / 'link.pth'):
        with pytest.raises(OutputError, match='which it is made from; name another file'):
            convert(path, output, overwrite=True)
    (tmp_path / 'other.pth').write_text('of someone else')
    with pytest.raises(OutputError, match=r'other\.pth is there already; .* --overwrite'):
        convert(path, tmp_path / 'other.pth')
    assert (tmp_path / 'other.pth').read_text() == 'of someone else'
    convert(path, tmp_path / 'other.pth', overwrite=True)
    assert path.read_bytes() == before


def test_tool__converts(trained, tmp_path):
    output = tmp_path / 'out' / 'hf.safetensors'
    arguments = (trained[0], output, '--to', 'huggingface')
    done = scripts.run_in_process('convert_checkpoint', *arguments, folder=tmp_path / 'process')
    assert done.code == 0, done.err
    assert 'a Swin Transformer: embed_dims 16, depths 2-2-3-2' in done.out
    assert 'kept beside them: classes, palette, config' in done.out
    assert formats.detect(state_dict_of(read_checkpoint(output))) == 'huggingface'


def test_tool__bad_input_is_one_line_and_exit_2(trained, tmp_path, capsys):
    code = scripts.run('convert_checkpoint', tmp_path / 'trainedd.pth', tmp_path / 'out.pth')
    assert code == 2
    assert capsys.readouterr().err.strip().splitlines() == [
        f'error: no weight file {tmp_path / "trainedd.pth"}; did you mean trained.pth'
    ]
    assert not (tmp_path / 'out.pth').exists()
