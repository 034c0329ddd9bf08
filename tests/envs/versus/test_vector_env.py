"""The agent's seats: turns, rewards, endings, openings and states, followed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from maskrl.envs.contract import describe_env, final_observations, require_same_step
from maskrl.envs.outcomes import episode_outcomes
from maskrl.envs.versus.settings import VersusSettings
from maskrl.envs.versus.vector_env import VersusVectorEnv
from maskrl.errors import ConfigError


def left(obs):
    return obs["left"][:, 0].tolist()


def test_a_step_is_ones_own_move_and_the_reply(countdown, takes):
    env = VersusVectorEnv(countdown(1), takes(3), VersusSettings(seat=0))
    obs, infos = env.reset(seed=0)
    assert left(obs) == [7] and infos["seat"].tolist() == [0]
    obs, rewards, terminated, *_ = env.step(np.array([1]))  # 7 - 2 - 3
    assert left(obs) == [2] and rewards.tolist() == [0.25] and not terminated.any()
    obs, rewards, terminated, truncated, infos = env.step(np.array([1]))  # takes the last two
    assert rewards.tolist() == [1.25] and terminated.all() and not truncated.any()
    # the next game has begun, and the last observation of this one is kept
    assert left(obs) == [7]
    final = final_observations(infos, np.array([0]))
    assert left(final) == [0] and not final["action_mask"].any()
    assert episode_outcomes(infos, terminated).tolist() == [1.0]


def test_who_moves_second_sees_the_first_reply(countdown, takes):
    opponent = takes(3)
    env = VersusVectorEnv(countdown(1), opponent, VersusSettings(seat=1))
    obs, _ = env.reset(seed=0)
    assert left(obs) == [4] and obs["left"][0, 1] == 1
    obs, rewards, terminated, _, infos = env.step(np.array([0]))  # 3 left: the other takes them
    assert rewards.tolist() == [-1.0] and terminated.all()
    assert infos["final_info"]["outcome"].tolist() == [-1.0]
    assert left(obs) == [4]  # the other has opened the next game already
    assert opponent.asked == [([0], [True]), ([0], [False]), ([0], [True])]


def test_all_games_are_asked_in_one_call(countdown, takes):
    opponent = takes(1)
    env = VersusVectorEnv(countdown(5), opponent, VersusSettings(seat=0))
    env.reset(seed=0)
    env.step(np.zeros(5, int))
    # places are game * players + seat
    assert opponent.asked == [([1, 3, 5, 7, 9], [True] * 5)] and opponent.steps == 5
    env.step(np.array([0, 2, 2, 0, 2]))  # 5 left: 4 or 2 after it
    assert opponent.asked[1:] == [([1, 3, 5, 7, 9], [False] * 5)]


def test_games_that_end_do_not_hold_up_the_others(countdown, takes):
    opponent = takes(1)
    env = VersusVectorEnv(countdown(3, size=3), opponent, VersusSettings(seat=0))
    env.reset(seed=0)
    obs, rewards, terminated, _, infos = env.step(np.array([2, 0, 1]))
    # won at once; 3 - 1 - 1; 3 - 2 - 1 lost
    assert rewards.tolist() == [1.0, 0.0, -0.75] and terminated.tolist() == [True, False, True]
    assert left(obs) == [3, 1, 3]
    np.testing.assert_array_equal(infos["final_info"]["outcome"], [1.0, np.nan, -1.0])
    assert infos["_final_obs"].tolist() == [True, False, True]


def test_more_than_two_players(countdown, takes):
    opponent = takes(1)
    env = VersusVectorEnv(countdown(1, players=3), opponent, VersusSettings(seat=2))
    obs, _ = env.reset(seed=0)
    assert left(obs) == [5] and opponent.asked == [([0], [True]), ([1], [True])]
    obs, rewards, *_ = env.step(np.array([1]))
    assert left(obs) == [1] and rewards.tolist() == [0.25]


def test_games_that_end_before_ones_turn_are_no_games(countdown, takes):
    # two others take 3 and 3 of 6: the third never moves, unless somebody opens at random
    env = VersusVectorEnv(countdown(1, players=3, size=6), takes(3), VersusSettings(seat=2))
    with pytest.raises(ConfigError, match="the agent never has a turn"):
        env.reset(seed=0)
    opened = VersusSettings(seat=2, opening_moves=1)
    env = VersusVectorEnv(countdown(4, players=3, size=6), takes(3), opened)
    obs, _ = env.reset(seed=0)
    assert set(left(obs)) <= {1, 2} and (env.engine.to_move == 2).all()


def test_openings_are_drawn_over_their_range(countdown, takes):
    env = VersusVectorEnv(
        countdown(400, size=30), takes(1), VersusSettings(seat=0, opening_moves="0-2")
    )
    obs, _ = env.reset(seed=3)
    # nobody has moved; a random move and a reply of 1; two random moves: 30, 26-28, 24-28
    assert set(left(obs)) == {30.0, 28.0, 27.0, 26.0, 25.0, 24.0}
    assert 100 < left(obs).count(30.0) < 167  # a third of 400, within 3.5 deviations


def test_openings_that_end_every_game_are_refused(countdown, takes):
    settings = VersusSettings(opening_moves=3)
    with pytest.raises(
        ConfigError, match="3 random moves end every game of countdown: make fewer, or"
    ):
        VersusVectorEnv(countdown(2, size=1), takes(1), settings).reset(seed=0)


def test_seats_are_drawn_anew_in_each_game(countdown, takes):
    env = VersusVectorEnv(countdown(200), takes(1), VersusSettings())
    seats = env.reset(seed=1)[1]["seat"]
    assert 70 < seats.sum() < 130
    obs, _ = env.reset(seed=2)
    assert (np.array(left(obs)) == np.where(obs["left"][:, 1] == 0, 7, 6)).all()


def test_moves_against_the_mask_are_counted_and_played(countdown, takes):
    env = VersusVectorEnv(countdown(2), takes(3), VersusSettings(seat=0))
    env.reset(seed=0)
    env.step(np.array([1, 1]))
    _, rewards, terminated, *_ = env.step(np.array([2, 0]))  # two are left in each
    assert env.illegal_actions == 1 and rewards.tolist() == [-1.0, -1.0] and terminated.all()


def test_an_opponents_mistake_is_no_win(countdown, takes):
    class Cheats(takes):
        def act_all(self, obs, places, starts, rng):
            return np.full(len(places), 2)

    env = VersusVectorEnv(countdown(1, size=3), Cheats(), VersusSettings(seat=0))
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="countdown: the opponent Cheats answered 2 in row 0"):
        env.step(np.array([0]))


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_state_goes_on_to_the_digit(countdown, takes, cut):
    def make():
        return VersusVectorEnv(countdown(6), takes(2), VersusSettings(opening_moves="0-1"), seed=11)

    def play(env, obs, rng, steps):
        told = []
        for _ in range(steps):
            mask = obs["action_mask"]
            actions = np.array([rng.choice(np.flatnonzero(row)) for row in mask])
            obs, *rest = env.step(actions)
            told.append((left(obs), [np.asarray(x).tolist() for x in rest[:3]]))
        return obs, told

    one, rng = make(), np.random.default_rng(0)
    obs, _ = play(one, one.reset()[0], rng, cut)
    saved, at = one.get_state(), rng.bit_generator.state
    _, expected = play(one, obs, rng, 12)
    other = make()
    other.opponent.number = 1
    other.set_state(saved)
    rng.bit_generator.state = at
    assert play(other, obs, rng, 12)[1] == expected
    with pytest.raises(ConfigError, match=r"seats has shape \(6,\), expected \(3,\)"):
        VersusVectorEnv(countdown(3), takes(2)).set_state(saved)


def test_it_keeps_the_contract(countdown, takes):
    env = VersusVectorEnv(countdown(2), takes(1))
    require_same_step(env)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert describe_env(env).n_actions == 3
    obs, _ = env.reset(seed=0)
    assert env.observation_space.contains(obs)
    before = {key: value.copy() for key, value in obs.items()}
    env.step(np.array([0, 0]))
    for key, value in before.items():
        np.testing.assert_array_equal(obs[key], value)  # what was handed out stays as it was
    env.close()
    assert env.engine.calls == ["close"]


def test_some_games_alone_can_begin_anew(countdown, takes):
    env = VersusVectorEnv(countdown(2), takes(1), VersusSettings(seat=0))
    with pytest.raises(ConfigError, match="the first reset begins every game"):
        env.reset(options={"reset_mask": np.array([True, False])})
    env.reset(seed=0)
    env.step(np.array([0, 0]))
    obs, _ = env.reset(options={"reset_mask": np.array([True, False])})
    assert left(obs) == [7, 5]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.array([0.0, 1.0]), r"integers of shape \(2,\); got float64"),
        (np.array([0]), r"integers of shape \(2,\); got int64 of shape \(1,\)"),
        (np.array([0, 3]), r"actions\[1\] = 3 is not in \[0, 3\)"),
    ],
)
def test_wrong_actions(countdown, takes, actions, message):
    env = VersusVectorEnv(countdown(2), takes(1))
    with pytest.raises(ConfigError, match="before the first reset"):
        env.step(np.array([0, 0]))
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=message):
        env.step(actions)


def test_a_seat_that_is_not_there(countdown, takes):
    with pytest.raises(ConfigError, match="countdown has 2 players, expected a number from 0 to 1"):
        VersusVectorEnv(countdown(1), takes(1), VersusSettings(seat=2))
