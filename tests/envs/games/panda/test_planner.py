"""The planner against the environment: its values are what its policy really earns."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.panda.layouts import layout, split_seeds
from maskrl.envs.games.panda.planner import NO_ACTION, Plan, plan
from maskrl.envs.games.panda.planner_states import item_modes
from maskrl.envs.games.panda.settings import (
    S_BANANAS,
    S_CARRYING,
    S_DRAGON,
    S_DRAGON_STUNNED,
    S_PANDA,
    S_SCORPION,
    S_SCORPION_STUNNED,
    S_STEP,
    PandaSettings,
)
from maskrl.envs.games.panda.vector_env import PandaVectorEnv

SMALL = {"width": 5, "height": 5, "min_trees": 2, "max_trees": 3, "step_limit": 15}


def _play(settings: PandaSettings, seed: int, found: Plan, episodes: int) -> np.ndarray:
    """Returns of the planner's own policy, played in the environment."""
    names = ("width", "height", "min_trees", "max_trees", "min_bananas", "max_bananas")
    kwargs = {name: getattr(settings, name) for name in (*names, "step_limit", "preset")}
    env = PandaVectorEnv(episodes, seed=5, layout_seeds=[seed], **kwargs)
    env.reset()
    start, _, _ = layout(settings, seed)
    lying = start[S_BANANAS : S_BANANAS + settings.banana_slots]
    slots = np.flatnonzero(lying >= 0)
    returns = np.zeros(episodes)
    running = np.ones(episodes, bool)
    for _ in range(settings.step_limit):
        state = env.get_state()["state"]
        ground = sum((state[:, S_BANANAS + slot] >= 0) * 2**k for k, slot in enumerate(slots))
        mode = found.modes[
            ground + np.zeros(episodes, int),
            state[:, S_CARRYING],
            state[:, S_SCORPION_STUNNED],
            state[:, S_DRAGON_STUNNED],
        ]
        cells = [found.index_of[state[:, column]] for column in (S_PANDA, S_SCORPION, S_DRAGON)]
        left = settings.step_limit - state[:, S_STEP] - 1
        actions = found.policy[left, mode, cells[0], cells[1], cells[2]]
        assert (actions[running] != NO_ACTION).all()
        _, rewards, terminated, truncated, _ = env.step(actions.astype(np.int64))
        returns += rewards * running
        running &= ~(terminated | truncated)
    assert not running.any()
    assert env.illegal_actions == 0
    return returns


@pytest.mark.parametrize("seed", [3, 11])
@pytest.mark.parametrize("bananas", [0, 1, 2])
def test_playing_the_plan_earns_its_value(seed: int, bananas: int) -> None:
    """Mean of 4,000 episodes within 4 standard errors: fails by chance once in 16,000 runs."""
    settings = PandaSettings(**SMALL, min_bananas=bananas, max_bananas=bananas)
    found = plan(settings, seed, keep_policy=True)
    returns = _play(settings, seed, found, 4000)
    error = max(returns.std() / np.sqrt(len(returns)), 1e-3)
    assert abs(returns.mean() - found.value) < 4 * error


def test_random_play_earns_the_random_value() -> None:
    """Mean of 20,000 random valid episodes within 4 standard errors of the computed value."""
    settings = PandaSettings(**SMALL)
    expected = plan(settings, 7, best=False).value
    episodes = 20_000
    env = PandaVectorEnv(episodes, seed=2, layout_seeds=[7], **SMALL)
    observation, _ = env.reset()
    generator = np.random.default_rng(0)
    returns = np.zeros(episodes)
    running = np.ones(episodes, bool)
    for _ in range(settings.step_limit):
        scores = generator.random(observation["action_mask"].shape) * observation["action_mask"]
        observation, rewards, terminated, truncated, _ = env.step(scores.argmax(axis=1))
        returns += rewards * running
        running &= ~(terminated | truncated)
    assert abs(returns.mean() - expected) < 4 * returns.std() / np.sqrt(episodes)


def test_best_is_never_below_random_and_stays_in_range() -> None:
    settings = PandaSettings(**SMALL)
    for seed in split_seeds("test", 10):
        best = plan(settings, int(seed)).value
        chance = plan(settings, int(seed), best=False).value
        assert -1 <= chance <= best <= 1 + 1e-6


def test_more_time_never_hurts_the_best_play() -> None:
    values = [
        plan(PandaSettings(**(SMALL | {"step_limit": steps})), 4).value for steps in (2, 5, 10, 20)
    ]
    assert values == sorted(values)


def test_sight_does_not_change_the_plan() -> None:
    assert plan(PandaSettings(sight="full"), 1).value == plan(PandaSettings(), 1).value


def test_modes_count_only_what_can_happen() -> None:
    # One banana: on the ground; carried; thrown with nobody, the dragon or the scorpion hit.
    assert item_modes(0).max() + 1 == 1
    assert item_modes(1).max() + 1 == 5
    # Two: 1 (both lie) + 2 * 1 (one carried) + 2 * 3 (one thrown) + 3 (thrown, carried) + 4.
    assert item_modes(2).max() + 1 == 16
