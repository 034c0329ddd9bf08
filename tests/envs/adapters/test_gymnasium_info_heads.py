"""The adapter where an action has several heads: rows, bits, trees, and what is counted."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from maskrl import ActionTree, Head
from maskrl.envs.adapters.gymnasium_info import (
    MaskFromInfo,
    MaskFromMethod,
    MaskFromObservation,
    adapt,
)
from maskrl.envs.contract import action_tree_of, describe
from maskrl.envs.registry import make, make_vec
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError, NoMaskError

TREE = ActionTree(
    Head("type", 2, choices=("wait", "attack")),
    Head("target", 3, relevant={"type": [1]}, mask_by="type"),
)
FLAT = [1, 1, 1, 1, 0]
TABLE = [[0, 0, 0], [0, 1, 1]]


class Switches(gymnasium.Env):
    """Hands out one fixed mask, by info, observation or method, and keeps what it received."""

    def __init__(self, action_space, mask, *, where="info"):
        self.action_space = action_space
        self.where = where
        self.mask = mask
        self.received = []
        self.observation_space = spaces.Discrete(9)
        if where == "observation":
            masks = dict.fromkeys(self.masks(), spaces.Box(0, 2, (1,), np.int8))
            self.observation_space = spaces.Dict({"x": spaces.Discrete(9), **masks})

    def masks(self):
        return self.mask if isinstance(self.mask, dict) else {"action_mask": self.mask}

    def out(self):
        if self.where == "observation":
            return {"x": 0, **self.masks()}, {}
        return 0, dict(self.masks()) if self.where == "info" else {}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.out()

    def step(self, action):
        assert self.action_space.contains(action), action
        self.received.append(action)
        observation, info = self.out()
        return observation, 1.0, len(self.received) >= 4, False, info


class SwitchesWithMethod(Switches):
    """As environments for sb3-contrib give their masks."""

    def __init__(self, action_space, mask):
        super().__init__(action_space, mask, where="nowhere")

    def action_masks(self):
        return self.mask


class Squad(Switches):
    """With a tree, in the way that a class of one's own would have it."""

    action_tree = TREE

    def __init__(self, where="info"):
        mask = {"action_mask": FLAT, "action_mask:target": TABLE}
        super().__init__(spaces.MultiDiscrete(TREE.nvec), mask, where=where)


class SquadWithMethod(Squad):
    """Its method gives all masks of the tree by name."""

    def __init__(self):
        super().__init__(where="nowhere")

    def action_masks(self):
        return self.masks()


MULTI_DISCRETE = {
    "flat": [1, 0, 0, 1, 1],
    "flat array": np.array([1, 0, 0, 1, 1], np.int8),
    "as Gymnasium samples": (np.array([1, 0], np.int8), np.array([0, 1, 1], np.int8)),
    "lists": [[1, 0], [0, 1, 1]],
    "booleans": ([True, False], [False, True, True]),
}


@pytest.mark.parametrize("form", MULTI_DISCRETE)
@pytest.mark.parametrize("where", ["info", "observation", "method"])
def test_several_heads_in_every_form_and_place(form, where):
    mask, space = MULTI_DISCRETE[form], spaces.MultiDiscrete([2, 3])
    env = SwitchesWithMethod(space, mask)
    if where != "method":
        env = Switches(space, mask, where=where)
    wrapped = adapt(env)
    kind = {"info": MaskFromInfo, "observation": MaskFromObservation, "method": MaskFromMethod}
    assert isinstance(wrapped, kind[where])
    seen, _ = wrapped.reset(seed=0)
    assert seen["action_mask"].tolist() == [True, False, False, True, True]
    assert wrapped.observation_space["action_mask"].shape == (5,)
    for action, illegal in (([0, 1], 0), ([0, 0], 1), ([1, 2], 2)):
        wrapped.step(np.array(action))
        assert wrapped.illegal_actions == illegal


def test_a_single_head_is_no_discrete_space():
    env = adapt(Switches(spaces.MultiDiscrete([3]), ([0, 1, 1],)))
    assert env.reset()[0]["action_mask"].tolist() == [False, True, True]
    env.step(np.array([1]))
    env.step(np.array([0]))
    assert env.illegal_actions == 1
    assert env.unwrapped.received[0].tolist() == [1]


def test_heads_in_a_grid_are_put_in_a_row_and_back():
    space = spaces.MultiDiscrete([[2, 3]], start=[[1, 1]])
    env = adapt(Switches(space, (([1, 0], [1, 1, 1]),)))
    assert env.action_space == spaces.MultiDiscrete([2, 3])
    assert env.reset()[0]["action_mask"].tolist() == [True, False, True, True, True]
    env.step(np.array([0, 2]))
    assert env.unwrapped.received[0].tolist() == [[1, 3]]
    assert env.illegal_actions == 0


@pytest.mark.parametrize("mask", [[[1, 0], [1, 1], [0, 1]], [1, 0, 1, 1, 0, 1]])
@pytest.mark.parametrize("method", [False, True])
def test_bits_as_pairs(mask, method):
    space = spaces.MultiBinary(3)
    env = adapt(SwitchesWithMethod(space, mask) if method else Switches(space, mask))
    assert env.reset()[0]["action_mask"].tolist() == [True, False, True, True, False, True]
    env.step(np.array([0, 1, 1]))
    assert env.illegal_actions == 0
    env.step(np.array([1, 0, 1]))
    assert env.illegal_actions == 1
    assert env.unwrapped.received[0].dtype == np.int8


