"""Batches of JAX functions, shown by a small world of our own that is random in every step."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.batches import BatchEnv, BatchVectorEnv
from maskrl.envs.adapters.jax_batch import PIECE, JaxBatch
from maskrl.envs.entries import mask_space
from maskrl.errors import ConfigError

needs_jax = pytest.mark.worlds("jumanji", "jax")


class Wheel:
    """A wheel of 7 places that turns by chance; action a is allowed where a is not the place.

    On place 0 the episode is over; after 6 turns it is cut off, on place 0 as well.
    """

    name = "wheel"
    observation_space = spaces.Dict(
        {"place": spaces.Box(0, 6, (1,), np.int64), "action_mask": mask_space(7)}
    )
    action_space = spaces.Discrete(7)
    nvec = (7,)
    rendered = ("ansi",)
    action_names = tuple("abcdefg")

    def _seen(self, place):
        import jax.numpy as jnp

        return {"place": place[None], "action_mask": jnp.arange(7) != place}

    def begin(self, key):
        import jax

        place = jax.random.randint(key, (), 1, 7)
        return (place, place * 0), self._seen(place)

    def advance(self, state, action, key):
        import jax

        place, turns = state
        place = (place + action + jax.random.randint(key, (), 0, 3)) % 7
        told = {"twice": place * 2}
        state = (place, turns + 1)
        return state, self._seen(place), place * 0.5, place == 0, turns >= 5, told

    def picture(self, state, mode):
        return f"{mode}: {int(state[0])}"


class Broken(Wheel):
    name = "broken"

    def begin(self, key):
        raise TypeError("made of wood")


def allowed(observation, rng):
    """An allowed action of every row, the same for the same mask and generator."""
    return np.array([rng.choice(np.flatnonzero(row)) for row in observation["action_mask"]])


def story(batch, seed, steps=30):
    """All that a vector environment tells while every row draws actions by itself."""
    venv = BatchVectorEnv(batch, seed=seed)
    draws = [np.random.default_rng(seed + i) for i in range(batch.num_envs)]
    observation, _ = venv.reset()
    told = [observation["place"][:, 0]]
    for _ in range(steps):
        actions = [
            rng.choice(np.flatnonzero(row))
            for rng, row in zip(draws, observation["action_mask"], strict=True)
        ]
        observation, rewards, terminated, truncated, infos = venv.step(np.array(actions))
        final = infos.get("final_obs", observation)["place"][:, 0]
        told += [observation["place"][:, 0], rewards, terminated, truncated, infos["twice"], final]
    return np.array([np.asarray(row, np.float64) for row in told])


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True, "2"])
def test_a_number_of_copies_is_a_whole_number_from_one_on(wrong):
    with pytest.raises(ConfigError, match="wheel: num_envs must be a whole number from 1 on"):
        JaxBatch(Wheel(), wrong)


@needs_jax
def test_a_row_plays_what_a_single_environment_of_its_seed_plays():
    together = story(JaxBatch(Wheel(), PIECE + 3), 5)
    assert (together[3::6] == 1).any() and (together[4::6] == 1).any()  # over, and cut off
    assert len({tuple(column) for column in together.T}) == PIECE + 3
    for row in (0, 1, PIECE + 2):
        np.testing.assert_array_equal(story(JaxBatch(Wheel(), 1), 5 + row)[:, 0], together[:, row])


@needs_jax
def test_one_copy_tells_what_a_row_tells_and_stays_at_its_end():
    batch = JaxBatch(Wheel(), 1)
    env = BatchEnv(batch, seed=3, render_mode="ansi")
    observation, _ = env.reset()
    assert env.action_names == Wheel.action_names
    over = False
    while not over:
        assert env.render() == f"ansi: {observation['place'][0]}"
        assert observation["action_mask"].tolist() == [
            a != observation["place"][0] for a in range(7)
        ]
        action = int(np.flatnonzero(observation["action_mask"])[0])
        observation, reward, terminated, truncated, info = env.step(action)
        assert reward == observation["place"][0] * 0.5 and info["twice"] == reward * 4
        over = terminated or truncated
    assert terminated == (observation["place"][0] == 0) and not (terminated and truncated)


@needs_jax
def test_episodes_begin_where_they_shall_and_nowhere_else():
    batch = JaxBatch(Wheel(), PIECE * 2 + 1)
    batch.seed(list(range(batch.num_envs)))
    batch.begin(np.arange(batch.num_envs))
    batch.step(np.full(batch.num_envs, 1))
    before, keys = batch.get_state(), batch.observe()["place"]
    rows = np.array([1, PIECE, PIECE * 2])
    batch.begin(rows)
    others = np.setdiff1d(np.arange(batch.num_envs), rows)
    np.testing.assert_array_equal(batch.observe()["place"][others], keys[others])
    for name, array in batch.get_state().items():
        np.testing.assert_array_equal(array[others], before[name][others])
        if array.ndim == 2 and array.dtype == np.uint32:  # the keys move on, where it began
            assert (array[rows] != before[name][rows]).any(axis=1).all()
    batch.begin(np.array([], np.int64))  # none at all
    for row in rows:
        turns = batch.state_of(int(row))[1]
        assert int(turns) == 0


@needs_jax
def test_what_was_handed_out_is_of_the_space_and_ours_to_change():
    batch = JaxBatch(Wheel(), 2)
    venv = BatchVectorEnv(batch, seed=1)
    observation, _ = venv.reset()
    assert observation in venv.observation_space
    assert observation["place"].dtype == np.int64 and observation["action_mask"].dtype == np.bool_
    raw = batch.observe()
    kept = raw["action_mask"].copy()
    raw["action_mask"][:] = False
    np.testing.assert_array_equal(batch.observe()["action_mask"], kept)
    stepped = batch.step(allowed(observation, np.random.default_rng(0)))
    assert stepped.rewards.dtype == np.float64 and stepped.rewards.flags.writeable
    assert stepped.terminated.flags.writeable and stepped.infos["twice"].flags.writeable


@needs_jax
def test_seeds_use_all_their_bits():
    places = []
    for seed in (1, 1 + 2**32, 1 + 2**40, 1):
        batch = JaxBatch(Wheel(), 1)
        batch.seed([seed])
        places.append(batch.get_state())
    words = [tuple(np.concatenate([a.ravel() for a in p.values()]).tolist()) for p in places]
    assert len(set(words)) == 3 and words[0] == words[3]


@needs_jax
def test_a_saved_state_goes_on_exactly_and_others_are_refused():
    venv, other = (BatchVectorEnv(JaxBatch(Wheel(), 3), seed=s) for s in (4, 9))
    rng = np.random.default_rng(0)
    observation, _ = venv.reset()
    for _ in range(4):
        observation, *_ = venv.step(allowed(observation, rng))
    other.set_state(venv.get_state())
    for _ in range(12):
        actions = allowed(observation, rng)
        mine, theirs = venv.step(actions), other.step(actions)
        observation = mine[0]
        for key, array in observation.items():
            np.testing.assert_array_equal(array, theirs[0][key])
        for one, two in zip(mine[1:4], theirs[1:4], strict=True):
            np.testing.assert_array_equal(one, two)
    state = venv.batch.get_state()
    with pytest.raises(ConfigError, match="of more or fewer copies"):
        JaxBatch(Wheel(), 2).set_state(state)
    del state["000"]
    with pytest.raises(ConfigError, match="another environment or another version"):
        JaxBatch(Wheel(), 3).set_state(state)


@needs_jax
def test_functions_that_jax_cannot_trace_are_named():
    with pytest.raises(ConfigError, match="'broken': its reset fails .*TypeError: made of wood"):
        JaxBatch(Broken(), 1)
