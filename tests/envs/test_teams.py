"""What a team's spaces say, every way in which they can contradict themselves, and rewards."""

from __future__ import annotations

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from maskrl.envs import contract
from maskrl.envs.contract import mask_space
from maskrl.envs.teams import agent_rewards, describe_team, is_team
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError, NoMaskError
from maskrl.masks.tree import ActionTree, Head


def box(*shape, low=-1.0, high=1.0, dtype=np.float32):
    return spaces.Box(low, high, shape, dtype)


def own(n=4, a=3, **entries):
    """Slots with observations of their own; `None` takes an entry away."""
    all_entries = {
        "observation": box(n, 7),
        "agent_mask": mask_space(n),
        "alive": mask_space(n),
        "action_mask": mask_space(n, a),
        **entries,
    }
    return spaces.Dict({k: v for k, v in all_entries.items() if v is not None})


def scene(n=4, e=6, a=3, **entries):
    return own(
        n,
        a,
        **{
            "observation": None,
            "entities": box(e, 5),
            "entity_mask": mask_space(e),
            "visibility": mask_space(e, e),
            **entries,
        },
    )


def grid(h=3, w=5, a=3, n=4, **entries):
    all_entries = {
        "grid": box(2, h, w),
        "agent_mask": mask_space(h, w),
        "action_mask": mask_space(a, h, w),
        "agent_cells": box(n, low=-1, high=h * w - 1, dtype=np.int64),
        "alive": mask_space(n),
        **entries,
    }
    return spaces.Dict({k: v for k, v in all_entries.items() if v is not None})


def multi(shape, n=3):
    return spaces.MultiDiscrete(np.full(shape, n))


TREE = ActionTree(Head("type", 2), Head("target", 4, relevant={"type": [1]}, mask_by="type"))


def heads(*places, first=False):
    """Two and four choices at each of these places."""
    nvec = np.broadcast_to(np.array([2, 4]), (*places, 2))
    return spaces.MultiDiscrete(np.moveaxis(nvec, -1, 0).copy() if first else nvec.copy())


# --- what is said -----------------------------------------------------------------------


def test_a_team_is_known_by_its_agent_mask():
    assert is_team(own()) and is_team(grid())
    assert not is_team(spaces.Dict(observation=box(3), action_mask=mask_space(2)))
    assert not is_team(box(3))


def test_slots_with_own_observations():
    team = describe_team(own(), multi(4))
    assert (team.form, team.source, team.agents, team.grid_shape) == ("slots", "own", 4, None)
    assert (team.nvec, team.heads, team.n_actions, team.n_heads) == ((3,), (3,), 3, 1)
    assert team.has_identity and team.has_alive and team.has_action_mask
    assert team.features == ("observation",)
    assert set(team.masks) == {"agent_mask", "alive", "action_mask"}
    assert (team.places, team.n_places, team.action_shape) == ((4,), 4, (4,))
    assert not team.has_head_axis and team.action_tree is None


def test_slots_with_a_shared_scene():
    team = describe_team(scene(positions=box(6, 2), alive=None, action_mask=None), multi((4, 1)))
    assert (team.source, team.agents) == ("scene", 4)
    assert not team.has_alive and not team.has_action_mask and team.has_identity
    assert team.has_head_axis and team.action_shape == (4, 1)
    assert set(team.features) == {"entities", "positions"}


def test_a_grid_of_agents_with_identity():
    team = describe_team(grid(), multi((3, 5)))
    assert (team.form, team.source, team.agents, team.grid_shape) == ("grid", "grid", 4, (3, 5))
    assert team.has_identity and team.features == ("grid",)
    assert (team.places, team.n_places, team.action_shape) == ((3, 5), 15, (3, 5))


def test_a_grid_of_nameless_units():
    space = grid(agent_cells=None, alive=None)
    team = describe_team(space, multi((3, 5)))
    assert not team.has_identity and not team.has_alive and team.agents == 15
    assert describe_team(space, multi((3, 5)), max_agents=6).agents == 6


@pytest.mark.parametrize("form", ["slots", "grid"])
def test_an_action_with_several_heads(form):
    if form == "slots":
        space, actions = own(a=6), heads(4)
    else:
        space, actions = grid(a=6), heads(3, 5, first=True)
    team = describe_team(space, actions)
    assert (team.nvec, team.heads, team.n_actions, team.n_heads) == ((2, 4), (2, 4), 6, 2)
    assert team.action_shape == actions.shape == ((4, 2) if form == "slots" else (2, 3, 5))


