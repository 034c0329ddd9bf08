"""The panda world's constants and the settings of one world.

Everything that the rules, the layouts, the planner and the pictures must agree
on is named here once: action and entity numbers, probabilities, the columns of
the state table. Change a rule and raise `RULES_VERSION`: cached plans of older
rules are then no longer used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from maskrl.envs.games.layout_seeds import Split
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
S_BANANAS: Final = 9  # from here: one cell per banana, then one per tree, then what `cast` adds

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
DIRECTIONS: Final = ACTION_NAMES[: RIGHT + 1]
FIRST_FACING: Final = DOWN
"""Where everybody looks before the first move of an episode: at whoever looks at the grid."""
FACING_FEATURES: Final = tuple(f"faces_{name}" for name in DIRECTIONS)
"""Columns behind the default ones, in worlds where a field of view is narrower than 360."""
ALL_AROUND: Final = 360
LARGEST_SIDE: Final = 32
MOST_CREATURES: Final = 8
MOST_BANANAS: Final = 16

Preset = Literal["random", "open", "trees"]
Sight = Literal["trees", "full"]
Features = Literal["default", "xyt"]

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
    "min_scorpions",
    "max_scorpions",
    "min_dragons",
    "max_dragons",
    "panda_field_of_view",
    "scorpion_field_of_view",
    "dragon_field_of_view",
)
WITH_EYES: Final = ("panda", "scorpion", "dragon")
"""Whose view may be limited; everything else is told as if it saw all around."""


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
    min_scorpions: int = 1
    """Fewest scorpions in a random layout."""
    max_scorpions: int = 1
    """Most scorpions in a random layout."""
    min_dragons: int = 1
    """Fewest dragons in a random layout."""
    max_dragons: int = 1
    """Most dragons in a random layout."""
    panda_view_radius: int | None = None
    """Steps as far as which the panda sees, and so throws; None: however far."""
    scorpion_view_radius: int | None = None
    """Steps as far as which a scorpion sees, and so creeps; None: however far."""
    dragon_view_radius: int | None = None
    """Steps as far as which a dragon sees, and so chases; None: however far."""
    panda_field_of_view: int = ALL_AROUND
    """Degrees that the panda sees, its last move in their middle."""
    scorpion_field_of_view: int = ALL_AROUND
    """Degrees that a scorpion sees, its last move in their middle."""
    dragon_field_of_view: int = ALL_AROUND
    """Degrees that a dragon sees, its last move in their middle."""
    tells_time: bool = True
    """Whether `time_left` is told; without it only a memory knows how long an episode lasts."""

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
            ("width", 5, LARGEST_SIDE),
            ("height", 5, LARGEST_SIDE),
            ("step_limit", 1, 10_000),
            ("max_trees", 0, self.width * self.height // 2),
            ("min_trees", 0, self.max_trees),
            ("max_bananas", 0, MOST_BANANAS),
            ("min_bananas", 0, self.max_bananas),
            ("max_scorpions", 0, MOST_CREATURES),
            ("min_scorpions", 0, self.max_scorpions),
            ("max_dragons", 0, MOST_CREATURES),
            ("min_dragons", 0, self.max_dragons),
            *((f"{who}_field_of_view", 1, ALL_AROUND) for who in WITH_EYES),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                most = f" while max_{name[4:]} is {high}" if name.startswith("min_") else ""
                raise ConfigError(
                    f"panda: {name} must be a whole number from {low} to {high}; "
                    f"got {value!r}{most}"
                )
        if not isinstance(self.tells_time, bool):
            raise ConfigError(f"panda: tells_time must be true or false; got {self.tells_time!r}")
        for who in WITH_EYES:
            radius = self.view_radius(who)
            whole = isinstance(radius, int) and not isinstance(radius, bool)
            if radius is not None and not (whole and radius >= 1):
                raise ConfigError(
                    f"panda: {who}_view_radius must be a whole number from 1 on, or None for no "
                    f"limit; got {radius!r}"
                )
        if self.preset != "random":
            self._require_the_articles_scene()

    def _require_the_articles_scene(self) -> None:
        """Refuse another size and other creatures than those of the fixed scenes."""
        if (self.width, self.height) != (ARTICLE_SIZE, ARTICLE_SIZE):
            raise ConfigError(
                f"panda: the scene {self.preset!r} is {ARTICLE_SIZE} x {ARTICLE_SIZE}; "
                f"got width={self.width}, height={self.height}"
            )
        for kind in ("scorpions", "dragons"):
            for bound in ("min", "max"):
                count = getattr(self, f"{bound}_{kind}")
                if count != 1:
                    raise ConfigError(
                        f"panda: the scene {self.preset!r} has one scorpion and one dragon; "
                        f"got {bound}_{kind}={count}"
                    )

    def view_radius(self, who: str) -> int | None:
        """Steps as far as which `panda`, `scorpion` or `dragon` sees; None: however far."""
        radius: int | None = getattr(self, f"{who}_view_radius")
        return radius

    def field_of_view(self, who: str) -> int:
        """Degrees that `panda`, `scorpion` or `dragon` sees."""
        degrees: int = getattr(self, f"{who}_field_of_view")
        return degrees

    @property
    def creatures(self) -> int:
        """Most scorpions and dragons together, each of which has an entity slot."""
        return self.max_scorpions + self.max_dragons

    @property
    def facing_matters(self) -> bool:
        """Whether somebody sees less than all around, so that facings are kept and told."""
        return any(self.field_of_view(who) < ALL_AROUND for who in WITH_EYES)

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
            return 2 + self.creatures
        return 2 + self.creatures + self.max_bananas + max(self.max_trees, self.tree_slots)

    @property
    def feature_count(self) -> int:
        """Columns of the `entities` observation."""
        return len(self.feature_names)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of the `entities` observation."""
        if self.features == "xyt":
            return ("x", "y", "type")
        return DEFAULT_FEATURES + (FACING_FEATURES if self.facing_matters else ())
