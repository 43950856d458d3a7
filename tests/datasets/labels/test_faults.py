import pytest

from swinseg.datasets.labels.cityscapes import TRAIN_IDS
from swinseg.datasets.labels.faults import advise, value_sentence
from swinseg.datasets.labels.map import LabelRule


def settings(seen, *, of_all=True, **rule):
    return [option.setting for option in advise(seen, LabelRule(**rule), of_all=of_all).options]


@pytest.mark.parametrize(
    ('seen', 'rule', 'expected'),
    [
        ([1, 2, 3], {'num_classes': 3}, ['reduce_zero_label=True']),
        ([1, 2, 3, 255], {'num_classes': 3}, ['reduce_zero_label=True']),
        ([0, 1, 2, 3], {'num_classes': 3}, ['reduce_zero_label=True', 'ignore_values=[3]']),
        ([0, 255], {'num_classes': 2}, ['label_map={0: 0, 255: 1}']),
        ([255], {'num_classes': 2}, ['label_map={0: 0, 255: 1}']),
        ([0, 255], {'num_classes': 2, 'ignore_index': 254}, ['label_map={0: 0, 255: 1}']),
        ([0, 255], {'num_classes': 2, 'reduce_zero_label': True},
         ['reduce_zero_label=False, label_map={0: 0, 255: 1}']),
        ([0, 128], {'num_classes': 2}, ['label_map={0: 0, 128: 1}']),
        ([0, 128, 255], {'num_classes': 3}, ['label_map={0: 0, 128: 1, 255: 2}']),
        ([0, 128, 255], {'num_classes': 2}, ['label_map={0: 0, 128: 1}']),
        ([7, 8, 26, 33], {'num_classes': 19}, [f'label_map={TRAIN_IDS}']),
        ([7, 8, 26, 40], {'num_classes': 19}, []),
        ([0, 3, 9, 12], {'num_classes': 3}, []),
        ([0, 300, 301], {'num_classes': 2}, []),
    ],
)  # fmt: skip
def test_advise__settings(seen, rule, expected):
    assert settings(seen, **rule) == expected


def test_advise__values_of_one_label_do_not_show_that_0_never_occurs():
    assert settings([4, 11], of_all=False, num_classes=11) == [
        'reduce_zero_label=True',
        'ignore_values=[11]',
    ]


@pytest.mark.parametrize(
    ('seen', 'classes', 'expected'),
    [
        ([0, 7, 26000, 26003, 33001], 19, f'instance_divisor=1000, label_map={TRAIN_IDS}'),
        ([0, 1, 2, 1001, 2005], 3, 'instance_divisor=1000'),
        ([4, 9, 9000, 9001], 2, 'instance_divisor=1000, label_map={4: 0, 9: 1}'),
    ],
)
def test_advise__instance_numbers(seen, classes, expected):
    assert settings(seen, num_classes=classes) == [expected]


def test_advise__only_listed_values():
    rule = LabelRule(num_classes=2, label_map=((0, 0), (9, 1)), unlisted='reject')
    assert str(advise([0, 5, 6, 9], rule)) == (
        'add it to label_map={5: CLASS_INDEX} or to ignore_values=[5, 6]'
    )


def test_advise__many_values_are_not_all_listed():
    text = str(advise(list(range(100, 140)), LabelRule(num_classes=3)))
    assert 'ignore_values=[100, 101' in text
    assert text.count(',') < 16


def test_value_sentence__with_the_advice_on_all_labels():
    rule = LabelRule(num_classes=11)
    advice = advise([*range(1, 12)], rule, of_all=True)
    sentence = value_sentence('x.png', [4, 11], rule, advice=advice)
    assert sentence == (
        'label x.png contains the value 11 but expected 0 to 10 (11 classes) or 255 (ignored); '
        'since classes count from 1 set reduce_zero_label=True'
    )
