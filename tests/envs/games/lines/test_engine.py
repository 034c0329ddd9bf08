"""The compiled games against PettingZoo's own environments, move by move."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from maskrl.envs.games.lines.board import CONNECT_FOUR, TIC_TAC_TOE
from maskrl.envs.games.lines.engine import LineGames
from maskrl.errors import ConfigError

GAMES = [("connect_four_v3", CONNECT_FOUR, 40), ("tictactoe_v3", TIC_TAC_TOE, 60)]
ONE = np.array([0])


def pettingzoo_env(name):
    """As PettingZoo's registry makes it."""
    folder = name.rpartition("_")[0]
    return importlib.import_module(f"pettingzoo.classic.{folder}.{folder}").env()


@pytest.mark.parametrize(("name", "board", "games"), GAMES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_move_is_pettingzoos(name, board, games):
    theirs = pettingzoo_env(name)
    ours = LineGames(board, 1, name=name)
    agents = theirs.possible_agents
    rng = np.random.default_rng(8)
    seen = {"won": 0, "drawn": 0, "illegal": 0}
    for game in range(games):
        theirs.reset(seed=game)
        ours.begin(ONE, ONE)
        breaks_rules_at = int(rng.integers(3, 12)) if game % 2 == 0 else -1
        move = 0
        while not any(theirs.terminations.values()):
            seat = agents.index(theirs.agent_selection)
            given = theirs.observe(theirs.agent_selection)
            mine = ours.observe(ONE, ours.to_move)
            assert ours.to_move[0] == seat and not ours.terminated.any()
            np.testing.assert_array_equal(mine["observation"][0], given["observation"])
            assert mine["observation"].dtype == given["observation"].dtype
            np.testing.assert_array_equal(mine["action_mask"][0], given["action_mask"] == 1)
            allowed = given["action_mask"] == 1
            illegal = move >= breaks_rules_at >= 0 and not allowed.all()
            action = int(rng.choice(np.flatnonzero(~allowed if illegal else allowed)))
            theirs.step(action)
            ours.play(ONE, np.array([action]))
            rewards = [theirs.rewards[agent] for agent in agents]
            assert ours.rewards[0].tolist() == rewards
            if illegal:
                seen["illegal"] += 1
                assert rewards[seat] == -1 and rewards[1 - seat] == 0
            move += 1
        assert ours.terminated.all() and ours.to_move[0] == -1
        for seat, agent in enumerate(agents):
            final = ours.observe(ONE, np.array([seat]))["observation"][0]
            np.testing.assert_array_equal(final, theirs.observe(agent)["observation"])
        seen["won"] += sum(rewards) == 0 and rewards[0] != 0
        seen["drawn"] += rewards == [0, 0]
    assert seen["won"] >= 15 and seen["illegal"] >= 2
    assert name == "connect_four_v3" or seen["drawn"] >= 3


def test_a_full_board_of_connect_four_is_a_draw():
    # columns filled in an order in which nobody gets four: known by playing it on paper
    columns = [0, 1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 2, 3, 2, 3, 3, 2, 3, 2, 2, 3, 2, 3]
    columns += [4, 5, 4, 5, 5, 4, 5, 4, 4, 5, 4, 5, 6, 6, 6, 6, 6, 6]
    ours = LineGames(CONNECT_FOUR, 1, name="connect four")
    theirs = pettingzoo_env("connect_four_v3")
    theirs.reset(seed=0)
    ours.begin(ONE, ONE)
    for column in columns:
        ours.play(ONE, np.array([column]))
        theirs.step(column)
        assert ours.terminated.any() == any(theirs.terminations.values())
    assert ours.terminated.all() and ours.rewards.tolist() == [[0.0, 0.0]]


def test_games_side_by_side_do_not_touch_each_other():
    ours = LineGames(CONNECT_FOUR, 3, name="c")
    ours.begin(np.arange(3), np.zeros(3, np.int64))
    ours.play(np.array([2]), np.array([4]))
    ours.play(np.array([0, 2]), np.array([1, 4]))
    seen = ours.observe(np.arange(3), np.array([0, 0, 0]))["observation"]
    assert seen[1].sum() == 0 and ours.to_move.tolist() == [1, 0, 0]
    assert seen[0, 5, 1, 0] == 1 and seen[2, 5, 4, 0] == 1 and seen[2, 4, 4, 1] == 1
    ours.begin(np.array([2]), np.array([0]))
    assert ours.observe(np.array([2]), ONE)["observation"].sum() == 0
    assert ours.observe(np.array([0]), ONE)["observation"].sum() == 1


def test_a_state_goes_on_where_it_was():
    rng = np.random.default_rng(0)
    ours = LineGames(CONNECT_FOUR, 4, name="c")
    ours.begin(np.arange(4), np.zeros(4, np.int64))
    for _ in range(6):
        ours.play(np.arange(4), rng.integers(7, size=4))
    saved = ours.get_state()
    other = LineGames(CONNECT_FOUR, 4, name="c")
    other.set_state(saved)
    ours.play(np.arange(4), np.array([0, 1, 2, 3]))
    other.play(np.arange(4), np.array([0, 1, 2, 3]))
    for name, value in ours.get_state().items():
        np.testing.assert_array_equal(value, other.get_state()[name])
    assert (saved["pieces"] != ours.get_state()["pieces"]).any()  # a copy was saved
    with pytest.raises(ConfigError, match=r"pieces of c has shape \(4, 2\), expected \(3, 2\)"):
        LineGames(CONNECT_FOUR, 3, name="c").set_state(saved)
    saved["pieces"][0] = (1, 1)
    with pytest.raises(ConfigError, match="the pieces are damaged"):
        other.set_state(saved)
