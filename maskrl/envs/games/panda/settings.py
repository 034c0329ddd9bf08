"""The panda world's constants and the settings of one world.

Everything that the rules, the layouts, the planner and the pictures must agree
on is named here once: action and entity numbers, probabilities, the columns of
the state table. Change a rule and raise `RULES_VERSION`: cached plans of older
rules are then no longer used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from maskrl.errors import ConfigError

RULES_VERSION: Final = 1

ACTION_NAMES: Final = ("up", "down", "left", "right", "wait", "use_item")
UP, DOWN, LEFT, RIGHT, WAIT, USE_ITEM = range(6)
ACTIONS: Final = 6

ENTITY_TYPES: Final = ("panda", "watermelon", "scorpion", "dragon", "banana", "tree")
PANDA, WATERMELON, SCORPION, DRAGON, BANANA, TREE = range(6)

# Chances per step. A creature that was hit by a banana sleeps until it wakes.
DRAGON_CHASE: Final = 0.5
SCORPION_CREEP: Final = 0.5
SCORPION_WANDER: Final = 0.5
WAKE: Final = 0.25
# Distances in steps along the grid (Manhattan).
SCORPION_REACH: Final = 2
THROW_RANGE: Final = 4
START_DISTANCE: Final = 3
# Offsets from the panda that the features tell apart exactly, in steps along each axis.
NEAR_STEPS: Final = 4

# Columns of the state table, int32 [num_envs, S]. Cells are y * width + x, -1 = not there.
S_PANDA, S_WATERMELON, S_SCORPION, S_DRAGON = range(4)
S_CARRYING, S_SCORPION_STUNNED, S_DRAGON_STUNNED, S_STEP, S_TREES = range(4, 9)
S_BANANAS: Final = 9  # from here: one cell per banana, then one per tree

CREATURES_ABSENT: Final = -1
DEFAULT_FEATURES: Final = (
    *(f"is_{name}" for name in ENTITY_TYPES),
    "x",
    "y",
    "x_from_panda",
    "y_from_panda",
    "carrying",
    "stunned",
    "time_left",
    # Offsets from the panda once more, one-hot, those beyond the last step at its end: nearby
    # cells decide, and a network reads them from here at once instead of learning to round.
    *(f"x_from_panda_is_{step:+d}" for step in range(-NEAR_STEPS, NEAR_STEPS + 1)),
    *(f"y_from_panda_is_{step:+d}" for step in range(-NEAR_STEPS, NEAR_STEPS + 1)),
)

Preset = Literal["random", "open", "trees"]
Sight = Literal["trees", "full"]
Features = Literal["default", "xyt"]
Split = Literal["train", "validation", "test"]

# The founding article's scene: cells as (x, y), and the trees that hide the scorpion.
ARTICLE_SIZE: Final = 7
ARTICLE_CELLS: Final = {"panda": (3, 0), "watermelon": (2, 6), "scorpion": (6, 4), "dragon": (6, 0)}
ARTICLE_TREES: Final = ((5, 3), (6, 3), (5, 5))


_WHOLE_NUMBERS: Final = (
    "width",
    "height",
    "min_trees",
    "max_trees",
    "min_bananas",
    "max_bananas",
    "step_limit",
)


@dataclass(frozen=True)
class PandaSettings:
    """One panda world: its size, what is on it, and what the panda gets to know.

    Raises:
        ConfigError: A value is out of range; the message names it.
    """

    preset: Preset = "random"
    """`random`: a new layout per episode. `open`, `trees`: the article's two fixed scenes."""
    sight: Sight = "trees"
    """`trees`: what stands behind a tree is hidden. `full`: everything is visible."""
    features: Features = "default"
    """`default`: one-hot type and what else the panda must know. `xyt`: x, y, type alone."""
    width: int = 7
    """Cells in a row."""
    height: int = 7
    """Cells in a column."""
    min_trees: int = 1
    """Fewest trees in a random layout."""
    max_trees: int = 6
    """Most trees in a random layout."""
    min_bananas: int = 1
    """Fewest bananas in a random layout."""
    max_bananas: int = 2
    """Most bananas in a random layout."""
    step_limit: int = 40
    """Steps after which an episode is truncated."""
    split: Split = "train"
    """Which layouts: those of training, validation or test share none."""

    def __post_init__(self) -> None:
        for name, allowed in (
            ("preset", ("random", "open", "trees")),
            ("sight", ("trees", "full")),
            ("features", ("default", "xyt")),
            ("split", ("train", "validation", "test")),
        ):
            value = getattr(self, name)
            if value not in allowed:
                raise ConfigError(
                    f"panda: {name} must be one of {', '.join(allowed)}; got {value!r}"
                )
        for name in _WHOLE_NUMBERS:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise ConfigError(f"panda: {name} must be a whole number; got {value!r}")
        for name, low, high in (
            ("width", 5, 16),
            ("height", 5, 16),
            ("step_limit", 1, 10_000),
            ("max_trees", 0, self.width * self.height // 4),
            ("min_trees", 0, self.max_trees),
            ("max_bananas", 0, 2),
            ("min_bananas", 0, self.max_bananas),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    f"panda: {name} must be a whole number from {low} to {high}; got {value!r}"
                )
        if self.preset != "random" and (self.width, self.height) != (ARTICLE_SIZE, ARTICLE_SIZE):
            raise ConfigError(
                f"panda: the scene {self.preset!r} is {ARTICLE_SIZE} x {ARTICLE_SIZE}; "
                f"got width={self.width}, height={self.height}"
            )

    @property
    def cells(self) -> int:
        """Number of cells of the grid."""
        return self.width * self.height

    @property
    def banana_slots(self) -> int:
        """Banana columns of the state; `xyt` scenes and the article's scenes have none."""
        return 0 if self.features == "xyt" or self.preset != "random" else self.max_bananas

    @property
    def tree_slots(self) -> int:
        """Tree columns of the state."""
        fixed = {"open": 0, "trees": len(ARTICLE_TREES)}
        return fixed.get(self.preset, self.max_trees)

    @property
    def entity_slots(self) -> int:
        """Rows of the `entities` observation: 12 by default, the article's 4 with `xyt`."""
        if self.features == "xyt":
            return 4
        return 4 + self.max_bananas + max(self.max_trees, self.tree_slots)

    @property
    def feature_count(self) -> int:
        """Columns of the `entities` observation."""
        return 3 if self.features == "xyt" else len(DEFAULT_FEATURES)
