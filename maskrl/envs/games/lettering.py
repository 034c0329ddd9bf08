"""Small round letters for pictures, drawn from strokes at any height.

There is no font file: each letter is a few lines on a grid, rounded by cutting
corners. Capital height is 6 grid units, small letters are 4 high, and letters
such as `g` hang 2 units below the line. Letters are kept once drawn.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from maskrl.envs.games.shapes import path, smooth, stroke, union
from maskrl.errors import ConfigError

# Each stroke is a kind and pairs of digits, x then y: "-" keeps its corners, "~" rounds
# them, "o" rounds them and closes the line.
STROKES: dict[str, str] = {
    "0": "o00404606",
    "1": "-112026",
    "2": "~0100404206 -0646",
    "3": "~0100404323 ~2343460605",
    "4": "-300444 -3036",
    "5": "-400002 ~02424606",
    "6": "o02424606 ~400004",
    "7": "-004016",
    "8": "o00404303 o03434606",
    "9": "o00404404 ~424606",
    "a": "o02424606 -4246",
    "b": "o02424606 -0006",
    "c": "~42020646",
    "d": "o02424606 -4046",
    "e": "-0444 ~4442020646",
    "f": "~301013 -1316 -0232",
    "g": "o02424606 -4246 ~464808",
    "h": "-0006 ~04024246",
    "i": "-0206 -0000",
    "j": "-1216 ~161808 -1010",
    "k": "-0006 -320436",
    "l": "-0006",
    "m": "-0206 ~04023236 ~34326266",
    "n": "-0206 ~04024246",
    "o": "o02424606",
    "p": "o02424606 -0208",
    "q": "o02424606 -4248",
    "r": "-0206 ~040232",
    "s": "~420204444606",
    "t": "~101636 -0232",
    "u": "-4246 ~02064644",
    "v": "-022642",
    "w": "-0216325662",
    "x": "-0246 -0642",
    "y": "-0226 -4218",
    "z": "-02420646",
    "/": "-3006",
    ".": "-0606",
    ",": "-1607",
    ":": "-0303 -0606",
    "!": "-0004 -0606",
    "-": "-0434",
}
SPACE = 2.2
GAP = 1.9


@lru_cache(maxsize=1024)
def letter(character: str, height: int) -> NDArray[np.float32]:
    """The coverage of one letter, float32 [2 * height, width]; its line is at 1.5 * height."""
    unit = height / 6
    if character == " ":
        return np.zeros((2 * height, max(1, round(SPACE * unit))), dtype=np.float32)
    if character not in STROKES:
        raise ConfigError(
            f"write: no strokes for {character!r}; there are {''.join(STROKES)} and the space"
        )
    lines = []
    for line in STROKES[character].split():
        digits = [int(digit) for digit in line[1:]]
        points = [(float(px), float(py)) for px, py in zip(digits[::2], digits[1::2], strict=True)]
        if line[0] != "-":
            points = smooth(points, closed=line[0] == "o")
        lines.append(points + points[:1] if line[0] == "o" else points)
    width = max(px for points in lines for px, _ in points)
    columns = round((width + GAP) * unit)
    x, y = np.meshgrid(
        (np.arange(columns, dtype=np.float32) + 0.5) / unit - GAP / 2,
        (np.arange(2 * height, dtype=np.float32) + 0.5) / unit - 3,
    )
    thickness = max(0.48, 0.55 / unit)
    shape = union(
        *(
            path(x, y, points, thickness)
            if len(points) > 2
            else stroke(x, y, points[0], points[-1], thickness)
            for points in lines
        )
    )
    return np.clip(0.5 - shape * np.float32(unit), 0, 1).astype(np.float32)


@lru_cache(maxsize=1024)
def write(text: str, height: int) -> NDArray[np.float32]:
    """One line of text.

    Args:
        text: Digits, letters (capitals are written small) and a few signs.
        height: Pixels of a capital letter.

    Returns:
        Read-only coverage 0..1, float32 [2 * height, width], the text's line at
        1.5 * height.

    Raises:
        ConfigError: A character has no strokes.
    """
    letters = [letter(character, height) for character in text.lower()]
    line = np.concatenate(letters or [np.zeros((2 * height, 0), dtype=np.float32)], axis=1)
    line.setflags(write=False)
    return line
