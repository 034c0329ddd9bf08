"""A packing scene as text for a terminal: a table of items with bars, and the rucksack.

ASCII alone, so the columns line up in every terminal and every log file; colours are
the 256 of any modern terminal and tell what the mask allows: green may be taken.
"""

from __future__ import annotations

from maskrl.envs.games.packing.scene import Item, Scene
from maskrl.envs.games.packing.settings import HEAVIEST, MOST_POINTS

INKS = {"free": 120, "heavy": 203, "taken": 153, "spoiled": 248, "empty": 240}
WORDS = {
    "free": "may be taken",
    "heavy": "too heavy",
    "taken": "in the rucksack",
    "spoiled": "spoiled",
    "empty": "-",
}
ENDINGS = {"packed": (227, "packed"), "timeout": (153, "time is up")}
WORTH_BAR = 20
ROOM_BAR = 24


def scene_text(scene: Scene, colour: bool = True) -> str:
    """One moment of the packing world as text.

    Args:
        scene: What to show.
        colour: Write colour codes; without them the text is plain.

    Returns:
        Lines joined without a final line break: a head, one per slot, the rucksack, the
        status. In the bar of an item's worth, `#` is what it is worth now and `.` what
        it has lost; `>` marks what was taken last.

    >>> item = Item(weight=4, points=50, worth=40, loss=10, status="free")
    >>> scene = Scene((item,), room=6, capacity=12, earned=30, step=1, step_limit=24)
    >>> print(scene_text(scene, colour=False).splitlines()[1])
       1 ####          4 ########..            40   -10 may be taken
    """
    head = f"{'item':>4} {'weight':<{HEAVIEST + 3}} {'worth':<{WORTH_BAR + 4}} {'loss':>5}"
    lines = [_ink(head, 248, colour)]
    for slot, item in enumerate(scene.items):
        line = _row(slot, item, scene.last_slot == slot)
        lines.append(_ink(line, INKS[item.status], colour, bold=item.status == "free"))
    used = scene.capacity - scene.room
    filled = round(ROOM_BAR * used / scene.capacity)
    bar = "#" * filled + "." * (ROOM_BAR - filled)
    lines.append(f"rucksack [{bar}] {used} of {scene.capacity}, room for {scene.room}")
    parts = [f"step {scene.step}/{scene.step_limit}", f"packed {scene.earned} points"]
    if scene.outcome is not None:
        ink, text = ENDINGS[scene.outcome]
        parts.append(_ink(text, ink, colour, bold=True))
    return "\n".join([*lines, " | ".join(parts)])


def _row(slot: int, item: Item, last: bool) -> str:
    number = f"{'>' if last else ' '}{slot + 1:>3}"
    if item.status == "empty":
        return f"{number} {WORDS['empty']}"
    now = round(WORTH_BAR * item.worth / MOST_POINTS)
    bar = "#" * now + "." * (round(WORTH_BAR * item.points / MOST_POINTS) - now)
    loss = f"-{item.loss}" if item.loss else ""
    return (
        f"{number} {'#' * item.weight:<{HEAVIEST}} {item.weight:>2} "
        f"{bar:<{WORTH_BAR}} {item.worth:>3} {loss:>5} {WORDS[item.status]}"
    )


def _ink(text: str, ink: int, colour: bool, *, bold: bool = False) -> str:
    return f"\x1b[{'1;' if bold else ''}38;5;{ink}m{text}\x1b[0m" if colour else text
