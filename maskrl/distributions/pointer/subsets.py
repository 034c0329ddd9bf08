"""All sets of up to k out of n things, level by level, and the steps that lead to each.

A sequence of picks without replacement passes through sets, and what may come next depends
on the set alone. Far fewer sets than sequences: of 5 picks out of 16 there are 6,885 and
524,160. The recursions over them read these tables.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Level:
    """The sets of one size k out of n, C of them, in colexicographic order.

    Attributes:
        members: bool `[C, n]`, who belongs to a set.
        arrivals: int64 `[C, k]`, how a set is reached by one more member: for each, `s * n + i`
            for the set s of the level before and the new member i.
        departures: int64 `[C, n]`, which set of the next level a new member leads to; 0 where
            it is a member already. Of no meaning on the last level.
    """

    members: Tensor
    arrivals: Tensor
    departures: Tensor

    @property
    def size(self) -> int:
        """How many members each of the sets has."""
        return self.arrivals.shape[-1]


Tables = tuple[Any, Any, Any]


def count_sets(n: int, largest: int) -> int:
    """How many sets of at most `largest` out of n there are."""
    return sum(math.comb(n, k) for k in range(min(n, largest) + 1))


def set_levels(n: int, largest: int, device: torch.device) -> list[Level]:
    """The levels of sizes 0 to `largest` (at most n)."""
    if torch.compiler.is_compiling():
        return [
            Level(
                torch.tensor(members, dtype=torch.bool, device=device),
                torch.tensor(arrivals, dtype=torch.int64, device=device).reshape(len(members), k),
                torch.tensor(departures, dtype=torch.int64, device=device),
            )
            for k, (members, arrivals, departures) in enumerate(_listed_tables(n, largest))
        ]
    return [
        Level(*(torch.from_numpy(table).to(device) for table in tables))
        for tables in _tables(n, largest)
    ]


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _listed_tables(n: int, largest: int) -> list[Tables]:
    """The tables in a form that a compiler takes for constants."""
    return [(m.tolist(), a.tolist(), d.tolist()) for m, a, d in _tables(n, largest)]


# Not as tensors, because a fake one of some tracing must not be kept.
@functools.lru_cache(maxsize=16)
def _tables(n: int, largest: int) -> tuple[Tables, ...]:
    """Members, arrivals and departures of each level as arrays."""
    # binomials[c, j] = C(c, j): the number of j-sets out of the first c things, which is the
    # rank of the first set whose last member is c.
    binomials = np.array(
        [[math.comb(c, j) for j in range(largest + 2)] for c in range(n)], np.int64
    ).reshape(n, largest + 2)
    members = np.zeros((1, n), np.bool_)
    arrivals = np.zeros((1, 0), np.int64)
    levels = []
    for k in range(1, min(n, largest) + 1):
        chosen = np.array(list(itertools.combinations(range(n), k)), np.int64).reshape(-1, k)
        chosen = chosen[np.argsort(binomials[chosen, np.arange(1, k + 1)].sum(1))]
        # Without its j-th member a set keeps those before it in place; those after it move up.
        kept = binomials[chosen, np.arange(1, k + 1)]
        moved = binomials[chosen, np.arange(k)]
        before = np.cumsum(kept, 1) - kept
        after = moved.sum(1, keepdims=True) - np.cumsum(moved, 1)
        next_arrivals = (before + after) * n + chosen
        departures = np.zeros(len(members) * n, np.int64)
        departures[next_arrivals] = np.arange(len(chosen))[:, None]
        levels.append((members, arrivals, departures.reshape(members.shape)))
        members = np.zeros((len(chosen), n), np.bool_)
        np.put_along_axis(members, chosen, True, 1)
        arrivals = next_arrivals
    levels.append((members, arrivals, np.zeros(members.shape, np.int64)))
    return tuple(levels)
