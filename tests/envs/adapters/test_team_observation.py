"""Teams of others: masks made boolean and copied, and every contradiction named."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence

from maskrl.envs import make_vec
from maskrl.envs.adapters.gymnasium_info import adapt, is_adapted
from maskrl.envs.adapters.pettingzoo_parallel import ParallelTeam
from maskrl.envs.adapters.team_observation import TeamMasks, check_team_observation
from maskrl.envs.contract import describe_env, gives_agent_rewards, mask_space
from maskrl.envs.teams import agent_rewards, describe_team
from maskrl.errors import ConfigError, MaskDtypeError, MaskError, MaskShapeError
from maskrl.masks.tree import ActionTree, Head

SLOTS = {"agent_mask": [1, 0, 1], "alive": [1, 1, 1], "action_mask": [[1, 0], [0, 0], [1, 1]]}


class Team(gymnasium.Env):
    """Hands out what `frames` say, in the environment's own arrays, and changes them later."""

    gives_agent_rewards = True

    def __init__(self, frames=None, *, dtype=np.int8, spaces_of=None, rewards=(1, 2, 3.5), **of):
        self.frames = frames or [SLOTS]
        self.dtype = dtype
        self.rewards = rewards
        self.raises = of.pop("raises", None)
        for name, value in of.items():
            setattr(self, name, value)
        shapes = {k: np.shape(v) for k, v in self.frames[0].items()}
        entries = {k: spaces.Box(0, 1, s, np.int8) for k, s in shapes.items()}
        self.observation_space = spaces.Dict(
            {"observation": spaces.Box(0, 9, (3, 2)), **entries, **(spaces_of or {})}
        )
        self.action_space = of.get("action_space", spaces.MultiDiscrete([2, 2, 2]))
        self.shared = {}
        self.received = []

    def _out(self):
        frame = self.frames[min(self.t, len(self.frames) - 1)]
        for array in self.shared.values():
            array[...] = 0  # what was handed out before
        self.shared = {k: np.array(v, self.dtype) for k, v in frame.items()}
        self.shared["observation"] = np.full((3, 2), self.t, np.float32)
        return dict(self.shared)

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self._out(), {}

    def step(self, action):
        if self.raises is not None:
            raise self.raises
        self.received.append(action)
        self.t += 1
        return self._out(), 6.5, False, False, {"agent_rewards": self.rewards}


@pytest.mark.parametrize("dtype", [np.int8, np.float64, np.bool_])
def test_masks_become_boolean_and_are_copied(dtype):
    env = adapt(Team(dtype=dtype), name="mine")
    assert isinstance(env, TeamMasks) and is_adapted(env) and adapt(env) is env
    assert env.observation_space["action_mask"] == mask_space(3, 2)
    assert describe_env(env).team == env.team and env.team.source == "own"
    seen, _ = env.reset(seed=0)
    after, reward, *_ = env.step(np.zeros(3, int))  # its own arrays are zeros now
    assert seen["agent_mask"].dtype == np.bool_ and seen["agent_mask"].tolist() == [1, 0, 1]
    assert seen["action_mask"].tolist() == [[1, 0], [0, 0], [1, 1]]
    assert not seen["observation"].any() and (after["observation"] == 1).all() and reward == 6.5
    assert env.observation_space.contains(seen)


def test_what_acts_against_its_mask_is_counted():
    env = adapt(Team())
    env.reset(seed=0)
    counts = []
    for action in ([0, 1, 1], [1, 0, 0], [1, 1, 1]):
        env.step(np.array(action))
        counts.append(env.illegal_actions)
    assert counts == [0, 1, 2]  # the first agent alone may not do 1; the second waits
    assert adapt(Team(illegal_actions=7)).illegal_actions == 7  # it counts itself


def test_zeros_may_mean_allowed_in_action_masks_alone():
    flipped = {**SLOTS, "action_mask": 1 - np.array(SLOTS["action_mask"])}
    seen, _ = adapt(Team([flipped]), mask_allowed=0).reset(seed=0)
    assert seen["action_mask"].tolist() == [[1, 0], [0, 0], [1, 1]]
    assert seen["agent_mask"].tolist() == [1, 0, 1]


