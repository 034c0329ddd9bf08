"""Names of picks: END and idle rows, there and back."""

from __future__ import annotations

import torch

from maskrl.distributions.pointer.columns import PickColumns

MASK = torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 0]], dtype=torch.bool)
COLUMNS = torch.tensor([[1, 3], [2, 3], [3, 3]])


def test_without_ragged_or_idle_rows_nothing_changes():
    names = PickColumns(MASK, None, None, None)
    assert names.to_actions(COLUMNS) is COLUMNS
    assert names.to_columns(COLUMNS) is COLUMNS
    assert names.ends.tolist() == names.idle_actions.tolist() == [3, 3, 3]
    assert not names.idle.any()


def test_the_end_of_a_ragged_row_is_the_size_of_its_set():
    names = PickColumns(MASK, torch.tensor([2, 3, 0]), None, None)
    actions = names.to_actions(COLUMNS)
    assert actions.tolist() == [[1, 2], [2, 3], [0, 0]]
    assert torch.equal(names.to_columns(actions), COLUMNS)


def test_idle_rows_send_their_action_and_end_at_once():
    idle = torch.tensor([False, False, True])
    names = PickColumns(MASK, None, idle, 1)
    actions = names.to_actions(COLUMNS)
    assert actions.tolist() == [[1, 3], [2, 3], [1, 1]]
    assert torch.equal(names.to_columns(actions), COLUMNS)
    # another action of an idle row stands in a column that is disallowed there
    actions[2, 0] = 3
    assert names.to_columns(actions)[2].tolist() == [0, 3]
    assert PickColumns(MASK, None, idle, None).to_actions(COLUMNS)[2].tolist() == [3, 3]


def test_expanding():
    idle = torch.tensor([False, False, True])
    names = PickColumns(MASK, torch.tensor([2, 3, 0]), idle, None)
    wide = names.expanded(MASK.expand(4, 3, 3))
    assert wide.ends.shape == wide.idle.shape == (4, 3)
    assert torch.equal(wide.to_actions(COLUMNS.expand(4, 3, 2))[1], names.to_actions(COLUMNS))


def test_the_largest_number_of_a_row_is_its_end_or_what_it_sends_when_idle():
    idle = torch.tensor([False, False, True])
    sizes = torch.tensor([2, 3, 0])
    assert PickColumns(MASK, sizes, None, 1).largest.tolist() == [2, 3, 0]
    assert PickColumns(MASK, sizes, idle, None).largest.tolist() == [2, 3, 0]
    assert PickColumns(MASK, sizes, idle, 1).largest.tolist() == [2, 3, 1]
