"""The planner against the environment: its values are what its policy really earns."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.layout_seeds import split_seeds
from maskrl.envs.games.panda.layouts import layout
from maskrl.envs.games.panda.planner import NO_ACTION, Plan, plan
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
from maskrl.errors import ConfigError

OTHERS: dict[str, dict[str, Any]] = {
    "no scorpion": {"min_scorpions": 0, "max_scorpions": 0},
    "no dragon": {"min_dragons": 0, "max_dragons": 0},
    "nobody": {"min_scorpions": 0, "max_scorpions": 0, "min_dragons": 0, "max_dragons": 0},
    "perhaps somebody": {"min_scorpions": 0, "min_dragons": 0},
    "near dragon": {"dragon_view_radius": 2, "scorpion_view_radius": 1, "panda_view_radius": 2},
    "narrow dragon": {"dragon_field_of_view": 90, "dragon_view_radius": 3},
    "narrow scorpion": {"scorpion_field_of_view": 90},
    "narrow panda": {"panda_field_of_view": 90, "min_scorpions": 0, "max_scorpions": 0},
    "narrow scene": {
        "preset": "trees",
        "width": 7,
        "height": 7,
        "step_limit": 9,
        "dragon_field_of_view": 180,
    },
}
SMALL = {"width": 5, "height": 5, "min_trees": 2, "max_trees": 3, "step_limit": 15}


def _places(
    settings: PandaSettings, found: Plan, state: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of panda, scorpion and dragon in rows of the state table; 0 of who is not there."""
    further = S_BANANAS + settings.banana_slots + settings.tree_slots
    turning = {S_PANDA: further, S_SCORPION: further + 1}
    turning[S_DRAGON] = further + 1 + settings.max_scorpions
    places = []
    for column, facings in zip((S_PANDA, S_SCORPION, S_DRAGON), found.facings, strict=True):
        place = found.index_of[state[:, column]] * facings
        place += state[:, turning[column]] if facings > 1 else 0
        places.append(np.where(state[:, column] < 0, 0, place))
    return places[0], places[1], places[2]


def _play(settings: PandaSettings, seed: int, found: Plan, episodes: int) -> np.ndarray:
    """Returns of the planner's own policy, played in the environment."""
    env = PandaVectorEnv(episodes, seed=5, layout_seeds=[seed], **asdict(settings))
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
        left = settings.step_limit - state[:, S_STEP] - 1
        actions = found.policy[left, mode, *_places(settings, found, state)]
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


@pytest.mark.parametrize("name", OTHERS)
def test_playing_the_plan_earns_its_value_in_other_worlds(name: str) -> None:
    """As above: facings, limits of view and missing creatures are planned as they are played."""
    settings = PandaSettings(**SMALL | {"step_limit": 10} | OTHERS[name])
    found = plan(settings, 3, keep_policy=True)
    returns = _play(settings, 3, found, 4000)
    error = max(returns.std() / np.sqrt(len(returns)), 1e-3)
    assert abs(returns.mean() - found.value) < 4 * error


def test_limits_of_view_change_the_value_as_they_must() -> None:
    """A dragon that sees less catches less; a panda that sees less throws less."""
    settings = PandaSettings(**SMALL | {"min_scorpions": 0, "max_scorpions": 0})
    seeds = split_seeds("test", 12)

    def mean(best: bool, **limits: Any) -> float:
        world = PandaSettings(**SMALL | {"min_scorpions": 0, "max_scorpions": 0} | limits)
        return float(np.mean([plan(world, int(seed), best=best).value for seed in seeds]))

    free = float(np.mean([plan(settings, int(seed), best=False).value for seed in seeds]))
    near = mean(False, dragon_view_radius=2)
    narrow = mean(False, dragon_view_radius=2, dragon_field_of_view=90)
    assert free < near - 0.02 < narrow - 0.04
    assert mean(True, panda_view_radius=1) < mean(True)


def test_a_world_beyond_the_planner_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be planned: it may hold 2 dragons"):
        plan(PandaSettings(max_dragons=2), 0)


def test_random_play_earns_the_random_value() -> None:
    """Mean of 20,000 random valid episodes within 4 standard errors of the computed value."""
    settings = PandaSettings(**SMALL)
    _random_play_earns(settings, 7)


@pytest.mark.parametrize("name", OTHERS)
def test_random_play_earns_the_random_value_in_other_worlds(name: str) -> None:
    _random_play_earns(PandaSettings(**SMALL | OTHERS[name]), 3)


def _random_play_earns(settings: PandaSettings, seed: int) -> None:
    expected = plan(settings, seed, best=False).value
    episodes = 20_000
    env = PandaVectorEnv(episodes, seed=2, layout_seeds=[seed], **asdict(settings))
    observation, _ = env.reset()
    generator = np.random.default_rng(0)
    returns = np.zeros(episodes)
    running = np.ones(episodes, bool)
    for _ in range(settings.step_limit):
        scores = generator.random(observation["action_mask"].shape) * observation["action_mask"]
        observation, rewards, terminated, truncated, _ = env.step(scores.argmax(axis=1))
        returns += rewards * running
        running &= ~(terminated | truncated)
    error = max(returns.std() / np.sqrt(episodes), 1e-6)
    assert abs(returns.mean() - expected) < 4 * error


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
