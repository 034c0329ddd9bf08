"""Indices of entities: one, or several for each row of a batch, checked once."""

import pytest
import torch

from maskrl.attention.index import check_index, select_rows
from maskrl.errors import MaskShapeError


def test_one_index_stays_a_whole_number():
    assert check_index("f", "queries", 2, 5, (3,)) == 2
    index = check_index("f", "queries", torch.tensor(2, dtype=torch.int32), 5, (3,))
    assert isinstance(index, int)
    assert index == 2


def test_several_get_the_dimensions_of_the_scene():
    index = check_index("f", "queries", torch.tensor([0, 4], dtype=torch.int32), 5, (3, 2))
    assert index.shape == (1, 1, 2)
    assert index.dtype == torch.int64
    assert check_index("f", "queries", torch.zeros(3, 1, 2).long(), 5, (3, 2)).shape == (3, 1, 2)


def test_rows_are_gathered():
    x = torch.arange(24.0).view(2, 4, 3)
    assert select_rows(x, None) is x
    assert torch.equal(select_rows(x, 1), x[:, 1:2])
    rows = torch.tensor([[3, 0], [1, 1]])
    expected = torch.stack([x[0, [3, 0]], x[1, [1, 1]]])
    assert torch.equal(select_rows(x, rows), expected)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (5, "queries is 5; expected an index from 0 to 4 for 5 entities"),
        (-1, "queries is -1"),
        (True, "expected one whole number"),
        (1.0, "queries has 1.0"),
        ("panda", "queries has 'panda'"),
        (torch.tensor([0.0]), "queries has dtype torch.float32"),
        (torch.tensor([True]), "queries has dtype torch.bool"),
        (torch.tensor([[0, 1], [2, 7], [0, 0]]), r"queries\[1, 1\] is 7"),
        (torch.tensor([-1]), r"queries\[0\] is -1"),
        (torch.zeros(2, 1).long(), r"shape \(2, 1\); expected \[Q\] or \[3, Q\]"),
        (torch.zeros(1, 3, 1).long(), r"For one entity per row of the batch use \[\.\.\., 1\]"),
    ],
)
def test_messages_say_what_an_index_is(index, message):
    with pytest.raises(MaskShapeError, match=message):
        check_index("f", "queries", index, 5, (3,))
