"""The contract: which entries are masks, what spaces describe, where final observations are."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorWrapper
from gymnasium.wrappers import TimeLimit

from maskrl.envs import contract
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError, NoMaskError
from maskrl.masks.tree import ActionTree, Head


def space(**entries):
    return spaces.Dict(entries)


FEATURES = spaces.Box(-1, 1, (3,), np.float32)


def test_describe_discrete():
    said = contract.describe(
        space(observation=FEATURES, action_mask=contract.mask_space(6)), spaces.Discrete(6)
    )
    assert (said.action_kind, said.n_actions, said.nvec) == ("discrete", 6, (6,))
    assert said.features == ("observation",) and said.masks == ("action_mask",)
    assert said.has_action_mask and not said.has_entities and said.observer_index == 0


def test_describe_entities_without_action_mask():
    said = contract.describe(
        space(entities=spaces.Box(-1, 1, (5, 3), np.float32), entity_mask=contract.mask_space(5)),
        spaces.Discrete(2),
    )
    assert said.has_entities and not said.has_action_mask


@pytest.mark.parametrize(
    ("action_space", "mask_shape", "kind", "n_actions", "nvec"),
    [
        (spaces.MultiDiscrete([2, 3]), (5,), "multi_discrete", 5, (2, 3)),
        (spaces.MultiBinary(3), (6,), "multi_binary", 6, (2, 2, 2)),
        (spaces.MultiBinary(3), (3, 2), "multi_binary", 6, (2, 2, 2)),
    ],
)
def test_describe_several_heads(action_space, mask_shape, kind, n_actions, nvec):
    said = contract.describe(space(action_mask=contract.mask_space(*mask_shape)), action_space)
    assert (said.action_kind, said.n_actions, said.nvec) == (kind, n_actions, nvec)


TREE = ActionTree(
    Head("type", 3),
    Head("direction", 2, relevant={"type": [1]}),
    Head("target", 4, relevant={"type": [1, 2]}, mask_by="type"),
)
TREE_MASKS = {
    "action_mask": contract.mask_space(9),
    "action_mask:target": contract.mask_space(3, 4),
}


def test_describe_a_tree():
    said = contract.describe(space(x=FEATURES, **TREE_MASKS), spaces.MultiDiscrete([3, 2, 4]), TREE)
    assert (said.action_kind, said.n_actions, said.nvec) == ("tree", 9, (3, 2, 4))
    assert said.action_tree is TREE and said.heads is TREE
    assert said.features == ("x",) and set(said.masks) == set(TREE_MASKS)


def test_a_tree_without_tables_needs_no_action_mask_where_all_is_allowed():
    tree = ActionTree(Head("type", 2), Head("where", 3, relevant={"type": [1]}))
    said = contract.describe(
        space(entities=spaces.Box(-1, 1, (5, 3), np.float32), entity_mask=contract.mask_space(5)),
        spaces.MultiDiscrete([2, 3]),
        tree,
    )
    assert said.action_kind == "tree" and not said.has_action_mask


@pytest.mark.parametrize(
    ("changes", "action_space", "tree", "error", "message"),
    [
        (
            {},
            spaces.MultiDiscrete([3, 2, 5]),
            TREE,
            ConfigError,
            r"expected MultiDiscrete\(\[3, 2, 4",
        ),
        ({}, spaces.Discrete(9), TREE, ConfigError, r"expected MultiDiscrete\(\[3, 2, 4"),
        (
            {},
            spaces.MultiDiscrete([3, 2, 4]),
            None,
            ConfigError,
            "'action_mask:target'.*no action_t",
        ),
        (
            {"action_mask:target": None},
            spaces.MultiDiscrete([3, 2, 4]),
            TREE,
            NoMaskError,
            r"needs the entry 'action_mask:target' of shape \(3, 4\)",
        ),
        (
            {"action_mask": None, "entity_mask": contract.mask_space(4)},
            spaces.MultiDiscrete([3, 2, 4]),
            TREE,
            NoMaskError,
            r"needs the entry 'action_mask' of shape \(9,\)",
        ),
        (
            {"action_mask:target": contract.mask_space(4, 3)},
            spaces.MultiDiscrete([3, 2, 4]),
            TREE,
            MaskShapeError,
            r"\(4, 3\).*needs \(3, 4\): \(choices of the head it goes by, choices\)",
        ),
        (
            {"action_mask:direction": contract.mask_space(3, 2)},
            spaces.MultiDiscrete([3, 2, 4]),
            TREE,
            ConfigError,
            "table 'action_mask:direction', and no head",
        ),
        (
            {"action_mask:target": spaces.Box(0, 1, (3, 4), np.int8)},
            spaces.MultiDiscrete([3, 2, 4]),
            TREE,
            MaskDtypeError,
            "action_mask:target",
        ),
    ],
)
def test_a_tree_that_does_not_fit_is_refused(changes, action_space, tree, error, message):
    entries = {k: v for k, v in {**TREE_MASKS, **changes}.items() if v is not None}
    with pytest.raises(error, match=message):
        contract.describe(space(x=FEATURES, **entries), action_space, tree)


def test_describe_candidates():
    rows = spaces.Box(-1, 1, (6, 3), np.float32)
    said = contract.describe(
        space(candidates=rows, action_mask=contract.mask_space(6)), spaces.Discrete(6)
    )
    assert (said.action_kind, said.n_actions, said.nvec) == ("candidates", 6, (6,))


@pytest.mark.parametrize(
    ("entry", "action_space", "message"),
    [
        (spaces.Box(-1, 1, (5, 3), np.float32), spaces.Discrete(6), "5 rows .* one action per can"),
        (spaces.Box(-1, 1, (6,), np.float32), spaces.Discrete(6), "give it another name"),
        (spaces.Box(-1, 1, (6, 1), np.float32), spaces.MultiDiscrete([3, 3]), "another name"),
        (spaces.Discrete(4), spaces.Discrete(6), "another name"),
    ],
)
def test_candidates_that_do_not_fit_are_refused(entry, action_space, message):
    with pytest.raises(ConfigError, match=message):
        contract.describe(space(candidates=entry, action_mask=contract.mask_space(6)), action_space)


def test_a_table_is_a_mask_by_its_name():
    assert contract.is_mask_key("action_mask:target") and contract.is_mask_key("alive")
    assert not contract.is_mask_key("action_masks") and not contract.is_mask_key("target")
    mine = space(speed=FEATURES, **TREE_MASKS)
    assert set(contract.mask_keys(mine)) == set(TREE_MASKS)
    assert contract.feature_keys(mine) == ("speed",)


class WithTree(gymnasium.Env):
    observation_space = spaces.Discrete(2)
    action_space = spaces.MultiDiscrete(TREE.nvec)
    action_tree = TREE


def test_the_tree_is_found_through_wrappers_and_on_vector_environments(corridor):
    assert contract.action_tree_of(WithTree()) == TREE
    assert contract.action_tree_of(TimeLimit(WithTree(), 3)) == TREE
    ours = GymnasiumVectorEnv([WithTree] * 2)
    assert ours.action_tree == TREE and contract.action_tree_of(ours) == TREE
    assert contract.action_tree_of(VectorWrapper(ours)) == TREE
    assert contract.action_tree_of(SyncVectorEnv([WithTree] * 2)) == TREE
    assert contract.action_tree_of(corridor()) is None
    assert contract.action_tree_of(GymnasiumVectorEnv([corridor])) is None
    assert contract.action_tree_of(SyncVectorEnv([corridor])) is None


def test_looking_for_a_tree_leaves_other_processes_alive(corridor):
    venv = AsyncVectorEnv([corridor])
    assert contract.action_tree_of(venv) is None
    venv.reset(seed=0)
    venv.close()


def test_other_things_under_the_name_of_the_tree_are_refused():
    class Wrong(WithTree):
        action_tree = (3, 2, 4)

    with pytest.raises(ConfigError, match="Wrong has a tuple there"):
        contract.action_tree_of(Wrong())

    class Other(WithTree):
        action_tree = ActionTree(Head("type", 3), Head("a", 2), Head("b", 4))

    with pytest.raises(ConfigError, match="sub-environments differ"):
        contract.action_tree_of(SyncVectorEnv([WithTree, Other]))


def test_describe_refuses_what_has_no_mask_and_says_what_it_looked_for():
    with pytest.raises(NoMaskError, match=r"action_mask, entity_mask, agent_mask.*\['x'\]"):
        contract.describe(space(x=FEATURES), spaces.Discrete(2))


def test_describe_refuses_an_int8_mask():
    with pytest.raises(MaskDtypeError, match="mask_space"):
        contract.describe(space(action_mask=spaces.Box(0, 1, (2,), np.int8)), spaces.Discrete(2))


def test_describe_refuses_a_mask_of_another_length():
    with pytest.raises(MaskShapeError, match=r"\(7,\).*\(6,\)"):
        contract.describe(space(action_mask=contract.mask_space(7)), spaces.Discrete(6))


@pytest.mark.parametrize(
    ("observation_space", "action_space", "message"),
    [
        (FEATURES, spaces.Discrete(2), "expected a gymnasium.spaces.Dict"),
        (space(action_mask=contract.mask_space(2)), FEATURES, "takes no action mask"),
        (
            space(action_mask=contract.mask_space(2)),
            spaces.Discrete(2, start=1),
            "numbered from 0",
        ),
    ],
)
def test_describe_refuses_spaces_it_cannot_use(observation_space, action_space, message):
    with pytest.raises(ConfigError, match=message):
        contract.describe(observation_space, action_space)


def test_final_observations_are_the_same_from_both_layouts():
    batched = {"a": np.arange(6).reshape(3, 2), "b": np.array([True, False, True])}
    rows = np.empty(3, dtype=object)
    rows[0] = {key: value[0] for key, value in batched.items()}
    rows[2] = {key: value[2] for key, value in batched.items()}
    index = np.array([0, 2])
    ours = contract.final_observations({"final_obs": batched}, index)
    theirs = contract.final_observations({"final_obs": rows}, index)
    for key in batched:
        np.testing.assert_array_equal(ours[key], batched[key][index])
        np.testing.assert_array_equal(theirs[key], ours[key])
        assert theirs[key].dtype == ours[key].dtype
    ours["a"][:] = -1
    assert batched["a"].min() == 0, "a copy"


def test_final_observations_refuses_what_has_none():
    with pytest.raises(ConfigError, match="SAME_STEP"):
        contract.final_observations({}, np.array([0]))
    with pytest.raises(ConfigError, match="sub-environment 1"):
        contract.final_observations(
            {"final_obs": np.array([{"a": 1}, None], dtype=object)}, np.array([1])
        )


def test_same_step_is_required(corridor):
    venv = SyncVectorEnv([corridor])
    with pytest.raises(ConfigError, match="AutoresetMode.SAME_STEP"):
        contract.require_same_step(venv)
    contract.require_same_step(SyncVectorEnv([corridor], autoreset_mode="SameStep"))


def test_who_can_save_state(corridor):
    class Saves(SyncVectorEnv):
        def get_state(self):
            return {}

        def set_state(self, state):
            pass

    class SavesNot(Saves):
        def can_save_state(self):
            return False

    assert contract.can_save_state(Saves([corridor]))
    assert not contract.can_save_state(SavesNot([corridor]))
    assert not contract.can_save_state(SyncVectorEnv([corridor]))
