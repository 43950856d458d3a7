"""The list of published models."""

import argparse
import json

from swinseg.hub import CATALOGUE, listing


def listed(*argv):
    parser = argparse.ArgumentParser()
    listing.add_arguments(parser)
    return listing.listing_of(parser.parse_args(argv))


def test_listing__has_every_model_with_its_address_and_what_is_known():
    text = listed()
    for model in CATALOGUE:
        assert f'\n{model.name} ' in text
        assert f'\n  {model.address}' in text
    assert 'upernet-swin-t-ade20k                 Swin-T    7       ImageNet-1K' in text
    assert '44.41  45.79    Apache-2.0' in text
    assert 'e380ad3e.pth, SHA-256 e380ad3e...' in text
    assert 'hf:openmmlab/upernet-swin-tiny, converted from upernet-swin-t-ade20k' in text


def test_listing__json():
    models = {model['name']: model for model in json.loads(listed('--json'))}
    assert len(models) == len(CATALOGUE)
    tiny = models['upernet-swin-t-ade20k']
    assert (tiny['miou'], tiny['sha256'], tiny['license']) == (44.41, 'e380ad3e', 'Apache-2.0')
    assert 'single scale' in tiny['miou_protocol']
    # What is not published is not said.
    assert models['upernet-swin-t-ade20k-hf']['miou'] is None
    assert models['upernet-swin-t-ade20k-microsoft']['sha256'] is None
