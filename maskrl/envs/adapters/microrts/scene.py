"""One moment of a game as plain data, for pictures: who stands where and does what.

Read from the state as the engine writes it, so hit points, stocks, directions and the time
that an action still takes are exact; an observation shows less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.envs.adapters.microrts.settings import ACTION_TYPES, UNIT_TYPES

OWN, OPPONENT, NOBODY = 0, 1, -1
OFFSETS = ((0, -1), (1, 0), (0, 1), (-1, 0))
"""Columns and rows that each direction goes: up, right, down, left."""


@dataclass(frozen=True)
class Unit:
    """One unit.

    Attributes:
        kind: One of `UNIT_TYPES`.
        owner: 0 for this side, 1 for the opponent, -1 for nobody.
        row: Where it stands.
        column: Likewise.
        hit_points: Left.
        resources: Carried, or left in a resource.
        action: One of `ACTION_TYPES`, or None where it is idle.
        target: Columns and rows from it to where the action goes, None where it goes nowhere.
        produces: The kind that it is making, or None.
        full_hit_points: Those of a unit that nobody hit; 0 where the kind tells them.
    """

    kind: str
    owner: int
    row: int
    column: int
    hit_points: int
    resources: int
    action: str | None = None
    target: tuple[int, int] | None = None
    produces: str | None = None
    full_hit_points: int = 0


@dataclass(frozen=True)
class Scene:
    """One moment of a game.

    Attributes:
        walls: bool [H, W].
        units: In the engine's order.
        stocks: Resources of this side and of the opponent.
        time: Steps so far.
        max_steps: Steps after which the game is cut off.
        outcome: 1 won, 0 drawn or cut off, -1 lost; None while it goes on.
    """

    walls: npt.NDArray[np.bool_]
    units: tuple[Unit, ...]
    stocks: tuple[int, int]
    time: int
    max_steps: int
    outcome: float | None = None

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.walls.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.walls.shape[1])

    @property
    def status(self) -> str:
        """The line under a picture."""
        told = f"step {self.time}/{self.max_steps}   stock {self.stocks[0]} : {self.stocks[1]}"
        if self.outcome is None:
            return told
        word = {1.0: "won", -1.0: "lost"}.get(self.outcome, "drawn")
        return f"{told}   {word}"


def read_scene(
    state: Mapping[str, Any],
    walls: npt.NDArray[np.bool_],
    max_steps: int,
    outcome: float | None = None,
) -> Scene:
    """A scene from the engine's state.

    Args:
        state: As `Games.state` gives it.
        walls: bool [H, W], of the map.
        max_steps: Of the environment.
        outcome: How the game ended, None while it goes on.
    """
    doing = {entry["ID"]: entry["action"] for entry in state["actions"]}
    units = tuple(_unit(entry, doing.get(entry["ID"])) for entry in state["pgs"]["units"])
    stock = {player["ID"]: int(player["resources"]) for player in state["pgs"]["players"]}
    return Scene(
        walls=walls,
        units=units,
        stocks=(stock[OWN], stock[OPPONENT]),
        time=int(state["time"]),
        max_steps=max_steps,
        outcome=outcome,
    )


def _unit(entry: Mapping[str, Any], action: Mapping[str, Any] | None) -> Unit:
    row, column = int(entry["y"]), int(entry["x"])
    name = target = produces = None
    if action is not None:
        name = ACTION_TYPES[int(action["type"])]
        direction = int(action.get("parameter", -1))
        if name == "attack":
            target = int(action["x"]) - column, int(action["y"]) - row
        elif name != "wait" and 0 <= direction < len(OFFSETS):
            target = OFFSETS[direction]
        if name == "produce":
            produces = str(action["unitType"]).lower()
    kind = str(entry["type"]).lower()
    return Unit(
        kind=kind if kind in UNIT_TYPES else "resource",
        owner=int(entry["player"]),
        row=row,
        column=column,
        hit_points=int(entry["hitpoints"]),
        resources=int(entry["resources"]),
        action=name,
        target=target,
        produces=produces,
    )
