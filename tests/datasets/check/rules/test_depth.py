"""Images of more than 8 bits in the check of a dataset."""

import numpy as np
import pytest

from swinseg.datasets.check.pair import ImageFacts, Job, PairFacts
from swinseg.datasets.check.rules.depth import depth_findings
from swinseg.datasets.files.value_range import ValueRange
from swinseg.datasets.labels.map import LabelRule

RNG = np.random.default_rng(0)


def facts(*values):
    images = [
        ImageFacts((4, 4), b'', None, None, None if of is None else np.asarray(of, np.float32))
        for of in values
    ]
    return [
        PairFacts(Job(f'/data/{index}.tif', None, LabelRule()), (), image, None)
        for index, image in enumerate(images)
    ]


def uniform(*ranges, count=1000):
    return np.stack([np.linspace(low, high, count) for low, high in ranges], axis=1)


def test_depth_findings__images_of_8_bits():
    assert depth_findings('train', facts(None, None), None) == []


def test_depth_findings__no_value_range_says_the_measured_one_and_its_mean():
    deep = uniform((200, 3200), (0, 1000), (50, 90))
    deep[0] = 65535  # one bright pixel of a thousand
    found = depth_findings(
        'train', facts(deep, None, uniform((200, 3200), (0, 1000), (50, 90))), None
    )
    assert [(each.code, each.severity, each.files) for each in found] == [
        ('value-range', 'error', ('/data/0.tif', '/data/2.tif'))
    ]
    sentence = found[0].sentence
    assert sentence.startswith('2 images have more than 8 bits (0.tif, 2.tif), and nothing says')
    ranges = eval(sentence.partition('value_range=')[2].partition(' of LoadImage')[0])
    np.testing.assert_allclose(ranges, [[203, 3200], [1, 1000], [50.08, 90]], atol=5)
    mean = eval(sentence.partition('have mean ')[2].partition(' and std')[0])
    np.testing.assert_allclose(mean, [127.5] * 3, atol=2)


@pytest.mark.parametrize(
    ('used', 'words'),
    [
        (ValueRange.of([0, 1000]), None),
        (ValueRange.of([[0, 1000]] * 2), None),
        (
            ValueRange.of([0, 500]),
            '50.0% of their values lie beyond value_range; set value_range=[[1',
        ),
        (
            ValueRange.of([0, 65535]),
            'become nearly of one brightness, 0 to 4 of 255; set value_range',
        ),
        (ValueRange.of('per_image'), None),
    ],
)
def test_depth_findings__a_value_range_that_suits_or_not(used, words):
    found = depth_findings('val', facts(uniform((0, 1000), (0, 1000))), used)
    assert [each.severity for each in found] == ([] if words is None else ['warning'])
    assert words is None or words in found[0].sentence


def test_depth_findings__the_validation_images_take_the_training_range():
    training = facts(uniform((0, 1000)))
    sentence = depth_findings('val', facts(uniform((0, 700))), None, training=training)[0].sentence
    assert 'value_range=[[1, 999]]' in sentence
    assert 'value_range=[[1, 999]]' in depth_findings('train', training, None)[0].sentence


def test_depth_findings__small_numbers_keep_their_digits():
    sentence = depth_findings('train', facts(uniform((0, 0.25))), None)[0].sentence
    ((low, high),) = eval(sentence.partition('value_range=')[2].partition(' of LoadImage')[0])
    assert 0 <= low < 0.001
    assert 0.249 < high < 0.2501


def test_depth_findings__gray_and_color_share_one_pair():
    sentence = depth_findings('train', facts(uniform((0, 999)), uniform(*[(0, 999)] * 3)), None)[
        0
    ].sentence
    assert sentence.count('[') == 4  # value_range=[[low, high]], mean=[...], std=[...]


def test_depth_findings__one_value_throughout():
    assert (
        'value_range=[[7.0, 8.0]]'
        in depth_findings('train', facts(np.full((9, 1), 7.0)), None)[0].sentence
    )
