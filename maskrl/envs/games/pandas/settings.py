"""The constants of the pandas' world and the settings of one world.

Everything that rules, layouts, planner and pictures must agree on is named here once.
Sizes that are left out follow from the number of pandas, so that a world of 64 is about as
crowded as one of 2. Change a rule and raise `RULES_VERSION`: saved states of older rules
are then refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from maskrl.envs.games.layout_seeds import Split
from maskrl.envs.games.panda.settings import LARGEST_SIDE
from maskrl.errors import ConfigError

RULES_VERSION: Final = 1

ACTION_NAMES: Final = ("stay", "up", "down", "left", "right")
STAY: Final = 0  # a move is 1 + the direction as `panda.grid` numbers them
ACTIONS: Final = 5

ENTITY_TYPES: Final = ("panda", "watermelon", "scorpion", "tree")
PANDA, WATERMELON, SCORPION, TREE = range(4)
FEATURES: Final = (*(f"is_{name}" for name in ENTITY_TYPES), "x", "y", "chewing", "time_left")
PLANES: Final = ("panda", "chewing", "watermelon", "scorpion", "ground", "time_left")

ABSENT: Final = -1
"""The cell of a melon that was eaten and of a tree that a layout does not have."""
NOBODY: Final = -1
"""Who stands on a cell where no panda stands."""
SCORPION_DISTANCE: Final = 3
"""Steps between every panda and every scorpion at the start, at least."""

FEWEST_PANDAS: Final = 2
MOST_PANDAS: Final = 64
SMALLEST_SIDE: Final = 4
LONGEST: Final = 10_000
VIEW_RADIUS: Final = 4
FOLLOWS: Final[Any] = None
"""Default of a size that follows from the number of pandas."""

Reward = Literal["team", "individual"]
Form = Literal["scene", "grid"]
Sight = Literal["trees", "full"]

_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "reward": ("team", "individual"),
    "form": ("scene", "grid"),
    "sight": ("trees", "full"),
    "split": ("train", "validation", "test"),
}


@dataclass(frozen=True)
class PandasSettings:
    """One world of pandas: how many, on what grid, and what they get to know.

    Raises:
        ConfigError: A value is out of range; the message names it.
    """

    pandas: int = 8
    """How many pandas, 2 to 64."""
    width: int = FOLLOWS
    """Cells in a row; by default that of `height`, or 5 for 2 pandas, 10 for 8, 28 for 64."""
    height: int = FOLLOWS
    """Cells in a column; by default that of `width`."""
    watermelons: int = FOLLOWS
    """How many watermelons; by default 3 for every 2 pandas."""
    scorpions: int = FOLLOWS
    """How many scorpions; by default 1 for every 4 pandas, and at least 1."""
    min_trees: int = FOLLOWS
    """Fewest trees in a layout; by default half of `max_trees`."""
    max_trees: int = FOLLOWS
    """Most trees in a layout; by default one for every 10 cells."""
    step_limit: int = FOLLOWS
    """Steps after which an episode is truncated; by default 3 for every cell of the longer side."""
    chew_steps: int = 2
    """Steps for which a panda that ate sits and chews: alive, and not acting."""
    respawn_steps: int | None = None
    """Steps after which a panda that died comes back, on a free cell; None: never."""
    reward: Reward = "individual"
    """What an agent gets: `individual`: what it got itself, `team`: what all got together."""
    form: Form = "scene"
    """What is observed: `scene`: entities and slots of agents, `grid`: planes of the grid."""
    sight: Sight = FOLLOWS
    """`trees`: a panda sees as far as `view_radius` and not behind trees. `full`: everything.
    By default `trees`, and `full` for the grid, whose planes hide nothing."""
    view_radius: int | tuple[int, ...] | None = VIEW_RADIUS
    """Steps as far as which a panda sees: one number, one for each panda, or None: however far."""
    tells_time: bool = True
    """Whether `time_left` is told."""
    split: Split = "train"
    """Which layouts: those of training, validation or test share none."""

    def __post_init__(self) -> None:
        self._default("sight", "full" if self.form == "grid" else "trees")
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ConfigError(
                    f"pandas: {name} must be one of {', '.join(allowed)}; got {value!r}"
                )
        self._require("pandas", FEWEST_PANDAS, MOST_PANDAS)
        self._follow()
        most_trees = self.width * self.height // 3
        self._require("watermelons", 1, self.cells // 2)
        self._require("scorpions", 0, self.cells // 8)
        self._require("max_trees", 0, most_trees, f" (a third of {self.cells} cells)")
        self._require("min_trees", 0, self.max_trees, f" (max_trees is {self.max_trees})")
        self._require("step_limit", 1, LONGEST)
        self._require("chew_steps", 0, 100)
        if self.respawn_steps is not None:
            self._require("respawn_steps", 1, LONGEST)
        if not isinstance(self.tells_time, bool):
            raise ConfigError(f"pandas: tells_time must be true or false; got {self.tells_time!r}")
        self._require_radius()
        crowd = self.pandas + self.watermelons + self.scorpions + self.max_trees
        if crowd > self.cells * 3 // 4:
            raise ConfigError(
                f"pandas: {self.pandas} pandas, {self.watermelons} watermelons, {self.scorpions} "
                f"scorpions and up to {self.max_trees} trees fill more than three quarters of the "
                f"{self.width} x {self.height} cells; make the grid larger or ask for less"
            )

    def _follow(self) -> None:
        """Fill in the sizes that were left out."""
        side = max(5, round(3.5 * math.sqrt(self.pandas)))
        for name, other in (("width", self.height), ("height", self.width)):
            if getattr(self, name) is not None:
                self._require(name, SMALLEST_SIDE, LARGEST_SIDE)
            else:
                object.__setattr__(self, name, side if other is None else other)
        self._default("watermelons", math.ceil(1.5 * self.pandas))
        self._default("scorpions", max(1, self.pandas // 4))
        if self.max_trees is None:
            self._default("max_trees", (self.cells + 5) // 10)
            if isinstance(self.min_trees, int):
                object.__setattr__(self, "max_trees", max(self.max_trees, self.min_trees))
        self._require("max_trees", 0, self.cells // 3, f" (a third of {self.cells} cells)")
        self._default("min_trees", self.max_trees // 2)
        self._default("step_limit", 3 * max(self.width, self.height))

    def _default(self, name: str, value: int | str) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)

    def _require(self, name: str, low: int, high: int, why: str = "") -> None:
        value = getattr(self, name)
        if isinstance(value, np.integer):  # plain from here on: settings travel as JSON
            value = int(value)
            object.__setattr__(self, name, value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ConfigError(
                f"pandas: {name} must be a whole number from {low} to {high}{why}; got {value!r}"
            )

    def _require_radius(self) -> None:
        radius = self.view_radius
        if isinstance(radius, list | tuple):
            if len(radius) != self.pandas:
                raise ConfigError(
                    f"pandas: view_radius has {len(radius)} entries, expected one for each of the "
                    f"{self.pandas} pandas, or a single number"
                )
            object.__setattr__(self, "view_radius", tuple(radius))
        if self.form == "grid" and (self.sight == "trees" or radius not in (VIEW_RADIUS, None)):
            told = "sight='trees'" if self.sight == "trees" else f"view_radius={radius!r}"
            raise ConfigError(
                f"pandas: {told} would hide things, and the planes of the grid hide nothing; leave "
                "it out, or use form='scene' (the world 'pandas')"
            )
        each = radius if isinstance(radius, list | tuple) else (radius,)
        for value in each:
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            if value is not None and not whole:
                raise ConfigError(
                    "pandas: view_radius must be a whole number from 1 on, one for each panda, or "
                    f"None for no limit; got {radius!r}"
                )

    @property
    def cells(self) -> int:
        """Number of cells of the grid."""
        return self.width * self.height

    @property
    def radii(self) -> tuple[int, ...]:
        """How many steps far each panda sees; as many as there are cells where no limit is."""
        radius = self.view_radius
        each = radius if isinstance(radius, tuple) else (radius,) * self.pandas
        return tuple(self.cells if value is None else value for value in each)

    @property
    def entity_slots(self) -> int:
        """Rows of `entities`: pandas, watermelons, scorpions, trees."""
        return self.pandas + self.watermelons + self.scorpions + self.max_trees

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of `entities`."""
        return FEATURES

    @property
    def plane_names(self) -> tuple[str, ...]:
        """Names of the planes of `grid`."""
        return PLANES
