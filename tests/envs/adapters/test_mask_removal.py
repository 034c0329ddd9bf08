"""Environments without a mask: what stays, what is gone, and what goes on below."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from maskrl.envs import make, make_vec
from maskrl.envs.acting_rows import ActingRows
from maskrl.envs.adapters.mask_removal import RemoveActionMask, RemoveAgentMask, remove_masks
from maskrl.envs.contract import (
    can_save_state,
    describe_env,
    final_observations,
    gives_agent_rewards,
    mask_space,
    require_same_step,
)
from maskrl.envs.teams import agent_rewards
from maskrl.errors import ConfigError
from maskrl.masks.tree import ActionTree, Head

WAYS = [("action_mask",), ("agent_mask",), ("action_mask", "agent_mask")]
SMALL = {"step_limit": 6}


def rolled(venv, steps, seed=0):
    """Observations, infos and endings under actions that look at nothing."""
    rng = np.random.default_rng(seed)
    obs, infos = venv.reset(seed=seed)
    told = [(obs, None, None, infos)]
    for _ in range(steps):
        nvec = venv.single_action_space.nvec
        actions = rng.integers(0, nvec, (venv.num_envs, *nvec.shape))
        obs, rewards, terminated, truncated, infos = venv.step(actions)
        told.append((obs, rewards, terminated | truncated, infos))
    return told


@pytest.mark.parametrize("world", ["pandas", "pandas-grid"])
@pytest.mark.parametrize("masks", WAYS)
def test_the_world_goes_on_as_before(world, masks):
    """Features, rewards, endings and the count of illegal actions are those of the world."""
    plain, bare = make_vec(world, 3, **SMALL), make_vec(world, 3, remove_masks=masks, **SMALL)
    require_same_step(bare)
    features = describe_env(plain).features
    endings = 0
    for before, after in zip(rolled(plain, 15), rolled(bare, 15), strict=True):
        for key in features:
            np.testing.assert_array_equal(before[0][key], after[0][key])
        if before[1] is None:
            continue
        np.testing.assert_array_equal(before[1], after[1])
        np.testing.assert_array_equal(before[2], after[2])
        if before[2].any():
            endings += 1
            rows = np.flatnonzero(before[2])
            theirs, mine = (final_observations(x[3], rows) for x in (before, after))
            assert set(mine) == set(after[0])
            for key in features:
                np.testing.assert_array_equal(theirs[key], mine[key])
            assert all(mine[key].all() for key in masks)
    assert endings and plain.illegal_actions == bare.illegal_actions > 0


@pytest.mark.parametrize("world", ["pandas", "pandas-grid"])
def test_without_action_mask_everything_is_allowed_to_those_who_act(world):
    plain, bare = make_vec(world, 3), RemoveActionMask(make_vec(world, 3))
    assert describe_env(bare).team == describe_env(plain).team and gives_agent_rewards(bare)
    assert bare.observation_space == plain.observation_space
    for before, (after, *_) in zip(rolled(plain, 8), rolled(bare, 8), strict=True):
        assert after["action_mask"].all() and after["action_mask"].dtype == np.bool_
        for key in ("agent_mask", "alive"):
            np.testing.assert_array_equal(before[0][key], after[key])
        assert bare.observation_space.contains(after)
    assert not plain.reset(seed=0)[0]["action_mask"].all()


def test_without_agent_mask_every_cell_acts_and_nobody_has_a_name():
    plain, bare = make_vec("pandas-grid", 3), RemoveAgentMask(make_vec("pandas-grid", 3))
    team = describe_env(bare).team
    assert not team.has_identity and not team.has_alive and team.agents == team.n_places
    assert not gives_agent_rewards(bare) and gives_agent_rewards(plain)
    assert set(bare.single_observation_space.spaces) == {"grid", "action_mask", "agent_mask"}
    for before, (after, *_, infos) in zip(rolled(plain, 8), rolled(bare, 8), strict=True):
        assert after["agent_mask"].all() and "agent_rewards" not in infos
        there = np.broadcast_to(before[0]["agent_mask"][:, None], after["action_mask"].shape)
        np.testing.assert_array_equal(
            after["action_mask"], np.where(there, before[0]["action_mask"], True)
        )
        rows = ActingRows.read(after, team)
        assert len(rows) == 3 * team.n_places and (rows.slot == -1).all()
        assert rows.masks["action_mask"].any(axis=-1).all()  # no row is empty
        assert bare.observation_space.contains(after)


def test_without_agent_mask_nobody_in_a_slot_ever_dies():
    plain, bare = make_vec("pandas", 3), RemoveAgentMask(make_vec("pandas", 3))
    team = describe_env(bare).team
    assert team.has_identity and not team.has_alive and gives_agent_rewards(bare)
    died = False
    for before, after in zip(rolled(plain, 25), rolled(bare, 25), strict=True):
        there = before[0]["agent_mask"]
        died |= not there.all()
        assert after[0]["agent_mask"].all() and "alive" not in after[0]
        masks = after[0]["action_mask"]
        np.testing.assert_array_equal(masks[there], before[0]["action_mask"][there])
        assert masks[~there].all()
        if after[1] is not None:
            each = agent_rewards(after[3], after[2], 3, team.agents)
            np.testing.assert_array_equal(each, before[3]["agent_rewards"])
    assert died, "no panda died: the test says nothing"


def test_the_order_of_removal_is_all_the_same():
    one = RemoveAgentMask(RemoveActionMask(make_vec("pandas-grid", 2)))
    other = RemoveActionMask(RemoveAgentMask(make_vec("pandas-grid", 2)))
    both = make_vec("pandas-grid", 2, remove_masks="agent_mask, action_mask")
    for a, b, c in zip(rolled(one, 5), rolled(other, 5), rolled(both, 5), strict=True):
        assert set(a[0]) == set(b[0]) == set(c[0])
        for key in a[0]:
            np.testing.assert_array_equal(a[0][key], b[0][key])
            np.testing.assert_array_equal(a[0][key], c[0][key])


def test_the_environments_own_arrays_are_not_written_to():
    venv = make_vec("pandas-grid", 2, copy=False)  # read-only views: writing would raise
    rolled(remove_masks(venv, ("action_mask", "agent_mask")), 5)


@pytest.mark.parametrize("world", ["pandas", "pandas-grid"])
def test_the_state_is_saved_through_it(world):
    first = make_vec(world, 2, remove_masks="action_mask")
    rolled(first, 4)
    assert can_save_state(first)
    state, count = first.get_state(), first.illegal_actions
    other = make_vec(world, 2, remove_masks="action_mask")
    other.reset(seed=9)
    other.set_state(state)
    assert other.illegal_actions == count
    actions = np.zeros((2, *first.single_action_space.shape), np.int64)
    mine, theirs = first.step(actions), other.step(actions)
    for key, value in mine[0].items():
        np.testing.assert_array_equal(value, theirs[0][key])
    np.testing.assert_array_equal(mine[1], theirs[1])


def test_a_single_environment():
    env = make("pandas-grid?remove_masks=agent_mask,action_mask")
    seen, _ = env.reset(seed=0)
    assert seen["agent_mask"].all() and seen["action_mask"].all()
    assert not gives_agent_rewards(env) and not describe_env(env).team.has_identity
    action = np.zeros(env.action_space.shape, np.int64)
    seen, _, _, _, info = env.step(action)
    assert env.observation_space.contains(seen) and "agent_rewards" not in info
    slots = RemoveAgentMask(make("pandas"))
    assert gives_agent_rewards(slots) and "alive" not in slots.reset(seed=0)[0]


class Table(gymnasium.Env):
    """Two agents whose second head's mask goes by the first; the episode ends at once."""

    action_tree = ActionTree(Head("type", 2), Head("target", 3, mask_by="type"))
    gives_agent_rewards = True

    def __init__(self, places=(2,)):
        slots = len(places) == 1
        shapes = {"action_mask": (5,), "action_mask:target": (2, 3)}
        self.observation_space = spaces.Dict(
            {
                ("observation" if slots else "grid"): spaces.Box(
                    0, 1, (*places, 1) if slots else (1, *places)
                ),
                "agent_mask": mask_space(*places),
                **{
                    k: mask_space(*((*places, *s) if slots else (*s, *places)))
                    for k, s in shapes.items()
                },
            }
        )
        nvec = np.broadcast_to([2, 3], (*places, 2))
        self.action_space = spaces.MultiDiscrete(
            nvec.copy() if slots else np.moveaxis(nvec, -1, 0).copy()
        )

    def _out(self):
        return {k: np.zeros(s.shape, s.dtype) for k, s in self.observation_space.spaces.items()}

    def reset(self, *, seed=None, options=None):
        return self._out(), {}

    def step(self, action):
        return self._out(), 0.0, True, False, {"agent_rewards": np.zeros(2)}


