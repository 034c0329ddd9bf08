"""What a picture of the panda's world shows: one moment, as plain immutable data.

A `Scene` is what the rules hand to whoever draws: the pixel pictures of
`drawing.py`, the terminal text of `ansi.py`, the pages of a report. It holds no
rule and no array, so a picture can be drawn of any moment, played or imagined.
Coordinates are (x, y): x runs to the right, y downwards, (0, 0) is top left.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from maskrl.envs.games.panda.settings import ACTION_NAMES, DIRECTIONS
from maskrl.errors import ConfigError

Cell = tuple[int, int]
Outcome = Literal["won", "caught", "timeout"]

OUTCOMES = ("won", "caught", "timeout")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One moment of the panda's world.

    Attributes:
        width: Cells from left to right, at least 1.
        height: Cells from top to bottom, at least 1.
        panda: Cell (x, y) of the panda.
        watermelon: Cell of the watermelon.
        scorpion: Cell of the scorpion, or None when there is none.
        dragon: Cell of the dragon, or None when there is none.
        more_scorpions: Cells of the scorpions after the first, "scorpion 2" and so on.
        more_dragons: Cells of the dragons after the first, "dragon 2" and so on.
        bananas: Cells of the bananas that lie on the ground.
        trees: Cells of the trees.
        carrying: The panda carries a banana.
        scorpion_stunned: A banana hit the scorpion and it cannot move yet.
        dragon_stunned: The same of the dragon.
        more_stunned: Names of the others that are stunned: "scorpion 2", "dragon 3", ...
        facing: (name, direction) of everybody of whom it matters where it looks; "panda", a
            creature's name, and a direction as of the moves.
        hidden: What the panda cannot see: "watermelon", creatures, and "banana 1",
            "banana 2", ... in the order of `bananas`.
        unseen_cells: Cells out of the panda's sight; pictures lay a shade over them.
        last_action: What the panda did to get here, None at the start.
        thrown_at: Cell where the banana that was just thrown came down.
        outcome: None while the episode runs, else how it ended.
        step: Steps taken so far.
        step_limit: Steps after which the episode is cut off, None where there is no limit.

    Raises:
        ConfigError: A size is not positive, a cell lies outside the grid, two trees
            share a cell, or a name is not one of those above.
    """

    width: int
    height: int
    panda: Cell
    watermelon: Cell
    scorpion: Cell | None = None
    dragon: Cell | None = None
    more_scorpions: tuple[Cell, ...] = ()
    more_dragons: tuple[Cell, ...] = ()
    bananas: tuple[Cell, ...] = ()
    trees: tuple[Cell, ...] = ()
    carrying: bool = False
    scorpion_stunned: bool = False
    dragon_stunned: bool = False
    more_stunned: frozenset[str] = frozenset()
    facing: tuple[tuple[str, str], ...] = ()
    hidden: frozenset[str] = frozenset()
    unseen_cells: tuple[Cell, ...] = ()
    last_action: str | None = None
    thrown_at: Cell | None = None
    outcome: Outcome | None = None
    step: int = 0
    step_limit: int | None = None

    def __post_init__(self) -> None:
        """Turn numpy integers and lists into plain values, and check every one."""
        for name in ("width", "height"):
            size = int(getattr(self, name))
            if size < 1:
                raise ConfigError(f"Scene: {name} must be at least 1, got {size}")
            object.__setattr__(self, name, size)
        for name in ("panda", "watermelon"):
            object.__setattr__(self, name, self._cell(name, getattr(self, name)))
        for name in ("scorpion", "dragon", "thrown_at"):
            cell = getattr(self, name)
            object.__setattr__(self, name, None if cell is None else self._cell(name, cell))
        for name in ("bananas", "trees", "unseen_cells", "more_scorpions", "more_dragons"):
            cells = tuple(
                self._cell(f"{name}[{i}]", cell) for i, cell in enumerate(getattr(self, name))
            )
            object.__setattr__(self, name, cells)
        for name in ("carrying", "scorpion_stunned", "dragon_stunned"):
            object.__setattr__(self, name, bool(getattr(self, name)))
        self._check_names()

    def _cell(self, name: str, cell: Cell) -> Cell:
        """Check one cell and return it as two plain integers."""
        try:
            x, y = (int(part) for part in cell)
        except (TypeError, ValueError):
            raise ConfigError(f"Scene: {name} must be a cell (x, y), got {cell!r}") from None
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise ConfigError(
                f"Scene: {name} is ({x}, {y}), outside the {self.width} x {self.height} grid; "
                f"x counts from the left and y from the top, both from 0"
            )
        return x, y

    def _check_names(self) -> None:
        """Check the fields that hold names and counts."""
        if len(set(self.trees)) != len(self.trees):
            twice = next(cell for cell in self.trees if self.trees.count(cell) > 1)
            raise ConfigError(f"Scene: trees names the cell {twice} more than once")
        creatures = set(self.creatures)
        bananas = {f"banana {number}" for number in range(1, len(self.bananas) + 1)}
        for name, known in (
            ("hidden", creatures | bananas | {"watermelon"}),
            ("more_stunned", creatures - {"scorpion", "dragon"}),
        ):
            named = frozenset(getattr(self, name))
            object.__setattr__(self, name, named)
            if named - known:
                raise ConfigError(
                    f"Scene: {name} names {sorted(named - known)}, expected any of {sorted(known)}"
                )
        object.__setattr__(self, "facing", tuple((str(a), str(b)) for a, b in self.facing))
        for name, direction in self.facing:
            if name not in creatures | {"panda"} or direction not in DIRECTIONS:
                raise ConfigError(
                    f"Scene: facing says {(name, direction)}, expected one of "
                    f"{sorted(creatures | {'panda'})} and one of {DIRECTIONS}"
                )
        if self.last_action is not None and self.last_action not in ACTION_NAMES:
            raise ConfigError(
                f"Scene: last_action is {self.last_action!r}, "
                f"expected None or one of {ACTION_NAMES}"
            )
        if self.outcome is not None and self.outcome not in OUTCOMES:
            raise ConfigError(
                f"Scene: outcome is {self.outcome!r}, expected None or one of {OUTCOMES}"
            )
        object.__setattr__(self, "step", int(self.step))
        if self.step < 0:
            raise ConfigError(f"Scene: step must be at least 0, got {self.step}")
        if self.step_limit is not None:
            object.__setattr__(self, "step_limit", int(self.step_limit))
            if self.step_limit < 1:
                raise ConfigError(f"Scene: step_limit must be at least 1, got {self.step_limit}")

    @property
    def creatures(self) -> dict[str, Cell]:
        """Scorpions and then dragons by name: "scorpion", "scorpion 2", ..., "dragon", ..."""
        cells: dict[str, Cell] = {}
        for kind, first, more in (
            ("scorpion", self.scorpion, self.more_scorpions),
            ("dragon", self.dragon, self.more_dragons),
        ):
            cells |= {} if first is None else {kind: first}
            cells |= {f"{kind} {number}": cell for number, cell in enumerate(more, start=2)}
        return cells

    def is_stunned(self, name: str) -> bool:
        """Whether a creature is stunned; nothing else ever is."""
        first = {"scorpion": self.scorpion_stunned, "dragon": self.dragon_stunned}
        return first.get(name, name in self.more_stunned)

    def as_dict(self) -> dict[str, object]:
        """Every field by name, ready for JSON: tuples for cells, sorted lists for names."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["hidden"] = sorted(self.hidden)
        values["more_stunned"] = sorted(self.more_stunned)
        return values
