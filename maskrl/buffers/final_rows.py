"""Final observations, kept beside a ring of rows: only where an episode ended.

A row of a replay buffer is followed by its successor but for the end of an episode, after
which comes the next one. Final observations lie in memory that grows as it is needed and
is used again when their rows are written over.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class FinalRows:
    """Room for as many final observations as there are episodes in a ring.

    Args:
        shape: Rows of the ring, and environments.
        like: Per key an array `[rows, num_envs, ...]` with the dtype and shape of an entry.
    """

    def __init__(self, shape: tuple[int, int], like: Mapping[str, np.ndarray]) -> None:
        self._place = np.full(shape, -1, np.int64)
        # Place 0 is what stands for an end of which nothing is known: zeros.
        self._kept = {key: np.zeros((1, *a.shape[2:]), a.dtype) for key, a in like.items()}
        self._free: list[int] = []
        self._used = 1

    def write(self, row: int, envs: np.ndarray, entries: Mapping[str, np.ndarray]) -> None:
        """Keep final observations `[M, ...]` of M environments at a row of the ring."""
        again = self._place[row, envs]
        self._free.extend(again[again >= 0].tolist())
        places = np.array([self._take() for _ in envs], np.int64)
        for key, kept in self._kept.items():
            if len(kept) < self._used:
                grown = np.zeros((max(self._used, 2 * len(kept)), *kept.shape[1:]), kept.dtype)
                grown[: len(kept)] = kept
                self._kept[key] = kept = grown
            kept[places] = entries[key]
        self._place[row, envs] = places

    def _take(self) -> int:
        if self._free:
            return self._free.pop()
        self._used += 1
        return self._used - 1

    def forget(self, row: int) -> None:
        """Give back the room of all that was kept at a row."""
        there = self._place[row]
        self._free.extend(there[there >= 0].tolist())
        self._place[row] = -1

    def places(self, rows: np.ndarray, envs: np.ndarray) -> np.ndarray:
        """Where the observations of ended steps lie; those that were not given lie at 0."""
        return np.maximum(self._place[rows, envs], 0)

    def read(self, key: str, places: np.ndarray) -> np.ndarray:
        """Entries at these places."""
        entries: np.ndarray = self._kept[key][places]
        return entries

    def nbytes(self, keys: Mapping[str, object]) -> int:
        """Bytes that the entries of these keys take."""
        return sum(self._kept[key].nbytes for key in keys)
