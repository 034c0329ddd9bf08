"""Parallel environments as teams: who is alive, who acts, who left and how, what is refused."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence

from maskrl.envs.adapters.pettingzoo_parallel import ParallelTeam
from maskrl.envs.contract import describe_env, gives_agent_rewards
from maskrl.errors import ConfigError

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


# --- a plain episode -----------------------------------------------------------------------


def test_spaces_are_those_of_a_team(scripted):
    team = ParallelTeam(scripted([STAY]))
    said = describe_env(team).team
    assert (said.form, said.source, said.agents, said.nvec) == ("slots", "own", 3, (3,))
    assert not said.has_action_mask and said.has_alive and gives_agent_rewards(team)
    assert team.action_space == spaces.MultiDiscrete([3, 3, 3])
    assert team.observation_space["observation"] == spaces.Box(-1.0, 99.0, (3, 2), np.float32)
    assert team.agent_names == tuple(ALL) and team.name == "scripted_v0"
    assert team.render_mode == "ansi"


def test_agents_die_and_leave_zeros(scripted):
    team, (first, second, third) = after(
        scripted,
        STAY,
        {"agents": ["a_0", "a_2"], "died": ["a_1"], "rewards": {"a_0": 1, "a_1": -5, "a_2": 0.5}},
        {"agents": [], "died": ["a_0", "a_2"], "rewards": {"a_0": 2.0, "a_2": 3.0}},
        action=(2, 1, 0),
    )
    seen, info = first
    assert rows(seen) == [[0, 0], [0, 1], [0, 2]] and info == {}
    assert rows(seen, "alive") == rows(seen, "agent_mask") == [True] * 3

    seen, reward, terminated, truncated, info = second
    assert rows(seen) == [[1, 0], [0, 0], [1, 2]]
    assert rows(seen, "alive") == rows(seen, "agent_mask") == [True, False, True]
    assert (reward, terminated, truncated) == (-3.5, False, False)
    assert info["agent_rewards"].tolist() == [1, -5, 0.5]
    assert info["agent_rewards"].dtype == np.float64
    assert info["agent_terminated"].tolist() == [False, True, False]

    seen, reward, terminated, truncated, info = third
    assert (reward, terminated, truncated) == (5.0, True, False)
    assert rows(seen) == [[0, 0]] * 3 and rows(seen, "alive") == [False] * 3
    assert info["agent_terminated"].tolist() == [True, False, True]
    # the dead are not handed to the environment's step
    assert team.parallel_env.received == [{"a_0": 2, "a_1": 1, "a_2": 0}, {"a_0": 2, "a_2": 0}]
    assert team.observation_space.contains(seen)


def test_all_that_are_left_are_truncated(scripted):
    _, (_, _, (seen, _, terminated, truncated, info)) = after(
        scripted,
        STAY,
        {"agents": ["a_0", "a_2"], "died": ["a_1"]},
        {"agents": [], "cut": ["a_0", "a_2"]},
    )
    assert (terminated, truncated) == (False, True)
    # they are alive in the final observation, with what they last saw: it has a value
    assert rows(seen, "alive") == [True, False, True] and rows(seen) == [[2, 0], [0, 0], [2, 2]]
    assert info["agent_truncated"].tolist() == [True, False, True]


def test_the_last_agents_leave_in_both_ways(scripted):
    _, (_, (seen, _, terminated, truncated, info)) = after(
        scripted, STAY, {"agents": [], "cut": ["a_0", "a_1"], "died": ["a_1", "a_2"]}
    )
    # a_0 alone could have gone on; a_1, who has both flags, died
    assert (terminated, truncated) == (False, True)
    assert rows(seen, "alive") == [True, False, False]
    assert info["agent_terminated"].tolist() == [False, True, True]
    assert info["agent_truncated"].tolist() == [True, False, False]


def test_both_flags_at_once_are_a_death(scripted):
    _, (_, (seen, _, terminated, truncated, _)) = after(
        scripted, STAY, {"agents": [], "cut": ALL, "died": ALL}
    )
    assert (terminated, truncated) == (True, False) and not seen["alive"].any()


def test_one_agent_truncated_alone_counts_as_dead_and_is_told_once(scripted):
    frames = [
        STAY,
        {"agents": ["a_0", "a_2"], "cut": ["a_1"]},
        {"agents": ["a_0"], "cut": ["a_2"]},
        {"agents": [], "died": ["a_0"]},
    ]
    team = ParallelTeam(scripted(frames))
    team.reset(seed=1)
    with pytest.warns(UserWarning, match="agent 'a_1' was truncated while others go on"):
        seen, _, terminated, truncated, info = team.step(np.zeros(3, int))
    assert rows(seen, "alive") == [True, False, True] and not terminated and not truncated
    assert info["agent_truncated"].tolist() == [False, True, False]
    assert not info["agent_terminated"].any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        team.step(np.zeros(3, int))
        _, _, terminated, truncated, _ = team.step(np.zeros(3, int))
    assert (terminated, truncated) == (True, False)  # nobody of the last was cut off


def test_agents_appear_later_and_come_back(scripted):
    team, told = after(
        scripted,
        {"agents": ["a_0"]},
        {"agents": ["a_0", "a_2"]},
        {"agents": ["a_2"], "died": ["a_0"]},
        {"agents": ["a_0", "a_2"]},
        {"agents": ["a_0", "a_1", "a_2"]},
        action=(1, 2, 0),
    )
    alive = [rows(t[0], "alive") for t in told]
    T, F = True, False
    assert alive == [[T, F, F], [T, F, T], [F, F, T], [T, F, T], [T, T, T]]
    assert not any(t[2] or t[3] for t in told[1:])
    received = [list(actions) for actions in team.parallel_env.received]
    assert received == [["a_0"], ["a_0", "a_2"], ["a_2"], ["a_0", "a_2"]]


def test_an_agent_that_vanishes_without_a_word_has_died(scripted):
    _, (_, (seen, _, _, _, info)) = after(scripted, STAY, {"agents": ["a_0", "a_1"]})
    assert info["agent_terminated"].tolist() == [False, False, True]
    assert rows(seen, "alive") == [True, True, False]


def test_a_dead_agent_that_stays_listed_is_dead(scripted):
    team, (_, _, (_, _, terminated, _, _)) = after(
        scripted, STAY, {"agents": ALL, "died": ["a_1"]}, {"agents": ALL, "died": ALL}
    )
    assert list(team.parallel_env.received[1]) == ["a_0", "a_2"] and terminated


def test_a_reset_without_agents_is_an_episode_of_one_step(scripted):
    team, ((seen, _), (_, reward, terminated, truncated, _)) = after(
        scripted, {"agents": []}, {"agents": []}
    )
    assert (
        not seen["alive"].any() and not seen["agent_mask"].any() and not seen["observation"].any()
    )
    assert team.parallel_env.received == [{}]
    assert (reward, terminated, truncated) == (0.0, True, False)


def test_agents_may_arrive_after_an_empty_reset(scripted):
    _, (_, (seen, _, terminated, _, _)) = after(scripted, {"agents": []}, {"agents": ["a_1"]})
    assert not terminated and rows(seen, "alive") == [False, True, False]


def test_after_the_end_comes_a_reset(scripted):
    team, _ = after(scripted, STAY, {"agents": [], "died": ALL})
    with pytest.raises(ConfigError, match="the episode is over; call reset"):
        team.step(np.zeros(3, int))
    team.reset()
    team.step(np.zeros(3, int))
    fresh = ParallelTeam(scripted([STAY]))
    with pytest.raises(ConfigError, match="call reset"):
        fresh.step(np.zeros(3, int))


# --- what is refused ------------------------------------------------------------------------


def test_agents_must_be_alike(scripted):
    others = {"a_2": spaces.Box(-1.0, 99.0, (3,), np.float64)}
    with pytest.raises(
        ConfigError,
        match=r"'a_0' and 'a_2' differ in their observation_space: Box"
        r".*\(2,\).* and Box.*\(3,\).*SuperSuit's pad_observations",
    ):
        ParallelTeam(scripted([STAY], observation_spaces=others))
    with pytest.raises(
        ConfigError,
        match=r"'a_0' and 'a_1' differ in their action_space: "
        r"Discrete\(3\) and Discrete\(4\)",
    ):
        ParallelTeam(scripted([STAY], action_spaces={"a_1": spaces.Discrete(4)}))
    inner = spaces.Dict({"x": spaces.Discrete(2), "y": spaces.Discrete(3)})
    odd = spaces.Dict({"x": spaces.Discrete(2), "y": spaces.Discrete(4)})
    less = spaces.Dict({"x": spaces.Discrete(2)})
    for other, message in ((odd, r"\['y'\] is Discrete\(3\) and"), (less, r"only one.*\['y'\]")):
        env = scripted([STAY], observation_spaces={"a_0": inner, "a_1": other, "a_2": inner})
        with pytest.raises(ConfigError, match=message):
            ParallelTeam(env)


def test_actions_must_be_choices(scripted):
    with pytest.raises(ConfigError, match="takes no action mask"):
        ParallelTeam(scripted([STAY], action=spaces.Box(0, 1, (2,))))
    with pytest.raises(ConfigError, match="waiting_action is 3; expected 0 to 2"):
        ParallelTeam(scripted([STAY]), waiting_action=3)
    with pytest.raises(ConfigError, match="agent_indicator is 'name'; expected one of type, slot"):
        ParallelTeam(scripted([STAY]), agent_indicator="name")


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([0, 1], r"shape \(2,\).*expected whole numbers \(3,\)"),
        ([0.0, 1.0, 2.0], "dtype float64"),
        ([0, 3, 0], "the action of agent 'a_1' is .3.; expected 0 to 2 in head 0"),
        ([0, 0, -1], "agent 'a_2'"),
    ],
)
def test_actions_that_are_none(scripted, action, message):
    team = ParallelTeam(scripted([STAY] * 2))
    team.reset(seed=0)
    with pytest.raises(ConfigError, match=message):
        team.step(np.array(action))


def test_what_stands_in_slots_that_do_not_act_is_not_read(scripted):
    team, _ = after(scripted, {"agents": ["a_1"]}, {"agents": ["a_1"]}, action=(-7, 1, 99))
    assert team.parallel_env.received == [{"a_1": 1}] and team.illegal_actions == 0


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"agents": ALL, "unseen": ["a_1"]}, "agent 'a_1' is among env.agents and has no observ"),
        ({"agents": [], "cut": ALL, "unseen": ["a_1"]}, "'a_1' was truncated, so .*no observation"),
        ({"agents": [*ALL, "b_9"], "unseen": ["b_9"]}, "'b_9', which is none of its possible"),
        ({"agents": ALL, "rewards": {"b_9": 1.0}}, "a reward for 'b_9'"),
        ({"agents": ALL, "rewards": {"a_0": np.nan}}, "reward of agent 'a_0' is nan"),
        ({"agents": ALL, "rewards": {"a_0": None}}, "reward of agent 'a_0' is None"),
        ({"agents": ALL, "raises": KeyError("boom")}, r"step 0: step\(.*fails: KeyError: 'boom'"),
    ],
)
def test_environments_that_contradict_themselves(scripted, frame, message):
    with pytest.raises(ConfigError, match=rf"environment 'scripted_v0', episode 1.*{message}"):
        after(scripted, STAY, frame)


def test_observations_of_another_shape_than_their_space(scripted):
    with pytest.raises(ConfigError, match=r"step 0, agent 'a_0': observation has shape \(3,\)"):
        after(scripted, STAY, see=lambda t, agent: np.zeros(3))


def test_possible_agents_must_be_known(scripted):
    env = scripted([STAY])
    env.possible_agents = []
    with pytest.raises(ConfigError, match="has no possible_agents"):
        ParallelTeam(env)
    with pytest.raises(ConfigError, match="has one twice"):
        ParallelTeam(scripted([STAY], agents=("a", "a")))


def test_a_first_reset_that_fails_is_told(scripted):
    env = scripted([])
    with pytest.raises(ConfigError, match="its first reset.. fails: IndexError"):
        ParallelTeam(env)


# --- telling agents apart, seeds, the rest ---------------------------------------------------


@pytest.mark.parametrize(
    ("agents", "kind", "entry", "expected"),
    [
        (("archer_0", "archer_1", "knight_0"), "type", "agent_type", [[1, 0], [1, 0], [0, 1]]),
        (("a_0", "a_1", "a_2"), "type", None, None),
        (("first", "second", "other"), "type", "agent_type", np.eye(3).tolist()),
        ((0, 1, 2), "type", None, None),
        (("a_0", "a_1", "a_2"), "slot", "agent_slot", np.eye(3).tolist()),
        (("archer_0", "archer_1", "knight_0"), "none", None, None),
    ],
)
def test_agents_that_share_a_network_are_told_apart(scripted, agents, kind, entry, expected):
    env = scripted([{"agents": list(agents)}], agents=agents)
    team = ParallelTeam(env, agent_indicator=kind)
    seen, _ = team.reset(seed=0)
    if entry is None:
        assert set(seen) == {"observation", "agent_mask", "alive"}
    else:
        assert rows(seen, entry) == expected and team.observation_space.contains(seen)


def test_the_indicator_of_the_dead_is_zero(scripted):
    agents = ("archer_0", "knight_0")
    env = scripted([{"agents": ["knight_0"]}], agents=agents)
    seen, _ = ParallelTeam(env).reset(seed=0)
    assert rows(seen, "agent_type") == [[0, 0], [0, 1]]


def test_one_seed_decides_all_episodes(scripted):
    def seeds(first):
        env = scripted([STAY])
        team = ParallelTeam(env)
        team.reset(seed=first)
        for _ in range(3):
            team.reset()
        return env.seeds[1:]  # the first was looking for masks

    assert seeds(5) == seeds(5) and seeds(5)[0] == 5
    assert seeds(5)[1:] != seeds(6)[1:] and len(set(seeds(5))) == 4


def test_it_is_drawn_closed_and_told_about(scripted):
    env = scripted([{"agents": ALL}] * 2)
    team = ParallelTeam(env)
    team.reset(seed=0)
    assert team.render() == "frame 0" and team.agent_infos == {agent: {} for agent in ALL}
    assert isinstance(team, gymnasium.Env)
    team.close()
    assert env.closed


def test_equal_seeds_and_actions_give_equal_episodes(scripted):
    def episode():
        _, told = after(scripted, STAY, STAY, {"agents": [], "died": ALL})
        return [t[0] for t in told]

    assert all(data_equivalence(a, b) for a, b in zip(episode(), episode(), strict=True))
