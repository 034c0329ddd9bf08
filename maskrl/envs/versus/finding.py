"""From a word to an opponent: random, scripted, a run's folder, or the learner itself.

Objects are taken as they are. Scripted players exist where the rules are known, in games of
lines; a run's folder is opened by what lies above environments, and only when asked for.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Any

from maskrl.envs.construct import LazyCallable
from maskrl.envs.games.lines.board import Board
from maskrl.envs.games.lines.players import Search, WinOrBlock
from maskrl.envs.opponents import BatchOpponent, RandomOpponent, as_batch
from maskrl.envs.versus.settings import SELF, VersusSettings, other_shares
from maskrl.errors import ConfigError

RANDOM, WIN_OR_BLOCK = "random", "win_or_block"

_run_opponent = LazyCallable("maskrl.policies.opponent:run_opponent")
"""Loads torch, when somebody asks to play against a network and not before."""


def find_opponent(settings: VersusSettings, *, board: Board | None, name: str) -> Any:
    """Who plays the other seats.

    Args:
        settings: Their `opponent`, and how a run's policy plays.
        board: Of a game of lines, which scripted players know; None elsewhere.
        name: Of the game.

    Returns:
        An opponent. For `self` the one who plays where nobody learns: `win_or_block` in games
        of lines, `random` elsewhere; a trainer puts the learner in its place.

    Raises:
        ConfigError: There is no such opponent, or not in this game.
        RunFolderError: The folder holds no policy.
    """
    wanted = settings.opponent
    if not isinstance(wanted, str | os.PathLike):
        return as_batch(wanted)
    word = os.fspath(wanted)
    if word == SELF:
        return RandomOpponent() if board is None else WinOrBlock(board)
    if word == RANDOM:
        return RandomOpponent()
    depth = re.fullmatch(r"depth:(\d+)", word)
    if word == WIN_OR_BLOCK or depth is not None:
        if board is None:
            raise ConfigError(
                f"opponent: {word} knows the rules of connect four and tic-tac-toe, not those of "
                f"{name}; there are random, self, and the folder of a run"
            )
        return WinOrBlock(board) if depth is None else Search(board, int(depth[1]))
    if not os.path.isdir(word):
        raise ConfigError(
            f"opponent: expected random, win_or_block, depth:N, self or the folder of a run; got "
            f"{word!r}, and there is no such folder"
        )
    return _run_opponent(word, deterministic=not settings.opponent_samples)


def find_others(
    settings: VersusSettings, *, board: Board | None, name: str
) -> tuple[tuple[BatchOpponent, float], ...]:
    """Whom a learner that plays against itself meets beside itself, each with its share.

    Args:
        settings: Their `pool_others`, and how a run's policy plays.
        board: As of `find_opponent`.
        name: Of the game.

    Raises:
        ConfigError: There is no such opponent, or not in this game.
        RunFolderError: A folder holds no policy.
    """
    return tuple(
        (as_batch(find_opponent(replace(settings, opponent=who), board=board, name=name)), share)
        for who, share in other_shares(settings.pool_others)
    )
