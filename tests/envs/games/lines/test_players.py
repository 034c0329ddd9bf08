"""Scripted players: among good moves they draw, and they know their board."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.lines.board import CONNECT_FOUR, TIC_TAC_TOE
from maskrl.envs.games.lines.players import Search, WinOrBlock
from maskrl.errors import ConfigError, MaskShapeError


def observation(own=(), other=(), board=CONNECT_FOUR):
    planes = np.zeros((board.cells, 2), np.int8)
    planes[list(own), 0] = 1
    planes[list(other), 1] = 1
    taken = planes.any(1)
    mask = ~taken[: board.columns] if board.falls else ~taken
    return {"observation": planes.reshape(board.rows, board.columns, 2), "action_mask": mask}


def test_they_win_or_block():
    rng = np.random.default_rng(0)
    player = WinOrBlock(CONNECT_FOUR)
    player.reset(rng)
    mine, theirs = (35, 28, 21), (36, 29, 22)  # three upon each other in columns 1 and 2
    assert player.act(observation(mine, theirs), rng) == 0
    assert player.act(observation((37, 30), theirs), rng) == 1
    assert Search(CONNECT_FOUR, 2).act(observation((37, 30), theirs), rng) == 1


def test_a_search_does_not_open_a_line_to_the_other():
    # the other has 28, 29, 30 in the second row; below cell 31 column 4 is empty: a piece of
    # ours in it (cell 38) would let the other finish at 31
    theirs, mine = (28, 29, 30), (35, 36, 37)
    seen = observation((42 - 6, 37), (28, 29, 30, 35))
    rng = np.random.default_rng(0)
    assert not Search(CONNECT_FOUR, 2).marked({k: v[None] for k, v in seen.items()})[0, 3]
    assert WinOrBlock(CONNECT_FOUR).marked({k: v[None] for k, v in seen.items()})[0, 3]
    assert Search(CONNECT_FOUR, 1).act(observation(mine, theirs), rng) == 3  # it wins


def test_equals_are_drawn_alike():
    rng = np.random.default_rng(3)
    seen = {k: np.repeat(v[None], 7000, 0) for k, v in observation().items()}
    drawn = WinOrBlock(CONNECT_FOUR).act_all(seen, np.arange(7000), np.ones(7000, bool), rng)
    counts = np.bincount(drawn, minlength=7)
    # chi-square with 6 degrees of freedom: above 27.9 once in 10,000 seeds
    assert ((counts - 1000) ** 2 / 1000).sum() < 27.9


def test_what_is_refused():
    with pytest.raises(ConfigError, match="depth: expected 1 to 12 plies, got 0"):
        Search(CONNECT_FOUR, 0)
    seen = {k: v[None] for k, v in observation(board=TIC_TAC_TOE).items()}
    with pytest.raises(MaskShapeError, match=r"WinOrBlock: observation has shape \(1, 3, 3, 2\)"):
        WinOrBlock(CONNECT_FOUR).marked(seen)
