"""Jumanji's own environments and made-up ones, stepped beside the library itself."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from gymnasium import spaces

import maskrl
from maskrl.envs.adapters import jumanji
from maskrl.envs.adapters.jumanji_kinds import KNOWN
from maskrl.envs.adapters.library_import import Library, LibraryMissingError
from maskrl.errors import ConfigError, MaskShapeError, NoMaskError, UnknownEnvError

needs_jumanji = pytest.mark.worlds("jumanji")

OWN = '''
from typing import NamedTuple

import jax, jax.numpy as jnp
import jumanji
from jumanji import specs
from jumanji.types import restart, transition, termination, truncation


class Seen(NamedTuple):
    place: jnp.ndarray
    entities: jnp.ndarray
    action_mask: jnp.ndarray


class Pairs(jumanji.Environment):
    """Two parts of an action, two choices each; the sum of the actions so far is observed.

    The reward names the action and is per part. Over at 4, cut off after 3 steps.
    """

    def __init__(self, mask_shape=(2, 2), late=False):
        self.mask_shape = mask_shape
        self.late = late
        super().__init__()

    def seen(self, place):
        count = 1
        for n in self.mask_shape:
            count *= n
        flags = (jnp.arange(count) != place).reshape(self.mask_shape)
        return Seen(place, place * 2, flags)

    def reset(self, key):
        place = jnp.zeros((), jnp.int32)
        return (place, place), restart(self.seen(place), shape=(2,))

    def step(self, state, action):
        place, steps = state
        place, steps = place + action.sum(), steps + 1
        reward = jnp.stack([10.0 * action[0], 1.0 * action[1]])
        seen, kind = self.seen(place), jnp.where(place >= 4, 1, jnp.where(steps >= 3, 2, 0))
        told = jax.lax.switch(
            kind,
            [
                lambda r, o: transition(r, o, shape=(2,)),
                lambda r, o: termination(r, o, shape=(2,)),
                lambda r, o: truncation(r, o, shape=(2,)),
            ],
            reward,
            seen,
        )
        return (place, steps), told

    @property
    def observation_spec(self):
        return specs.Spec(
            Seen,
            "Seen",
            place=specs.DiscreteArray(9, name="place"),
            entities=specs.Array((), jnp.int32, "entities"),
            action_mask=specs.BoundedArray(self.mask_shape, bool, False, True, "action_mask"),
        )

    @property
    def action_spec(self):
        return specs.MultiDiscreteArray(jnp.array([2, 2]), name="action")


class Maskless(Pairs):
    def seen(self, place):
        return {"place": place}


def build(**kwargs) -> jumanji.Environment:
    return Pairs(**kwargs)


def untold(**kwargs):
    return Pairs(**kwargs)
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The module `own_world`, which one's own ids name."""
    (tmp_path / "own_world.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_world"
    sys.modules.pop("own_world", None)


def play(env, choose, seed=0, episodes=1):
    """Steps of an environment of ours, and of Jumanji's itself under the same keys."""
    import jax

    world = env.unwrapped.batch.world
    reset, step = jax.jit(world.env.reset), jax.jit(world.env.step)
    observation, _ = env.reset(seed=seed)
    key = jax.numpy.asarray([0, seed], jax.numpy.uint32)
    for _ in range(episodes):
        key, own = jax.random.split(key)
        state, told = reset(own)
        over = False
        while not over:
            action = choose(observation)
            before = observation
            observation, reward, terminated, truncated, info = env.step(action)
            state, told = step(state, np.int32(action))
            key = jax.random.split(key)[0]
            over = terminated or truncated
            yield before, action, observation, reward, terminated, truncated, info, told
        observation, _ = env.reset()


def first_allowed_or_none(row):
    return int(np.flatnonzero(row)[0]) if row.any() else 0


def last_allowed_or_none(row):
    return int(np.flatnonzero(row)[-1]) if row.any() else 0


def random_allowed(seed=0):
    rng = np.random.default_rng(seed)
    return lambda seen: (
        int(rng.choice(np.flatnonzero(seen["action_mask"]))) if seen["action_mask"].any() else 0
    )


def test_a_missing_library_is_told_with_what_to_type(monkeypatch):
    monkeypatch.setattr(Library, "is_installed", lambda self: False)
    for name in ("Snake-v1", "own_world:Pairs"):
        with pytest.raises(LibraryMissingError, match=r'pip install "maskrl\[jumanji\]"'):
            maskrl.make(f"jumanji:{name}")


BOARD = {"num_rows": 3, "num_cols": 3, "time_limit": 20}


@pytest.fixture(scope="module")
def snake():
    """Compiled once for several tests, each of which resets it with a seed."""
    return maskrl.make("jumanji:Snake-v1", render_mode="rgb_array", **BOARD)


@pytest.fixture(scope="module")
def snakes():
    return maskrl.make_vec("jumanji:Snake-v1", 8, **BOARD)


@needs_jumanji
def test_a_snake_is_jumanji_s_snake_step_by_step(snake):
    ends = 0
    for step in play(snake, random_allowed(), 3, episodes=3):
        before, _, observation, reward, terminated, truncated, _, told = step
        np.testing.assert_array_equal(observation["grid"], told.observation.grid)
        np.testing.assert_array_equal(observation["action_mask"], told.observation.action_mask)
        assert observation["step_count"] == told.observation.step_count
        assert observation["step_count"] == before["step_count"] + 1
        assert reward == float(told.reward)
        assert terminated == bool(told.last()) and not truncated  # its discount is 0 there
        ends += terminated
    assert ends == 3


@needs_jumanji
def test_a_trapped_snake_has_a_row_that_allows_nothing_and_training_goes_on(snakes):
    observation, _ = snakes.reset(seed=0)
    trapped, draw = 0, np.random.default_rng(0)
    for _ in range(60):
        rows = observation["action_mask"]
        trapped += int((~rows.any(axis=1)).sum())
        actions = np.array([draw.choice(np.flatnonzero(r)) if r.any() else 0 for r in rows])
        observation, *_ = snakes.step(actions)
    assert trapped > 0  # while the episode goes on: ended ones have begun anew
    config = maskrl.PPOConfig(num_envs=8, rollout_steps=60, minibatch_size=120, empty="idle")
    trainer = maskrl.PPO(snakes, config)
    trainer.learn(480)
    assert trainer.env.illegal_actions == 0


@needs_jumanji
def test_a_vector_environment_plays_what_single_ones_play(snake, snakes):
    together, _ = snakes.reset(seed=5)
    assert together in snakes.observation_space
    assert snakes.single_action_space == spaces.Discrete(4)
    assert snakes.action_names == ("up", "right", "down", "left")
    choose = [first_allowed_or_none, last_allowed_or_none] * 4
    story = [together]
    for _ in range(25):
        rows = together["action_mask"]
        actions = np.array([pick(row) for pick, row in zip(choose, rows, strict=True)])
        together, *told, infos = snakes.step(actions)
        story.append((actions, together, *told, infos.get("final_obs", together)))
    for i in (0, 7):
        observation, _ = snake.reset(seed=5 + i)
        for name, array in story[0].items():
            np.testing.assert_array_equal(array[i], observation[name])
        ends = 0
        for actions, following, *told, final in story[1:]:
            observation, *here, _ = snake.step(actions[i])
            assert here == [one[i] for one in told]
            for name, array in final.items():
                np.testing.assert_array_equal(array[i], observation[name])
            if any(here[1:]):
                ends += 1
                observation, _ = snake.reset()
                for name, array in following.items():
                    np.testing.assert_array_equal(array[i], observation[name])
        assert ends > 0


@needs_jumanji
def test_pairs_of_a_joint_mask_arrive_as_pairs(own):
    env = maskrl.make(f"jumanji:{own}:Pairs", mask_kind="joint")
    assert env.action_space == spaces.Discrete(4)
    assert env.action_names == ("0,0", "0,1", "1,0", "1,1")
    for action, (first, second) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        env.reset()
        observation, reward, *_ = env.step(action)
        assert reward == 10 * first + second and observation["place"] == first + second
        expected = np.arange(4) != first + second
        np.testing.assert_array_equal(observation["action_mask"], expected)


@needs_jumanji
def test_rows_are_a_head_each_and_rewards_are_added_up(own):
    env = maskrl.make(f"jumanji:{own}:build", mask_kind="rows")
    assert env.action_space == spaces.MultiDiscrete([2, 2])
    env.reset()
    observation, reward, *_ = env.step(np.array([1, 0]))
    assert reward == 10.0 and observation["place"] == 1
    np.testing.assert_array_equal(observation["action_mask"], [True, False, True, True])
    observation, reward, *_ = env.step(np.array([0, 1]))
    assert reward == 1.0 and observation["place"] == 2


@needs_jumanji
def test_what_is_over_is_told_from_what_was_cut_off_with_the_real_last_mask(own):
    env = maskrl.make(f"jumanji:{own}:Pairs", mask_kind="joint")
    env.reset()
    told = [env.step(3)[2:4] for _ in range(2)]
    assert told == [(False, False), (True, False)]
    env.reset()
    told = [env.step(0)[2:4] for _ in range(3)]
    assert told == [(False, False), (False, False), (False, True)]
    venv = maskrl.make_vec(f"jumanji:{own}:Pairs", 2, mask_kind="joint")
    venv.reset()
    for actions in ([1, 0], [1, 0], [1, 0]):
        observation, _, terminated, truncated, infos = venv.step(np.array(actions))
    assert truncated.all() and not terminated.any()
    assert infos["final_obs"]["place"].tolist() == [3, 0]
    np.testing.assert_array_equal(infos["final_obs"]["action_mask"], [[1, 1, 1, 0], [0, 1, 1, 1]])
    assert observation["place"].tolist() == [0, 0]
    np.testing.assert_array_equal(observation["action_mask"], [[0, 1, 1, 1]] * 2)


@needs_jumanji
def test_ids_and_masks_that_say_too_little_are_refused(own):
    with pytest.raises(ConfigError, match="mask_kind=joint .* or mask_kind=rows"):
        maskrl.make(f"jumanji:{own}:Pairs")
    with pytest.raises(MaskShapeError, match=r"shape \(3,\) and an action has \[2, 2\]"):
        maskrl.make(f"jumanji:{own}:Pairs", mask_shape=(3,))
    with pytest.raises(NoMaskError, match="has no 'action_mask'; its entries are place"):
        maskrl.make(f"jumanji:{own}:Maskless")
    with pytest.raises(ConfigError, match="function annotated as returning one"):
        maskrl.make(f"jumanji:{own}:untold")
    with pytest.raises(UnknownEnvError, match="has no 'Triples'"):
        maskrl.make(f"jumanji:{own}:Triples")
    with pytest.raises(UnknownEnvError, match=r"Did you mean jumanji:Snake-v1\?"):
        maskrl.make("jumanji:snake-v0")
    with pytest.raises(ConfigError, match="num_row"):
        maskrl.make("jumanji:Snake-v1", num_row=3)


@needs_jumanji
def test_entries_of_ours_are_not_mistaken_for_theirs(own):
    space = maskrl.make(f"jumanji:{own}:Pairs", mask_kind="rows").observation_space
    assert set(space.spaces) == {"place", "own_entities", "action_mask"}
    assert space["place"] == spaces.Discrete(9)


@needs_jumanji
@pytest.mark.parametrize(
    ("name", "kind", "nvec"),
    [
        ("Knapsack-v1", "flat", (50,)),
        ("Minesweeper-v0", "joint", (100,)),
        ("LevelBasedForaging-v0", "rows", (6, 6)),
        ("MultiCVRP-v0", "rows", (21, 21)),  # a depot and 20 customers
    ],
)
def test_masks_of_one_shape_mean_what_is_known_of_the_environment(name, kind, nvec):
    world = jumanji.make_world(name)
    assert (world.layout.kind, world.nvec) == (kind, nvec)


@needs_jumanji
@pytest.mark.slow
def test_every_environment_of_jumanji_s_is_taken_or_refused_with_a_reason():
    import jumanji as library

    found, refused = {}, []
    for name in library.registered_environments():
        try:
            found[name.rpartition("-v")[0]] = jumanji.make_world(name).layout.kind
        except (NoMaskError, ConfigError) as error:  # no mask; or a data set to be fetched
            refused.append(name)
            assert "masks nothing" in str(error) or name == "Sokoban-v0"
    assert found == KNOWN and len(refused) == 4


@needs_jumanji
def test_a_world_is_drawn_without_a_display_and_figures_of_others_stay(snake):
    from matplotlib import pyplot

    own = pyplot.figure("somebody's own")
    snake.reset(seed=0)
    picture = snake.render()
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    assert picture.std() > 5  # not one colour
    observation, _ = snake.reset(seed=1)
    assert (snake.render() != picture).any()
    assert pyplot.get_figlabels() == ["somebody's own"]
    pyplot.close(own)
