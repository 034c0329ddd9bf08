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
    index = check_index("f", "queries", torch.tensor([[0], [4]], dtype=torch.int32), 5, (3, 2))
    assert index.shape == (1, 2, 1)
    assert index.dtype == torch.int64
    assert check_index("f", "queries", torch.zeros(3, 1, 2).long(), 5, (3, 2)).shape == (3, 1, 2)
    assert check_index("f", "queries", torch.tensor([4, 0, 1]), 5, ()).shape == (3,)


@pytest.mark.parametrize(
    ("shape", "lead", "each", "every"),
    [
        ((3,), (3,), r"\[\.\.\., None\], of shape \(3, 1\)", r"\[None\], of shape \(1, 3\)"),
        ((2,), (3,), r"\[\.\.\., None\], of shape \(3, 1\)", r"\[None\], of shape \(1, 2\)"),
        ((1,), (1,), r"\[\.\.\., None\], of shape \(1, 1\)", r"\[None\], of shape \(1, 1\)"),
        ((4,), (3, 4), r"of shape \(3, 4, 1\)", r"\[None, None\], of shape \(1, 1, 4\)"),
        ((4, 4), (4, 4), r"of shape \(4, 4, 1\)", r"\[None\], of shape \(1, 4, 4\)"),
    ],
)
def test_one_of_each_scene_and_the_same_of_every_scene_are_told_apart(shape, lead, each, every):
    """Whatever the sizes: a call that is refused for one batch is refused for all."""
    index = torch.zeros(shape, dtype=torch.int64)
    for form in (each, every):
        with pytest.raises(MaskShapeError, match=form):
            check_index("f", "observer", index, 5, lead)
    assert check_index("f", "observer", index[..., None], 5, shape).shape == (*shape, 1)
    assert check_index("f", "observer", index[None], 5, (7, *shape[1:])).shape == (1, *shape)


def test_rows_are_gathered():
    x = torch.arange(24.0).view(2, 4, 3)
    assert select_rows(x, None) is x
    assert torch.equal(select_rows(x, 1), x[:, 1:2])
    rows = torch.tensor([[3, 0], [1, 1]])
    expected = torch.stack([x[0, [3, 0]], x[1, [1, 1]]])
    assert torch.equal(select_rows(x, rows), expected)
    # What holds for all scenes, such as one graph, may have no dimension for them.
    assert torch.equal(select_rows(x[0], rows), torch.stack([x[0, [3, 0]], x[0, [1, 1]]]))


def test_several_of_what_has_fewer_leading_dimensions():
    """A visibility of all scenes [E, E] beside queries [B, Q] of each."""
    rows = torch.tensor([[3, 0], [1, 1]])
    x = torch.arange(8).view(4, 2)
    assert torch.equal(select_rows(x, rows), x[rows])


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
        (torch.tensor([[-1]]), r"queries\[0, 0\] is -1"),
        (torch.zeros(2, 1).long(), r"shape \(2, 1\); expected \[3, Q\] for a scene"),
        (torch.zeros(1, 3, 1).long(), r"For one entity per row of the batch use \[\.\.\., 1\]"),
    ],
)
def test_messages_say_what_an_index_is(index, message):
    with pytest.raises(MaskShapeError, match=message):
        check_index("f", "queries", index, 5, (3,))
