"""The catalogue against what is published beside mmsegmentation, and against our configs."""

from pathlib import Path

import mmseg
import pytest
import yaml

from swinseg.checkpoints.reading import _HASH_IN_NAME
from swinseg.config.loading import load_config
from swinseg.hub.catalogue import CATALOGUE, published
from swinseg.hub.huggingface import Repository

ROOT = Path(__file__).parents[2]
ZOO = [model for model in CATALOGUE if 'openmmlab.com' in model.address]


def metafile():
    path = Path(mmseg.__file__).parent / '.mim' / 'configs' / 'swin' / 'metafile.yaml'
    if not path.is_file():
        pytest.skip('mmsegmentation was installed without its configs')
    return yaml.safe_load(path.read_text())['Models']


def test_catalogue__has_the_rows_of_mmsegmentations_metafile():
    ours = {model.address: model for model in ZOO}
    rows = metafile()
    assert len(rows) == 6
    for row in rows:
        model = ours.pop(row['Weights'])
        metrics = row['Results']['Metrics']
        assert (model.miou, model.miou_multi_scale) == (metrics['mIoU'], metrics['mIoU(ms+flip)'])
        assert model.backbone in row['Metadata']['Architecture']
        assert f'patch4-window{model.window_size}-' in row['Name']
        assert ('in22k' in row['Name']) == (model.pretrained == 'ImageNet-22K')
    # Those of its README alone.
    assert {model.name for model in ours.values()} == {
        'upernet-swin-l-22k-ade20k',
        'upernet-swin-l-22k-w12-ade20k',
    }


def test_catalogue__the_checksum_is_the_one_in_the_name_of_the_file():
    for model in CATALOGUE:
        found = _HASH_IN_NAME.search(model.address)
        assert (found and found[1]) == model.sha256, model.name
    assert [model.sha256 is not None for model in CATALOGUE].count(True) == len(ZOO) == 8


def test_catalogue__names():
    names = [model.name for model in CATALOGUE]
    assert len(set(names)) == len(names)
    assert len({model.address for model in CATALOGUE}) == len(names)
    for model in CATALOGUE:
        assert published(model.name) is model
        assert model.backbone[-1].lower() == model.name.split('-')[2]
        if model.address.startswith('hf:'):
            # Asked for by its address, a repository has its own word.
            assert published(model.address) is None
            assert str(Repository.parse(model.address)) == model.address
            assert model.converted_from in names
        else:
            assert published(model.address) is model


@pytest.mark.parametrize(
    ('config', 'name'),
    [
        ('upernet_swin_t_ade20k', 'upernet-swin-t-ade20k-microsoft'),
        ('upernet_swin_s_ade20k', 'upernet-swin-s-ade20k-microsoft'),
        ('upernet_swin_b_ade20k', 'upernet-swin-b-ade20k-microsoft'),
        ('upernet_swin_b_22k_ade20k', 'upernet-swin-b-22k-ade20k'),
        ('upernet_swin_b_22k_w12_ade20k', 'upernet-swin-b-22k-w12-ade20k'),
        ('upernet_swin_l_ade20k', 'upernet-swin-l-22k-ade20k'),
    ],
)
def test_catalogue__sizes_and_figures_are_those_of_our_configs(config, name):
    cfg = load_config(ROOT / 'configs' / f'{config}.py')
    model = published(name)
    backbone = cfg.model.backbone
    assert (backbone.embed_dims, tuple(backbone.depths)) == (model.embed_dims, model.depths)
    assert backbone.window_size == model.window_size
    assert cfg.model.data_preprocessor['size'] == (model.image_size,) * 2
    if config != 'upernet_swin_l_ade20k':  # of which the paper has no row at this size
        assert cfg.published_miou == model.miou
