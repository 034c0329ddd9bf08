"""The packing world's constants and the settings of one world.

What the rules, the layouts, the planner and the pictures must agree on is named
here once: the ranges items are drawn from, the columns of the state table and of
the observation. Change a rule and raise `RULES_VERSION`: states saved under older
rules are then refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from maskrl.envs.games.layout_seeds import Split
from maskrl.errors import ConfigError

RULES_VERSION: Final = 1

# Items: whole weights, whole points. Most are worth little, few much: the share of the way
# from the least to the most points is a uniform number to this power.
LIGHTEST, HEAVIEST = 3, 12
LEAST_POINTS, MOST_POINTS = 5, 100
POINTS_POWER: Final = 3
# Some items spoil: they lose the same points each step and are worth nothing after so many.
SPOILING_SHARE: Final = 0.6
SHORTEST_LIFE, LONGEST_LIFE = 2, 6
# The rucksack holds a share of the weight of everything on offer.
SMALLEST_SHARE, LARGEST_SHARE = 0.3, 0.6
REWARD_PER_POINT: Final = 1.0 / MOST_POINTS

MOST_ITEMS: Final = 16  # the planner looks at every subset
MOST_SLOTS: Final = 60  # slots are bits of one number

# Columns of the state table, int64 [num_envs, S]; then the slots' weights, points, losses.
S_CAPACITY, S_ROOM, S_STEP, S_OFFERED, S_TAKEN, S_ITEMS = range(6)

CANDIDATE_FEATURES: Final = (
    "weight",
    "weight_for_room",  # 1/2 where the item just fits
    "worth_now",
    "worth_for_weight",
    "loss_per_step",
    "steps_until_worthless",  # 1 where it never loses anything
)
MASK_FEATURES: Final = ("offered", "taken", "fits")
OBSERVATION_FEATURES: Final = ("room", "room_for_capacity", "items_left", "time_left")
HORIZON: Final = 8  # steps ahead that `steps_until_worthless` can tell

Padding = Literal["items", "zeros"]

_WHOLE_NUMBERS: Final = ("slots", "min_items", "max_items", "step_limit")


@dataclass(frozen=True)
class PackingSettings:
    """One packing world: how much is offered, and what the agent gets to know.

    Raises:
        ConfigError: A value is out of range; the message names it.
    """

    slots: int = 12
    """Rows of `candidates`, which is also the number of actions."""
    min_items: int = 4
    """Fewest items on offer."""
    max_items: int = 12
    """Most items on offer, at most `slots`."""
    padding: Padding = "items"
    """Rows of slots with no item: `items` made up like real ones, or `zeros`."""
    tell_mask: bool = False
    """Whether a row also tells what the mask tells: offered, taken, fits."""
    step_limit: int = 16
    """Steps after which an episode is truncated, at least `max_items`, which always suffice."""
    split: Split = "train"
    """Which layouts: those of training, validation or test share none."""

    def __post_init__(self) -> None:
        for name, allowed in (
            ("padding", ("items", "zeros")),
            ("split", ("train", "validation", "test")),
            ("tell_mask", (False, True)),
        ):
            value = getattr(self, name)
            if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
                raise ConfigError(
                    f"packing: {name} must be one of {', '.join(map(str, allowed))}; got {value!r}"
                )
        for name in _WHOLE_NUMBERS:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise ConfigError(f"packing: {name} must be a whole number; got {value!r}")
        for name, low, high in (
            ("slots", 1, MOST_SLOTS),
            ("max_items", 1, min(self.slots, MOST_ITEMS)),
            ("min_items", 1, self.max_items),
            ("step_limit", self.max_items, 10_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    f"packing: {name} must be a whole number from {low} to {high}; got {value!r}"
                )

    @property
    def columns(self) -> int:
        """Columns of the state table."""
        return S_ITEMS + 3 * self.slots

    @property
    def candidate_features(self) -> tuple[str, ...]:
        """Names of the columns of `candidates`."""
        return CANDIDATE_FEATURES + (MASK_FEATURES if self.tell_mask else ())

    @property
    def largest_capacity(self) -> int:
        """No rucksack of this world holds more."""
        return int(LARGEST_SHARE * HEAVIEST * self.max_items) + HEAVIEST
