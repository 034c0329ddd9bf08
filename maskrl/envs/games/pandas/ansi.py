"""Many pandas as text for a terminal: a framed grid, a line of status, and a legend.

Each cell is three characters wide and uses ASCII alone, so the grid lines up in every
terminal and every log file; colours are the 256 of any modern terminal. A panda is its
number, which is its entity slot plus one.
"""

from __future__ import annotations

from maskrl.envs.games.panda.ansi import GRASS, INKS, TREE, inked
from maskrl.envs.games.pandas.scene import Cell, TeamScene

_ENDINGS = {"all eaten": 227, "died out": 203, "out of time": 153}


def team_text(scene: TeamScene, colour: bool = True) -> str:
    """One moment of the pandas' world as text.

    Args:
        scene: What to show.
        colour: Write colour codes; without them the text is plain.

    Returns:
        Lines joined without a final line break: height + 2 of the framed grid, one of status
        and one of legend.

    In a cell, numbers are pandas, `W` and `S` watermelon and scorpion, `###` a tree, `3~`
    panda 3 while it chews, and `x` where somebody was caught in the last step.

    >>> scene = TeamScene(
    ...     width=3, height=2, pandas=((0, 0), (2, 0)), chewing=(0, 1), trees=((1, 0),)
    ... )
    >>> print(team_text(scene, colour=False).split("step")[0].rstrip())
    +---------+
    | 1 ### 2~|
    | .  .  . |
    +---------+
    """
    edge = "+" + "---" * scene.width + "+"
    signs = _signs(scene)
    rows = [edge]
    for y in range(scene.height):
        row = "".join(_cell(scene, (x, y), signs, colour) for x in range(scene.width))
        rows.append(f"|{row}|")
    return "\n".join([*rows, edge, _status(scene, colour), _legend(scene, colour)])


def _signs(scene: TeamScene) -> dict[Cell, tuple[str, int]]:
    """What stands in which cell, three columns wide, and its ink."""
    signs: dict[Cell, tuple[str, int]] = {}
    for cell in scene.watermelons:
        signs[cell] = (" W ", INKS["watermelon"])
    for cell in scene.fallen:
        signs[cell] = (" x ", _ENDINGS["died out"])
    for cell in scene.scorpions:
        signs[cell] = (" Sx" if cell in scene.fallen else " S ", INKS["scorpion"])
    for n, panda in enumerate(scene.pandas):
        if panda is not None:
            mark = "~" if scene.chewing[n] else " "
            signs[panda] = (f"{n + 1:>2}{mark}", INKS["panda"])
    return signs


def _cell(scene: TeamScene, at: Cell, signs: dict[Cell, tuple[str, int]], colour: bool) -> str:
    """The three columns of one cell."""
    if at in scene.trees:
        return inked("###", TREE[0], TREE[1], colour)
    ground = GRASS[sum(at) % 2]
    if at not in signs:
        return inked("   " if colour else " . ", INKS["banana"], ground, colour)
    text, own = signs[at]
    return inked(text, own, ground, colour, bold=True)


def _status(scene: TeamScene, colour: bool) -> str:
    """How far the episode is, what was eaten, who lives."""
    eaten = scene.watermelons_at_first - len(scene.watermelons)
    parts = [
        f"step {scene.step}/{scene.step_limit}",
        f"eaten {eaten} of {scene.watermelons_at_first}",
        f"alive {scene.living} of {len(scene.pandas)}",
        f"got {scene.reward:+g}",
    ]
    if scene.ending is not None:
        parts.append(inked(scene.ending, _ENDINGS[scene.ending], None, colour, bold=True))
    return " | ".join(parts)


def _legend(scene: TeamScene, colour: bool) -> str:
    """What the signs mean, only those that this scene shows."""
    entries = [("1", INKS["panda"], "panda")]
    if any(scene.chewing):
        entries.append(("~", INKS["panda"], "chews"))
    if scene.watermelons:
        entries.append(("W", INKS["watermelon"], "watermelon"))
    if scene.scorpions:
        entries.append(("S", INKS["scorpion"], "scorpion"))
    if scene.trees:
        entries.append(("###", TREE[0], "tree"))
    if scene.fallen:
        entries.append(("x", _ENDINGS["died out"], "caught"))
    return "  ".join(
        f"{inked(sign, own, None, colour, bold=True)} {meaning}" for sign, own, meaning in entries
    )
