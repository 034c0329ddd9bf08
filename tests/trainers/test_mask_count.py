"""Counting what masks did, for every shape of action, against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.contract import describe, mask_space
from maskrl.errors import NoAllowedActionError
from maskrl.masks.tree import ActionTree, Head
from maskrl.trainers.mask_count import MaskCount

TREE = ActionTree(Head("type", 2), Head("target", 3, relevant={"type": [1]}, mask_by="type"))
SPACES = {
    "discrete": spaces.Discrete(3),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_binary": spaces.MultiBinary(2),
    "tree": spaces.MultiDiscrete(TREE.nvec),
}


def count(kind, *, idles=False):
    tree = TREE if kind == "tree" else None
    action_space = SPACES[kind]
    shapes = {"action_mask": ({"discrete": 3, "multi_binary": 4}.get(kind, 5),)}
    if tree is not None:
        shapes = tree.mask_shapes
    space = spaces.Dict({name: mask_space(*shape) for name, shape in shapes.items()})
    return MaskCount(describe(space, action_space, tree), "worlds", idles=idles)


def add(masks, obs, actions, active=None):
    actions = np.array(actions)
    active = np.ones(len(actions), bool) if active is None else np.array(active)
    obs = {key: np.array(value, bool) for key, value in obs.items()}
    masks.require_choice(obs, active, np.arange(len(actions)))
    masks.add(obs, actions, active, np.arange(len(actions)))


def test_one_number():
    masks = count("discrete")
    add(masks, {"action_mask": [[1, 1, 0], [0, 0, 1], [1, 1, 1]]}, [2, 2, 0], [True, True, False])
    assert (masks.steps, masks.illegal, masks.forced_share) == (2, 1, 0.5)
    assert masks.allowed_share == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_several_heads():
    masks = count("multi_discrete")
    keep = [[1, 0, 0, 0, 1], [1, 1, 0, 1, 1], [1, 1, 0, 1, 1]]
    add(masks, {"action_mask": keep}, [[0, 2], [1, 1], [0, 0]])
    assert (masks.steps, masks.illegal) == (3, 1)
    assert masks.forced_share == pytest.approx(1 / 3)
    assert masks.allowed_share == pytest.approx((2 + 4 + 4) / 15)


def test_bits_with_masks_in_a_row():
    masks = count("multi_binary")
    add(masks, {"action_mask": [[1, 1, 0, 1], [1, 0, 0, 1]]}, [[0, 0], [0, 1]])
    assert (masks.illegal, masks.forced_share) == (1, 0.5)
    assert masks.allowed_share == pytest.approx((3 + 2) / 8)


def test_a_tree_counts_the_heads_that_count():
    masks = count("tree")
    obs = {
        "action_mask": [[1, 1, 1, 1, 0]] * 3,
        "action_mask:target": [[[0, 0, 0], [0, 1, 1]]] * 3,
    }
    add(masks, obs, [[0, 2], [1, 1], [1, 2]])  # type 0 needs no target; type 1 leaves target 1
    assert masks.illegal == 1
    assert masks.allowed_share == pytest.approx((2 / 2 + 3 / 5 + 3 / 5) / 3)
    assert masks.forced_share == 0


def test_without_masks_everything_is_allowed():
    masks = count("discrete")
    add(masks, {}, [0, 1])
    assert (masks.steps, masks.allowed_share, masks.forced_share) == (2, 1.0, 0.0)


@pytest.mark.parametrize(
    ("kind", "keep", "action", "named"),
    [
        ("discrete", [0, 0, 0], 0, "allows no action in sub-environment 1 at step 1 of"),
        ("multi_discrete", [1, 1, 0, 0, 0], [0, 0], "no action for head 1 in sub-environment 1"),
        ("multi_binary", [0, 0, 1, 0], [0, 0], "no action for bit 0 in sub-environment 1"),
        ("tree", [1, 1, 0, 0, 0], [1, 0], "no action for head 'target' in sub-environment 1"),
    ],
)
def test_a_head_that_may_choose_nothing_is_named_or_idles(kind, keep, action, named):
    def obs(row):
        tables = {"action_mask:target": np.ones((2, 2, 3), bool)} if kind == "tree" else {}
        return {"action_mask": np.array([np.ones(len(keep)), row]), **tables}

    actions = [np.zeros_like(action), action]
    with pytest.raises(
        NoAllowedActionError, match=f"'worlds' {named}" if kind == "discrete" else named
    ):
        add(count(kind), obs(keep), actions)
    add(count(kind), obs(keep), actions, [True, False])  # not looked at
    idle = count(kind, idles=True)
    add(idle, obs(keep), actions)
    assert idle.illegal == 0


def test_a_head_of_a_tree_that_does_not_count_may_be_empty():
    masks = count("tree")
    obs = {"action_mask": [[1, 0, 0, 0, 0]], "action_mask:target": np.ones((1, 2, 3), bool)}
    add(masks, obs, [[0, 0]])
    assert masks.forced_share == 1
