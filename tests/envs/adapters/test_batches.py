"""Batches in general, shown by copies that count, without any library."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.batches import BatchEnv, BatchVectorEnv, Stepped
from maskrl.envs.entries import mask_space
from maskrl.errors import ConfigError, MaskDtypeError


class Counting:
    """Copy i counts from its seed; action a adds a + 1; from 10 on it is over, by 5 steps cut off.

    Action 2 is disallowed while the count is even.
    """

    name = "counting"
    rendered = ("ansi",)
    action_names = ("one", "two", "three")
    observation_space = spaces.Dict(
        {"count": spaces.Box(0, 99, (1,), np.int64), "action_mask": mask_space(3)}
    )
    action_space = spaces.Discrete(3)
    nvec = (3,)

    def __init__(self, num_envs):
        self.num_envs = num_envs
        self.count = np.zeros(num_envs, np.int64)
        self.steps = np.zeros(num_envs, np.int64)
        self.seeds = np.zeros(num_envs, np.int64)
        self.mask = np.ones((num_envs, 3), np.bool_)  # one buffer, changed in place

    def seed(self, seeds):
        self.seeds[:] = seeds

    def begin(self, rows):
        self.count[rows] = self.seeds[rows]
        self.steps[rows] = 0

    def step(self, actions):
        self.count += actions + 1
        self.steps += 1
        over = self.count >= 10
        told = {"outcome": np.where(over, 1.0, np.nan)}
        return Stepped(self.count * 0.5, over, ~over & (self.steps >= 5), told)

    def observe(self):
        self.mask[:, 2] = self.count % 2 == 1
        return {"count": self.count[:, None].copy(), "action_mask": self.mask.copy()}

    def render(self, row, mode):
        return f"{mode}: {self.count[row]}"

    def get_state(self):
        return {"count": self.count.copy(), "steps": self.steps.copy(), "seeds": self.seeds.copy()}

    def set_state(self, state):
        if len(state["count"]) != self.num_envs:
            raise ConfigError("counting: of other copies")
        self.count, self.steps, self.seeds = (
            np.array(state[name]) for name in ("count", "steps", "seeds")
        )


def counts(observation):
    return observation["count"][:, 0].tolist()


def test_a_vector_environment_resets_in_the_step_that_ends_an_episode_and_keeps_the_last():
    venv = BatchVectorEnv(Counting(3), seed=4)
    first, infos = venv.reset()
    assert counts(first) == [4, 5, 6] and infos == {}
    after, rewards, terminated, truncated, infos = venv.step(np.array([0, 2, 1]))
    assert counts(after) == [5, 8, 8] and "final_obs" not in infos
    after, rewards, terminated, truncated, infos = venv.step(np.array([0, 1, 0]))
    # 5 + 1, 8 + 2 is over, 8 + 1
    assert counts(after) == [6, 5, 9]
    assert counts(infos["final_obs"]) == [6, 10, 9]
    np.testing.assert_array_equal(infos["_final_obs"], [False, True, False])
    np.testing.assert_array_equal(terminated, [False, True, False])
    assert not truncated.any() and rewards.tolist() == [3.0, 5.0, 4.5]
    # masks: of the final state (10 is even), and of the next episode's first (5 is odd)
    np.testing.assert_array_equal(infos["final_obs"]["action_mask"][1], [True, True, False])
    np.testing.assert_array_equal(after["action_mask"][1], [True, True, True])


def test_an_episode_that_was_cut_off_is_truncated():
    venv = BatchVectorEnv(Counting(1), seed=0)
    venv.reset()
    for step in range(5):
        _, _, terminated, truncated, infos = venv.step(np.array([0]))
        assert truncated[0] == (step == 4) and not terminated[0]
    assert counts(infos["final_obs"]) == [5]


def test_what_was_handed_out_is_never_changed_later():
    venv = BatchVectorEnv(Counting(2))
    first, _ = venv.reset()
    before = {name: array.copy() for name, array in first.items()}
    venv.step(np.array([0, 1]))
    for name, array in first.items():
        np.testing.assert_array_equal(array, before[name])
    first["action_mask"][:] = False  # and callers may change theirs
    assert venv.observation()["action_mask"].any()


def test_seeds_are_counted_up_or_given_one_by_one():
    venv = BatchVectorEnv(Counting(3))
    assert counts(venv.reset(seed=2)[0]) == [2, 3, 4]
    assert counts(venv.reset(seed=[7, 0, 1])[0]) == [7, 0, 1]
    assert counts(venv.reset()[0]) == [7, 0, 1]
    with pytest.raises(ConfigError, match="2 seeds for 3 environments"):
        venv.reset(seed=[1, 2])
    for wrong in (-1, 1.5, True):
        with pytest.raises(ConfigError, match="whole number from 0 on"):
            venv.reset(seed=wrong)


def test_a_reset_mask_begins_some_anew():
    venv = BatchVectorEnv(Counting(2), seed=1)
    with pytest.raises(ConfigError, match="first reset begins every"):
        venv.reset(options={"reset_mask": np.array([True, False])})
    venv.reset()
    venv.step(np.array([1, 1]))
    observation, _ = venv.reset(options={"reset_mask": np.array([False, True])})
    assert counts(observation) == [3, 2]
    with pytest.raises(MaskDtypeError):
        venv.reset(options={"reset_mask": np.array([0, 1])})


def test_illegal_actions_are_counted_by_the_mask_handed_out():
    venv = BatchVectorEnv(Counting(2), seed=4)
    venv.reset()
    venv.step(np.array([2, 2]))  # 4 is even: disallowed; 5 is odd: allowed
    assert venv.illegal_actions == 1
    venv.step(np.array([1, 1]))
    assert venv.illegal_actions == 1


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.array([0]), r"whole numbers of shape \(2,\); got int64 of shape \(1,\)"),
        (np.array([0.0, 1.0]), "got float64"),
        (np.array([0, 3]), r"actions\[1\] = 3; expected 0 to 2"),
        (np.array([-1, 0]), r"actions\[0\] = -1; expected 0 to 2"),
    ],
)
def test_wrong_actions_are_refused(actions, message):
    venv = BatchVectorEnv(Counting(2))
    with pytest.raises(ConfigError, match="before the first reset"):
        venv.step(np.array([0, 0]))
    venv.reset()
    with pytest.raises(ConfigError, match=message):
        venv.step(actions)


def test_a_saved_state_goes_on_exactly():
    venv, other = BatchVectorEnv(Counting(2), seed=3), BatchVectorEnv(Counting(2))
    venv.reset()
    venv.step(np.array([2, 2]))
    other.set_state(venv.get_state())
    assert other.illegal_actions == venv.illegal_actions == 1
    for name, array in venv.observation().items():
        np.testing.assert_array_equal(array, other.observation()[name])
    for action in ([1, 0], [0, 0], [1, 1]):
        mine, theirs = venv.step(np.array(action)), other.step(np.array(action))
        assert counts(mine[0]) == counts(theirs[0])
        np.testing.assert_array_equal(mine[1], theirs[1])
    with pytest.raises(ConfigError, match="of other copies"):
        BatchVectorEnv(Counting(1)).set_state(venv.get_state())
    state = venv.get_state()
    del state["batch.count"]
    with pytest.raises(ConfigError, match="damaged: KeyError"):
        other.set_state(state)


def test_one_copy_is_an_ordinary_environment():
    env = BatchEnv(Counting(1), seed=8, render_mode="ansi")
    with pytest.raises(ConfigError, match="call reset first"):
        env.step(0)
    observation, info = env.reset(seed=7)
    assert observation["count"].tolist() == [7] and info == {}
    assert env.action_names == ("one", "two", "three")
    observation, reward, terminated, truncated, info = env.step(np.int64(0))
    assert (reward, terminated, truncated, info) == (4.0, False, False, {})
    observation, reward, terminated, truncated, info = env.step(1)
    # nothing began anew: this is the state in which it ended
    assert observation["count"].tolist() == [10] and terminated and info == {"outcome": 1.0}
    assert env.render() == "ansi: 10"
    with pytest.raises(ConfigError, match="call reset first"):
        env.step(0)


def test_one_copy_is_saved_and_continued():
    env, other = BatchEnv(Counting(1), seed=1), BatchEnv(Counting(1))
    env.reset()
    env.step(0)
    other.set_state(env.get_state())
    assert other.step(0)[0]["count"].tolist() == [3]


def test_pictures_that_are_not_there_are_refused():
    with pytest.raises(ConfigError, match="render_mode must be None or 'ansi'; got 'human'"):
        BatchEnv(Counting(1), render_mode="human")
    with pytest.raises(ConfigError, match="a batch of one, got 2"):
        BatchEnv(Counting(2))