@pytest.mark.parametrize("form", ["slots", "grid"])
def test_heads_that_depend_on_each_other(form):
    if form == "slots":
        space, actions = own(a=6, **{"action_mask:target": mask_space(4, 2, 4)}), heads(4)
    else:
        space = grid(a=6, **{"action_mask:target": mask_space(2, 4, 3, 5)})
        actions = heads(3, 5, first=True)
    team = describe_team(space, actions, TREE)
    assert team.heads is TREE and team.action_tree is TREE and team.nvec == (2, 4)
    assert "action_mask:target" in team.masks


def test_the_general_description_knows_the_team():
    said = contract.describe(own(), multi(4))
    assert said.team == describe_team(own(), multi(4))
    assert (said.action_kind, said.n_actions, said.nvec) == ("team", 12, (3, 3, 3, 3))
    assert said.heads == (3,) and said.features == ("observation",) and said.has_action_mask
    alone = contract.describe(
        spaces.Dict(observation=box(2), action_mask=mask_space(3)), spaces.Discrete(3)
    )
    assert alone.team is None


def test_the_general_description_lists_heads_as_the_action_is_flattened():
    for space, actions in ((own(a=6), heads(4)), (grid(a=6), heads(3, 5, first=True))):
        assert contract.describe(space, actions).nvec == tuple(actions.nvec.reshape(-1))


# --- what is refused ----------------------------------------------------------------------


def refused(error, message, space, actions, tree=None, **more):
    with pytest.raises(error, match=message):
        describe_team(space, actions, tree, **more)
    if not more:  # the general description refuses the same
        with pytest.raises(error, match=message):
            contract.describe(space, actions, tree)


@pytest.mark.parametrize("key", ["agent_mask", "alive", "action_mask"])
def test_masks_must_be_boolean(key):
    shape = {"agent_mask": (4,), "alive": (4,), "action_mask": (4, 3)}[key]
    space = own(**{key: spaces.Box(0, 1, shape, np.int8)})
    refused(MaskDtypeError, f"{key}.*must be Box", space, multi(4))


def test_without_agent_mask_there_is_no_team():
    with pytest.raises(NoMaskError, match="no agent_mask"):
        describe_team(own(agent_mask=None), multi(4))
    with pytest.raises(ConfigError, match="expected a gymnasium.spaces.Dict"):
        describe_team(box(3), multi(4))


@pytest.mark.parametrize("shape", [(), (2, 3, 4), (0,)])
def test_agent_mask_has_one_or_two_dimensions(shape):
    refused(MaskShapeError, "agent_mask has shape", own(agent_mask=mask_space(*shape)), multi(4))


@pytest.mark.parametrize(
    ("space", "actions", "message"),
    [
        (own(), spaces.Discrete(3), r"Discrete\(3\).*expected a MultiDiscrete with nvec of shape"),
        (own(), spaces.MultiBinary(4), "one action per place"),
        (own(), multi(5), r"nvec of the action space has shape \(5,\), agent_mask has shape \(4,"),
        (own(a=6), heads(4, first=True), "transposed"),
        (own(), multi((2, 4, 1)), r"expected a MultiDiscrete"),
        (grid(), multi(15), "It is flat: reshape"),
        (grid(a=6), heads(3, 5), "Heads are the first axis on a grid"),
        (grid(), multi((5, 3)), r"\[3, 5\] or \[heads, 3, 5\]"),
        (own(), spaces.MultiDiscrete([3, 3, 3, 3], start=[1, 1, 1, 1]), "does not start at 0"),
    ],
)
def test_action_spaces_that_do_not_fit(space, actions, message):
    refused(ConfigError, message, space, actions)


def test_all_agents_must_be_alike():
    refused(
        ConfigError,
        r"agent at 2 has the choices \[5\], the first one \[3\]",
        own(),
        spaces.MultiDiscrete([3, 3, 5, 3]),
    )
    odd = np.full((2, 3, 5), 3)
    odd[1, 2, 4] = 7
    refused(
        ConfigError,
        r"agent at \(2, 4\) has the choices \[3, 7\]",
        grid(a=6),
        spaces.MultiDiscrete(odd),
    )


