"""Boards drawn as text, and orders said in words, for tests of the mining rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from maskrl.envs.games.mining.rules import give_order, pass_time
from maskrl.envs.games.mining.settings import (
    ATTACK,
    B_HIT_POINTS,
    B_KIND,
    B_LEFT,
    B_LOAD,
    B_OWNER,
    BARRACKS,
    BASE,
    DIRECTIONS,
    ENEMY,
    FATES,
    HEAVY,
    HIT_POINTS,
    KINDS,
    LAYERS,
    LIGHT,
    MINE,
    NONE,
    ORDERS,
    OWN,
    PRODUCE,
    RANGED,
    WORKER,
)

LETTERS = {"b": BASE, "k": BARRACKS, "w": WORKER, "l": LIGHT, "h": HEAVY, "r": RANGED}


@dataclass
class Game:
    """A board with its stock, ordered about in words. Cells are (x, y)."""

    board: np.ndarray
    counts: np.ndarray
    size: int
    mines_left: bool = True
    fates: list[str] = field(default_factory=list)

    def action(self, cell: tuple[int, int], what: str, *rest: object) -> np.ndarray:
        """An action: type, then a direction, a product and a direction, or a target (x, y)."""
        order = ORDERS.index(what)
        # Parts that do not count hold something, so that reading them would be seen.
        action = np.array([self.at(cell), order, 3, 1, 2, 3, 0, 5], np.int64)
        if order == ATTACK:
            action[7] = self.at(rest[0])  # type: ignore[arg-type]
        elif order != NONE:
            action[1 + order] = DIRECTIONS.index(str(rest[-1]))
        if order == PRODUCE:
            action[6] = KINDS.index(str(rest[0]))
        return action

    def at(self, cell: tuple[int, int]) -> int:
        """The number of a cell."""
        return cell[1] * self.size + cell[0]

    def tell(self, cell: tuple[int, int], what: str, *rest: object) -> str:
        """Give an order and let a step pass; what became of the order."""
        wanted = np.zeros(self.size**2, np.bool_)
        action = self.action(cell, what, *rest)
        fate = FATES[give_order(self.board, self.counts, action, self.size, wanted)]
        self.wait(1)
        self.fates.append(fate)
        return fate

    def wait(self, steps: int) -> None:
        """Let steps pass without an order."""
        for _ in range(steps):
            self.mines_left = bool(pass_time(self.board, self.counts, self.size))

    def text(self) -> str:
        """The board as `game_of` reads it, without what is not in the text."""
        rows = []
        for y in range(self.size):
            rows.append(" ".join(self._letter(y * self.size + x) for x in range(self.size)))
        return "\n".join(rows)

    def _letter(self, cell: int) -> str:
        kind, owner = self.board[B_KIND, cell] - 1, self.board[B_OWNER, cell]
        if kind == -1:
            return "."
        if kind == MINE:
            return str(self.board[B_LOAD, cell])
        letter = next(letter for letter, of in LETTERS.items() if of == kind)
        letter = letter.upper() if owner == OWN else letter
        return letter + ("*" if self.board[B_LOAD, cell] else "")

    def left(self, cell: tuple[int, int]) -> int:
        """Ticks until a unit is free."""
        return int(self.board[B_LEFT, self.at(cell)])


def game_of(text: str, stock: int = 5) -> Game:
    """A square board: capitals are own units, `*` behind one says that it carries one unit."""
    rows = [row.split() for row in text.strip().splitlines()]
    size = len(rows)
    board = np.zeros((LAYERS, size * size), np.int16)
    for cell, word in enumerate(word for row in rows for word in row):
        if word == ".":
            continue
        if word.isdigit():
            board[[B_KIND, B_HIT_POINTS, B_LOAD], cell] = 1 + MINE, 1, int(word)
            continue
        kind = LETTERS[word[0].lower()]
        board[B_KIND, cell] = 1 + kind
        board[B_OWNER, cell] = OWN if word[0].isupper() else ENEMY
        board[B_HIT_POINTS, cell] = HIT_POINTS[kind]
        board[B_LOAD, cell] = word.endswith("*")
    return Game(board, np.array([stock, 0], np.int64), size)


@pytest.fixture
def game() -> Callable[..., Game]:
    """Makes a game from a drawing."""
    return game_of
