"""What a mask of Jumanji's means: three kinds that look alike, told apart by name.

Jumanji declares a mask over the pairs of two choices, and one with a row per agent, by the
same class of specification. Which is which is known for its own environments, follows from
the shapes for most others, and is asked for (`mask_kind`) where two would fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from maskrl.errors import ConfigError, MaskShapeError

MaskKind = Literal["flat", "joint", "rows"]

MEANINGS: dict[str, str] = {
    "flat": "[A], one entry per action",
    "joint": "[n1, n2, ...], one entry per combination of all parts of an action",
    "rows": "[N, A], a row per part of an action: its choices whatever the others choose",
}
"""What the three kinds say, by name."""

KNOWN: dict[str, MaskKind] = {
    "BinPack": "joint",
    "CVRP": "flat",
    "Cleaner": "rows",
    "Connector": "rows",
    "FlatPack": "joint",
    "Game2048": "flat",
    "GraphColoring": "flat",
    "JobShop": "rows",
    "Knapsack": "flat",
    "LevelBasedForaging": "rows",
    "MMST": "rows",
    "Maze": "flat",
    "Minesweeper": "joint",
    "MultiCVRP": "rows",
    "PacMan": "flat",
    "RobotWarehouse": "rows",
    "SlidingTilePuzzle": "flat",
    "Snake": "flat",
    "Sudoku": "joint",
    "Sudoku-very-easy": "joint",
    "TSP": "flat",
    "Tetris": "joint",
}
"""The kinds of Jumanji's own environments, by their names without versions."""


@dataclass(frozen=True)
class MaskLayout:
    """How an action and its mask appear to a learner.

    Attributes:
        kind: "flat", "joint" or "rows".
        sizes: How many choices each part of the environment's own action has.
        has_parts: Whether that action is a vector; a number otherwise.
    """

    kind: MaskKind
    sizes: tuple[int, ...]
    has_parts: bool

    @property
    def nvec(self) -> tuple[int, ...]:
        """Sizes of the heads: all combinations are one head where the mask is over them."""
        return self.sizes if self.kind == "rows" else (math.prod(self.sizes),)

    @property
    def width(self) -> int:
        """Length of the flat mask that a learner gets."""
        return sum(self.nvec)

    @property
    def action_space(self) -> spaces.Space[Any]:
        """What a learner chooses from."""
        if self.kind == "rows":
            return spaces.MultiDiscrete(np.array(self.sizes))
        return spaces.Discrete(self.width)

    def action_names(self) -> tuple[str, ...] | None:
        """Names of combinations, "2,1" being part 2 of the first and 1 of the second."""
        if self.kind != "joint":
            return None
        places = np.stack(np.unravel_index(np.arange(self.width), self.sizes), axis=-1)
        return tuple(",".join(map(str, place)) for place in places.tolist())


def find_layout(
    name: str,
    mask_shape: tuple[int, ...],
    sizes: npt.ArrayLike,
    given: str | None = None,
) -> MaskLayout:
    """Which kind of mask an environment has.

    Args:
        name: Of the environment, for messages and for `KNOWN`.
        mask_shape: Shape of its mask.
        sizes: Number of choices, or an array of them per part of the action.
        given: The setting `mask_kind`, where the user says it.

    Raises:
        ConfigError: `given` is no kind, or two kinds would fit and none is given.
        MaskShapeError: The mask's shape does not fit the action.
    """
    counts = np.asarray(sizes)
    parts = tuple(int(n) for n in counts.reshape(-1))
    fitting = _fitting(mask_shape, parts, has_parts=counts.ndim > 0)
    action = f"{list(parts)}" if counts.ndim else f"{parts[0]} choices"
    if given is not None and given not in get_args(MaskKind):
        raise ConfigError(
            f"environment {name!r}: mask_kind is {given!r}; expected one of "
            + "; ".join(f"{kind} {meaning}" for kind, meaning in MEANINGS.items())
        )
    if not fitting or (given is not None and given not in fitting):
        wanted = f"mask_kind is {given!r}: {MEANINGS[given]}" if given else "no kind of mask fits"
        raise MaskShapeError(
            f"environment {name!r}: action_mask has shape {mask_shape} and an action has "
            f"{action}; {wanted}."
            + (f" It fits as {' or '.join(fitting)}." if fitting and given else "")
        )
    kind = given or KNOWN.get(name.rpartition("-v")[0].rpartition(":")[2])
    if kind not in fitting:
        if len(fitting) > 1:
            raise ConfigError(
                f"environment {name!r}: action_mask has shape {mask_shape} and an action has "
                f"{action}, so it may be {' or '.join(fitting)}. Say which: mask_kind="
                + ", or mask_kind=".join(f"{one} ({MEANINGS[one]})" for one in fitting)
            )
        kind = fitting[0]
    return MaskLayout(kind, parts, counts.ndim > 0)


def _fitting(shape: tuple[int, ...], parts: tuple[int, ...], *, has_parts: bool) -> list[MaskKind]:
    if not has_parts:
        return ["flat"] if shape == parts else []
    fitting: list[MaskKind] = []
    if shape == parts:
        fitting.append("joint")
    if len(set(parts)) == 1 and shape == (len(parts), parts[0]):
        fitting.append("rows")
    return fitting
