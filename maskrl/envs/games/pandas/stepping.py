"""One step of many worlds of pandas in one compiled loop.

`advance` is a step of one world by the rules, `step_all` that of all, with rewards, episode
ends, automatic reset in the same step and observations written straight to where the caller
reads them. Randomness is counter-based: a step draws by cell (who gets a contested cell,
who comes back where) and by scorpion, so that the order of the pandas' slots decides nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.compiling import KERNEL, PART
from maskrl.envs.games.panda.rules import OUTSIDE
from maskrl.envs.games.panda.settings import SCORPION_REACH
from maskrl.envs.games.pandas.grid_view import write_grid
from maskrl.envs.games.pandas.layouts import write_layout
from maskrl.envs.games.pandas.rules import (
    ALL_EATEN,
    DIED_OUT,
    GOES_ON,
    OUT_OF_TIME,
    action_allowed,
    cell_ahead,
    nearest_panda,
    scorpion_step,
)
from maskrl.envs.games.pandas.scene_view import write_scene
from maskrl.envs.games.pandas.settings import ABSENT, ACTIONS, NOBODY, STAY, PandasSettings
from maskrl.envs.games.random_stream import below, draw, uniform


class Scratch(NamedTuple):
    """Working space of a step.

    Attributes:
        chosen: int64 [N], the action of each panda; `STAY` where it does not act.
        goals: int32 [N], the cell that each panda wants.
        claims: int32 [cells], how many want a cell; all 0 between steps.
        chewing: bool [N], who chewed when the step began.
        layout: uint64 [2, words], of `write_layout`.
    """

    chosen: npt.NDArray[np.int64]
    goals: npt.NDArray[np.int32]
    claims: npt.NDArray[np.int32]
    chewing: npt.NDArray[np.bool_]
    layout: npt.NDArray[np.uint64]


class Results(NamedTuple):
    """What a step gives besides observations, for B worlds of N pandas.

    Attributes:
        rewards: float64 [B], what the pandas got together.
        agent_rewards: float64 [B, N], what each agent gets.
        terminated: bool [B].
        truncated: bool [B].
        endings: int8 [B], `GOES_ON` and so on.
        final_layouts: int64 [B], the layout of the episode that ended, where one did.
    """

    rewards: npt.NDArray[np.float64]
    agent_rewards: npt.NDArray[np.float64]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    endings: npt.NDArray[np.int8]
    final_layouts: npt.NDArray[np.int64]


def make_scratch(settings: PandasSettings, words: int) -> Scratch:
    """Working space for worlds of these settings."""
    return Scratch(
        chosen=np.zeros(settings.pandas, np.int64),
        goals=np.zeros(settings.pandas, np.int32),
        claims=np.zeros(settings.cells, np.int32),
        chewing=np.zeros(settings.pandas, np.bool_),
        layout=np.zeros((2, words), np.uint64),
    )


def make_results(settings: PandasSettings, count: int) -> Results:
    """Fresh arrays for the results of one step of `count` worlds."""
    return Results(
        rewards=np.empty(count, np.float64),
        agent_rewards=np.empty((count, settings.pandas), np.float64),
        terminated=np.empty(count, np.bool_),
        truncated=np.empty(count, np.bool_),
        endings=np.empty(count, np.int8),
        final_layouts=np.zeros(count, np.int64),
    )


@njit(**PART)
def draws_of_a_step(world):
    """How many numbers a step takes from a stream: two for every cell, one for every scorpion."""
    return np.uint64(2 * world.tree_at.shape[1] + world.scorpions.shape[1])


@njit(**PART)
def _first_claimant(i, cell, pick, world, goals, grid):
    """Of those who want a cell, the panda that comes number `pick` by the cell it stands on."""
    for direction in (0, 2, 3, 1):  # up, left, right, down: in the order of their cells
        beside = grid.ahead[cell, direction]
        if beside != OUTSIDE:
            n = world.standing[i, beside]
            if n != NOBODY and goals[n] == cell and world.rest[i, n] == 0:
                if pick == 0:
                    return n
                pick -= 1
    return NOBODY


@njit(**KERNEL)
def pandas_move(i, world, facts, scratch):
    """Move all pandas of world i at once, by the actions in `scratch.chosen`."""
    goals, claims, grid = scratch.goals, scratch.claims, facts.grid
    for n in range(goals.shape[0]):
        goals[n] = world.pandas[i, n]
        if world.rest[i, n] == 0 and scratch.chosen[n] != STAY:
            goals[n] = cell_ahead(scratch.chosen[n], world.pandas[i, n], grid)
            claims[goals[n]] += 1
    for n in range(goals.shape[0]):
        goal = goals[n]
        if goal != world.pandas[i, n] and claims[goal] > 1:
            counter = world.counters[i] + np.uint64(goal)
            pick = below(world.keys[i], counter, claims[goal])
            winner = _first_claimant(i, goal, pick, world, goals, grid)
            # Settled once for all who want it: who does not get it wants its own cell now.
            for other in range(n, goals.shape[0]):
                if goals[other] == goal and other != winner:
                    goals[other] = world.pandas[i, other]
            claims[goal] = 1
    for n in range(goals.shape[0]):
        if goals[n] != world.pandas[i, n]:
            world.standing[i, world.pandas[i, n]] = NOBODY
            claims[goals[n]] = 0
    for n in range(goals.shape[0]):
        if goals[n] != world.pandas[i, n]:
            world.pandas[i, n] = goals[n]
            world.standing[i, goals[n]] = n


@njit(**PART)
def _kill(i, n, world, facts, rewards):
    world.rest[i, n] = -1 - facts.respawn_steps
    world.standing[i, world.pandas[i, n]] = NOBODY
    rewards[n] -= 1.0


@njit(**KERNEL)
def eat(i, world, facts, rewards):
    """Let pandas of world i that stand on a watermelon eat it; how many watermelons are left."""
    left = 0
    for k in range(world.melons.shape[1]):
        cell = world.melons[i, k]
        if cell == ABSENT:
            continue
        n = world.standing[i, cell]
        if n == NOBODY:
            left += 1
            continue
        world.melons[i, k] = ABSENT
        world.closed[i, cell] = False
        world.rest[i, n] = facts.chew_steps
        rewards[n] += 1.0
    return left


@njit(**KERNEL)
def _come_back(i, world, facts):
    """Put dead pandas whose time has come on the grid, and count the waiting of others down."""
    cells = world.tree_at.shape[1]
    due = 0
    for n in range(world.rest.shape[1]):
        due += world.rest[i, n] == -1
    # In the order of the cells they died on; of those who died on one, by slot.
    for cell in range(cells if due else 0):
        for n in range(world.rest.shape[1]):
            if world.rest[i, n] == -1 and world.pandas[i, n] == cell:
                _put_back(i, n, cell, world, facts)
    for n in range(world.rest.shape[1]):
        if world.rest[i, n] < -1:
            world.rest[i, n] += 1


@njit(**KERNEL)
def _put_back(i, n, died_on, world, facts):
    """Put panda n on a random cell where it may come back, if there is one."""
    cells = world.tree_at.shape[1]
    free = 0
    for cell in range(cells):
        free += _is_free(i, cell, world, facts)
    if free == 0:
        return
    counter = world.counters[i] + np.uint64(cells + world.scorpions.shape[1] + died_on)
    pick = below(world.keys[i], counter, free)
    for cell in range(cells):
        if _is_free(i, cell, world, facts):
            if pick == 0:
                world.pandas[i, n] = cell
                world.rest[i, n] = 0
                world.standing[i, cell] = n
                return
            pick -= 1


@njit(**KERNEL)
def _is_free(i, cell, world, facts):
    """Whether a panda may come back here: nothing stands there, and no scorpion reaches it."""
    if world.closed[i, cell] or world.standing[i, cell] != NOBODY:
        return False
    for s in range(world.scorpions.shape[1]):
        if facts.grid.steps[cell, world.scorpions[i, s]] <= SCORPION_REACH:
            return False
    return True


@njit(**KERNEL)
def advance(i, world, facts, scratch, rewards):
    """One step of world i by the actions in `scratch.chosen`, all of them allowed.

    Args:
        i: Number of the world.
        world: Of `empty_world`.
        facts: Of `make_facts`.
        scratch: Of `make_scratch`.
        rewards: float64 [N], overwritten with what each panda got itself.

    Returns:
        What became of the episode, `GOES_ON` and so on.
    """
    world.steps[i] += 1
    for n in range(rewards.shape[0]):
        rewards[n] = 0.0
        scratch.chewing[n] = world.rest[i, n] > 0
    pandas_move(i, world, facts, scratch)
    for s in range(world.scorpions.shape[1]):
        n = world.standing[i, world.scorpions[i, s]]
        if n != NOBODY:
            _kill(i, n, world, facts, rewards)
    left = eat(i, world, facts, rewards)
    for n in range(rewards.shape[0]):
        if scratch.chewing[n]:
            world.rest[i, n] -= 1
    ending = GOES_ON
    if left == 0:
        ending = ALL_EATEN
    else:
        _scorpions_move(i, world, facts, rewards)
        lives = False
        for n in range(rewards.shape[0]):
            lives |= world.rest[i, n] >= 0
        if not lives and facts.respawn_steps == 0:
            ending = DIED_OUT
        elif world.steps[i] >= facts.step_limit:
            ending = OUT_OF_TIME
        if facts.respawn_steps > 0:
            _come_back(i, world, facts)
    world.counters[i] += draws_of_a_step(world)
    return ending


@njit(**KERNEL)
def _scorpions_move(i, world, facts, rewards):
    """Move the scorpions of world i, one after the other; who shares a cell with one is caught."""
    first = world.counters[i] + np.uint64(world.tree_at.shape[1])
    for s in range(world.scorpions.shape[1]):
        cell = world.scorpions[i, s]
        goal = nearest_panda(cell, world.pandas[i], world.rest[i], facts.grid)
        u = uniform(world.keys[i], first + np.uint64(s))
        cell = scorpion_step(u, cell, goal, world.closed[i], facts.grid)
        world.scorpions[i, s] = cell
        n = world.standing[i, cell]
        if n != NOBODY:
            _kill(i, n, world, facts, rewards)


@njit(**KERNEL)
def begin_episode(i, world, source, facts, scratch):
    """Put world i at the start of its next episode; False when no layout fits."""
    layout_list, first_seed, seed_bits = source
    world.episodes[i] += 1
    if layout_list.shape[0] > 0:
        position = (i + world.steps.shape[0] * (world.episodes[i] - 1)) % layout_list.shape[0]
        world.layout_ids[i] = layout_list[position]
    else:
        fresh = draw(world.keys[i], world.counters[i]) >> np.uint64(64 - seed_bits)
        world.counters[i] += np.uint64(1)
        world.layout_ids[i] = first_seed + np.int64(fresh)
    return write_layout(world.layout_ids[i], i, world, facts, scratch.layout)


@njit(**KERNEL)
def _tell(i, world, facts, told):
    if facts.by_cell:
        write_grid(i, world, facts, told)
    else:
        write_scene(i, world, facts, told)


@njit(nogil=True, **KERNEL)
def tell_all(world, facts, told):
    """Write the observations of all worlds."""
    for i in range(world.steps.shape[0]):
        _tell(i, world, facts, told)


@njit(**KERNEL)
def choose(i, actions, world, facts, scratch):
    """Read who does what in world i into `scratch.chosen`.

    Returns:
        How many who act chose what they may not do, and stay; and -1, or the place of the
        first number among them that is no action.
    """
    illegal = 0
    for n in range(scratch.chosen.shape[0]):
        scratch.chosen[n] = STAY
        if world.rest[i, n] != 0:
            continue
        cell = world.pandas[i, n]
        place = np.int64(cell) if facts.by_cell else n
        action = actions[i, place]
        if action < 0 or action >= ACTIONS:
            return illegal, place
        if action_allowed(action, cell, world.tree_at[i], world.standing[i], facts.grid):
            scratch.chosen[n] = action
        else:
            illegal += 1
    return illegal, np.int64(-1)


@njit(nogil=True, **KERNEL)
def step_all(actions, world, source, facts, scratch, autoreset, told, final, results):
    """Step every world and write rewards, ends, observations and final observations.

    What stands at places where nobody acts is not read. An action that is not allowed is
    counted and done as `stay`. Nothing happens when somebody's action is no action at all.

    Args:
        actions: int64 [B, N], or [B, cells] with `facts.by_cell`.
        world: Of `empty_world`.
        source: Where layouts come from: layout_list, first_seed, seed_bits.
        facts: Of `make_facts`.
        scratch: Of `make_scratch`.
        autoreset: Whether the next episode begins in the step that ends one.
        told: Observations, written.
        final: The same, written only where an episode ends and the next one begins.
        results: Of `make_results`, written.

    Returns:
        Number of disallowed actions; number of episodes that ended; -1 or the first world for
        which no layout fits; -1 or the first world with an action that is none, and its place.
    """
    illegal, ended, failed = 0, 0, -1
    for i in range(world.steps.shape[0]):
        _, place = choose(i, actions, world, facts, scratch)
        if place >= 0:
            return 0, 0, -1, i, place
    for i in range(world.steps.shape[0]):
        wrong, _ = choose(i, actions, world, facts, scratch)
        illegal += wrong
        got = results.agent_rewards[i]
        ending = advance(i, world, facts, scratch, got)
        results.endings[i] = ending
        results.terminated[i] = ending in (ALL_EATEN, DIED_OUT)
        results.truncated[i] = ending == OUT_OF_TIME
        together = 0.0
        for n in range(got.shape[0]):
            together += got[n]
        results.rewards[i] = together
        if facts.shares:
            got[:] = together
        if ending != GOES_ON:
            ended += 1
            if autoreset:
                _tell(i, world, facts, final)
                results.final_layouts[i] = world.layout_ids[i]
                if not begin_episode(i, world, source, facts, scratch):
                    failed = i
        _tell(i, world, facts, told)
    return illegal, ended, failed, -1, np.int64(-1)
