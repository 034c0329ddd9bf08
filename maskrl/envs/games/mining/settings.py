"""The units of the mining worlds, the parts of an order, and the settings of one world.

Everything that rules, masks, script and pictures must agree on is named here once. Times are
in ticks; a step is ten of them, so that most orders end in the step that gives them.
Change a rule and raise `RULES_VERSION`. The task is that of Huang and Ontanon, A closer look
at invalid action masking, https://arxiv.org/abs/2006.14171, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from maskrl.errors import ConfigError
from maskrl.masks.tree import ActionTree, Head

RULES_VERSION: Final = 1

# What an order is: the first two parts of an action.
ORDERS: Final = ("none", "move", "harvest", "return", "produce", "attack")
NONE, MOVE, HARVEST, RETURN, PRODUCE, ATTACK = range(6)
DIRECTIONS: Final = ("up", "right", "down", "left")
STEP_X: Final = np.array([0, 1, 0, -1], np.int64)
STEP_Y: Final = np.array([-1, 0, 1, 0], np.int64)

# Kinds of unit. On the board a kind is stored as 1 + its number, and 0 is an empty cell.
KINDS: Final = ("mine", "base", "barracks", "worker", "light", "heavy", "ranged")
MINE, BASE, BARRACKS, WORKER, LIGHT, HEAVY, RANGED = range(7)
HIT_POINTS: Final = np.array([1, 10, 4, 1, 4, 4, 1], np.int64)
COST: Final = np.array([1, 10, 5, 1, 2, 2, 2], np.int64)
DAMAGE: Final = np.array([1, 1, 1, 1, 2, 4, 1], np.int64)
REACH: Final = np.array([1, 1, 1, 1, 1, 1, 3], np.int64)
MOVES: Final = np.array([0, 0, 0, 1, 1, 1, 1], np.bool_)
FIGHTS: Final = np.array([0, 0, 0, 1, 1, 1, 1], np.bool_)
# PRODUCES[kind, product]
PRODUCES: Final = np.zeros((7, 7), np.bool_)
PRODUCES[BASE, WORKER] = True
PRODUCES[WORKER, [BASE, BARRACKS]] = True
PRODUCES[BARRACKS, [LIGHT, HEAVY, RANGED]] = True

# How long an order takes, in ticks: by the kind of the unit, or of what it is to produce.
TICKS: Final = 10
"""Ticks of one step."""
MOVE_TICKS: Final = np.array([10, 10, 10, 10, 8, 12, 10], np.int64)
"""Also those of handing in."""
HARVEST_TICKS: Final = 10
ATTACK_TICKS: Final = np.array([10, 10, 10, 5, 5, 5, 5], np.int64)
PRODUCE_TICKS: Final = np.array([10, 250, 200, 50, 80, 120, 100], np.int64)

NOBODY, OWN, ENEMY = range(3)

# Layers of the board, int16 [num_envs, LAYERS, cells]; a cell is y * size + x.
B_KIND, B_OWNER, B_HIT_POINTS, B_LOAD, B_ORDER, B_LEFT, B_DIRECTION, B_PRODUCT = range(8)
LAYERS: Final = 8
"""Per cell what stands there: 1 + kind, owner, hit points, what it carries (of a mine what is
left), the order it is carrying out, the ticks until that ends (0: free), and its parameters."""

# Columns of the counts, int64 [num_envs, 2].
C_STOCK, C_STEP = range(2)
START_STOCK: Final = 5
STEP_LIMIT: Final = 200

# What became of an order.
FATES: Final = ("carried out", "no unit", "not own", "busy", "impossible", "in conflict", "idle")
CARRIED_OUT, NO_UNIT, NOT_OWN, BUSY, IMPOSSIBLE, IN_CONFLICT, IDLE = range(7)
"""`impossible`: the unit waits as long as the order would have taken. `in conflict`: with what
another unit is doing; it is dropped. `idle`: there was no free unit to order anything."""

# Feature planes, in groups that are one-hot each.
PLANE_SIZES: Final = (5, 5, 3, 1 + len(KINDS), len(ORDERS))
PLANE_STARTS: Final = (0, 5, 10, 13, 21)
PLANES: Final = sum(PLANE_SIZES)

MapName = Literal["4x4", "10x10", "16x16", "24x24"]
SIZES: Final[dict[str, int]] = {"4x4": 4, "10x10": 10, "16x16": 16, "24x24": 24}

Masks = Literal["published", "heads", "conditional"]
MASKS: Final = ("published", "heads", "conditional")
PUBLISHED, HEADS, CONDITIONAL = range(3)

HEAD_NAMES: Final = ("unit", "type", "move", "harvest", "return", "produce", "product", "target")


def head_sizes(cells: int) -> tuple[int, ...]:
    """Number of choices of each part of an action on a board of so many cells.

    >>> head_sizes(16)
    (16, 6, 4, 4, 4, 4, 7, 16)
    """
    return (cells, len(ORDERS), 4, 4, 4, 4, len(KINDS), cells)


def order_tree(cells: int, *, logits_by_unit: bool = False) -> ActionTree:
    """What an order is made of: a unit, what it is to do, and the parameters of that.

    Args:
        cells: Of the board.
        logits_by_unit: Whether a network says for each unit by itself what it is to do, the
            target of an attack apart, or the same for all.
    """
    by = "unit" if logits_by_unit else None
    directions = [
        Head(
            name,
            len(DIRECTIONS),
            relevant={"type": (kind,)},
            mask_by="unit",
            logits_by=by,
            choices=DIRECTIONS,
        )
        for kind, name in enumerate(HEAD_NAMES[2:6], start=MOVE)
    ]
    return ActionTree(
        Head("unit", cells),
        Head("type", len(ORDERS), mask_by="unit", logits_by=by, choices=ORDERS),
        *directions,
        Head(
            "product",
            len(KINDS),
            relevant={"type": (PRODUCE,)},
            mask_by="unit",
            logits_by=by,
            choices=KINDS,
        ),
        Head("target", cells, relevant={"type": (ATTACK,)}, mask_by="unit"),
    )


@dataclass(frozen=True)
class MiningSettings:
    """One mining world: its map, and how much its masks say.

    Raises:
        ConfigError: A value is unknown; the message names it.
    """

    board: MapName = "10x10"
    """Which map: 4x4, 10x10, 16x16 or 24x24."""
    masks: Masks = "conditional"
    """published: which units may be ordered and attacked, as in the article that the task is
    from; heads: for each part of an order what some legal order has there; conditional: the
    legal orders and no others, each part given the unit."""
    logits_by_unit: bool = False
    """With conditional masks: whether a network says for each unit by itself what it is to do."""

    def __post_init__(self) -> None:
        for name, known in (("board", tuple(SIZES)), ("masks", MASKS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"mining: {name} must be one of {', '.join(known)}; got {getattr(self, name)!r}"
                )
        if not isinstance(self.logits_by_unit, bool):
            raise ConfigError(
                f"mining: logits_by_unit must be True or False; got {self.logits_by_unit!r}"
            )
        if self.logits_by_unit and self.masks != "conditional":
            raise ConfigError(
                "mining: logits_by_unit goes with masks='conditional' alone, where parts of an "
                f"order depend on the unit; got masks={self.masks!r}"
            )

    @property
    def size(self) -> int:
        """Cells along one side."""
        return SIZES[self.board]

    @property
    def cells(self) -> int:
        """Cells of the board."""
        return self.size**2

    @property
    def step_limit(self) -> int:
        """Steps of an episode."""
        return STEP_LIMIT

    @property
    def mode(self) -> int:
        """The masks as a number."""
        return MASKS.index(self.masks)

    @property
    def action_tree(self) -> ActionTree | None:
        """How parts of an order depend on each other; None where the masks do not say it."""
        if self.mode != CONDITIONAL:
            return None
        return order_tree(self.cells, logits_by_unit=self.logits_by_unit)
