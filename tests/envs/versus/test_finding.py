"""From words to opponents."""

from __future__ import annotations

import subprocess
import sys

import pytest

from maskrl.envs.games.lines.board import CONNECT_FOUR
from maskrl.envs.games.lines.players import Search, WinOrBlock
from maskrl.envs.opponents import RandomOpponent
from maskrl.envs.versus.finding import find_opponent, find_others
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
        (WinOrBlock, CONNECT_FOUR, r"expected an object, got the class WinOrBlock; give WinOrBl"),
    ],
)
def test_what_is_no_opponent(opponent, board, message):
    with pytest.raises(ConfigError, match=message):
        find(opponent, board)


def test_others_beside_oneself():
    settings = VersusSettings(opponent="self", pool_others="depth:2@0.25+random@0.5")
    (searcher, one), (other, two) = find_others(settings, board=CONNECT_FOUR, name="the game")
    assert isinstance(searcher, Search) and searcher.depth == 2 and (one, two) == (0.25, 0.5)
    assert isinstance(other, RandomOpponent)
    assert find_others(VersusSettings(opponent="self"), board=None, name="the game") == ()
    with pytest.raises(ConfigError, match="depth:2 knows the rules of connect four"):
        find_others(settings, board=None, name="the game")


def test_games_need_no_torch():
    code = (
        "import sys, maskrl.envs as e; env = e.make('pettingzoo:tictactoe_v3?opponent=depth:2')"
        "; env.reset(seed=0); sys.exit('torch' in sys.modules or 'pettingzoo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
