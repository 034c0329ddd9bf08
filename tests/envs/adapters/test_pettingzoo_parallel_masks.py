"""Action masks of parallel environments: every form and place, waiting, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.pettingzoo_parallel import ParallelTeam
from maskrl.envs.contract import describe_env
from maskrl.errors import MaskDtypeError, MaskShapeError, NoMaskError
from maskrl.masks.tree import ActionTree, Head

ALL = ["a_0", "a_1", "a_2"]
STAY = {"agents": ALL}


def rows(seen, key="observation"):
    return seen[key].tolist()


def after(scripted, *frames, action=(0, 0, 0), **of):
    """The team after these frames, and all that its steps returned."""
    team = ParallelTeam(scripted(list(frames), **of))
    told = [team.reset(seed=3)]
    told += [team.step(np.array(action)) for _ in frames[1:]]
    return team, told


MASKS = {"a_0": [1, 0, 1], "a_1": [0, 0, 0], "a_2": [0, 1, 0]}
FORMS = {
    "int8": lambda flags: np.array(flags, np.int8),
    "uint8": lambda flags: np.array(flags, np.uint8),
    "float": lambda flags: np.array(flags, np.float64),
    "bool": lambda flags: np.array(flags, bool),
    "list": list,
    "tuple": tuple,
    "list of bool": lambda flags: [bool(flag) for flag in flags],
    "mapping": lambda flags: dict(enumerate(flags)),
}


@pytest.mark.parametrize("where", ["observation", "info"])
@pytest.mark.parametrize("form", FORMS)
def test_masks_in_every_form_and_place(scripted, where, form):
    masks = {agent: FORMS[form](flags) for agent, flags in MASKS.items()}
    team, ((seen, _),) = after(scripted, {"agents": ALL, "masks": masks}, masks_in=where)
    assert rows(seen, "action_mask") == [[bool(f) for f in MASKS[agent]] for agent in ALL]
    assert seen["action_mask"].dtype == np.bool_
    # who may do nothing waits: alive, and not to act
    assert rows(seen, "agent_mask") == [True, False, True] and rows(seen, "alive") == [True] * 3
    assert describe_env(team).team.has_action_mask
    assert set(team.observation_space.spaces) == {
        "observation",
        "action_mask",
        "agent_mask",
        "alive",
    }


def test_who_waits_is_given_the_waiting_action(scripted):
    frames = [{"agents": ALL, "masks": MASKS}] * 2
    for waiting, action in ((None, 0), (2, 2)):
        more = {} if waiting is None else {"waiting_action": waiting}
        team = ParallelTeam(scripted(frames, masks_in="info"), **more)
        team.reset(seed=0)
        team.step(np.array([2, 1, 1]))
        assert team.parallel_env.received == [{"a_0": 2, "a_1": action, "a_2": 1}]
        assert team.illegal_actions == 0  # to wait is not against the mask


def test_actions_against_the_mask_are_counted_per_agent(scripted):
    frames = [{"agents": ALL, "masks": MASKS}] * 4
    team = ParallelTeam(scripted(frames, masks_in="info"))
    team.reset(seed=0)
    counts = []
    for action in ([0, 0, 1], [1, 0, 1], [1, 2, 2]):
        team.step(np.array(action))
        counts.append(team.illegal_actions)
    assert counts == [0, 1, 3]


def test_all_ones_forbid_where_ones_are_forbidden(scripted):
    blocked = {agent: 1 - np.array(flags, np.int8) for agent, flags in MASKS.items()}
    frames = [{"agents": ALL, "masks": blocked}]
    team = ParallelTeam(scripted(frames, masks_in="info"), mask_allowed=0)
    seen, _ = team.reset(seed=0)
    assert rows(seen, "action_mask") == [[bool(f) for f in MASKS[agent]] for agent in ALL]


def test_a_mask_under_another_name(scripted):
    def see(t, agent):
        return {"x": t, "legal": np.array(MASKS[agent], np.int8)}

    space = spaces.Dict({"x": spaces.Discrete(9), "legal": spaces.Box(0, 1, (3,), np.int8)})
    env = scripted([STAY], see=see, observation_spaces=dict.fromkeys(ALL, space))
    team = ParallelTeam(env, mask_key="legal")
    seen, _ = team.reset(seed=0)
    assert set(seen) == {"x", "action_mask", "agent_mask", "alive"}
    assert rows(seen, "action_mask")[0] == [True, False, True]


def test_masks_change_in_place_behind_our_back(scripted):
    mask = np.array([1, 1, 0], np.int8)
    shared = np.array([1.0, 2.0])
    env = scripted(
        [{"agents": ALL, "masks": dict.fromkeys(ALL, mask)}] * 2,
        masks_in="info",
        see=lambda t, agent: shared,
    )
    team = ParallelTeam(env)
    seen, _ = team.reset(seed=0)
    mask[:] = 0
    shared[:] = 9
    assert seen["action_mask"][:, 0].all() and rows(seen) == [[1, 2]] * 3
    seen["action_mask"][:] = False  # nor does it matter what a caller does to its copy
    seen["agent_mask"][:] = False
    team.step(np.array([1, 1, 2]))
    assert team.illegal_actions == 1 and env.received == [{"a_0": 1, "a_1": 1, "a_2": 2}]


def test_a_mask_of_two_heads(scripted):
    actions = spaces.MultiDiscrete([2, 3])
    masks = {"a_0": [1, 0, 0, 1, 1], "a_1": [[1, 1], [1, 0, 0]], "a_2": [0] * 5}
    env = scripted([{"agents": ALL, "masks": masks}] * 2, masks_in="info", action=actions)
    team = ParallelTeam(env)
    said = describe_env(team).team
    assert (said.nvec, said.action_shape) == ((2, 3), (3, 2))
    seen, _ = team.reset(seed=0)
    assert rows(seen, "agent_mask") == [True, True, False]
    team.step(np.array([[0, 0], [1, 0], [1, 2]]))
    assert team.illegal_actions == 1  # a_0's second head; a_2 waits
    given = env.received[0]
    assert {agent: row.tolist() for agent, row in given.items()} == {
        "a_0": [0, 0],
        "a_1": [1, 0],
        "a_2": [0, 0],
    }


def test_actions_that_do_not_start_at_0(scripted):
    env = scripted([STAY] * 2, action=spaces.Discrete(3, start=5))
    team = ParallelTeam(env)
    team.reset(seed=0)
    team.step(np.array([0, 1, 2]))
    assert env.received == [{"a_0": 5, "a_1": 6, "a_2": 7}]


def test_bits_are_heads_of_two(scripted):
    env = scripted([STAY] * 2, action=spaces.MultiBinary(2))
    team = ParallelTeam(env)
    assert team.action_space == spaces.MultiDiscrete(np.full((3, 2), 2))
    team.reset(seed=0)
    team.step(np.array([[0, 1], [1, 1], [0, 0]]))
    assert [row.tolist() for row in env.received[0].values()] == [[0, 1], [1, 1], [0, 0]]


def test_heads_that_depend_on_each_other(scripted):
    tree = ActionTree(Head("type", 2), Head("target", 3, relevant={"type": [1]}, mask_by="type"))

    def see(t, agent):
        table = np.array([[1, 1, 1], [0, 1, 0]])
        return {"x": t, "action_mask": np.ones(5), "action_mask:target": table}

    space = spaces.Dict(
        {
            "x": spaces.Discrete(9),
            "action_mask": spaces.Box(0, 1, (5,), np.int8),
            "action_mask:target": spaces.Box(0, 1, (2, 3), np.int8),
        }
    )
    env = scripted(
        [STAY] * 2,
        see=see,
        action=spaces.MultiDiscrete([2, 3]),
        observation_spaces=dict.fromkeys(ALL, space),
        action_tree=tree,
    )
    team = ParallelTeam(env)
    assert describe_env(team).team.heads == tree
    seen, _ = team.reset(seed=0)
    assert seen["action_mask:target"].shape == (3, 2, 3) and not seen["action_mask:target"][0, 1, 0]
    team.step(np.array([[1, 1], [1, 2], [0, 2]]))
    assert team.illegal_actions == 1  # only a_1's target is none for its type


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        ([1, 2, 0], MaskDtypeError, r"episode 1, step 0, agent 'a_1', infos\['a_1'\].*holds 2 at"),
        ([1, 0], MaskShapeError, r"shape \(2,\), expected \(3,\).*list of allowed action ids"),
        ([1, 0, 0, 1], MaskShapeError, r"\(4,\), expected \(3,\). Expected one entry per action"),
        ([[1, 0, 0]], MaskShapeError, "flatten it"),
        (None, NoMaskError, "the mask is missing, and the agent goes on"),
        ("101", MaskDtypeError, "dtype"),
    ],
)
def test_masks_that_are_none(scripted, mask, error, message):
    masks = {**MASKS, "a_1": mask}
    env = scripted([{"agents": ALL, "masks": masks}], masks_in="info")
    with pytest.raises(error, match=message):
        ParallelTeam(env).reset(seed=0)


def test_a_mask_may_be_missing_only_at_the_end(scripted):
    frames = [{"agents": ALL, "masks": MASKS}, {"agents": [], "cut": ALL}]
    _, (_, (seen, _, _, truncated, _)) = after(scripted, *frames, masks_in="info")
    assert truncated and seen["alive"].all() and not seen["action_mask"].any()
    frames = [{"agents": ALL, "masks": MASKS}, {"agents": ALL}]
    with pytest.raises(NoMaskError, match="step 1, agent 'a_0', infos"):
        after(scripted, *frames, masks_in="info")


def test_masks_that_appear_late_are_refused(scripted):
    frames = [STAY, {"agents": ALL, "masks": MASKS}]
    with pytest.raises(NoMaskError, match="now, and the first reset told no agent's"):
        after(scripted, *frames, masks_in="info")


def test_a_mask_of_wrong_polarity_is_doubted(scripted):
    """Ones mark what is forbidden: whatever the mask allows changes nothing."""
    frames = [{"agents": ALL, "masks": dict.fromkeys(ALL, [1, 1, 0])}] * 80
    env = scripted(frames, masks_in="info", see=lambda t, agent: np.zeros(2))
    team = ParallelTeam(env)
    team.reset(seed=0)
    with pytest.warns(UserWarning, match="64 steps with several different.*mask_allowed=0"):
        for t in range(64):
            team.step(np.full(3, t % 2))


def test_masks_under_which_nobody_ever_acts_are_doubted(scripted):
    """Ones mark what is forbidden and nothing is: all wait, and nobody would ever learn."""
    frames = [{"agents": ALL, "masks": dict.fromkeys(ALL, [0, 0, 0])}] * 80
    team = ParallelTeam(scripted(frames, masks_in="info"))
    team.reset(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(63):
            team.step(np.zeros(3, np.int64))
    with pytest.warns(UserWarning, match="64 steps no agent was allowed any.*mask_allowed=0"):
        team.step(np.zeros(3, np.int64))
    team.step(np.zeros(3, np.int64))  # told once


def test_waiting_between_actions_is_not_doubted(scripted):
    waiting = {"agents": ALL, "masks": dict.fromkeys(ALL, [0, 0, 0])}
    team = ParallelTeam(
        scripted([{"agents": ALL, "masks": MASKS}, *[waiting] * 80], masks_in="info")
    )
    team.reset(seed=0)
    for _ in range(79):
        team.step(np.zeros(3, np.int64))


def test_actions_against_the_mask_that_do_nothing_raise_no_doubt_about_it(scripted):
    """As where the mask was taken away: nothing of what is done is what it allows."""
    frames = [{"agents": ALL, "masks": dict.fromkeys(ALL, [1, 0, 0])}] * 80
    team = ParallelTeam(scripted(frames, masks_in="info", see=lambda t, agent: np.zeros(2)))
    team.reset(seed=0)
    for t in range(70):
        team.step(np.full(3, 1 + t % 2))
    assert team.illegal_actions == 3 * 70


@pytest.mark.parametrize("settings", [{"mask_key": "legal"}, {"mask_allowed": 0}])
def test_settings_of_a_mask_that_is_not_there_are_refused(scripted, settings):
    with pytest.raises(NoMaskError, match="there is no such mask"):
        ParallelTeam(scripted([STAY]), **settings)
