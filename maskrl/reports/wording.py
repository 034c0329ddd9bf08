"""Numbers in words that a reader takes in at a glance.

Captions of a report are computed, so their numbers pass through here: a minus
sign that is one, steps as "1.2 million", a duration as "4 min 51 s", and the
word "exactly" only where a number is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"


def number(value: float, digits: int = 2) -> str:
    """A number with fixed decimals and a real minus sign: −0.55; "not measured" for NaN."""
    if value is None or not math.isfinite(value):
        return "not measured"
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def count(value: float) -> str:
    """A whole number with thousands apart: 12,345."""
    if value is None or not math.isfinite(value):
        return "not measured"
    return f"{round(value):,}".replace("-", MINUS)


def large(value: float) -> str:
    """A large count in words, to three digits: 1,234, 997,000, 1.2 million, 3 billion."""
    if value is None or not math.isfinite(value):
        return "not measured"
    for unit, size in (("billion", 1e9), ("million", 1e6)):
        if abs(value) >= size:
            return f"{value / size:.3g}{SPACE}{unit}".replace("-", MINUS)
    return count(float(f"{value:.3g}") if abs(value) >= 10_000 else value)


def percent(share: float, digits: int = 0) -> str:
    """A share as a percentage; tiny ones are "under 1 %", exact ends stay exact.

    0 and 1 are written as 0 % and 100 % only where they are exactly that.
    """
    if share is None or not math.isfinite(share):
        return "not measured"
    smallest = 10.0**-digits
    value = 100 * share
    if share not in (0, 1):
        if 0 < value < smallest:
            return f"under {smallest:.{digits}f}{SPACE}%"
        if 100 - smallest < value < 100:
            return f"over {100 - smallest:.{digits}f}{SPACE}%"
    return f"{value:.{digits}f}{SPACE}%".replace("-", MINUS)


def duration(seconds: float) -> str:
    """Seconds as 42 s, 4 min 51 s, 2 h 05 min."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "not measured"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{SPACE}min {whole % 60:02d}{SPACE}s"
    return f"{whole // 3600}{SPACE}h {whole % 3600 // 60:02d}{SPACE}min"


def listing(words: Sequence[str]) -> str:
    """Words as prose: "a", "a and b", "a, b and c"."""
    words = list(words)
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]


def plural(value: float, word: str, words: str | None = None) -> str:
    """A count and its noun: 1 step, 12 steps."""
    return f"{count(value)} {word if value == 1 else words or word + 's'}"


def readable(name: str) -> str:
    """An identifier as words: "use_item" gives "use item", a bare number "action 3"."""
    return f"action {name}" if name.isdigit() else name.replace("_", " ")
