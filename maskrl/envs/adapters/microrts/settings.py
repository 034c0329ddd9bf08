"""What is played: the action of one unit, the planes of the map, opponents and settings.

Everything here is known without Java. The layout of an action and of its mask, 78 = 6 + 4 +
4 + 4 + 4 + 7 + 49 choices, is the engine's own; a produced unit has a direction and a type,
and both count. What a setting may be is checked here, before anything is started.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from maskrl.errors import ConfigError
from maskrl.masks.tree import ActionTree, Head

UNIT_TYPES: Final = ("resource", "base", "barracks", "worker", "light", "heavy", "ranged")
"""The engine's types, by number."""

ACTION_TYPES: Final = ("wait", "move", "harvest", "return", "produce", "attack")
"""The engine's types of action, by number."""

DIRECTIONS: Final = ("up", "right", "down", "left")

ATTACK_REACH: Final = 3
"""Cells that the furthest attack goes; its target is a cell of the square around the unit."""

_ATTACK_SIDE: Final = 2 * ATTACK_REACH + 1
_TARGETS: Final = tuple(
    f"{x:+d},{y:+d}"
    for y in range(-ATTACK_REACH, ATTACK_REACH + 1)
    for x in range(-ATTACK_REACH, ATTACK_REACH + 1)
)

MICRORTS_TREE: Final = ActionTree(
    Head("type", len(ACTION_TYPES), choices=ACTION_TYPES),
    Head("move", 4, relevant={"type": (1,)}, choices=DIRECTIONS),
    Head("harvest", 4, relevant={"type": (2,)}, choices=DIRECTIONS),
    Head("return", 4, relevant={"type": (3,)}, choices=DIRECTIONS),
    Head("produce", 4, relevant={"type": (4,)}, choices=DIRECTIONS),
    Head("unit", len(UNIT_TYPES), relevant={"type": (4,)}, choices=UNIT_TYPES),
    Head("attack", _ATTACK_SIDE**2, relevant={"type": (5,)}, choices=_TARGETS),
)
"""The action of one unit: what it does, and the parameters that count for that."""

PLANES: Final = (
    *(f"hit points {n}" for n in ("0", "1", "2", "3", "4 or more")),
    *(f"resources {n}" for n in ("0", "1", "2", "3", "4 or more")),
    *("nobody's", "own", "opponent's"),
    *("empty", *UNIT_TYPES),
    *(f"doing {name}" for name in ACTION_TYPES),
)
"""What the engine's 27 planes say of a cell; of each of the five groups exactly one is 1."""

WALL_PLANE: Final = "wall"
"""Follows on maps with walls: the engine's own planes show them like empty cells."""

VISIBLE_PLANE: Final = "in sight"
"""Follows under `partial_obs`: what is out of sight looks empty in the other planes."""

REWARDS: Final = (
    "win",
    "resources",
    "workers",
    "buildings",
    "attacks",
    "combat units",
)
"""The engine's six rewards, in the order of `reward_weights`."""

OPPONENTS: Final = {
    "random-biased": ("ai.RandomBiasedAI", False),
    "random": ("ai.RandomBiasedSingleUnitAI", False),
    "passive": ("ai.PassiveAI", False),
    "worker-rush": ("ai.abstraction.WorkerRush", True),
    "light-rush": ("ai.abstraction.LightRush", True),
    "heavy-rush": ("ai.abstraction.HeavyRush", True),
    "ranged-rush": ("ai.abstraction.RangedRush", True),
    "naive-mcts": ("ai.mcts.naivemcts.NaiveMCTS", True),
    "coac": ("ai.coac.CoacAI", True),
    "mixed": ("ai.JZ.MixedBot", True),
    "rojo": ("ai.competition.rojobot.Rojo", True),
    "guided-rojo": ("ai.competition.GRojoA3N.GuidedRojoA3N", True),
    "izanagi": ("ai.competition.IzanagiBot.Izanagi", True),
    "tiamat": ("ai.competition.tiamat.Tiamat", True),
    "droplet": ("GNS.Droplet", True),
    "mayari": ("mayariBot.mayari", True),
}
"""Class of each opponent, and whether its constructor takes the table of unit types."""

MEMORYLESS: Final = ("random-biased", "random", "passive")
"""Opponents that decide by the present state and random numbers alone."""


@dataclass(frozen=True)
class MicrortsSettings:
    """One kind of game on a map.

    Raises:
        ConfigError: A value is out of range; the message names it.
    """

    opponent: str | Sequence[str] = "random-biased"
    """Who plays the other side; of several names environment i gets number i, around."""
    reward_weights: Sequence[float] = (10.0, 1.0, 1.0, 0.2, 1.0, 4.0)
    """Weight of win or loss, resources, workers, buildings, attacks, combat units."""
    max_steps: int = 2000
    """Steps after which a game is cut off (truncated) and counts as drawn."""
    partial_obs: bool = False
    """Whether both sides see only what their own units have in sight."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "opponent", _opponents(self.opponent))
        object.__setattr__(self, "reward_weights", _weights(self.reward_weights))
        steps = self.max_steps
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ConfigError(
                f"microrts: max_steps must be a whole number from 1 on; got {steps!r}"
            )
        if not isinstance(self.partial_obs, bool):
            raise ConfigError(
                f"microrts: partial_obs must be true or false; got {self.partial_obs!r}"
            )

    @property
    def opponents(self) -> tuple[str, ...]:
        """Names of the opponents, at least one."""
        return tuple(self.opponent)

    @property
    def weights(self) -> tuple[float, ...]:
        """The six weights as numbers."""
        return tuple(self.reward_weights)


def read_settings(given: dict[str, Any]) -> MicrortsSettings:
    """Settings from keyword arguments.

    Raises:
        ConfigError: One is unknown or out of range.
    """
    known = list(MicrortsSettings.__dataclass_fields__)
    unknown = sorted(set(given) - set(known))
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1, cutoff=0.5)
        advice = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"microrts: unknown setting {unknown[0]!r}; the settings are {', '.join(known)}."
            f"{advice}"
        )
    return MicrortsSettings(**given)


def _opponents(given: Any) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, Sequence) or not names:
        raise ConfigError(
            f"microrts: opponent must be a name or a list of names; got {given!r}. "
            f"There are {', '.join(OPPONENTS)}."
        )
    for name in names:
        if name not in OPPONENTS:
            plain = str(name).lower().replace("_", "-").replace(" ", "-").removesuffix("ai")
            near = difflib.get_close_matches(plain, OPPONENTS, n=2, cutoff=0.5)
            advice = f" Did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(
                f"microrts: there is no opponent {name!r}.{advice} "
                f"There are {', '.join(OPPONENTS)}."
            )
    return tuple(names)


def _weights(given: Any) -> tuple[float, ...]:
    wanted = f"{len(REWARDS)} numbers, the weights of {', '.join(REWARDS)}"
    is_list = isinstance(given, Sequence) and not isinstance(given, str)
    if not is_list or len(given) != len(REWARDS):
        raise ConfigError(f"microrts: reward_weights must be {wanted}; got {given!r}")
    for name, weight in zip(REWARDS, given, strict=True):
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight):
            raise ConfigError(
                f"microrts: reward_weights must be {wanted}; that of {name} is {weight!r}"
            )
    return tuple(float(weight) for weight in given)
