"""The best return of a map, and what random legal orders get, for scores and reports.

A score of 0 is play by random legal orders (a free unit uniformly, then what it does, then
each parameter) and 1 the most that there is. All episodes of a map begin alike, so that the
figures are the same for every layout seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.mining.layouts import start_board
from maskrl.envs.games.mining.observation import write_unit
from maskrl.envs.games.mining.rules import give_order, is_free_unit, note_running, pass_time
from maskrl.envs.games.mining.script import best_return
from maskrl.envs.games.mining.settings import (
    ATTACK,
    C_STOCK,
    CARRIED_OUT,
    HARVEST,
    HEAD_NAMES,
    NONE,
    PRODUCE,
    RETURN,
    SIZES,
    START_STOCK,
    STEP_LIMIT,
    MiningSettings,
)
from maskrl.envs.games.random_stream import below, mix

EPISODES: Final = 1_000
"""Random episodes behind the expectation: its standard error is near 0.1."""
_STREAM: Final = np.uint64(0x6D696E696E670001)


def reference(
    env_kwargs: Mapping[str, Any], layout_ids: Sequence[int] | npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.float64]]:
    """Undiscounted returns of the best play, and expected ones of random legal orders.

    Args:
        env_kwargs: Settings of the world; other arguments of the environment are ignored.
        layout_ids: int64 [n], layout seeds.

    Returns:
        `planner` and `random`, float64 [n] each.
    """
    known = MiningSettings.__dataclass_fields__
    settings = MiningSettings(**{k: v for k, v in env_kwargs.items() if k in known})
    count = len(np.asarray(layout_ids, dtype=np.int64))
    return {
        "planner": np.full(count, best_return(settings.board), np.float64),
        "random": np.full(count, random_return(settings.board), np.float64),
    }


@lru_cache(maxsize=8)
def random_return(name: str, episodes: int = EPISODES) -> float:
    """The mean return of random legal orders over so many episodes of a map."""
    return float(play_randomly(start_board(name), SIZES[name], episodes).mean())


@njit(cache=True)
def _one_of(allowed, key, counter):
    """A uniformly drawn entry that is True, 0 where none is."""
    pick = below(key, counter, max(1, allowed.sum()))
    for entry in range(allowed.shape[0]):
        if allowed[entry]:
            if pick == 0:
                return entry
            pick -= 1
    return 0


@njit(cache=True)
def play_randomly(start, size, episodes):
    """Returns of episodes in which every order is drawn from the legal ones, part by part.

    Args:
        start: int16 [LAYERS, cells].
        size: Cells along one side.
        episodes: How many.

    Returns:
        float64 [episodes].
    """
    cells = size * size
    returns = np.zeros(episodes)
    wanted = np.zeros(cells, np.bool_)
    units = np.zeros(cells, np.bool_)
    counts = np.zeros(2, np.int64)
    counter = np.uint64(0)
    key = mix(_STREAM)
    for episode in range(episodes):
        board = start.copy()
        counts[C_STOCK] = START_STOCK
        for _ in range(STEP_LIMIT):
            action = np.zeros(len(HEAD_NAMES), np.int64)
            dearest, _free = note_running(board, size, wanted)
            for cell in range(cells):
                units[cell] = is_free_unit(board, cell)
            action[0] = _one_of(units, key, counter)
            kinds = np.zeros(6, np.bool_)
            ways = np.zeros((4, 4), np.bool_)
            product = np.zeros(7, np.bool_)
            target = np.zeros(cells, np.bool_)
            if units[action[0]]:
                write_unit(
                    board,
                    counts[C_STOCK],
                    action[0],
                    size,
                    wanted,
                    dearest,
                    kinds,
                    ways[0],
                    ways[1],
                    ways[2],
                    ways[3],
                    product,
                    target,
                )
            what = _one_of(kinds, key, counter + np.uint64(1))
            action[1] = what
            if what == ATTACK:
                action[7] = _one_of(target, key, counter + np.uint64(2))
            elif what != NONE:
                action[1 + what] = _one_of(ways[what - 1], key, counter + np.uint64(2))
            if what == PRODUCE:
                action[6] = _one_of(product, key, counter + np.uint64(3))
            counter += np.uint64(4)
            fate = give_order(board, counts, action, size, wanted)
            returns[episode] += fate == CARRIED_OUT and what in (HARVEST, RETURN)
            if not pass_time(board, counts, size):
                break
    return returns
