"""Worlds of several creatures with limited views: everything told, checked against the rules.

What the world tells is recomputed here from its saved state alone, with other means:
sight lines of `geometry.line_of_sight`, angles as Python computes them. Nothing that the
panda does not see may change what a panda under its own view is told.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.panda.settings import (
    DEFAULT_FEATURES,
    DRAGON,
    PANDA,
    S_TREES,
    SCORPION,
    PandaSettings,
)
from maskrl.envs.games.panda.vector_env import PandaVectorEnv
from maskrl.geometry import line_of_sight

WORLDS: dict[str, dict[str, Any]] = {
    "near": {"panda_view_radius": 2, "dragon_view_radius": 3},
    "narrow": {"panda_field_of_view": 180, "dragon_field_of_view": 90, "scorpion_view_radius": 1},
    "crowd": {"max_scorpions": 3, "max_dragons": 2, "max_bananas": 4, "width": 9, "height": 10},
    "some": {"min_scorpions": 0, "max_scorpions": 2, "min_dragons": 0, "max_dragons": 2},
    "nobody": {"min_scorpions": 0, "max_scorpions": 0, "min_dragons": 0, "max_dragons": 0},
    "all": {
        "width": 20,
        "height": 18,
        "max_trees": 90,
        "min_trees": 60,
        "max_bananas": 7,
        "min_dragons": 0,
        "max_dragons": 4,
        "max_scorpions": 3,
        "panda_view_radius": 6,
        "panda_field_of_view": 200,
        "dragon_view_radius": 7,
        "dragon_field_of_view": 120,
        "scorpion_field_of_view": 90,
    },
    "plain": {"features": "xyt", "max_dragons": 2, "min_dragons": 0, "panda_field_of_view": 90},
    "full": {"sight": "full", "max_dragons": 2, "panda_view_radius": 1},
}
AHEAD = ((0, -1), (0, 1), (-1, 0), (1, 0))


def _played(steps: int = 12, count: int = 24, **settings: Any):
    env = PandaVectorEnv(count, seed=4, **settings)
    observation, _ = env.reset()
    generator = np.random.default_rng(1)
    for _ in range(steps):
        scores = generator.random(observation["action_mask"].shape) * observation["action_mask"]
        observation, *_ = env.step(scores.argmax(axis=1))
    return env, observation


def _entities(settings: PandaSettings, state: np.ndarray) -> tuple[list[int], list[int], list[int]]:
    """Kinds, cells and facings by slot, read off one row of the state table by hand."""
    bananas, trees = settings.banana_slots, settings.tree_slots
    further = 9 + bananas + trees
    cells, kinds = [state[0], state[1]], [0, 1]
    for kind, first, count in ((2, 2, settings.max_scorpions), (3, 3, settings.max_dragons)):
        for number in range(count):
            cells.append(state[further if number else first])
            further += 2 if number else 0
            kinds.append(kind)
    facings = [1] * len(cells)
    if settings.facing_matters:
        facings = [state[further], 1, *state[further + 1 : further + len(cells) - 1]]
    if settings.features != "xyt":
        lying, standing = state[9 : 9 + bananas], state[9 + bananas : 9 + bananas + trees]
        there = np.arange(trees) < state[S_TREES]
        cells += [*lying, *np.where(there, standing, -1)]
        kinds += [4] * bananas + [5] * trees
        facings += [1] * (bananas + trees)
    return kinds, [int(cell) for cell in cells], [int(facing) for facing in facings]


def _looks(settings: PandaSettings, kind: int, facing: int, a: int, b: int) -> bool:
    """Whether b is within the radius and the field of view of who stands on a."""
    if kind not in (PANDA, SCORPION, DRAGON) or a == b:
        return True
    who = {PANDA: "panda", SCORPION: "scorpion", DRAGON: "dragon"}[kind]
    dx, dy = b % settings.width - a % settings.width, b // settings.width - a // settings.width
    radius = settings.view_radius(who)
    if radius is not None and abs(dx) + abs(dy) > radius:
        return False
    turned = math.atan2(dy, dx) - math.atan2(AHEAD[facing][1], AHEAD[facing][0])
    turned = abs((math.degrees(turned) + 180) % 360 - 180)
    return turned <= settings.field_of_view(who) / 2 + 1e-6


@pytest.mark.parametrize("name", WORLDS)
def test_visibility_is_what_each_kind_may_see(name: str) -> None:
    env, observation = _played(**WORLDS[name])
    settings, saved = env.settings, env.get_state()
    one_way = hidden = 0
    for row, state in enumerate(saved["state"]):
        kinds, cells, facings = _entities(settings, state)
        there = np.array(cells) >= 0
        np.testing.assert_array_equal(observation["entity_mask"][row], there)
        places = np.stack([np.maximum(cells, 0) % settings.width, np.maximum(cells, 0)], axis=1)
        places[:, 1] //= settings.width
        tree_at = saved["tree_at"][row].reshape(settings.height, settings.width)
        clear = line_of_sight(places, tree_at)
        for i, (kind, cell, facing) in enumerate(zip(kinds, cells, facings, strict=True)):
            for j, other in enumerate(cells):
                wanted = bool(there[i] and there[j])
                if settings.sight != "full" and wanted and i != j:
                    wanted = bool(clear[i, j]) or kind == SCORPION
                    wanted &= _looks(settings, kind, facing, cell, other)
                assert observation["visibility"][row, i, j] == wanted, (row, i, j)
        seen = observation["visibility"][row]
        one_way += int((seen & ~seen.T).sum())
        hidden += int((~seen[0] & there).sum())
    assert one_way or name in ("nobody", "full")
    assert hidden or name == "full"


@pytest.mark.parametrize("name", WORLDS)
def test_features_are_padding_or_say_where_and_whither(name: str) -> None:
    env, observation = _played(**WORLDS[name])
    settings, entities = env.settings, observation["entities"]
    assert env.observation_space.contains(observation)
    assert entities.shape[2] == len(settings.feature_names)
    for row, state in enumerate(env.get_state()["state"]):
        kinds, cells, facings = _entities(settings, state)
        for slot, (kind, cell, facing) in enumerate(zip(kinds, cells, facings, strict=True)):
            told = entities[row, slot]
            if cell < 0:
                assert not told.any()
            elif settings.features == "xyt":
                assert told.tolist() == [cell % settings.width, cell // settings.width, kind]
            else:
                assert told[:6].tolist() == np.eye(6)[kind].tolist()
                turns = kind in (PANDA, SCORPION, DRAGON)
                expected = np.eye(4)[facing] * turns if settings.facing_matters else np.empty(0)
                np.testing.assert_array_equal(told[len(DEFAULT_FEATURES) :], expected)


@pytest.mark.parametrize("name", WORLDS)
def test_updating_leaves_what_writing_anew_would_write(name: str) -> None:
    env, observation = _played(steps=0, **WORLDS[name])
    generator = np.random.default_rng(2)
    for _ in range(60):
        scores = generator.random(observation["action_mask"].shape) * observation["action_mask"]
        observation, *_ = env.step(scores.argmax(axis=1))
        anew = PandaVectorEnv(24, **WORLDS[name])
        anew.set_state(env.get_state())
        for key, value in anew.observation().items():
            np.testing.assert_array_equal(value, observation[key], err_msg=key)


@pytest.mark.parametrize("name", WORLDS)
def test_a_seed_and_a_saved_state_reproduce_everything(name: str) -> None:
    def trace(env: PandaVectorEnv, steps: int) -> list[np.ndarray]:
        generator, told = np.random.default_rng(3), []
        observation = env.observation()
        for _ in range(steps):
            scores = generator.random(observation["action_mask"].shape)
            actions = (scores * observation["action_mask"]).argmax(axis=1)
            observation, rewards, terminated, truncated, infos = env.step(actions)
            told += [*observation.values(), rewards, terminated, truncated, infos["layout_id"]]
        return told

    first, second = (PandaVectorEnv(12, **WORLDS[name]) for _ in range(2))
    for env in (first, second):
        env.reset(seed=7)
    for a, b in zip(trace(first, 50), trace(second, 50), strict=True):
        np.testing.assert_array_equal(a, b)
    resumed = PandaVectorEnv(12, seed=99, **WORLDS[name])
    resumed.reset()
    resumed.set_state(first.get_state())
    for a, b in zip(trace(first, 50), trace(resumed, 50), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["near", "narrow", "crowd", "all"])
def test_who_is_hidden_may_be_anywhere_hidden_and_the_panda_is_told_the_same(name: str) -> None:
    """Move every creature that the panda does not see to another cell out of its sight."""
    env, observation = _played(steps=6, count=100, **WORLDS[name])
    settings, generator = env.settings, np.random.default_rng(0)
    cast = env._view.cast
    saved = env.get_state()
    moved = 0
    for row, state in enumerate(saved["state"]):
        for creature, column in enumerate(cast.cells):
            cell = int(state[column])
            if cell < 0 or observation["visibility"][row, 0, 2 + creature]:
                continue
            for other in generator.permutation(settings.cells)[:20]:
                if saved["tree_at"][row, other] or other in (state[0], state[1]):
                    continue
                state[column] = other
                tried = PandaVectorEnv(100, **WORLDS[name])
                tried.set_state(saved)
                if not tried.observation()["visibility"][row, 0, 2 + creature]:
                    moved += int(other) != cell
                    break
                state[column] = cell
        if moved > 60:
            break
    other = PandaVectorEnv(100, **WORLDS[name])
    other.set_state(saved)
    changed = other.observation()
    assert moved > 20
    assert (changed["entities"] != observation["entities"]).any()
    seen = observation["visibility"][:, 0]
    np.testing.assert_array_equal(changed["visibility"][:, 0], seen)
    np.testing.assert_array_equal(changed["entities"][seen], observation["entities"][seen])
    np.testing.assert_array_equal(changed["action_mask"], observation["action_mask"])
    np.testing.assert_array_equal(changed["entity_mask"], observation["entity_mask"])
