"""From words to opponents."""

from __future__ import annotations

import subprocess
import sys

import pytest

from maskrl.envs.games.lines.board import CONNECT_FOUR
from maskrl.envs.games.lines.players import Search, WinOrBlock
from maskrl.envs.opponents import RandomOpponent
from maskrl.envs.versus.finding import find_opponent
from maskrl.envs.versus.settings import VersusSettings
from maskrl.errors import ConfigError


def find(opponent, board=CONNECT_FOUR):
    return find_opponent(VersusSettings(opponent=opponent), board=board, name="the game")


def test_words():
    assert isinstance(find("random"), RandomOpponent)
    assert isinstance(find("win_or_block"), WinOrBlock)
    searcher = find("depth:3")
    assert isinstance(searcher, Search) and searcher.depth == 3
    own = RandomOpponent()
    assert find(own) is own


def test_where_nobody_learns_self_is_the_standard_opponent():
    assert isinstance(find("self"), WinOrBlock)
    assert isinstance(find("self", board=None), RandomOpponent)


@pytest.mark.parametrize(
    ("opponent", "board", "message"),
    [
        ("win_or_block", None, "knows the rules of connect four.*not those of the game"),
        ("depth:2", None, "knows the rules of connect four"),
        ("depth:0", CONNECT_FOUR, "depth: expected 1 to 12"),
        ("depth:x", CONNECT_FOUR, "depth:N, self or the folder of a run; got 'depth:x'"),
        ("no/such/run", CONNECT_FOUR, "got 'no/such/run', and there is no such folder"),
        (7, CONNECT_FOUR, "int has neither"),
    ],
)
def test_what_is_no_opponent(opponent, board, message):
    with pytest.raises(ConfigError, match=message):
        find(opponent, board)


def test_games_need_no_torch():
    code = (
        "import sys, maskrl.envs as e; env = e.make('pettingzoo:tictactoe_v3?opponent=depth:2')"
        "; env.reset(seed=0); sys.exit('torch' in sys.modules or 'pettingzoo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
