"""Final observations, kept beside a ring of rows: only where an episode ended.

A row of a replay buffer is followed by its successor but for the end of an episode, after
which comes the next one. Final observations lie in room that grows as it is needed, a
quarter at a time, and is used again when their rows are written over.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from maskrl.buffers.array_room import ArrayRoom

GROWTH = 1.25
"""By how much there is more room, at least, when there is none: unused room stays small."""


class FinalRows:
    """Room for as many final observations as there are episodes in a ring.

    Args:
        shape: Rows of the ring, and environments.
        like: Per key an array `[rows, num_envs, ...]` with the dtype and shape of an entry.
        room: Makes the arrays; in memory if nothing is said.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        like: Mapping[str, np.ndarray],
        room: ArrayRoom | None = None,
    ) -> None:
        self._place = np.full(shape, -1, np.int64)
        self._room = room or ArrayRoom()
        # Place 0 is what stands for an end of which nothing is known: zeros.
        self._kept = {
            key: self._room.new(f"final {key}", (1, *a.shape[2:]), a.dtype)
            for key, a in like.items()
        }
        self._free: list[int] = []
        self._used = 1

    @property
    def place(self) -> np.ndarray:
        """`[rows, num_envs]` int64: where the observation after each step lies; -1 is nowhere."""
        return self._place

    def entries(self, key: str) -> np.ndarray:
        """`[places, ...]`: the entries of a key at all places; the first one is zeros."""
        return self._kept[key]

    def write(self, row: int, envs: np.ndarray, entries: Mapping[str, np.ndarray]) -> None:
        """Keep final observations `[M, ...]` of M environments at a row of the ring."""
        again = self._place[row, envs]
        self._free.extend(again[again >= 0].tolist())
        places = np.array([self._take() for _ in envs], np.int64)
        self._make_room(self._used)
        for key, kept in self._kept.items():
            kept[places] = entries[key]
        self._place[row, envs] = places

    def _take(self) -> int:
        if self._free:
            return self._free.pop()
        self._used += 1
        return self._used - 1

    def _make_room(self, places: int) -> None:
        """Let there be at least so many places."""
        room = max((len(kept) for kept in self._kept.values()), default=places)
        if room >= places:
            return
        longer = max(places, int(GROWTH * room) + 4)
        self._kept = {
            key: self._room.grown(f"final {key}", kept, longer) for key, kept in self._kept.items()
        }

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

    @property
    def like(self) -> dict[str, np.ndarray]:
        """The arrays of the state by their names, all of them."""
        kept = {f"kept {key}": array for key, array in self._kept.items()}
        return {**kept, "place": self._place, "free": np.array(self._free, np.int64)}

    def get_state(self, rows: int) -> dict[str, np.ndarray]:
        """What is kept for the first rows of the ring, as views."""
        lengths = {"place": rows, "free": len(self._free)}
        return {name: x[: lengths.get(name, self._used)] for name, x in self.like.items()}

    def set_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep what `get_state` gave of a ring with rows of the same kind, and nothing else.

        Raises:
            ValueError: The arrays contradict each other; nothing has changed.
        """
        place, free = np.asarray(arrays["place"]), np.asarray(arrays["free"])
        used = {len(arrays[f"kept {key}"]) for key in self._kept} or {1}
        taken = place[place >= 0]
        # Every place but the first is either taken, once, or free.
        here = np.sort(np.concatenate([taken, free]))
        if len(used) != 1 or not np.array_equal(here, np.arange(1, max(used))):
            raise ValueError("places of final observations contradict each other")
        self._used = max(used)
        self._make_room(self._used)
        for key, kept in self._kept.items():
            kept[: self._used] = arrays[f"kept {key}"]
        self._place[...] = -1
        self._place[: len(place)] = place
        self._free = free.tolist()