@pytest.mark.parametrize("places", [(2,), (3, 4)])
@pytest.mark.parametrize("masks", WAYS)
def test_tables_of_a_tree_and_gymnasiums_vector_environments(places, masks):
    venv = remove_masks(
        SyncVectorEnv([lambda: Table(places)] * 2, autoreset_mode=AutoresetMode.SAME_STEP), masks
    )
    assert describe_env(venv).team.action_tree == Table.action_tree
    obs, _ = venv.reset(seed=0)
    for _ in range(2):
        assert obs["action_mask"].all() and obs["action_mask:target"].all()  # nobody acts there
        assert obs["agent_mask"].all() == ("agent_mask" in masks)
        obs, _, _, _, infos = venv.step(venv.action_space.sample())
        final = final_observations(infos, np.array([0, 1]))
        assert final["action_mask:target"].all()
        named = "agent_mask" in masks and len(places) == 2
        assert ("agent_rewards" in infos["final_info"]) == (not named)


def test_one_agents_mask_too():
    venv = make_vec("panda", 2, remove_masks="action_mask")
    assert venv.reset(seed=0)[0]["action_mask"].all() and describe_env(venv).team is None


@pytest.mark.parametrize(
    ("world", "masks", "message"),
    [
        ("panda", "agent_mask", "PandaVectorEnv: there is no agent_mask to remove"),
        ("pandas", "visibility", "remove_masks has 'visibility'; expected action_mask or agent"),
        ("pandas", 3, "expected names out of action_mask, agent_mask, got 3"),
    ],
)
def test_what_cannot_be_removed(world, masks, message):
    with pytest.raises(ConfigError, match=message):
        make_vec(world, 2, remove_masks=masks)


def test_removing_nothing_changes_nothing():
    assert type(make_vec("pandas", 2, remove_masks=())) is type(make_vec("pandas", 2))
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = make_vec("pandas", 2, remove_masks="action_mask").no_such_thing


def test_the_reference_does_not_hear_of_it():
    from maskrl.envs import find_entry

    entry = find_entry("panda-open")
    plain, bare = (
        entry.reference(kwargs, [0])
        for kwargs in ({"preset": "open"}, {"preset": "open", "remove_masks": "action_mask"})
    )
    assert plain["planner"] == bare["planner"]
