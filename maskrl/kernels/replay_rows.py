"""Transitions out of a replay buffer's ring, in two calls: where they lead, and their rows.

A transition of n steps is followed from row to row until it ends or reaches the newest row;
then what it saw before and after is copied, from the ring or from the final observations
beside it. In numpy either takes dozens of passes over small arrays, and one more copy.
"""

from __future__ import annotations

from numba import njit

from maskrl.kernels.fused.memory import as_int32, as_int64, as_uint8

# Columns of the table of arrays: addresses of the ring, of the final rows, of the two copies
# (0 where none is wanted), and bytes of one row.
RING, FINALS, BEFORE, AFTER, BYTES, COLUMNS = range(6)

_INNER = {"error_model": "numpy"}


@njit(**_INNER, nogil=True, cache=True)
def follow(  # type: ignore[no-untyped-def]
    step,
    env,
    shape,
    ends,
    rewards,
    discounts,
    before,
    after,
    total,
    discount,
    terminated,
    truncated,
):
    """Follow transitions to where they lead.

    Args:
        step: int64 `[M]`, rows of the ring.
        env: int64 `[M]`, environments.
        shape: (rows, environments, head): the ring, and its newest row.
        ends: (terminated, truncated, place), each `[rows, B]`: bool, bool, and int64 where the
            final observation lies.
        rewards: float32 `[rows, B]`.
        discounts: float32 `[n + 1]`: powers of gamma.
        before: int64 `[M]`, written: places in the flat ring.
        after: int64 `[M]`, written: places in the flat ring; of a transition that ended -1 - p,
            where p is the place of its final observation.
        total: float32 `[M]`, written: the discounted rewards.
        discount: float32 `[M]`, written: the weight of what follows.
        terminated: bool `[M]`, written.
        truncated: bool `[M]`, written.
    """
    rows, envs, head = shape
    over, cut, place = ends
    most = discounts.shape[0] - 1
    for i in range(step.shape[0]):
        row, column = step[i], env[i]
        left = head - row if head > row else head - row + rows  # rows until the newest
        sum_of = rewards[row, column]
        here, k = row, 1
        while k < most and k < left and not (over[here, column] or cut[here, column]):
            here = here + 1 if here + 1 < rows else 0
            sum_of += discounts[k] * rewards[here, column]
            k += 1
        before[i] = row * envs + column
        total[i], discount[i] = sum_of, discounts[k]
        terminated[i], truncated[i] = over[here, column], cut[here, column]
        if over[here, column] or cut[here, column]:
            after[i] = -1 - max(place[here, column], 0)
        else:
            following = here + 1 if here + 1 < rows else 0
            after[i] = following * envs + column


@njit(**_INNER)
def _copy(source, target, size):  # type: ignore[no-untyped-def]
    if size % 8 == 0:
        long, there = as_int64(source), as_int64(target)
        for j in range(size // 8):
            there[j] = long[j]
    elif size % 4 == 0:
        word, into = as_int32(source), as_int32(target)
        for j in range(size // 4):
            into[j] = word[j]
    else:
        byte, out = as_uint8(source), as_uint8(target)
        for j in range(size):
            out[j] = byte[j]


@njit(**_INNER, nogil=True, cache=True)
def copy_rows(table, before, after):  # type: ignore[no-untyped-def]
    """Copy what transitions saw before and after, of every array.

    Args:
        table: int64 `[arrays, COLUMNS]`.
        before: As from `follow`.
        after: As from `follow`.
    """
    for k in range(table.shape[0]):
        ring, finals, size = table[k, RING], table[k, FINALS], table[k, BYTES]
        first, second = table[k, BEFORE], table[k, AFTER]
        for i in range(before.shape[0]):
            _copy(ring + before[i] * size, first + i * size, size)
            if second != 0:
                place = after[i]
                source = ring + place * size if place >= 0 else finals + (-1 - place) * size
                _copy(source, second + i * size, size)
