"""Bookkeeping over several heads, against small cases worked out by hand and by enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from maskrl.errors import MaskShapeError
from maskrl.masks.heads import (
    choices_of,
    flat_mask,
    masks_along,
    random_actions,
    relevant_heads,
    starts_of,
)
from maskrl.masks.tree import ActionTree, Head

# type: wait, move, attack; direction only for move; target for move and attack, by type.
TREE = ActionTree(
    Head("type", 3),
    Head("direction", 2, relevant={"type": [1]}),
    Head("target", 3, relevant={"type": [1, 2]}, mask_by="type"),
)
FLAT = np.array([1, 1, 1, 0, 1, 1, 1, 0], bool)
TABLE = np.array([[0, 0, 0], [1, 1, 1], [0, 1, 1]], bool)
MASKS = {"action_mask": FLAT, "action_mask:target": TABLE}


def test_two_heads_are_counted_one_by_one() -> None:
    keep = np.array([[1, 0, 1, 1, 0], [0, 1, 1, 0, 0]], bool)  # heads of 2 and 3
    seen = choices_of([[0, 1], [0, 0]], {"action_mask": keep}, (2, 3))
    assert seen.allowed.tolist() == [[1, 2], [1, 1]]
    assert seen.taken.tolist() == [[True, True], [False, True]]
    assert seen.illegal.tolist() == [False, True]
    assert seen.forced.tolist() == [False, True]
    assert seen.allowed_share.tolist() == [3 / 5, 2 / 5]


def test_a_discrete_space_is_one_head() -> None:
    seen = choices_of([[2], [0]], {"action_mask": np.array([[0, 1, 1], [0, 1, 0]], bool)}, (3,))
    assert seen.illegal.tolist() == [False, True]
    assert seen.forced.tolist() == [False, True]


def test_a_head_without_choice_idles_and_is_not_illegal() -> None:
    keep = np.array([0, 0, 1, 0], bool)
    seen = choices_of([0, 0], {"action_mask": keep}, (2, 2))
    assert seen.empty.tolist() == [True, False]
    assert not seen.illegal
    assert seen.forced  # the other head has one choice
    nothing = choices_of([0, 0], {"action_mask": np.zeros(4, bool)}, (2, 2))
    assert not nothing.forced
    assert nothing.idle and not seen.idle
    assert nothing.empty.all()


def test_pairs_of_a_multi_binary_space_need_no_flattening() -> None:
    pairs = np.array([[[1, 1], [0, 1], [1, 0]]], bool)
    seen = choices_of([[0, 0, 0]], {"action_mask": pairs}, (2, 2, 2))
    assert seen.allowed.tolist() == [[2, 1, 1]]
    assert seen.taken.tolist() == [[True, False, True]]


def test_a_single_pair_with_a_batch_of_one() -> None:
    assert flat_mask({"action_mask": np.ones((1, 1, 2), bool)}, (2,), (1,)).shape == (1, 2)


def test_no_mask_allows_everything_that_exists() -> None:
    seen = choices_of([[1, 2], [1, 3]], {}, (2, 3))
    assert seen.allowed.tolist() == [[2, 3], [2, 3]]
    assert seen.illegal.tolist() == [False, True]  # there is no choice 3


@pytest.mark.parametrize(
    ("action", "allowed", "illegal"),
    [
        ([0, 1, 2], [3, 1, 0], False),  # wait: nothing else counts
        ([1, 1, 1], [3, 1, 2], False),  # target: 110 of the row, 111 of the table
        ([1, 0, 1], [3, 1, 2], True),  # direction 0 is masked
        ([2, 0, 1], [3, 1, 1], False),  # target: 110 and 011 leave one; direction is no matter
        ([2, 0, 0], [3, 1, 1], True),
    ],
)
def test_a_tree_takes_the_row_of_the_table_that_was_chosen(
    action: list[int], allowed: list[int], illegal: bool
) -> None:
    seen = choices_of(action, MASKS, TREE)
    assert seen.allowed.tolist() == allowed
    assert bool(seen.illegal) is illegal
    assert bool(seen.illegal) is not bool(TREE.allows(action, MASKS))


def test_it_agrees_with_the_tree_on_every_action_of_random_masks() -> None:
    rng = np.random.default_rng(0)
    actions = np.array(list(itertools.product(*map(range, TREE.nvec))))
    for _ in range(30):
        masks = {
            name: np.broadcast_to(rng.random(shape) < 0.6, (len(actions), *shape))
            for name, shape in TREE.mask_shapes.items()
        }
        seen = choices_of(actions, masks, TREE)
        legal = TREE.allows(actions, masks)
        assert (legal == ~(seen.illegal | seen.empty.any(axis=-1))).all()


def test_the_share_of_a_tree_is_over_the_heads_that_count() -> None:
    share = choices_of(
        [[0, 0, 0], [2, 0, 1]], {k: np.stack([m, m]) for k, m in MASKS.items()}, TREE
    )
    assert share.allowed_share.tolist() == [3 / 3, 4 / 6]
    assert relevant_heads([2, 0, 1], TREE).tolist() == [True, False, True]


def test_masks_along_joins_the_rows_chosen_from() -> None:
    assert masks_along([2, 0, 0], MASKS, TREE).astype(int).tolist() == [1, 1, 1, 0, 1, 0, 1, 0]


def test_random_actions_are_uniform_over_what_each_head_allows() -> None:
    keep = np.broadcast_to(np.array([1, 0, 1, 0, 1, 1, 1], bool), (9000, 7))
    actions = random_actions({"action_mask": keep}, (3, 4), np.random.default_rng(0), (9000,))
    first, second = np.bincount(actions[:, 0], minlength=3), np.bincount(actions[:, 1], minlength=4)
    assert first[1] == 0 and second[0] == 0
    assert np.abs(first[[0, 2]] / 9000 - 1 / 2).max() < 0.025  # about five standard errors
    assert np.abs(second[1:] / 9000 - 1 / 3).max() < 0.025


def test_random_actions_of_a_tree_are_legal_and_irrelevant_heads_are_0() -> None:
    masks = {name: np.broadcast_to(m, (6000, *m.shape)) for name, m in MASKS.items()}
    actions = random_actions(masks, TREE, np.random.default_rng(1), (6000,))
    assert TREE.allows(actions, masks).all()
    assert (actions[~TREE.relevant(actions)] == 0).all()
    assert np.abs(np.bincount(actions[:, 0]) / 6000 - 1 / 3).max() < 0.03
    moves = actions[actions[:, 0] == 1]
    assert (moves[:, 1] == 1).all()
    assert set(moves[:, 2]) == {0, 1}


def test_random_actions_of_an_empty_head_are_0() -> None:
    keep = np.array([[0, 0, 0, 1]], bool)
    assert random_actions(
        {"action_mask": keep}, (2, 2), np.random.default_rng(0), (1,)
    ).tolist() == [[0, 1]]


def test_starts() -> None:
    assert starts_of(TREE).tolist() == [0, 3, 5]
    assert starts_of((4,)).tolist() == [0]


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"action_mask": np.ones(7, bool)}, r"action_mask has shape \(7,\); expected \(8,\)"),
        (
            {"action_mask:target": np.ones((2, 3), bool)},
            r"action_mask:target has shape \(2, 3\); expected \(3, 3\), a row for every.*'type'",
        ),
    ],
)
def test_masks_of_another_shape_are_refused(masks: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(MaskShapeError, match=message):
        choices_of([0, 0, 0], masks, TREE)


def test_actions_of_another_shape_are_refused() -> None:
    with pytest.raises(MaskShapeError, match=r"shape \(2,\); expected \[..., 3\]"):
        choices_of([0, 0], {}, TREE)


def test_tables_go_by_choices_that_count() -> None:
    tree = ActionTree(
        Head("type", 2),
        Head("direction", 2, relevant={"type": [1]}),
        Head("target", 2, mask_by="direction"),
    )
    masks = {"action_mask:target": np.array([[True, False], [False, True]])}
    assert choices_of([0, 1, 0], masks, tree).taken.all()
    assert choices_of([0, 1, 1], masks, tree).illegal
    assert choices_of([1, 1, 0], masks, tree).illegal
