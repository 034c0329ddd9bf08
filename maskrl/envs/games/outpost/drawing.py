"""An outpost as text for a terminal, and as a picture.

`Scene` is one moment: the state, the points so far, the command that led there.
`scene_text` draws it in plain characters, `draw_scene` as an array of pixels, both with
what is in the store, who carries something, and the last command.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maskrl.envs.games.lettering import write
from maskrl.envs.games.outpost.settings import (
    BASE,
    BUILDINGS,
    CELLS,
    FORESTER,
    HEAD_OF,
    MINER,
    OUTPOST_TREE,
    S_ALIVE,
    S_GROVE,
    S_LOAD,
    S_MINE,
    S_ORE,
    S_ROCKS,
    S_STEP,
    S_TOWER,
    S_WOLVES,
    S_WOOD,
    SIZE,
    TOWER,
    UNITS,
    WOLVES,
)
from maskrl.envs.games.shapes import Canvas, Colour, circle, polygon

GROUND: tuple[Colour, Colour] = ((214, 202, 168), (206, 193, 158))
ROCK: Colour = (120, 116, 118)
WOLF: Colour = (84, 82, 96)
SITES: dict[str, Colour] = {"mine": (226, 146, 62), "grove": (92, 156, 84)}
MOVER_COLOURS: tuple[Colour, Colour] = ((190, 92, 30), (44, 112, 58))
HOUSE: Colour = (150, 60, 66)
INK: Colour = (38, 34, 44)
PAPER: Colour = (250, 246, 236)
STRIP: Colour = (45, 41, 54)


@dataclass(frozen=True)
class Scene:
    """One moment of an outpost.

    Attributes:
        state: The state's columns, as `settings` names them.
        step_limit: Commands of an episode.
        points: Points so far.
        command: The last command, None before the first.
        refused: Whether the last command was not allowed.
    """

    state: tuple[int, ...]
    step_limit: int
    points: int = 0
    command: tuple[int, ...] | None = None
    refused: bool = False

    @property
    def rocks(self) -> frozenset[int]:
        """Cells with a rock."""
        return frozenset(c for c in range(CELLS) if self.state[S_ROCKS] >> c & 1)

    @property
    def wolves(self) -> dict[int, int]:
        """Number of the living wolf on each cell that has one."""
        alive = self.state[S_ALIVE]
        return {self.state[S_WOLVES + k]: k for k in range(WOLVES) if alive >> k & 1}

    @property
    def last_command(self) -> str:
        """The last command in words: the parts that count and no others."""
        if self.command is None:
            return ""
        unit = self.command[0]
        head = HEAD_OF[unit]
        words = UNITS[unit]
        if head:
            words += f" {OUTPOST_TREE.heads[head].choices[self.command[head]]}"
        return f"{words} (not allowed)" if self.refused else words


def scene_text(scene: Scene) -> str:
    """One moment as text: the framed grid, then status, store and legend.

    In a cell, `m` and `f` are miner and forester, capital while they carry something;
    `H` is the base, `o` the mine, `t` the grove, `###` a rock and `w1` the first wolf.

    >>> state = (12, 12, 0, 0, 0, 0, 0, 1, 0, 2, 22, 0b10, 2, -1, -1)
    >>> print(scene_text(Scene(state, step_limit=16)))
    +--------------------+
    | .   ### ow1 .   .  |
    | .   .   .   .   .  |
    | .   .   Hmf .   .  |
    | .   .   .   .   .  |
    | .   .   t   .   .  |
    +--------------------+
    command 0/16 | points 0
    store: 0 ore, 0 wood | tower: no
    m miner  f forester  M F with a load  H base  o mine  t grove  w wolf  ### rock
    """
    edge = "+" + "-" * 4 * SIZE + "+"
    rows = [
        "|" + "".join(_cell_text(scene, y * SIZE + x) for x in range(SIZE)) + "|"
        for y in range(SIZE)
    ]
    state = scene.state
    status = f"command {state[S_STEP]}/{scene.step_limit} | points {scene.points}"
    if scene.command is not None:
        status += f" | last: {scene.last_command}"
    tower = "yes" if state[S_TOWER] else "no"
    store = f"store: {state[S_ORE]} ore, {state[S_WOOD]} wood | {BUILDINGS[TOWER]}: {tower}"
    legend = "m miner  f forester  M F with a load  H base  o mine  t grove  w wolf  ### rock"
    return "\n".join([edge, *rows, edge, status, store, legend])


def _cell_text(scene: Scene, cell: int) -> str:
    """The four characters of a cell."""
    if cell in scene.rocks:
        return " ###"
    state = scene.state
    text = "H" if cell == BASE else ""
    text += "o" if cell == state[S_MINE] else "t" if cell == state[S_GROVE] else ""
    if cell in scene.wolves:
        text += f"w{scene.wolves[cell] + 1}"
    for mover, sign in ((MINER, "m"), (FORESTER, "f")):
        if cell == state[mover]:
            text += sign.upper() if state[S_LOAD + mover] else sign
    return f" {text or '.':<3}"


def draw_scene(scene: Scene, cell: int = 48) -> npt.NDArray[np.uint8]:
    """One moment as a picture.

    Args:
        scene: What to draw.
        cell: Pixels along one side of a cell.

    Returns:
        uint8 [5 * cell + a strip of text, 5 * cell, 3].
    """
    board = np.empty((SIZE * cell, SIZE * cell, 3), np.float32)
    for place in range(CELLS):
        y, x = divmod(place, SIZE)
        tile = board[y * cell : (y + 1) * cell, x * cell : (x + 1) * cell]
        tile[:] = GROUND[(x + y) % 2]
        painted = _tile(scene, place, cell)
        tile[:] = painted[..., :3] + tile * (1 - painted[..., 3:])
    letters = max(7, cell // 5)
    state = scene.state
    strip = np.empty((6 * letters, SIZE * cell, 3), np.float32)
    strip[:] = STRIP
    top = f"step {state[S_STEP]}   points {scene.points}"
    below = f"ore {state[S_ORE]}   wood {state[S_WOOD]}   {'tower' if state[S_TOWER] else ''}"
    for row, text in enumerate((top, below, scene.last_command.partition(" (")[0])):
        coverage = write(text, letters)[:, : SIZE * cell - letters, None]
        line = strip[row * 2 * letters : (row + 1) * 2 * letters, letters // 2 :]
        line = line[:, : coverage.shape[1]]
        line[:] = line * (1 - coverage) + np.asarray(PAPER, np.float32) * coverage
    return np.asarray(np.concatenate((board, strip)) + 0.5, np.uint8)


def _tile(scene: Scene, place: int, cell: int) -> npt.NDArray[np.float32]:
    """What stands on one cell, float32 [cell, cell, 4], premultiplied by its alpha."""
    canvas, state = Canvas(cell), scene.state
    x, y = canvas.x, canvas.y
    if place in scene.rocks:
        corners = [(-0.8, 0.6), (-0.5, -0.4), (0.1, -0.7), (0.7, -0.2), (0.8, 0.6)]
        canvas.figure([(polygon(x, y, corners), ROCK)], INK)
    if place == BASE:
        walls = [(-0.85, 0.85), (-0.85, -0.2), (0, -0.9), (0.85, -0.2), (0.85, 0.85)]
        canvas.figure([(polygon(x, y, walls), HOUSE)], INK)
    for name, column in (("mine", S_MINE), ("grove", S_GROVE)):
        if place == state[column]:
            for centre in ((-0.45, 0.55), (0.45, 0.55), (0.0, -0.55)):
                canvas.figure([(circle(x, y, centre, 0.3), SITES[name])], INK)
    if place in scene.wolves:
        head = [(-0.6, -0.8), (-0.25, -0.3), (0.25, -0.3), (0.6, -0.8), (0.55, 0.2), (0, 0.75)]
        head.append((-0.55, 0.2))
        canvas.figure([(polygon(x, y, head), WOLF)], INK)
        for side in (-1, 1):
            canvas.fill(circle(x, y, (side * 0.24, 0.05), 0.09), PAPER)
    for mover, left in ((MINER, -0.42), (FORESTER, 0.42)):
        if place == state[mover]:
            canvas.figure([(circle(x, y, (left, 0.1), 0.38), MOVER_COLOURS[mover])], PAPER)
            if state[S_LOAD + mover]:
                load = tuple(SITES.values())[mover]
                canvas.figure([(circle(x, y, (left, -0.3), 0.24), load)], INK)
    return canvas.finish()
