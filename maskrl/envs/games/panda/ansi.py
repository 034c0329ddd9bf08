"""A scene as text for a terminal: a framed grid, a line of status, and a legend.

Each cell is three characters wide and uses ASCII alone, so the grid lines up in
every terminal and every log file; colours are the 256 of any modern terminal.
With `emoji=True` the creatures are pictures, where the font has them.
"""

from __future__ import annotations

from maskrl.envs.games.panda.scene import Cell, Scene

LETTERS = {"panda": "P", "watermelon": "W", "scorpion": "S", "dragon": "D", "banana": "b"}
EMOJI = {
    "panda": "\U0001f43c",
    "watermelon": "\U0001f349",
    "scorpion": "\U0001f982",
    "dragon": "\U0001f409",
    "banana": "\U0001f34c",
    "tree": "\U0001f333",
}
# Colours as numbers of the 256-colour table: text, then background.
INKS = {"panda": 231, "watermelon": 218, "scorpion": 222, "dragon": 189, "banana": 227}
LEGEND_WIDTH = 48
GAZES = {"up": "^", "down": "v", "left": "<", "right": ">"}
GRASS, SHADED, TREE, QUIET = (22, 28), (236, 238), (120, 29), 248
ENDINGS = {"won": (227, "won!"), "caught": (203, "caught"), "timeout": (153, "time is up")}


def scene_text(scene: Scene, colour: bool = True, *, emoji: bool = False) -> str:
    """One moment of the panda's world as text.

    Args:
        scene: What to show.
        colour: Write colour codes; without them the text is plain.
        emoji: Show pictures for letters; each is two columns wide in most terminals.

    Returns:
        Lines joined without a final line break: height + 2 of the framed grid, one of
        status, and one or more of legend, each up to `LEGEND_WIDTH` columns.

    In a cell, `P`, `W`, `S`, `D`, `b` and `###` are panda, watermelon, scorpion,
    dragon, banana and tree; `Pb` is a panda that carries a banana, `S*` a stunned
    scorpion, `(S)` a scorpion that the panda cannot see, and `~` the path of a thrown
    banana. Where it matters, `^`, `v`, `<` or `>` before the letter is where it looks.

    >>> scene = Scene(width=3, height=2, panda=(0, 0), watermelon=(2, 1), trees=((1, 0),))
    >>> print(scene_text(scene, colour=False).split("step")[0].rstrip())
    +---------+
    | P ### . |
    | .  .  W |
    +---------+
    """
    edge = "+" + "---" * scene.width + "+"
    shaded = set(scene.unseen_cells)
    flight = set() if scene.thrown_at is None else _between(scene.panda, scene.thrown_at)
    rows = [edge]
    for y in range(scene.height):
        row = "".join(
            _cell(scene, (x, y), (x, y) in shaded, (x, y) in flight, colour, emoji)
            for x in range(scene.width)
        )
        rows.append(f"|{row}|")
    return "\n".join([*rows, edge, _status(scene, colour), _legend(scene, colour, emoji)])


def _cell(scene: Scene, at: Cell, shaded: bool, flown: bool, colour: bool, emoji: bool) -> str:
    """The three columns of one cell."""
    ground = (SHADED if shaded else GRASS)[sum(at) % 2]
    if at in scene.trees:
        text = EMOJI["tree"] + " " if emoji else "###"
        return inked(text, TREE[0], ground if emoji else TREE[1], colour)
    names = _occupants(scene, at)
    if not names:
        return inked(" ~ " if flown else "   " if colour else " . ", 229, ground, colour)
    first, count = names[0], len(names)
    kind = first.split()[0]
    hidden, stunned = first in scene.hidden, scene.is_stunned(first)
    if emoji:
        mark = "?" if hidden else "*" if stunned else "+" if count > 1 else " "
        if first == "panda" and scene.carrying:
            mark = "b"
        text = EMOJI[kind] + mark
    elif count > 1:
        text = "".join(LETTERS[name.split()[0]] for name in names[:3])
        text = f" {text}" if count == 2 else text
    elif hidden:
        text = f"({LETTERS[kind]}*" if stunned else f"({LETTERS[kind]})"
    else:
        carried = kind == "panda" and scene.carrying
        gaze = GAZES.get(dict(scene.facing).get(first, ""), " ")
        text = f"{gaze}{LETTERS[kind]}{'b' if carried else '*' if stunned else ' '}"
    return inked(text, QUIET if hidden else INKS[kind], ground, colour, bold=not hidden)


def _occupants(scene: Scene, at: Cell) -> list[str]:
    """Who stands in a cell, the most important first."""
    things: list[tuple[str, Cell]] = [("panda", scene.panda)]
    things += reversed(scene.creatures.items())
    things.append(("watermelon", scene.watermelon))
    things += [(f"banana {i + 1}", cell) for i, cell in enumerate(scene.bananas)]
    return [name for name, cell in things if cell == at]


def _between(start: Cell, end: Cell) -> set[Cell]:
    """Cells strictly between two cells, along a straight line."""
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    line = {
        tuple(round(start[i] + (end[i] - start[i]) * step / length) for i in (0, 1))
        for step in range(1, length)
    }
    return {(x, y) for x, y in line}


def _status(scene: Scene, colour: bool) -> str:
    """How far the episode is, what is carried, what happened last."""
    limit = "" if scene.step_limit is None else f"/{scene.step_limit}"
    parts = [f"step {scene.step}{limit}"]
    parts.append("carries a banana" if scene.carrying else "carries nothing")
    if scene.last_action is not None:
        parts.append(f"last: {scene.last_action.replace('_', ' ')}")
    if scene.outcome is not None:
        ink, text = ENDINGS[scene.outcome]
        parts.append(inked(text, ink, None, colour, bold=True))
    return " | ".join(parts)


def _legend(scene: Scene, colour: bool, emoji: bool) -> str:
    """What the signs mean, only those that this scene shows."""
    present = ["panda", "watermelon"]
    kinds = {name.split()[0] for name in scene.creatures}
    present += [kind for kind in ("scorpion", "dragon") if kind in kinds]
    present += ["banana"] if scene.bananas or scene.carrying else []
    signs = EMOJI if emoji else LETTERS
    entries = [(signs[name], INKS[name], name) for name in present]
    if scene.trees:
        entries.append((EMOJI["tree"] if emoji else "###", TREE[0], "tree"))
    if scene.hidden:
        entries.append(("?" if emoji else "( )", QUIET, "out of sight"))
    if scene.facing and not emoji:
        entries.append(("^v<>", QUIET, "looks there"))
    if any(scene.is_stunned(name) for name in scene.creatures):
        entries.append(("*", INKS["banana"], "stunned"))
    lines, used = [""], 0
    for sign, ink, meaning in entries:
        length = len(sign) + 1 + len(meaning)
        if used and used + 2 + length > LEGEND_WIDTH:
            lines.append("")
            used = 0
        lines[-1] += ("  " if used else "") + inked(sign, ink, None, colour, bold=True)
        lines[-1] += f" {meaning}"
        used += (2 if used else 0) + length
    return "\n".join(lines)


def inked(text: str, ink: int, ground: int | None, colour: bool, *, bold: bool = False) -> str:
    """Wrap text in colour codes, if colours are wanted."""
    if not colour:
        return text
    back = "" if ground is None else f";48;5;{ground}"
    return f"\x1b[{'1;' if bold else ''}38;5;{ink}{back}m{text}\x1b[0m"
