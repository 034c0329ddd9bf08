"""Rows of agents taken out of tensors and put back, by hand."""

from __future__ import annotations

import pytest
import torch

from maskrl import set_backend
from maskrl.distributions.gridwise.layout import (
    CELLS,
    PACKED,
    SLOTS,
    EveryPlace,
    GatheredRows,
    RaggedRows,
)
from maskrl.errors import MaskShapeError

# two grids of 1 x 3; agents in cells 0 and 2 of the second
GRIDS = torch.tensor([[[0, 0, 0]], [[1, 0, 1]]]).bool()
FEATURES = torch.arange(12.0).reshape(2, 2, 1, 3)  # [B, F, H, W]


def test_rows_are_gathered_in_the_order_of_places():
    rows = GatheredRows(CELLS, GRIDS)
    assert rows.shape == (2,)
    assert rows.batch_shape == (2,)
    assert rows.places == (1, 3)
    assert rows.take(FEATURES, 0.0).tolist() == [[6.0, 9.0], [8.0, 11.0]]
    actions = torch.tensor([[[1, 2, 3]], [[4, 5, 6]]])
    assert rows.take(actions, 0, features=False).tolist() == [4, 6]
    assert rows.take(actions.expand(5, 2, 1, 3), 0, features=False).shape == (5, 2)


def test_rows_are_put_back_with_a_filler():
    rows = GatheredRows(CELLS, GRIDS)
    assert rows.put(torch.tensor([4, 6]), 9).tolist() == [[[9, 9, 9]], [[4, 9, 6]]]
    features = torch.tensor([[1, 2], [3, 4]])
    laid = rows.put(features, 0, features=True)
    assert laid.tolist() == [[[[0, 0, 0]], [[0, 0, 0]]], [[[1, 0, 3]], [[2, 0, 4]]]]
    assert torch.equal(rows.take(laid, 0), features)


def test_agents_are_summed_by_grid():
    rows = GatheredRows(CELLS, GRIDS)
    assert rows.total(torch.tensor([4.0, 6.0])).tolist() == [0, 10]
    assert rows.total(torch.tensor([[4.0, 6.0], [1.0, 2.0]])).tolist() == [[0, 10], [0, 3]]
    assert rows.counts().tolist() == [0, 2]
    one = GatheredRows(CELLS, GRIDS[1])
    assert one.total(torch.tensor([4.0, 6.0])).item() == 10


def test_every_place_gives_the_same_after_selection():
    every, gathered = EveryPlace(CELLS, GRIDS), GatheredRows(CELLS, GRIDS)
    poisoned = torch.where(GRIDS.unsqueeze(1), FEATURES, torch.nan)
    taken = every.take(poisoned, 0.0)
    assert taken.shape == (2, 1, 3, 2)
    assert taken[~GRIDS].tolist() == [[0, 0]] * 4
    assert torch.equal(
        every.put(taken, -1.0, features=True),
        gathered.put(gathered.take(FEATURES, 0.0), -1.0, features=True),
    )
    values = torch.where(GRIDS, 2.0, torch.nan)
    assert every.total(values).tolist() == [0, 4]
    assert every.put(values, 0.0).sum() == 4
    assert every.counts().tolist() == [0, 2]


def test_slots_have_their_features_last():
    rows = GatheredRows(SLOTS, torch.tensor([[True, False], [False, True]]))
    x = torch.arange(8.0).reshape(2, 2, 2)
    assert rows.take(x, 0.0).tolist() == [[0, 1], [6, 7]]
    assert rows.put(rows.take(x, 0.0), 0.0, features=True).sum() == 14


def test_packed_rows_stay_as_they_are():
    rows = RaggedRows(torch.tensor([0, 0, 2, 3]), 3)
    x = torch.tensor([1.0, 2.0, 3.0])
    assert rows.take(x, 0.0) is rows.put(x, 0.0) is x
    assert rows.total(x).tolist() == [0, 3, 3]
    assert rows.counts().tolist() == [0, 2, 1]
    assert rows.agent_mask.tolist() == [True] * 3
    wide = rows.expand(torch.Size((2, 3)))
    assert wide.shape == (2, 3)
    assert wide.batch_shape == (2, 3)
    assert wide.total(x.expand(2, 3)).tolist() == [[0, 3, 3]] * 2
    with pytest.raises(MaskShapeError, match=r"packed rows belong to 3 entries"):
        rows.expand(torch.Size((4,)))


