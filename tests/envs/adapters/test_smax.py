"""SMAX's battles, stepped beside JaxMARL itself; settings are checked without it."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

import maskrl
from maskrl.envs.adapters.library_import import Library, LibraryMissingError
from maskrl.envs.adapters.smax import MOVES, STOP, SmaxSettings, read_settings
from maskrl.errors import ConfigError, UnknownEnvError

needs_smax = pytest.mark.worlds("jaxmarl")
LIMIT = 40
ATTACK = len(MOVES)


@pytest.fixture(scope="module")
def battle():
    """Compiled once; every test resets it with a seed."""
    return maskrl.make("smax:3m", render_mode="ansi", max_steps=LIMIT)


@pytest.fixture(scope="module")
def battles():
    return maskrl.make_vec("smax:3m", 3, max_steps=LIMIT)


@pytest.fixture(scope="module")
def scene():
    return maskrl.make("smax:3m", view="scene", max_steps=LIMIT)


def attack_or(move):
    """Every agent attacks the first enemy in reach, and else makes a move; 0 for the dead."""

    def choose(observation):
        reach = observation["action_mask"][..., ATTACK:]
        action = np.where(reach.any(axis=-1), ATTACK + reach.argmax(axis=-1), move)
        return np.where(observation["agent_mask"], action, 0)

    return choose


def rows_of(observation, i):
    return {name: array[i] for name, array in observation.items()}


def test_a_missing_library_is_told_with_what_to_type(monkeypatch):
    monkeypatch.setattr(Library, "is_installed", lambda self: False)
    with pytest.raises(LibraryMissingError, match=r'pip install "maskrl\[smax\]"'):
        maskrl.make("smax:3m")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"view": "all"}, "view must be own or scene; got 'all'"),
        ({"attack_mode": "last"}, "attack_mode must be closest or random; got 'last'"),
        ({"max_steps": 0}, "max_steps must be a whole number from 1 on; got 0"),
        ({"max_steps": True}, "max_steps must be a whole number"),
        ({"enemy_shoots": 1}, "enemy_shoots must be true or false; got 1"),
        ({"won_battle_bonus": float("nan")}, "won_battle_bonus must be a number; got nan"),
        ({"won_battle_bonus": "1"}, "won_battle_bonus must be a number; got '1'"),
        ({"max_step": 3}, r"unknown setting 'max_step'.* Did you mean max_steps\?"),
    ],
)
def test_wrong_settings_are_named(given, message):
    with pytest.raises(ConfigError, match=message):
        read_settings(given)
    assert read_settings({"max_steps": 7}) == SmaxSettings(max_steps=7)


@needs_smax
def test_an_unknown_scenario_is_refused_with_the_nearest():
    with pytest.raises(UnknownEnvError, match=r"Did you mean smax:3s5z"):
        maskrl.make("smax:3s5zz")


@needs_smax
def test_a_battle_is_jaxmarl_s_battle_step_by_step(battle):
    import jax

    raw = battle.unwrapped.batch.world.env
    choose = attack_or(MOVES.index("east"))
    observation, _ = battle.reset(seed=2)
    key, own = jax.random.split(jax.numpy.asarray([0, 2], jax.numpy.uint32))
    seen, state = raw.reset(own)
    over, dead = False, 0
    while True:
        assert observation in battle.observation_space
        alive = np.asarray(state.state.unit_alive)[:3]
        allowed = raw.get_avail_actions(state)
        for i, agent in enumerate(raw.agents):
            np.testing.assert_array_equal(observation["observation"][i], seen[agent])
            theirs = np.asarray(allowed[agent]) == 1
            if alive[i]:
                np.testing.assert_array_equal(observation["action_mask"][i], theirs)
            else:  # theirs allows the dead to stop
                assert theirs.tolist() == [a == STOP for a in range(len(theirs))]
                assert not observation["action_mask"][i].any()
        np.testing.assert_array_equal(observation["agent_mask"], alive)
        np.testing.assert_array_equal(observation["alive"], alive)
        dead = max(dead, int((~alive).sum()))
        if over:
            break
        action = choose(observation)
        observation, reward, terminated, truncated, info = battle.step(action)
        key, own = jax.random.split(key)
        sent = np.where(alive, action, STOP)
        orders = {agent: sent[i] for i, agent in enumerate(raw.agents)}
        seen, state, rewards, dones, _ = raw.step_env(own, state, orders)
        assert reward == float(rewards[raw.agents[0]])
        over = terminated or truncated
        assert over == bool(dones["__all__"]) == ("outcome" in info)
    units = np.asarray(state.state.unit_alive)
    assert terminated and not truncated and dead > 0
    assert info["outcome"] == (1.0 if units[:3].any() else -1.0 if units[3:].any() else 0.0)
    assert battle.unwrapped.illegal_actions == 0


@needs_smax
def test_copies_play_what_a_single_battle_plays_and_keep_their_last_observation(battle, battles):
    choose = attack_or(MOVES.index("east"))
    assert battles.single_action_space == spaces.MultiDiscrete([8, 8, 8])
    assert battles.action_names[:5] == MOVES and battles.action_names[5:] == tuple(
        f"attack {letter}" for letter in "abc"
    )
    observation, _ = battles.reset(seed=7)
    story = []
    for _ in range(2 * LIMIT):
        assert observation in battles.observation_space
        before = observation
        observation, *told, infos = battles.step(choose(before))
        story.append((before, told, infos, observation))
    for i in range(3):
        one, _ = battle.reset(seed=7 + i)
        ends = 0
        for before, told, infos, _ in story:
            for name, array in rows_of(before, i).items():
                np.testing.assert_array_equal(array, one[name])
            one, *here, info = battle.step(choose(one))
            assert here == [array[i] for array in told]
            if here[1] or here[2]:
                ends += 1
                assert infos["_final_obs"][i] and infos["outcome"][i] == info["outcome"]
                for name, array in rows_of(infos["final_obs"], i).items():
                    np.testing.assert_array_equal(array, one[name])
                one, _ = battle.reset()
            else:
                assert np.isnan(infos["outcome"][i])
        assert ends > 0


@needs_smax
def test_a_battle_that_takes_too_long_is_truncated_and_drawn(battle):
    observation, _ = battle.reset(seed=0)
    copies = battle.unwrapped.batch
    late = copies._state.state.replace(step=copies._state.state.step + LIMIT - 1)
    copies._state = copies._state.replace(state=late)  # as if it had gone on for that long
    stop = np.full(3, STOP)  # in step LIMIT + 1, as the library counts
    *_, terminated, truncated, info = battle.step(stop)
    assert (terminated, truncated, "outcome" in info) == (False, False, False)
    observation, _, terminated, truncated, info = battle.step(stop)
    assert (terminated, truncated, info["outcome"]) == (False, True, 0.0)
    assert observation["agent_mask"].all() and observation["action_mask"].any(axis=-1).all()


@needs_smax
def test_a_scene_has_all_units_and_who_sees_whom(battle, scene):
    choose = attack_or(MOVES.index("east"))
    own, _ = battle.reset(seed=4)
    seen, _ = scene.reset(seed=4)
    hidden = fallen = 0
    for _ in range(LIMIT):
        assert seen in scene.observation_space
        np.testing.assert_array_equal(seen["action_mask"], own["action_mask"])
        state = scene.unwrapped.batch.state_of(0).state
        alive = np.asarray(state.unit_alive)
        places = np.asarray(state.unit_positions)
        rows, sees = seen["entities"], seen["visibility"]
        np.testing.assert_array_equal(seen["entity_mask"], alive)
        np.testing.assert_allclose(rows[:, 1:3], places / 32 * alive[:, None], rtol=1e-6)
        np.testing.assert_array_equal(rows[:, 7], (np.arange(6) >= 3) & alive)
        assert not rows[~alive].any() and not sees[~alive].any() and not sees[:, ~alive].any()
        # the library's own list of an agent: five blocks of 13, zeros for who is not in sight
        blocks = own["observation"][:, :65].reshape(3, 5, 13).any(axis=2).sum(axis=1)
        np.testing.assert_array_equal(blocks, sees[:3].sum(axis=1) - seen["alive"])
        hidden += int((alive[:3, None] & alive[None] & ~sees[:3]).sum())
        fallen += int((~alive).sum())
        action = choose(own)
        own, *told, _ = battle.step(action)
        seen, *scene_told, _ = scene.step(action)
        assert told == scene_told
        if told[1] or told[2]:
            break
    assert hidden > 0 and fallen > 0  # or nothing was tested


@needs_smax
def test_a_battle_is_drawn_as_text(battle):
    observation, _ = battle.reset(seed=2)
    first = battle.render()
    assert "step 0" in first and "allies  1 m ######  2 m ######  3 m ######" in first
    for mark in "123abc":
        assert sum(mark in line[1:-1] for line in first.splitlines()[1:17]) >= 1
    battle.step(attack_or(MOVES.index("east"))(observation))
    assert "step 1" in battle.render() != first


@needs_smax
def test_a_team_trains_on_it(battles):
    config = maskrl.PPOConfig(
        num_envs=3, rollout_steps=32, minibatch_size=48, death="posthumous", epochs=1
    )
    trainer = maskrl.PPO(battles, config)
    before = battles.illegal_actions
    trainer.learn(192)
    assert trainer.steps >= 192 and battles.illegal_actions == before