@pytest.mark.parametrize(
    ("space", "actions", "message"),
    [
        (own(action_mask=mask_space(4, 2)), multi(4), r"\(4, 2\).* need \(4, 3\): \[agents, act"),
        (own(action_mask=mask_space(12)), multi(4), "another order or layout"),
        (own(action_mask=mask_space(3, 4)), multi(4), "another order or layout"),
        (grid(action_mask=mask_space(3, 5, 3)), multi((3, 5)), r"need \(3, 3, 5\): \[actions, H"),
        (own(), heads(4), r"need \(4, 6\)"),
        (own(alive=mask_space(5)), multi(4), r"alive has shape \(5,\).*expected \(4,\)"),
        (grid(alive=mask_space(3, 5)), multi((3, 5)), r"alive has shape \(3, 5\).*expected \(4,\)"),
        (scene(entity_mask=mask_space(5)), multi(4), r"entity_mask has shape \(5,\), there are 6"),
        (scene(visibility=mask_space(6, 4)), multi(4), r"visibility.*expected \(6, 6\)"),
    ],
)
def test_masks_that_do_not_fit(space, actions, message):
    refused(MaskShapeError, message, space, actions)


@pytest.mark.parametrize(
    ("space", "actions", "message"),
    [
        (own(observation=None), multi(4), "masks and no features"),
        (own(observation=box(5, 7)), multi(4), r"'observation'.*Box \[4, ...\]"),
        (own(n=4, speed=box(2)), multi(4), "'speed'"),
        (own(kind=spaces.Discrete(4)), multi(4), "'kind' is Discrete"),
        (own(entities=box(6, 5)), multi(4), "add entity_mask"),
        (own(visibility=mask_space(4, 4)), multi(4), "visibility and no entity_mask"),
        (own(agent_cells=box(4, low=-1, high=14, dtype=np.int64)), multi(4), "only where agent_ma"),
        (scene(entities=None), multi(4), "its entry 'entities' is None"),
        (scene(entities=box(4, 6, 5)), multi(4), "one scene that all agents share"),
        (scene(e=3), multi(4), "3 entities and 4 agents"),
        (scene(positions=box(4, 2)), multi(4), r"positions.*Box \[6, coordinates\]"),
        (grid(grid=None), multi((3, 5)), "needs the entry 'grid'.*got None"),
        (grid(grid=box(3, 5, 2)), multi((3, 5)), r"\[C, 3, 5\]"),
        (grid(visibility=mask_space(15, 15)), multi((3, 5)), "'visibility' beside agent_mask"),
        (grid(entity_mask=mask_space(15)), multi((3, 5)), "'entity_mask' beside agent_mask"),
        (grid(agent_cells=None), multi((3, 5)), "alive and no agent_cells"),
        (grid(agent_cells=box(4, low=-1, high=14, dtype=np.int32)), multi((3, 5)), "int64"),
        (grid(agent_cells=box(4, low=0, high=14, dtype=np.int64)), multi((3, 5)), r"Box\(-1, 14"),
        (grid(agent_cells=box(4, low=-1, high=15, dtype=np.int64)), multi((3, 5)), r"Box\(-1, 14"),
        (grid(n=16), multi((3, 5)), "16 agents on 15 cells"),
    ],
)
def test_features_that_contradict_the_masks(space, actions, message):
    refused(ConfigError, message, space, actions)


def test_the_tree_must_be_that_of_one_agent():
    table = {"action_mask:target": mask_space(4, 2, 4)}
    refused(ConfigError, "does not fit the action space", own(a=7, **table), multi((4, 2)), TREE)
    refused(ConfigError, "no axis of heads", own(), multi(4), ActionTree(Head("only", 3)))
    refused(NoMaskError, "action_mask:target.*shape .4, 2, 4", own(a=6), heads(4), TREE)
    refused(ConfigError, "there is no action_tree", own(a=6, **table), heads(4))
    other = {"action_mask:speed": mask_space(4, 2, 4), **table}
    refused(ConfigError, "no head of ActionTree.*takes it", own(a=6, **other), heads(4), TREE)
    flat = {"action_mask:target": mask_space(2, 4)}
    refused(MaskShapeError, r"need \(4, 2, 4\)", own(a=6, **flat), heads(4), TREE)
    on_grid = grid(a=6, **{"action_mask:target": mask_space(3, 5, 2, 4)})
    refused(MaskShapeError, r"need \(2, 4, 3, 5\)", on_grid, heads(3, 5, first=True), TREE)


def test_a_tree_without_tables_needs_no_mask():
    tree = ActionTree(Head("type", 2), Head("target", 4, relevant={"type": [1]}))
    team = describe_team(own(action_mask=None), heads(4), tree)
    assert not team.has_action_mask and team.heads is tree


def test_max_agents_must_agree():
    refused(ConfigError, "max_agents is 3", own(), multi(4), max_agents=3)
    refused(ConfigError, "max_agents is 3", grid(), multi((3, 5)), max_agents=3)
    nameless = grid(agent_cells=None, alive=None)
    refused(ConfigError, "expected 1 to 15", nameless, multi((3, 5)), max_agents=16)
    assert describe_team(own(), multi(4), max_agents=4).agents == 4


