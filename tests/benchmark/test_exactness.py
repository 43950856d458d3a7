"""Measures of difference."""

import torch

from swinseg.benchmark import exactness


def test_of_tensors__finds_the_largest_difference_of_a_list():
    a = [torch.zeros(3), torch.tensor([2.0, -7.0])]
    b = [torch.zeros(3), torch.tensor([2.5, -7.0])]
    assert exactness.of_tensors(a, b) == {'largest difference': 0.5, 'largest value': 7.0}


def test_of_tensors__compares_in_float64():
    a, b = torch.tensor([1.0], dtype=torch.float64), torch.tensor([1.0], dtype=torch.bfloat16)
    assert exactness.largest_difference(a + 1e-12, b) > 0


def test_largest_difference__a_value_that_is_no_number_shows():
    a = torch.tensor([1.0, 2.0])
    b = torch.tensor([1.0, float('nan')])
    assert exactness.largest_difference(a, b) != exactness.largest_difference(a, b)  # nan


def test_of_logits__counts_pixels_that_keep_their_class():
    reference = torch.zeros(1, 2, 1, 4)
    reference[:, 0] = 1
    result = reference.clone()
    result[0, 1, 0, 0] = 5
    measured = exactness.of_logits(reference, result)
    assert measured['largest difference'] == 5
    assert measured['same class (%)'] == 75


def test_of_labels__takes_different_integer_types():
    reference, result = torch.tensor([[0, 1]]), torch.tensor([[0, 2]], dtype=torch.uint8)
    assert exactness.of_labels(reference, result) == {'same class (%)': 50}
