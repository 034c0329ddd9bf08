"""One step of many mining worlds in one compiled loop.

`step_all` gives every world its order, lets ten ticks pass and writes rewards, ends, fates
and observations in place; where an episode ends, the next one begins in the same step.
Nothing is random: a world is a function of the orders it was given.
"""

from __future__ import annotations

from numba import njit

from maskrl.envs.games.mining.observation import write_masks, write_planes
from maskrl.envs.games.mining.rules import give_order, pass_time
from maskrl.envs.games.mining.settings import (
    C_STEP,
    C_STOCK,
    CARRIED_OUT,
    CONDITIONAL,
    HARVEST,
    IDLE,
    RETURN,
    START_STOCK,
    STEP_LIMIT,
)


@njit(cache=True)
def begin_episode(index, world, start):
    """Put world `index` at the start of its next episode.

    Args:
        index: Which world.
        world: Arrays that change: board [N, LAYERS, cells] and counts [N, 2].
        start: The board of the map at the start [LAYERS, cells].
    """
    board, counts = world
    board[index] = start
    counts[index, C_STOCK] = START_STOCK
    counts[index, C_STEP] = 0


@njit(cache=True)
def write_observation(index, world, observation, size, mode, wanted):
    """Write what the miner of world `index` is told: planes, flat mask and tables."""
    board, counts = world
    planes, flat, kinds, move, harvest, hand_in, produce, product, target = observation
    write_planes(board[index], planes[index])
    at = index if mode == CONDITIONAL else 0
    tables = (
        kinds[at],
        move[at],
        harvest[at],
        hand_in[at],
        produce[at],
        product[at],
        target[at],
    )
    write_masks(board[index], counts[index], size, mode, flat[index], tables, wanted)


@njit(cache=True, nogil=True)
def observe_all(world, observation, size, mode, wanted):
    """Write the observation of every world."""
    for index in range(world[0].shape[0]):
        write_observation(index, world, observation, size, mode, wanted)


@njit(cache=True)
def _keep_final(index, observation, final, mode):
    """Copy the observation of one world to where last ones are."""
    final[0][index] = observation[0][index]
    final[1][index] = observation[1][index]
    if mode == CONDITIONAL:
        final[2][index] = observation[2][index]
        final[3][index] = observation[3][index]
        final[4][index] = observation[4][index]
        final[5][index] = observation[5][index]
        final[6][index] = observation[6][index]
        final[7][index] = observation[7][index]
        final[8][index] = observation[8][index]


@njit(cache=True, nogil=True)
def step_all(
    actions, world, start, observation, final, results, totals, size, mode, wanted, autoreset
):
    """Step every world and write rewards, ends, fates and observations.

    Args:
        actions: int64 [N, 8], every part within its head.
        world: As `begin_episode` takes it.
        start: As `begin_episode` takes it.
        observation: planes int8 [N, cells, 27], flat mask bool [N, 2 * cells + 29], and with
            CONDITIONAL masks the tables [N, cells, choices] of the parts after the unit
            (else each with a first dimension of 1, left alone), written.
        final: The same, written only where an episode ends.
        results: rewards float64, terminated bool, truncated bool and fates int8, [N] each,
            written.
        totals: int64 [7], how many orders met each fate, added to.
        size: Cells along one side.
        mode: PUBLISHED, HEADS or CONDITIONAL.
        wanted: bool [cells], for use here.
        autoreset: Whether the next episode begins in the step that ends one.

    Returns:
        Number of orders that were not carried out, though there was a free unit.
    """
    board, counts = world
    rewards, terminated, truncated, fates = results
    illegal = 0
    for i in range(actions.shape[0]):
        fate = give_order(board[i], counts[i], actions[i], size, wanted)
        what = actions[i, 1]
        rewards[i] = fate == CARRIED_OUT and what in (HARVEST, RETURN)
        illegal += fate not in (CARRIED_OUT, IDLE)
        fates[i] = fate
        totals[fate] += 1
        terminated[i] = not pass_time(board[i], counts[i], size)
        counts[i, C_STEP] += 1
        truncated[i] = counts[i, C_STEP] >= STEP_LIMIT and not terminated[i]
        write_observation(i, world, observation, size, mode, wanted)
        if (terminated[i] or truncated[i]) and autoreset:
            _keep_final(i, observation, final, mode)
            begin_episode(i, world, start)
            write_observation(i, world, observation, size, mode, wanted)
    return illegal