# --- rewards -----------------------------------------------------------------------------


class Payday(gymnasium.Env):
    """Two agents; agent n gets 10 n + t in step t; the episode ends after `length` steps."""

    gives_agent_rewards = True
    max_agents = 2

    def __init__(self, length=3, tells=True):
        self.length = length
        self.tells = tells
        self.observation_space = own(n=2)
        self.action_space = multi(2)

    def _out(self):
        return {k: np.zeros(s.shape, s.dtype) for k, s in self.observation_space.spaces.items()}

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self._out(), {}

    def step(self, action):
        self.t += 1
        each = np.array([self.t, 10.0 + self.t])
        info = {"agent_rewards": each} if self.tells else {}
        return self._out(), each.sum(), self.t >= self.length, False, info


def of_gymnasium(*envs):
    venv = SyncVectorEnv(
        [lambda env=env: env for env in envs], autoreset_mode=AutoresetMode.SAME_STEP
    )
    venv.reset(seed=1)
    return venv


def test_rewards_of_gymnasiums_vector_environments():
    venv = of_gymnasium(Payday(2), Payday(3), Payday(3))
    seen = []
    for _ in range(6):
        _, team, terminated, truncated, infos = venv.step(venv.action_space.sample())
        each = agent_rewards(infos, terminated | truncated, 3, 2)
        np.testing.assert_array_equal(each.sum(axis=1), team)
        seen.append(each[:, 0].tolist())
    # the own step's rewards, those of the step that ends an episode and all at once included
    assert seen == [[1, 1, 1], [2, 2, 2], [1, 3, 3], [2, 1, 1], [1, 2, 2], [2, 3, 3]]


def test_rewards_of_our_own_vector_environments():
    given = np.arange(6, dtype=np.float32).reshape(3, 2)
    each = agent_rewards({"agent_rewards": given}, np.array([True, False, False]), 3, 2)
    np.testing.assert_array_equal(each, given)
    assert each.dtype == np.float64
    each[0] = 9
    assert given[0, 0] == 0  # a copy
    # final infos of something else change nothing
    infos = {"agent_rewards": given, "final_info": {"score": np.zeros(3)}, "_final_info": [1, 0, 0]}
    np.testing.assert_array_equal(agent_rewards(infos, np.array([True, False, False]), 3, 2), given)


def test_rewards_that_are_missing_or_strange():
    ended = np.array([False, True, False])
    with pytest.raises(ConfigError, match="no agent_rewards of sub-environment 0, which goes on"):
        agent_rewards({}, ended, 3, 2)
    venv = of_gymnasium(Payday(2), Payday(1, tells=False), Payday(2))
    *_, terminated, truncated, infos = venv.step(venv.action_space.sample())
    with pytest.raises(ConfigError, match="sub-environment 1, which ended"):
        agent_rewards(infos, terminated | truncated, 3, 2)
    with pytest.raises(ConfigError, match=r"has shape \(3, 3\).*expected numbers \(3, 2\)"):
        agent_rewards({"agent_rewards": np.zeros((3, 3))}, ended, 3, 2)
    bad = np.zeros((3, 2))
    bad[2, 1] = np.nan
    with pytest.raises(ConfigError, match="sub-environment 2, agent 1 got nan"):
        agent_rewards({"agent_rewards": bad}, ended, 3, 2)
    with pytest.raises(ConfigError, match="ended has shape"):
        agent_rewards({"agent_rewards": bad}, ended[:2], 3, 2)
    with pytest.raises(ConfigError, match="object"):
        agent_rewards({"agent_rewards": np.full((3, 2), None)}, ended, 3, 2)


# --- attributes ----------------------------------------------------------------------------


def test_attributes_are_read_through_wrappers_and_vector_environments():
    env = gymnasium.wrappers.TimeLimit(Payday(), 5)
    assert contract.gives_agent_rewards(env) and contract.describe_env(env).team.agents == 2
    venv = of_gymnasium(env, Payday())
    assert contract.gives_agent_rewards(venv) and contract.describe_env(venv).team.agents == 2
    assert not contract.gives_agent_rewards(gymnasium.make("CartPole-v1"))
    env.unwrapped.max_agents = 3
    with pytest.raises(ConfigError, match="sub-environments differ: .2, 3."):
        contract.describe_env(venv)


def test_no_torch_is_loaded():
    code = "import maskrl.envs.teams, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
