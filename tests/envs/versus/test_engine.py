"""What every engine keeps to, whoever wrote its rules: one test for all of them."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.pettingzoo_aec import AECGames
from maskrl.envs.games.lines.board import CONNECT_FOUR, TIC_TAC_TOE
from maskrl.envs.games.lines.engine import LineGames
from maskrl.envs.versus.engine import GameEngine

COUNT = 3
ALL = np.arange(COUNT)


def of_pettingzoo(module, board=None, **kwargs):
    def make(count):
        factory = pytest.importorskip(f"pettingzoo.classic.{module}.{module}").env
        return AECGames(lambda: factory(**kwargs), count, name=module, board=board)

    return make


ENGINES = {
    "connect four": lambda count: LineGames(CONNECT_FOUR, count, name="connect four"),
    "tic-tac-toe": lambda count: LineGames(TIC_TAC_TOE, count, name="tic-tac-toe"),
    "pettingzoo's tic-tac-toe": of_pettingzoo("tictactoe", TIC_TAC_TOE),
    "pettingzoo's go": of_pettingzoo("go", board_size=3),
}


@pytest.fixture(params=ENGINES)
def make(request, countdown):
    return {**ENGINES, "countdown": countdown}[request.param]


def members():
    annotated = set(GameEngine.__annotations__)
    return annotated | {name for name in vars(GameEngine) if not name.startswith("_")}


def test_an_engine_has_all_that_the_protocol_names(make):
    assert {"to_move", "rewards", "terminated", "truncated", "begin", "observe"} <= members()
    engine = make(COUNT)
    assert [name for name in sorted(members()) if not hasattr(engine, name)] == []
    assert isinstance(engine.action_space, spaces.Discrete) and engine.action_space.start == 0
    mask = engine.observation_space["action_mask"]
    assert mask.shape == (engine.action_space.n,) and mask.dtype == bool
    assert len(engine.action_names) in (0, engine.action_space.n)
    assert engine.players >= 2 and (engine.to_move == -1).all()  # nothing has begun
    engine.close()


def test_games_are_played_to_their_end_each_on_its_own(make):
    engine, rng = make(COUNT), np.random.default_rng(1)
    engine.begin(ALL, ALL + 7)
    assert (engine.to_move == 0).all() and not engine.rewards.any()
    for _ in range(200):
        going = ALL[engine.to_move >= 0]
        if not going.size:
            break
        seen = engine.observe(going, engine.to_move[going])
        for key, space in engine.observation_space.spaces.items():
            assert seen[key].shape == (going.size, *space.shape) and seen[key].dtype == space.dtype
            assert all(space.contains(row) for row in seen[key])
        mask = seen["action_mask"]
        assert mask.any(1).all()
        moving = going[: max(1, going.size - 1)]  # the last waits, and stays as it is
        before = engine.observe(going[-1:], engine.to_move[going[-1:]])
        actions = np.array([rng.choice(np.flatnonzero(row)) for row in mask[: moving.size]])
        movers = engine.to_move[moving].copy()
        engine.play(moving, actions)
        assert (engine.to_move[moving] != movers).all()
        if moving.size < going.size:
            after = engine.observe(going[-1:], engine.to_move[going[-1:]])
            for key, value in before.items():
                np.testing.assert_array_equal(value, after[key])
    over = engine.terminated | engine.truncated
    assert (engine.to_move == -1).all() and over.all() and over.shape == engine.rewards.shape
    for seat in range(engine.players):  # what was seen last can be asked of everybody
        final = engine.observe(ALL, np.full(COUNT, seat))
        assert set(final) == set(engine.observation_space.spaces)
    engine.begin(ALL[:1], ALL[:1])
    assert engine.to_move.tolist() == [0, -1, -1] and not engine.rewards[0].any()
    assert not (engine.terminated | engine.truncated)[0].any()


def test_a_state_brings_another_engine_to_the_same_place(make):
    engine, other, rng = make(COUNT), make(COUNT), np.random.default_rng(2)
    engine.begin(ALL, ALL)
    engine.play(ALL, np.array([0, 1, 2]))
    state = engine.get_state()
    other.begin(ALL, ALL + 9)
    other.set_state(state)
    for _ in range(3):
        going = ALL[engine.to_move >= 0]
        np.testing.assert_array_equal(engine.to_move, other.to_move)
        mine = engine.observe(going, engine.to_move[going])
        theirs = other.observe(going, other.to_move[going])
        for key in mine:
            np.testing.assert_array_equal(mine[key], theirs[key])
        actions = [rng.choice(np.flatnonzero(row)) for row in mine["action_mask"]]
        for each in (engine, other):
            each.play(going, np.array(actions, np.int64))
        np.testing.assert_array_equal(engine.rewards, other.rewards)
        np.testing.assert_array_equal(engine.terminated, other.terminated)
