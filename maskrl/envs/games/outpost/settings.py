"""The outpost's constants and the settings of one outpost.

Everything that rules, layouts, planner and pictures must agree on is named here
once: units, buildings and what they cost, the columns of the state table, and the
tree of a command. Change a rule and raise `RULES_VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from maskrl.envs.games.layout_seeds import Split
from maskrl.errors import ConfigError
from maskrl.masks.tree import ActionTree, Head

RULES_VERSION: Final = 1

SIZE: Final = 5
CELLS: Final = SIZE * SIZE
BASE: Final = CELLS // 2
WOLVES: Final = 3

UNITS: Final = ("miner", "forester", "archer", "builder", "wait")
MINER, FORESTER, ARCHER, BUILDER, WAIT = range(5)
MOVERS: Final = (MINER, FORESTER)
DIRECTIONS: Final = ("up", "down", "left", "right")
BUILDINGS: Final = ("hut", "tower", "hall")
HUT, TOWER, HALL = range(3)

# Per building: what it takes from the store, and the points it gives.
ORE_COST: Final = (0, 1, 1)
WOOD_COST: Final = (1, 0, 1)
POINTS: Final = (1, 2, 8)
DELIVERY: Final = 2
"""Points for a load that is handed in."""
BOUNTY: Final = 1
"""Points for a wolf."""
REACH: Final = 2
"""Steps from the base (Manhattan) at which the archer hits a wolf."""
TOWER_REACH: Final = 4
"""The same from the tower: every cell."""
NEAREST_SITE, FARTHEST_SITE = 2, 3
"""Steps from the base (Manhattan) at which mine and grove may lie."""
LONGEST: Final = 20
"""Most commands of an episode: the planner enumerates what they can reach."""
MOST_STOCK: Final = LONGEST // (2 * NEAREST_SITE)
"""Most ore, or wood, that can be handed in."""

# Columns of the state table, int64 [num_envs, S_COLUMNS]. Cells are y * SIZE + x.
S_MINER, S_FORESTER = range(2)  # cells; equal to MINER and FORESTER
S_LOAD: Final = 2  # from here, per mover: whether it carries something
S_ORE, S_WOOD, S_TOWER, S_ALIVE, S_STEP = range(4, 9)  # S_ALIVE: bit k is wolf k
S_MINE, S_GROVE, S_ROCKS = range(9, 12)  # S_ROCKS: bit c is a rock on cell c
S_WOLVES: Final = 12  # from here: the cell of every wolf, also of one that was shot; -1: none
S_COLUMNS: Final = S_WOLVES + WOLVES

ABSENT: Final = -1

OUTPOST_TREE: Final = ActionTree(
    Head("unit", len(UNITS), choices=UNITS),
    Head(
        "direction",
        len(DIRECTIONS),
        relevant={"unit": MOVERS},
        mask_by="unit",
        logits_by="unit",
        choices=DIRECTIONS,
    ),
    Head(
        "target",
        WOLVES,
        relevant={"unit": (ARCHER,)},
        choices=tuple(f"wolf {k + 1}" for k in range(WOLVES)),
    ),
    Head("building", len(BUILDINGS), relevant={"unit": (BUILDER,)}, choices=BUILDINGS),
)
"""A command: a unit, and then what this unit is to do. Both movers have directions of
their own; a command to wait has no further part."""

# First entry of every head in the joined mask, and the head that holds each unit's choice.
DIRECTION_START: Final = len(UNITS)
TARGET_START: Final = DIRECTION_START + len(DIRECTIONS)
BUILDING_START: Final = TARGET_START + WOLVES
MASK_SIZE: Final = BUILDING_START + len(BUILDINGS)
HEAD_OF: Final = (1, 1, 2, 3, 0)
CHOICES_OF: Final = (len(DIRECTIONS), len(DIRECTIONS), WOLVES, len(BUILDINGS), 1)


_WHOLE_NUMBERS: Final = (
    ("step_limit", 1, LONGEST),
    ("max_rocks", 0, 6),
    ("min_rocks", 0, 6),
    ("max_wolves", 0, WOLVES),
    ("min_wolves", 0, WOLVES),
)


@dataclass(frozen=True)
class OutpostSettings:
    """One outpost: how long it has, and what stands around it.

    Raises:
        ConfigError: A value is out of range; the message names it.
    """

    step_limit: int = 16
    """Commands until the episode ends."""
    min_rocks: int = 0
    """Fewest rocks in a layout."""
    max_rocks: int = 3
    """Most rocks in a layout."""
    min_wolves: int = 2
    """Fewest wolves in a layout."""
    max_wolves: int = WOLVES
    """Most wolves in a layout."""
    split: Split = "train"
    """Which layouts: those of training, validation or test share none."""

    def __post_init__(self) -> None:
        if self.split not in ("train", "validation", "test"):
            raise ConfigError(
                f"outpost: split must be one of train, validation, test; got {self.split!r}"
            )
        for name, low, high in _WHOLE_NUMBERS:
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole or not low <= value <= high:
                raise ConfigError(
                    f"outpost: {name} must be a whole number from {low} to {high}; got {value!r}"
                )
        for low_name, high_name in (("min_rocks", "max_rocks"), ("min_wolves", "max_wolves")):
            if getattr(self, low_name) > getattr(self, high_name):
                raise ConfigError(
                    f"outpost: {low_name} is {getattr(self, low_name)}, which is more than "
                    f"{high_name}, {getattr(self, high_name)}"
                )
