"""The planner against the environment: its values are what its commands really earn.

The planner goes backwards over numbered states. Here every line of play is followed
forwards, in the environment and by its masks, and the planned values must come out.
"""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.outpost.layouts import layout
from maskrl.envs.games.outpost.planner import COMMANDS, _code, _decode, plan
from maskrl.envs.games.outpost.settings import HEAD_OF, OUTPOST_TREE, S_ALIVE, OutpostSettings
from maskrl.envs.games.outpost.vector_env import OutpostVectorEnv
from maskrl.masks.heads import random_actions

LINES = np.zeros((len(COMMANDS), 4), np.int64)
for number, (unit, choice) in enumerate(COMMANDS):
    LINES[number, HEAD_OF[unit]] = choice
    LINES[number, 0] = unit


def _chances(masks: dict[str, np.ndarray], actions: np.ndarray) -> np.ndarray:
    """Probability of each action for who draws a unit and then its part uniformly."""
    every = np.arange(len(actions))
    chance = 1 / masks["action_mask"][:, :5].sum(axis=1)
    mover, archer, builder = (np.isin(actions[:, 0], units) for units in ((0, 1), (2,), (3,)))
    own_directions = masks["action_mask:direction"][every, actions[:, 0]].sum(axis=1)
    chance[mover] /= own_directions[mover]
    chance[archer] /= masks["action_mask"][archer, 9:12].sum(axis=1)
    chance[builder] /= masks["action_mask"][builder, 12:].sum(axis=1)
    return chance


def _follow(seed: int, steps: int) -> tuple[float, float]:
    """Best and random return over `steps` commands, from every line of play there is."""
    rows, gained, chance = layout(OutpostSettings(), seed)[None], np.zeros(1), np.ones(1)
    expected = 0.0
    for _ in range(steps):
        actions = np.tile(LINES, (len(rows), 1))
        env = OutpostVectorEnv(len(actions), step_limit=20)
        env.set_state(env.get_state() | {"state": np.repeat(rows, len(LINES), axis=0)})
        masks = env.observation()
        allowed = OUTPOST_TREE.allows(actions, masks)
        masks = {name: value[allowed] for name, value in masks.items()}
        share = np.repeat(chance, len(LINES))[allowed] * _chances(masks, actions[allowed])
        _, rewards, *_ = env.step(actions)
        expected += float(share @ rewards[allowed])
        ends = np.column_stack((env.get_state()["state"], np.repeat(gained, len(LINES)) + rewards))[
            allowed
        ]
        ends, of = np.unique(ends, axis=0, return_inverse=True)
        chance = np.bincount(of, weights=share)
        rows, gained = ends[:, :-1].astype(np.int64), ends[:, -1]
    assert abs(chance.sum() - 1) < 1e-12
    return float(gained.max()), expected


@pytest.mark.parametrize("seed", [1, 5])
def test_values_are_those_of_every_line_of_play(seed: int) -> None:
    found = plan(OutpostSettings(step_limit=9), seed)
    best, expected = _follow(seed, 9)
    assert found.value == best >= found.greedy > 0
    assert found.random == pytest.approx(expected, abs=1e-12)


def test_playing_the_best_commands_earns_the_value() -> None:
    settings = OutpostSettings(split="test")
    seeds = range(40)
    plans = [plan(settings, seed, keep_policy=True) for seed in seeds]
    env = OutpostVectorEnv(len(plans), split="test", layout_seeds=len(plans))
    env.reset()
    returns = np.zeros(len(plans))
    for _ in range(settings.step_limit):
        state = env.get_state()["state"]
        env_actions = [found.command(row) for found, row in zip(plans, state, strict=True)]
        _, rewards, terminated, _, _ = env.step(np.array(env_actions))
        returns += rewards
    assert terminated.all() and env.illegal_actions == 0
    assert returns.tolist() == [found.value for found in plans]


def test_random_valid_play_earns_the_random_value() -> None:
    episodes = 20_000
    for seed in (2, 3):
        env = OutpostVectorEnv(episodes, layout_seeds=[seed], copy=False)
        observation, _ = env.reset()
        rng, returns = np.random.default_rng(seed), np.zeros(episodes)
        for _ in range(env.settings.step_limit):
            actions = random_actions(observation, OUTPOST_TREE, rng, (episodes,))
            observation, rewards, *_ = env.step(actions)
            returns += rewards
        assert env.illegal_actions == 0
        error = returns.std() / np.sqrt(episodes)
        # Four standard errors: a false alarm once in 16,000 seeds.
        assert abs(returns.mean() - plan(env.settings, seed).random) < 4 * error


def test_greedy_and_random_play_stay_well_below_the_best() -> None:
    plans = [plan(OutpostSettings(split="test"), seed) for seed in range(60)]
    best, greedy, random = (
        np.mean([getattr(found, name) for found in plans]) for name in ("value", "greedy", "random")
    )
    assert all(found.value >= found.greedy and found.value > found.random for found in plans)
    assert random < 0.2 * best and 0.5 * best < greedy < 0.85 * best


def test_impatience_spends_at_once_what_a_hall_is_built_of() -> None:
    # Ten moves bring ore and wood, 2 points each, and a hall gives 8. Who builds tower (2) or
    # hut (1) as soon as it can be paid for gets 6 or less.
    settings = OutpostSettings(step_limit=11, max_rocks=0, min_wolves=0, max_wolves=0)
    found = plan(settings, 0)
    assert (found.value, found.greedy) == (12, 6)


def test_codes_number_states() -> None:
    row, back = layout(OutpostSettings(), 4), np.zeros(15, np.int64)
    for values in ([3, 24, 1, 0, 2, 4, 1], [24, 24, 1, 1, 4, 4, 1], [0] * 7):
        row[:7] = values
        for alive in (0, 5, 7):
            row[S_ALIVE] = alive
            _decode(_code(row, 4), 4, back)
            assert back[:8].tolist() == [*values, alive]