def test_rewards_of_agents_are_numbers_in_every_vector_environment():
    env = adapt(Team())
    assert gives_agent_rewards(env)
    env.reset(seed=0)
    info = env.step(np.zeros(3, int))[4]
    assert info["agent_rewards"].tolist() == [1, 2, 3.5]
    for wrong in (None, (1, 2), "abc"):
        env = adapt(Team(rewards=wrong), name="mine")
        env.reset(seed=0)
        with pytest.raises(ConfigError, match=r"'mine', episode 1, step 1: info\[.agent_rewards"):
            env.step(np.zeros(3, int))


def test_ones_own_class_by_its_id(tmp_path, monkeypatch):
    (tmp_path / "myteam.py").write_text(
        "import gymnasium, numpy as np\n"
        "from gymnasium.spaces import Box, Dict, MultiDiscrete\n"
        "class Pair(gymnasium.Env):\n"
        "    gives_agent_rewards = True\n"
        "    observation_space = Dict(observation=Box(0, 9, (2, 1)), agent_mask=Box(0, 1, (2,)))\n"
        "    action_space = MultiDiscrete([[2, 3], [2, 3]])\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        self.t = 0\n"
        "        return self.out(), {}\n"
        "    def out(self):\n"
        "        return {'observation': np.full((2, 1), self.t), 'agent_mask': [1.0, 0.0]}\n"
        "    def step(self, action):\n"
        "        assert np.shape(action) == (2, 2)\n"
        "        self.t += 1\n"
        "        each = np.array(action)[:, 0].astype(float)\n"
        "        return self.out(), each.sum(), self.t > 1, False, {'agent_rewards': each}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    venv = make_vec("myteam:Pair", 3, seed=0)
    team = describe_env(venv).team
    assert (team.nvec, team.action_shape) == ((2, 3), (2, 2))
    venv.reset()
    for t in range(4):
        actions = venv.action_space.sample()
        _, rewards, terminated, truncated, infos = venv.step(actions)
        each = agent_rewards(infos, terminated | truncated, 3, 2)
        np.testing.assert_array_equal(each, actions[..., 0])
        assert terminated.all() == (t % 2 == 1)
    state = venv.get_state()
    other = make_vec("myteam:Pair", 3, seed=5)
    other.reset()
    other.set_state(state)
    actions = np.ones((3, 2, 2), int)
    for mine, theirs in zip(venv.step(actions)[:4], other.step(actions)[:4], strict=True):
        assert data_equivalence(mine, theirs)


def test_a_tree_and_its_tables():
    tree = ActionTree(Head("type", 2), Head("target", 2, mask_by="type"))
    frame = {
        "agent_mask": [1, 1, 0],
        "action_mask": np.ones((3, 4)),
        "action_mask:target": np.broadcast_to([[0, 1], [1, 0]], (3, 2, 2)),
    }
    env = adapt(
        Team([frame], action_tree=tree, action_space=spaces.MultiDiscrete(np.full((3, 2), 2)))
    )
    assert env.team.action_tree == tree
    env.reset(seed=0)
    env.step(np.array([[0, 1], [1, 1], [0, 0]]))
    assert env.illegal_actions == 1


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        ({"agent_mask": [1, 0, 2]}, MaskDtypeError, r"'mine', episode 1, step 1: .*holds 2 at"),
        ({"agent_mask": [1, 0]}, MaskShapeError, r"agent_mask has shape \(2,\), its space says"),
        ({"alive": [0, 0, 1]}, MaskError, "agent 0 acts .agent_mask. and is not alive"),
        ({"alive": None}, ConfigError, "observation has no 'alive', which its space has"),
    ],
)
def test_observations_that_contradict_themselves(frame, error, message):
    broken = {k: v for k, v in {**SLOTS, **frame}.items() if v is not None}
    env = adapt(Team([SLOTS, broken]), name="mine")
    env.reset(seed=0)
    with pytest.raises(error, match=message):
        env.step(np.zeros(3, int))


