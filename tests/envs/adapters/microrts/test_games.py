"""Games in the engine: the same as through its own Python, and what that one does not tell.

The engine's own wrapper, run in the same Java with the same orders, is the reference for
observations, masks and rewards; the engine's list of a unit's actions is the reference for
masks; states at the end of games are looked at directly.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import gymnasium
import numpy as np
import pytest

from maskrl.envs.adapters.microrts.games import Games
from maskrl.envs.adapters.microrts.jvm import java
from maskrl.envs.adapters.microrts.maps import find_map
from maskrl.envs.adapters.microrts.settings import MEMORYLESS, REWARDS

SMALL = "maps/8x8/basesWorkers8x8.xml"
STARTS = np.cumsum([0, 6, 4, 4, 4, 4, 7, 49])


def make_games(count=1, *, name=SMALL, opponent="random-biased", partial_obs=False, seed=0):
    games = Games(find_map(name), [opponent] * count, partial_obs=partial_obs, seed=seed)
    games.begin(range(count))
    return games


def order_at_random(games, rng):
    """Every acting unit does something that its own mask allows."""
    games.orders[:] = 0
    masks = games.masks.reshape(games.count, -1, 78)
    for game, cell in np.argwhere(masks[..., :6].any(-1)):
        mask = masks[game, cell]
        for head in range(7):
            allowed = np.flatnonzero(mask[STARTS[head] : STARTS[head + 1]])
            if allowed.size:
                games.orders[game, cell, head] = rng.choice(allowed)


def play(games, steps, rng):
    trace = []
    for _ in range(steps):
        order_at_random(games, rng)
        rewards, over = games.step()
        trace.append((games.planes.copy(), games.masks.copy(), rewards, over))
        games.begin(np.flatnonzero(over).tolist())
    return trace


def test_the_engines_own_wrapper_sees_the_same():
    java()
    imports = importlib.import_module("jpype.imports")
    imports.registerDomain("ts", alias="tests")
    imports.registerDomain("ai")
    imports.registerDomain("rts")
    names = [n for n in ("gym", "PIL", "PIL.Image") if n not in sys.modules]
    picture = ModuleType("PIL")
    picture.Image = ModuleType("PIL.Image")
    for name, module in (("gym", gymnasium), ("PIL", picture), ("PIL.Image", picture.Image)):
        sys.modules.setdefault(name, module)
    from gym_microrts import microrts_ai
    from gym_microrts.envs.vec_env import MicroRTSGridModeSharedMemVecEnv

    for name in names:
        del sys.modules[name]
    reference = MicroRTSGridModeSharedMemVecEnv(
        num_selfplay_envs=0,
        num_bot_envs=2,
        ai2s=[microrts_ai.passiveAI] * 2,
        map_paths=[SMALL],
        max_steps=150,
        reward_weight=np.array([10.0, 1.0, 1.0, 0.2, 1.0, 4.0]),
    )
    games, rng = make_games(2, opponent="passive"), np.random.default_rng(0)
    planes = reference.reset()
    total = 0.0
    for step in range(400):
        masks = reference.get_action_mask()
        assert np.array_equal(games.planes, planes), step
        assert np.array_equal(games.masks.reshape(masks.shape), masks), step
        order_at_random(games, rng)
        orders = games.orders.copy()
        rewards, over = games.step()
        planes, weighted, done, infos = reference.step(orders)
        raw = np.array([info["raw_rewards"] for info in infos])
        assert np.array_equal(rewards, raw), step  # the engine's order is that of REWARDS
        assert np.allclose(weighted, rewards @ [10.0, 1.0, 1.0, 0.2, 1.0, 4.0])
        total += rewards.sum()
        assert not over.any() and done.all() == (step % 150 == 149)  # ours has no limit
        if done.any():
            games.begin(range(2))
    assert total > 10 and reference.vec_client.clients[0].gs.getTime() == 100


@pytest.mark.parametrize("name", [SMALL, "maps/16x16/TwoBasesBarracks16x16.xml"])
def test_masks_are_the_engines_lists_of_actions(name):
    games, rng = make_games(1, name=name, opponent="worker-rush"), np.random.default_rng(1)
    checked = 0
    for _ in range(60):
        play(games, 4, rng)
        state = games._clients[0].gs
        wanted = np.zeros(games.masks.shape[1:], np.int32)
        for unit in state.getUnits():
            if unit.getPlayer() != 0 or state.getActionAssignment(unit) is not None:
                continue
            row = wanted[unit.getY(), unit.getX()]
            for action in unit.getUnitActions(state):
                kind, direction = int(action.getType()), int(action.getDirection())
                row[kind] = 1
                if kind in (1, 2, 3, 4):
                    row[STARTS[kind] + direction] = 1
                if kind == 4:
                    row[STARTS[5] + int(action.getUnitType().ID)] = 1
                if kind == 5:
                    x = int(action.getLocationX()) - int(unit.getX())
                    y = int(action.getLocationY()) - int(unit.getY())
                    row[STARTS[6] + (y + 3) * 7 + x + 3] = 1
            checked += 1
        assert np.array_equal(games.masks[0], wanted)
    assert checked > 20


def test_every_allowed_combination_of_parameters_is_an_action():
    games, rng = (
        make_games(1, name="maps/16x16/TwoBasesBarracks16x16.xml"),
        np.random.default_rng(2),
    )
    products = 0
    for _ in range(60):
        play(games, 5, rng)
        state = games._clients[0].gs
        for unit in state.getUnits():
            mask = games.masks[0, unit.getY(), unit.getX()]
            if unit.getPlayer() != 0 or not mask[4]:
                continue
            listed = [a for a in unit.getUnitActions(state) if int(a.getType()) == 4]
            pairs = {(int(a.getDirection()), int(a.getUnitType().ID)) for a in listed}
            assert len(pairs) == mask[18:22].sum() * mask[22:29].sum()
            products += mask[22:29].sum() > 1
    assert products > 0  # or nothing was tested


def test_the_same_seed_plays_the_same_games_whoever_plays_between():
    alone = play(make_games(2, seed=5), 300, np.random.default_rng(3))
    games, other = make_games(2, seed=5), make_games(1, seed=6)
    rng, others = np.random.default_rng(3), np.random.default_rng(4)
    for step, wanted in enumerate(alone):
        play(other, 1, others)
        ((planes, masks, rewards, over),) = play(games, 1, rng)
        for found, expected in zip((planes, masks, rewards, over), wanted, strict=True):
            assert np.array_equal(found, expected), step
    elsewhere = play(make_games(2, seed=7), 300, np.random.default_rng(3))
    assert any((a[0] != b[0]).any() for a, b in zip(alone, elsewhere, strict=True))


@pytest.mark.parametrize("opponent", ["worker-rush", "light-rush", "heavy-rush", "ranged-rush"])
def test_scripted_opponents_play_the_same_for_the_same_seed(opponent):
    first, second = (
        play(make_games(1, opponent=opponent, seed=1), 250, np.random.default_rng(0))
        for _ in range(2)
    )
    for step, (one, two) in enumerate(zip(first, second, strict=True)):
        assert np.array_equal(one[0], two[0]), step


def test_games_stay_where_they_ended_and_tell_who_won():
    games, rng = make_games(4, opponent="worker-rush", seed=2), np.random.default_rng(5)
    ended = 0
    for _ in range(1500):
        order_at_random(games, rng)
        rewards, over = games.step()
        own, others = games.planes[..., 11].any((1, 2)), games.planes[..., 12].any((1, 2))
        assert np.array_equal(over, ~(own & others))
        for game in np.flatnonzero(over):
            ended += 1
            won = bool(own[game])
            assert games.winner(int(game)) == (0 if won else 1)
            assert rewards[game, REWARDS.index("win")] == (1.0 if won else -1.0)
        for game in np.flatnonzero(~over):
            assert games.winner(int(game)) == -1
        games.begin(np.flatnonzero(over).tolist())
        if ended >= 6:
            break
    assert ended >= 6


def test_a_game_that_is_over_stays_over_until_it_begins_anew():
    games, rng = make_games(1, opponent="worker-rush", seed=2), np.random.default_rng(5)
    over = np.zeros(1, np.bool_)
    while not over.any():
        order_at_random(games, rng)
        _, over = games.step()
    last = games.planes.copy()
    games.orders[:] = 0
    assert games.step()[1].all() and np.array_equal(games.planes[..., 11:13], last[..., 11:13])
    games.begin([0])
    assert games.planes[..., 11].any() and games.planes[..., 12].any()


@pytest.mark.parametrize("opponent", MEMORYLESS)
def test_a_saved_game_goes_on_to_the_bit(opponent):
    games, rng = make_games(2, opponent=opponent, seed=9), np.random.default_rng(6)
    play(games, 123, rng)  # in the middle of moves and productions
    states, random = [games.state(row) for row in range(2)], games.random_state()
    generator = rng.bit_generator.state
    wanted = play(games, 200, rng)
    again = make_games(2, opponent=opponent, seed=1)
    play(again, 37, np.random.default_rng(0))
    for row, state in enumerate(states):
        again.set_state(row, state)
    again.set_random_state(random)
    rng.bit_generator.state = generator
    for step, (found, expected) in enumerate(zip(play(again, 200, rng), wanted, strict=True)):
        for one, two in zip(found, expected, strict=True):
            assert np.array_equal(one, two), step


def test_partial_games_show_what_units_have_in_sight_now():
    games, rng = make_games(1, partial_obs=True, seed=3), np.random.default_rng(7)
    hidden = shown = 0
    assert games.sight.shape == (7,) and games.sight.min() >= 0
    for _ in range(400):
        order_at_random(games, rng)
        _, over = games.step()
        state = games.state(0)
        units = state["pgs"]["units"]
        names = [str(t.name) for t in games._types.getUnitTypes()]
        own = [
            (u["x"], u["y"], games.sight[names.index(u["type"])]) for u in units if not u["player"]
        ]
        there = games.planes[0, ..., 14:21].any(-1)
        for unit in units:
            x, y = unit["x"], unit["y"]
            seen = any((x - a) ** 2 + (y - b) ** 2 <= far**2 for a, b, far in own)
            assert there[y, x] == seen
            hidden, shown = hidden + (not seen), shown + seen
        assert there.sum() == sum(
            any((u["x"] - a) ** 2 + (u["y"] - b) ** 2 <= far**2 for a, b, far in own) for u in units
        )
        games.begin(np.flatnonzero(over).tolist())
    assert hidden > 100 and shown > 100