def test_messages_find_the_agent_of_a_row():
    assert GatheredRows(CELLS, GRIDS).place((1,)) == "row (1,), cell (0, 2)"
    assert GatheredRows(CELLS, GRIDS).place((5, 0)) == "row (5, 1), cell (0, 0)"
    assert EveryPlace(CELLS, GRIDS).place((1, 0, 2)) == "row (1,), cell (0, 2)"
    assert GatheredRows(SLOTS, GRIDS[:, 0]).place((1,)) == "row (1,), slot 2"
    ragged = RaggedRows(torch.tensor([0, 0, 2, 3]), 3)
    assert ragged.place((1,)) == "row (1,), agent 1 (packed row 1)"
    assert ragged.place((7, 2)) == "row (7, 2), agent 0 (packed row 2)"


def test_differences_are_named():
    rows, other = GatheredRows(CELLS, GRIDS), GatheredRows(CELLS, GRIDS.flip(0))
    differs = rows.differs_from(other)
    assert rows.name_difference(differs, other) == "row (0,), cell (0, 0), where only q has one"
    ragged, wrong = (RaggedRows(torch.tensor([0, n, 3]), 3) for n in (1, 2))
    text = ragged.name_difference(ragged.differs_from(wrong), wrong)
    assert text == "offsets[1], 1 in p and 2 in q"


def test_a_wider_batch_has_more_rows():
    wide = GatheredRows(CELLS, GRIDS[1:]).expand(torch.Size((3, 2)))
    assert wide.shape == (12,)
    assert wide.counts().tolist() == [[2, 2]] * 3


def test_shapes_of_each_layout():
    assert CELLS.shape((7, 1, 3), 2) == (7, 2, 1, 3)
    assert CELLS.shape((1, 3), None) == (1, 3)
    assert SLOTS.shape((7, 3), 2) == (7, 3, 2)
    assert PACKED.shape((), 2) == (2,)
    assert CELLS.inward(FEATURES).shape == (2, 1, 3, 2)
    assert torch.equal(CELLS.outward(CELLS.inward(FEATURES)), FEATURES)


def test_where_every_slot_is_taken_nothing_is_copied():
    rows = GatheredRows(SLOTS, torch.ones(2, 3, dtype=torch.bool))
    logits = torch.arange(12.0).reshape(2, 3, 2)
    taken = rows.take(logits, 0.0)
    assert taken.tolist() == logits.flatten(0, 1).tolist()
    assert taken.data_ptr() == logits.data_ptr()
    actions = torch.arange(6).reshape(2, 3)
    assert rows.take(actions, 0, features=False).tolist() == [0, 1, 2, 3, 4, 5]
    several = actions.expand(4, 2, 3)
    assert rows.take(several, 0, features=False).shape == (4, 6)
    team = GatheredRows(SLOTS, torch.ones(3, dtype=torch.bool))
    draws = torch.arange(9).reshape(3, 3)
    assert rows_equal(team.take(draws, 0, features=False), draws), "as many draws as slots"


def rows_equal(found, wanted):
    return found.shape == wanted.shape and torch.equal(found, wanted)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("shape", [(2, 4, 0, 5), (0, 4, 3, 5), (4, 0, 5)])
def test_maps_without_cells_or_entries_have_no_rows(backend, shape):
    maps = torch.zeros(shape, requires_grad=True)
    rows = GatheredRows(CELLS, torch.ones(*shape[:-3], *shape[-2:], dtype=torch.bool))
    set_backend(backend)
    try:
        taken = rows.take(maps, 0.0)
    finally:
        set_backend("auto")
    assert taken.shape == (0, 4)
    assert torch.autograd.grad(taken.sum(), maps)[0].shape == shape
