"""The exact value of play by two pandas on a small grid: the best, random, and the script's.

Backward induction over the full joint state within the step limit, by the functions of
`rules` that the environment uses. The best play is over joint actions, undiscounted, and
knows everything: a ceiling for every team. Larger worlds are refused, since their joint
states are too many; there the script is the ceiling, and what it is worth is known here.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numba import njit

from maskrl.envs.games.compiling import KERNEL
from maskrl.envs.games.pandas.layouts import layout
from maskrl.envs.games.pandas.planner_states import number_states, why_not
from maskrl.envs.games.pandas.rules import (
    action_allowed,
    cell_ahead,
    nearest_panda,
    scorpion_moves,
)
from maskrl.envs.games.pandas.script import make_script_room, script_actions
from maskrl.envs.games.pandas.settings import ABSENT, ACTIONS, NOBODY, STAY, PandasSettings
from maskrl.envs.games.pandas.world import derive, make_facts
from maskrl.errors import NoReferenceError

Play = Literal["best", "random", "script"]
_PLAYS: tuple[Play, ...] = ("best", "random", "script")
_BEST, _RANDOM, _SCRIPT = range(3)


def plan(settings: PandasSettings, layout_seed: int, play: Play = "best") -> float:
    """The exact expected undiscounted return of a layout.

    Args:
        settings: Of a world with two pandas.
        layout_seed: Which layout.
        play: "best" joint actions, uniformly "random" allowed actions, or those of the "script".

    Returns:
        What both pandas together are expected to get from the start.

    Raises:
        NoReferenceError: The world is too large to be planned; the message says why.
        ConfigError: There is no such layout.
    """
    reason = why_not(settings)
    if reason is not None:
        raise NoReferenceError(f"pandas: this world cannot be planned exactly: {reason}")
    world, facts = layout(settings, layout_seed), make_facts(settings)
    first, scorpions = world.pandas[0].copy(), world.scorpions[0].copy()
    states = number_states(settings, world)
    kind, shape = _PLAYS.index(play), states.shape
    # Near the end the script counts the steps that are left, up to those that chewing takes.
    tiers = settings.chew_steps + 1
    choices = np.zeros((tiers, *(shape if play == "script" else (1, 1, 1, 1)), 2), np.int8)
    if play == "script":
        room = make_script_room(settings)
        _ask_script(world, facts, states, room, np.zeros(2, np.int64), choices)
    values, after = np.zeros(shape), np.zeros(shape)
    room_to_move = tuple(np.zeros(size, np.int32) for size in (2, 2, 5)) + (np.zeros(5),)
    standing = np.full(settings.cells, NOBODY, np.int32)
    room_to_act = (standing, np.zeros((2, ACTIONS), np.int32))
    for left in range(1, settings.step_limit + 1):
        _scorpion_moves(values, after, facts, states, *room_to_move)
        choice = choices[min(left, tiers) - 1]
        _pandas_act(values, after, kind, choice, world.tree_at[0], facts, states, *room_to_act)
    a, b = (int(states.ready[cell]) for cell in first)
    lair = int(states.lair_at[scorpions[0]]) if len(scorpions) else 0
    return float(values[a, b, -1, lair])


@njit(**KERNEL)
def _ask_script(world, facts, states, room, actions, choices):
    """Write what the script does in every state, by steps left: int8 [tiers, P, P, 2^M, L, 2]."""
    tiers, many, _, sets, lairs, _ = choices.shape
    for p in range(many):
        for q in range(many):
            if states.cells[p] == states.cells[q] and p != many - 1:
                continue  # they never share a cell
            world.pandas[0, 0], world.pandas[0, 1] = states.cells[p], states.cells[q]
            world.rest[0, 0], world.rest[0, 1] = states.rest[p], states.rest[q]
            for left in range(1, sets):
                for k in range(states.melons.shape[0]):
                    world.melons[0, k] = states.melons[k] if (left >> k) & 1 else ABSENT
                derive(0, world)
                for lair in range(lairs):
                    if world.scorpions.shape[1]:
                        world.scorpions[0, 0] = states.lairs[lair]
                    for tier in range(tiers):
                        world.steps[0] = facts.step_limit - 1 - tier
                        script_actions(0, world, facts, room, actions)
                        choices[tier, p, q, left, lair, 0] = actions[0]
                        choices[tier, p, q, left, lair, 1] = actions[1]


@njit(**KERNEL)
def _scorpion_moves(values, after, facts, states, pandas, rest, cells, chances):
    """Write the values of states before the scorpion moves, from those after it did."""
    many, _, sets, lairs = values.shape
    dead = many - 1
    for p in range(many):
        for q in range(many):
            pandas[0], pandas[1] = states.cells[p], states.cells[q]
            rest[0], rest[1] = states.rest[p], states.rest[q]
            if p != dead and pandas[0] == pandas[1]:
                continue  # they never share a cell
            for left in range(1, sets):
                for lair in range(lairs):
                    scorpion = states.lairs[lair]
                    if scorpion == ABSENT:
                        after[p, q, left, lair] = values[p, q, left, lair]
                        continue
                    goal = nearest_panda(scorpion, pandas, rest, facts.grid)
                    closed = states.closed[left]
                    count = scorpion_moves(cells, chances, scorpion, goal, closed, facts.grid)
                    total = 0.0
                    for k in range(count):
                        a, b, got = p, q, 0.0
                        if cells[k] == pandas[0]:
                            a, got = dead, got - 1.0
                        if cells[k] == pandas[1]:
                            b, got = dead, got - 1.0
                        got += values[a, b, left, states.lair_at[cells[k]]]
                        total += chances[k] * got
                    after[p, q, left, lair] = total


@njit(**KERNEL)
def _land(p, goal, scorpion, left, states):
    """What becomes of a panda in state p that goes to a cell: (state, watermelons left, reward)."""
    rest = states.rest[p]
    if rest < 0:
        return p, left, 0.0
    if rest > 0:
        return np.int64(states.chewing[states.melon_at[goal], rest - 1]), left, 0.0
    if goal == scorpion:
        return states.cells.shape[0] - 1, left, -1.0
    k = states.melon_at[goal]
    if k >= 0 and (left >> k) & 1:
        return np.int64(states.chewing[k, states.chewing.shape[1] - 1]), left & ~(1 << k), 1.0
    return np.int64(states.ready[goal]), left, 0.0


@njit(**KERNEL)
def _outcome(p, goal, q, other_goal, left, lair, after, states):
    """The value of both going to these cells, which differ."""
    scorpion = states.lairs[lair]
    a, left, got = _land(p, goal, scorpion, left, states)
    b, left, got_too = _land(q, other_goal, scorpion, left, states)
    return got + got_too + (after[a, b, left, lair] if left else 0.0)


@njit(**KERNEL)
def _write_goals(p, tree_at, standing, facts, states, goals):
    """Write where each action takes a panda in state p, or `ABSENT`: int32 [5]."""
    cell = states.cells[p]
    for action in range(ACTIONS):
        goals[action] = ABSENT
        if states.rest[p] == 0:
            if action_allowed(action, cell, tree_at, standing, facts.grid):
                goals[action] = cell_ahead(action, cell, facts.grid)
        elif action == STAY:
            goals[action] = cell


@njit(**KERNEL)
def _pandas_act(values, after, kind, choices, tree_at, facts, states, standing, goals):
    """Write the values of states in which the pandas act, from those before the scorpion moves."""
    many, _, sets, lairs = values.shape
    dead = many - 1
    for p in range(many):
        for q in range(many):
            here, there = states.cells[p], states.cells[q]
            if p != dead and here == there:
                continue
            if p != dead:
                standing[here] = 0
            if q != dead:
                standing[there] = 1
            _write_goals(p, tree_at, standing, facts, states, goals[0])
            _write_goals(q, tree_at, standing, facts, states, goals[1])
            if p == dead:
                goals[0, STAY] = 0  # it goes nowhere, wherever that is
            if q == dead:
                goals[1, STAY] = 0
            for left in range(1, sets):
                for lair in range(lairs):
                    best, total, count = -np.inf, 0.0, 0
                    for i in range(ACTIONS):
                        for j in range(ACTIONS):
                            to, other = goals[0, i], goals[1, j]
                            if to == ABSENT or other == ABSENT:
                                continue
                            if to == other and p != dead and q != dead:
                                value = 0.5 * (
                                    _outcome(p, to, q, there, left, lair, after, states)
                                    + _outcome(p, here, q, other, left, lair, after, states)
                                )
                            else:
                                value = _outcome(p, to, q, other, left, lair, after, states)
                            if kind == _SCRIPT:
                                chosen = choices[p, q, left, lair]
                                if chosen[0] == i and chosen[1] == j:
                                    best = value
                            else:
                                best = max(best, value)
                            total += value
                            count += 1
                    values[p, q, left, lair] = total / count if kind == _RANDOM else best
            if p != dead:
                standing[here] = NOBODY
            if q != dead:
                standing[there] = NOBODY
    values[dead, dead] = 0.0
