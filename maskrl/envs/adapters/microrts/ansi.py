"""A moment of microRTS as text for a terminal: a framed map, own units in capitals.

ASCII alone, so the columns line up in every terminal and every log file; colours are the
256 of any modern terminal: own units blue, the opponent's red, resources green.
"""

from __future__ import annotations

from maskrl.envs.adapters.microrts.scene import NOBODY, OPPONENT, OWN, Scene, Unit

LETTERS = {
    "base": "b",
    "barracks": "k",
    "worker": "w",
    "light": "l",
    "heavy": "h",
    "ranged": "r",
}
ARROWS = {(0, -1): "^", (1, 0): ">", (0, 1): "v", (-1, 0): "<"}
INKS = {OWN: 75, OPPONENT: 203, NOBODY: 113}
LEGEND = (
    "B base K barracks W worker L light H heavy R ranged; capitals: own  "
    "number: resources  ^>v< goes there  * attacks  + makes  #: wall"
)


def scene_text(scene: Scene, colour: bool = True) -> str:
    """One moment as text.

    Args:
        scene: What to show.
        colour: Write colour codes; without them the text is plain.

    Returns:
        Lines joined without a final line break: the framed map, status, legend. A cell has
        the unit's letter, what it does, and what it carries; a resource what is left.
    """
    units = {(unit.row, unit.column): unit for unit in scene.units}
    edge = "+" + "-" * 3 * scene.width + "+"
    lines = [edge]
    for y in range(scene.height):
        cells = [
            "###" if scene.walls[y, x] else _cell(units.get((y, x)), colour)
            for x in range(scene.width)
        ]
        lines.append("|" + "".join(cells) + "|")
    return "\n".join([*lines, edge, scene.status, LEGEND])


def _cell(unit: Unit | None, colour: bool) -> str:
    """The three characters of a cell."""
    if unit is None:
        return " . "
    if unit.owner == NOBODY:
        text = f"{unit.resources:>2} "
    else:
        letter = LETTERS[unit.kind]
        letter = letter.upper() if unit.owner == OWN else letter
        doing = {"attack": "*", "produce": "+"}.get(unit.action or "")
        doing = doing or ARROWS.get(unit.target or (0, 0), " ")
        load = "o" if unit.kind == "worker" and unit.resources else " "
        text = f"{load}{letter}{doing}"
    return f"\x1b[1;38;5;{INKS[unit.owner]}m{text}\x1b[0m" if colour else text
