"""Line games in plain Python, written down once more, to hold the compiled ones to."""

from __future__ import annotations

import numpy as np
import pytest


class PlainConnectFour:
    """A 6 x 7 grid of 0, 1 and 2; nothing of the package is used."""

    rows, columns = 6, 7

    def __init__(self) -> None:
        self.grid = np.zeros((6, 7), np.int64)

    def free(self) -> list[int]:
        return [c for c in range(7) if self.grid[0, c] == 0]

    def drop(self, column: int, player: int) -> None:
        row = max(r for r in range(6) if self.grid[r, column] == 0)
        self.grid[row, column] = player

    def after(self, column: int, player: int) -> PlainConnectFour:
        new = PlainConnectFour()
        new.grid = self.grid.copy()
        new.drop(column, player)
        return new

    def has_won(self, player: int) -> bool:
        mine = self.grid == player
        for r in range(6):
            for c in range(7):
                for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
                    cells = [(r + k * dr, c + k * dc) for k in range(4)]
                    if all(0 <= y < 6 and 0 <= x < 7 and mine[y, x] for y, x in cells):
                        return True
        return False

    def worth(self, player: int, depth: int) -> int:
        """To `player`, who is to move."""
        if depth == 0 or not self.free():
            return 0
        return max(self.move_worth(c, player, depth) for c in self.free())

    def move_worth(self, column: int, player: int, depth: int) -> int:
        next_one = self.after(column, player)
        if next_one.has_won(player):
            return 100 + depth
        return -next_one.worth(3 - player, depth - 1)

    def planes(self, player: int) -> np.ndarray:
        return np.stack([self.grid == player, self.grid == 3 - player], -1).astype(np.int8)


@pytest.fixture
def positions():
    """Random positions in which nobody has won, each with the player to move."""
    rng = np.random.default_rng(5)
    found = []
    while len(found) < 60:
        game, player = PlainConnectFour(), 1
        for _ in range(int(rng.integers(3, 36))):
            game.drop(int(rng.choice(game.free())), player)
            player = 3 - player
            if game.has_won(3 - player) or not game.free():
                break
        else:
            found.append((game, player))
    return found
