"""What a picture of many pandas shows: one moment, as plain immutable data.

A `TeamScene` is what the environment hands to whoever draws: the pixel pictures of
`drawing`, the terminal text of `ansi`. It holds no rule and no array. Coordinates are
(x, y): x runs to the right, y downwards, (0, 0) is top left.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from maskrl.errors import ConfigError

Cell = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class TeamScene:
    """One moment of the pandas' world.

    Attributes:
        width: Cells from left to right, at least 1.
        height: Cells from top to bottom, at least 1.
        pandas: Cell (x, y) of every panda, None of a dead one; number n is panda n + 1.
        chewing: Steps for which each panda still chews.
        fallen: Cells on which pandas were caught in the last step.
        watermelons: Cells of those that are left.
        scorpions: Cells of the scorpions.
        trees: Cells of the trees.
        watermelons_at_first: How many there were when the episode began.
        last_actions: What each panda did in the last step, None where nothing; empty at the start.
        reward: What all pandas got together so far in the episode.
        ending: None while the episode runs, else how it ended: a name of `rules.ENDINGS`.
        step: Steps taken so far.
        step_limit: Steps after which the episode is cut off.

    Raises:
        ConfigError: A cell lies outside the grid, two pandas share one, or lists that go by
            panda have different lengths.
    """

    width: int
    height: int
    pandas: tuple[Cell | None, ...]
    chewing: tuple[int, ...]
    fallen: tuple[Cell, ...] = ()
    watermelons: tuple[Cell, ...] = ()
    scorpions: tuple[Cell, ...] = ()
    trees: tuple[Cell, ...] = ()
    watermelons_at_first: int = 0
    last_actions: tuple[str | None, ...] = ()
    reward: float = 0.0
    ending: str | None = None
    step: int = 0
    step_limit: int = 1

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ConfigError(f"TeamScene: the grid is {self.width} x {self.height}")
        for name in ("pandas", "fallen", "watermelons", "scorpions", "trees"):
            for index, cell in enumerate(getattr(self, name)):
                inside = cell is None or (0 <= cell[0] < self.width and 0 <= cell[1] < self.height)
                if not inside:
                    raise ConfigError(
                        f"TeamScene: {name}[{index}] is {cell}, outside the {self.width} x "
                        f"{self.height} grid; x counts from the left and y from the top, from 0"
                    )
        living = [cell for cell in self.pandas if cell is not None]
        if len(set(living)) < len(living):
            twice = next(cell for cell in living if living.count(cell) > 1)
            raise ConfigError(f"TeamScene: two pandas stand on {twice}")
        for name in ("chewing", "last_actions"):
            given = getattr(self, name)
            if len(given) != len(self.pandas) and not (name == "last_actions" and not given):
                raise ConfigError(
                    f"TeamScene: {name} has {len(given)} entries, expected one for each of the "
                    f"{len(self.pandas)} pandas"
                )

    @property
    def living(self) -> int:
        """How many pandas live."""
        return sum(cell is not None for cell in self.pandas)

    def as_dict(self) -> dict[str, object]:
        """Every field by name, ready for JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