def test_spaces_that_contradict_themselves_name_the_environment():
    with pytest.raises(MaskShapeError, match="environment 'mine': describe_team: action_mask has"):
        adapt(Team([{**SLOTS, "action_mask": [[1, 0, 1]] * 3}]), name="mine")


def test_failures_of_the_environment_are_told_with_their_place():
    env = adapt(Team(raises=KeyError("boom")), name="mine")
    env.reset(seed=0)
    with pytest.raises(
        ConfigError, match="'mine', episode 1, step 0: step fails: KeyError: 'boom'"
    ):
        env.step(np.zeros(3, int))


def test_a_pettingzoo_team_needs_no_second_look(scripted):
    team = ParallelTeam(scripted([{"agents": ["a_0", "a_1", "a_2"]}]))
    assert adapt(team) is team


# --- scenes and grids -------------------------------------------------------------------------


def scene_team():
    space = spaces.Dict(
        entities=spaces.Box(0, 1, (4, 2)),
        entity_mask=mask_space(4),
        agent_mask=mask_space(2),
        alive=mask_space(2),
    )
    return describe_team(space, spaces.MultiDiscrete([2, 2]))


def grid_team(alive=True):
    space = {
        "grid": spaces.Box(0, 1, (1, 2, 3)),
        "agent_mask": mask_space(2, 3),
        "agent_cells": spaces.Box(-1, 5, (2,), np.int64),
    }
    if alive:
        space["alive"] = mask_space(2)
    return describe_team(spaces.Dict(space), spaces.MultiDiscrete(np.full((2, 3), 2)))


def seen(**rows):
    return {key: np.array(value)[None] for key, value in rows.items()}


def acting_in(*cells):
    mask = np.zeros(6, bool)
    mask[list(cells)] = True
    return mask.reshape(2, 3)


def test_observations_that_hold_together_pass():
    yes = [True, True]
    check_team_observation(
        seen(entity_mask=[*yes, False, True], agent_mask=[True, False], alive=yes), scene_team()
    )
    for cells, acting in (([4, 0], (4, 0)), ([4, -1], (4,)), ([4, 0], ()), ([-1, -1], ())):
        where = seen(agent_cells=cells, agent_mask=acting_in(*acting), alive=yes)
        check_team_observation(where, grid_team())
    nameless = spaces.Dict(grid=spaces.Box(0, 1, (1, 2, 3)), agent_mask=mask_space(2, 3))
    team = describe_team(nameless, spaces.MultiDiscrete(np.full((2, 3), 2)))
    check_team_observation(seen(agent_mask=acting_in(1, 2)), team)


def test_who_acts_in_a_scene_is_an_entity():
    with pytest.raises(MaskError, match="row 0, agent 1 acts .agent_mask. and is no entity"):
        check_team_observation(
            seen(
                entity_mask=[True, False, True, True],
                agent_mask=[True, True],
                alive=[True, True],
            ),
            scene_team(),
        )


@pytest.mark.parametrize(
    ("cells", "acting", "alive", "message"),
    [
        ([4, 6], (4,), [True, True], "agent 1 is in a cell that is none.*-1 to 5"),
        ([-2, 4], (4,), [True, True], "agent 0 is in a cell that is none"),
        ([4, 4], (4,), [True, True], "shares its cell with another"),
        ([4, -1], (4, 2), [True, True], r"row 0, cell \(0, 2\): an agent acts there"),
        ([4, 0], (4, 0), [True, False], "agent 1 acts in its cell .* is not alive"),
    ],
)
def test_what_a_grid_says_of_agents_must_agree(cells, acting, alive, message):
    with pytest.raises(MaskError, match=message):
        check_team_observation(
            seen(agent_cells=cells, agent_mask=acting_in(*acting), alive=alive), grid_team()
        )


@pytest.mark.parametrize("world", ["pandas", "pandas-grid"])
def test_our_own_worlds_hold_together(world):
    venv = make_vec(world, 8)
    team = describe_env(venv).team
    obs, _ = venv.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(60):
        check_team_observation(obs, team)
        nvec = venv.single_action_space.nvec
        obs, *_ = venv.step(rng.integers(0, nvec, (8, *nvec.shape)))