@pytest.mark.parametrize("wrapper", [MaskFromInfo, MaskFromObservation, MaskFromMethod])
def test_bits_in_gymnasiums_convention_where_it_is_named(wrapper):
    space, mask = spaces.MultiBinary(3), np.array([0, 2, 1], np.int8)
    env = SwitchesWithMethod(space, mask)
    if wrapper is not MaskFromMethod:
        env = Switches(space, mask, where="info" if wrapper is MaskFromInfo else "observation")
    wrapped = wrapper(env, binary_convention="gymnasium")
    assert wrapped.reset()[0]["action_mask"].tolist() == [True, False, True, True, False, True]


@pytest.mark.parametrize("mask", [[0, 1, 1], np.array([0, 2, 1]), np.array([True, False, True])])
def test_one_number_per_bit_is_never_guessed(mask):
    with pytest.raises((MaskShapeError, MaskDtypeError)) as raised:
        adapt(Switches(spaces.MultiBinary(3), mask)).reset()
    said = str(raised.value)
    assert "One number per bit can mean two things" in said
    assert "binary_convention='gymnasium'" in said and "(may be 0, may be 1)" in said


def test_other_values_in_gymnasiums_convention_are_named():
    env = adapt(Switches(spaces.MultiBinary(2), [0, 3]), binary_convention="gymnasium")
    with pytest.raises(MaskDtypeError, match=r"episode 1, step 0.*holds 3 at index \(1,\)"):
        env.reset()


def test_the_convention_is_a_setting_of_the_id(tmp_path, monkeypatch):
    (tmp_path / "lamps.py").write_text(
        "import gymnasium, numpy as np\n"
        "class Lamps(gymnasium.Env):\n"
        "    observation_space = gymnasium.spaces.Discrete(2)\n"
        "    action_space = gymnasium.spaces.MultiBinary(2)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        return 0, {'action_mask': [2, 1]}\n"
        "    def step(self, action):\n"
        "        return 0, 0.0, True, False, {'action_mask': [2, 1]}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    env = make("lamps:Lamps?binary_convention=gymnasium")
    assert env.reset()[0]["action_mask"].tolist() == [True, True, False, True]
    with pytest.raises(ConfigError, match="expected 'pairs'.*got 'gym'"):
        make("lamps:Lamps?binary_convention=gym")
    venv = make_vec("lamps:Lamps", 2, binary_convention="gymnasium")
    assert venv.reset()[0]["action_mask"].shape == (2, 4)


@pytest.mark.parametrize("where", ["info", "observation", "method"])
def test_a_tree_brings_its_tables(where):
    env = adapt(SquadWithMethod() if where == "method" else Squad(where))
    seen, _ = env.reset()
    assert seen["action_mask"].tolist() == [True, True, True, True, False]
    assert seen["action_mask:target"].tolist() == np.array(TABLE, bool).tolist()
    assert env.observation_space.contains(seen)
    assert action_tree_of(env) == TREE
    assert describe(env.observation_space, env.action_space, TREE).action_kind == "tree"


def test_illegal_is_what_a_head_that_counts_may_not_choose():
    env = adapt(Squad())
    env.reset()
    for action, illegal in (([0, 2], 0), ([1, 1], 0), ([1, 0], 1), ([1, 2], 2)):
        env.step(np.array(action))  # 110 of the row and 011 of the table leave target 1
        assert env.illegal_actions == illegal


def test_a_table_that_is_missing_is_named():
    env = Squad()
    env.mask = {"action_mask": FLAT}
    with pytest.raises(NoMaskError, match="action_mask:target is missing from info"):
        adapt(env).reset()


def test_a_table_of_another_shape_is_refused():
    env = Squad()
    env.mask = {"action_mask": FLAT, "action_mask:target": [[1, 1, 1]]}
    with pytest.raises(
        MaskShapeError, match=r"action_mask:target.*shape \(1, 3\), expected \(2, 3"
    ):
        adapt(env).reset()


def test_a_tree_passes_through_wrappers_and_vector_environments(tmp_path, monkeypatch):
    wrapped = gymnasium.wrappers.TimeLimit(adapt(gymnasium.wrappers.OrderEnforcing(Squad())), 3)
    assert wrapped.get_wrapper_attr("action_tree") == TREE
    (tmp_path / "squads.py").write_text(
        "import gymnasium, numpy as np\n"
        "from maskrl import ActionTree, Head\n"
        "class Squad(gymnasium.Env):\n"
        "    action_tree = ActionTree(Head('type', 2), Head('target', 3, {'type': [1]}))\n"
        "    observation_space = gymnasium.spaces.Discrete(2)\n"
        "    action_space = gymnasium.spaces.MultiDiscrete(action_tree.nvec)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        return 0, {'action_mask': [1, 1, 0, 1, 1]}\n"
        "    def step(self, action):\n"
        "        return 0, 0.0, True, False, {'action_mask': [1, 1, 0, 1, 1]}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    env, venv = make("squads:Squad"), make_vec("squads:Squad", 2)
    assert action_tree_of(env) == action_tree_of(venv) == env.unwrapped.action_tree
    assert venv.action_tree.names == ("type", "target")
    venv.reset(seed=0)
    venv.step(np.array([[0, 0], [1, 0]]))
    assert venv.illegal_actions == 1
