"""The best, the random and the greedy return of a layout, by exact backward induction.

Nothing in an outpost is random, so the states that can be reached from a layout's start
are enumerated once, with where every command leads. Going backwards from the last
command, the planner computes the undiscounted return of the best play and those of a
random and of an impatient one. It calls the rules of the environment and restates none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.outpost.layouts import layout
from maskrl.envs.games.outpost.rules import can_choose, obey
from maskrl.envs.games.outpost.settings import (
    CELLS,
    CHOICES_OF,
    HEAD_OF,
    NEAREST_SITE,
    S_ALIVE,
    S_FORESTER,
    S_LOAD,
    S_MINE,
    S_MINER,
    S_ORE,
    S_STEP,
    S_TOWER,
    S_WOOD,
    UNITS,
    WOLVES,
    OutpostSettings,
)

COMMANDS = tuple((unit, choice) for unit, size in enumerate(CHOICES_OF) for choice in range(size))
"""Every unit with every choice of its own part of the command."""

_UNIT_OF = np.array([unit for unit, _ in COMMANDS], np.int64)
_CHOICE_OF = np.array([choice for _, choice in COMMANDS], np.int64)
IMPATIENCE = 0.05
"""What a point is worth to the greedy player if it is to be had one command later."""


@dataclass(frozen=True)
class Plan:
    """What the planner found for one layout.

    Attributes:
        value: Return of the best play.
        random: Expected return of a uniformly random allowed unit with a uniformly random
            allowed choice for it.
        greedy: Return of a player who goes for the points that are soonest to be had.
        settings: The world that was planned.
        number_of: int32, number of every state by its code, -1 where it is not reached.
        best: int8 [step_limit, states], a best command (index into `COMMANDS`) with t + 1
            commands left, -1 beyond reach; empty unless it was asked for.
    """

    value: float
    random: float
    greedy: float
    settings: OutpostSettings
    number_of: npt.NDArray[np.int32]
    best: npt.NDArray[np.int8]

    def command(self, state: npt.NDArray[np.int64]) -> tuple[int, ...]:
        """A best command in a state of this layout, as an action: one entry per head."""
        left = self.settings.step_limit - int(state[S_STEP])
        number = self.number_of[_code(state, _most(self.settings.step_limit))]
        unit, choice = COMMANDS[self.best[left - 1, number]]
        action = [unit, 0, 0, 0]
        if HEAD_OF[unit]:
            action[HEAD_OF[unit]] = choice
        return tuple(action)


def _most(step_limit: int) -> int:
    """The most loads of one kind that can be handed in."""
    return step_limit // (2 * NEAREST_SITE)


@njit(cache=True, inline="always")
def _code(state, most):
    """Number what commands change in a state, with at most `most` ore and wood."""
    code = state[S_MINER]
    code = code * CELLS + state[S_FORESTER]
    code = code * 2 + state[S_LOAD]
    code = code * 2 + state[S_LOAD + 1]
    code = code * (most + 1) + state[S_ORE]
    code = code * (most + 1) + state[S_WOOD]
    code = code * 2 + state[S_TOWER]
    return (code << WOLVES) + state[S_ALIVE]


@njit(cache=True)
def _decode(code, most, state):
    """Write what `_code` numbered back into a state."""
    state[S_ALIVE] = code & ((1 << WOLVES) - 1)
    code >>= WOLVES
    state[S_TOWER] = code % 2
    code //= 2
    state[S_WOOD] = code % (most + 1)
    code //= most + 1
    state[S_ORE] = code % (most + 1)
    code //= most + 1
    state[S_LOAD + 1] = code % 2
    code //= 2
    state[S_LOAD] = code % 2
    code //= 2
    state[S_FORESTER] = code % CELLS
    state[S_MINER] = code // CELLS


@njit(cache=True, nogil=True)
def _explore(start, steps, most, number_of, units, choices):
    """Enumerate the states within `steps` commands of a start, nearest first.

    Returns:
        next_state int32 [M, commands], -1 where a command is not allowed; points int8 of
        the same shape; within int64 [steps + 1], how many states at most t commands reach.
    """
    commands = units.shape[0]
    # Room for every code there is: the system provides only the pages that are written to.
    codes = np.empty(number_of.shape[0], np.int64)
    next_state = np.empty((number_of.shape[0], commands), np.int32)
    points = np.empty((number_of.shape[0], commands), np.int8)
    within = np.ones(steps + 1, np.int64)
    here = start.copy()
    there = start.copy()
    codes[0] = _code(start, most)
    number_of[codes[0]] = 0
    known = 1
    expanded = 0
    for step in range(steps):
        end = known
        while expanded < end:
            _decode(codes[expanded], most, here)
            for c in range(commands):
                if not can_choose(here, units[c], choices[c]):
                    next_state[expanded, c] = -1
                    continue
                for column in range(S_MINE):
                    there[column] = here[column]
                points[expanded, c] = obey(there, units[c], choices[c])
                code = _code(there, most)
                if number_of[code] < 0:
                    number_of[code] = known
                    codes[known] = code
                    known += 1
                next_state[expanded, c] = number_of[code]
            expanded += 1
        within[step + 1] = known
    return next_state, points, within


@njit(cache=True, nogil=True)
def _induce(next_state, points, within, units, unit_count, best):
    """Returns from the start: of the best play, of random play, of greedy play."""
    steps = within.shape[0] - 1
    commands = units.shape[0]
    states = within[steps]
    old = np.zeros((states, 4), np.float64)
    new = np.zeros((states, 4), np.float64)
    allowed = np.zeros(unit_count, np.int64)
    for left in range(1, steps + 1):
        for s in range(within[steps - left]):
            allowed[:] = 0
            for c in range(commands):
                if next_state[s, c] >= 0:
                    allowed[units[c]] += 1
            active = 0
            for unit in range(unit_count):
                active += allowed[unit] > 0
            top = -1.0
            random = 0.0
            soon = -1.0
            for c in range(commands):
                there = next_state[s, c]
                if there < 0:
                    continue
                gain = points[s, c]
                if gain + old[there, 0] > top:
                    top = gain + old[there, 0]
                    if best.shape[0] > 0:
                        best[left - 1, s] = c
                random += (gain + old[there, 1]) / (active * allowed[units[c]])
                if gain + IMPATIENCE * old[there, 2] > soon:
                    soon = gain + IMPATIENCE * old[there, 2]
                    new[s, 3] = gain + old[there, 3]
            new[s, 0] = top
            new[s, 1] = random
            new[s, 2] = soon
        old, new = new, old
    return old[0, 0], old[0, 1], old[0, 3]


def plan(settings: OutpostSettings, layout_seed: int, *, keep_policy: bool = False) -> Plan:
    """Plan one layout exactly.

    Args:
        settings: The outpost.
        layout_seed: Which layout.
        keep_policy: Also keep the best commands.

    Returns:
        The plan. Points are whole numbers, so `value` and `greedy` are exact; `random` is
        exact up to float64 rounding.

    Raises:
        ConfigError: The settings leave no room for a layout.
    """
    start, steps = layout(settings, layout_seed), settings.step_limit
    most = _most(steps)
    number_of = np.full((CELLS**2 * 8 * (most + 1) ** 2) << WOLVES, -1, np.int32)
    found: tuple[Any, ...] = _explore(start, steps, most, number_of, _UNIT_OF, _CHOICE_OF)
    states = int(found[2][-1])
    best = np.full((steps, states) if keep_policy else (0, 0), -1, np.int8)
    value, random, greedy = _induce(*found, _UNIT_OF, len(UNITS), best)
    return Plan(float(value), float(random), float(greedy), settings, number_of, best)
