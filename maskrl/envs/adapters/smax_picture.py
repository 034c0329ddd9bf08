"""A moment of a battle of SMAX as text: allies are numbers, enemies letters, health a bar.

Drawn from positions and health alone, so neither JAX nor a display is needed; what it shows
of several units on one spot is the last of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

COLUMNS, ROWS = 48, 16
BAR = 6


def battle_text(
    *,
    positions: npt.NDArray[np.floating],
    alive: npt.NDArray[np.bool_],
    health: npt.NDArray[np.floating],
    letters: Sequence[str],
    allies: int,
    size: tuple[float, float],
    step: int,
) -> str:
    """The battlefield, framed, north at the top.

    Args:
        positions: float [E, 2], x to the east and y to the north.
        alive: bool [E].
        health: float [E], 1 is unhurt.
        letters: Kind of each unit, one character.
        allies: How many of the units, from the first on, are allies.
        size: Width and height of the map.
        step: Number of the step.

    Returns:
        Lines without a final line break: the map, then a bar of health per unit. Allies are
        1, 2, ...; enemies a, b, ...
    """
    field = [[" "] * COLUMNS for _ in range(ROWS)]
    marks = [ally_mark(i) if i < allies else enemy_mark(i - allies) for i in range(len(alive))]
    for i in np.flatnonzero(alive):
        x = int(np.clip(positions[i, 0] / size[0] * COLUMNS, 0, COLUMNS - 1))
        y = int(np.clip(positions[i, 1] / size[1] * ROWS, 0, ROWS - 1))
        field[ROWS - 1 - y][x] = marks[i]
    edge = "+" + "-" * COLUMNS + "+"
    bars = [
        f"{mark} {letter} {'#' * round(BAR * float(np.clip(share, 0, 1)) * bool(there)):<{BAR}}"
        for mark, letter, share, there in zip(marks, letters, health, alive, strict=True)
    ]
    return "\n".join(
        [
            edge,
            *(f"|{''.join(row)}|" for row in field),
            edge,
            f"step {step}",
            "allies  " + "  ".join(bars[:allies]),
            "enemies " + "  ".join(bars[allies:]),
        ]
    )


def ally_mark(i: int) -> str:
    """How the i-th ally is shown: 1 to 9, then A, B, ..."""
    return str(i + 1) if i < 9 else chr(ord("A") + (i - 9) % 26)


def enemy_mark(i: int) -> str:
    """How the i-th enemy is shown: a to z, then signs that follow in ASCII."""
    return chr(ord("a") + i) if i < 26 else "!$%&*/<=>?@"[(i - 26) % 11]
