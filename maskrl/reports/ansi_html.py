"""Terminal pictures on a page: ANSI text becomes escaped HTML with coloured spans.

Environments such as Taxi draw themselves as text with SGR colour codes. The
text is escaped first to last; what the codes say becomes one `span` per run of
equal style, and every other escape sequence is dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from html import escape

_SEQUENCE = re.compile(r"\x1b(?:\[([0-9;:?<=>]*)([@-~])|[@-Z\\^_]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BASE = ("#3b4252", "#bf3f4b", "#3f8f4f", "#a8780a", "#3a6fc4", "#9a4fb5", "#1c8a99", "#c8ced9")
_BRIGHT = ("#6b7686", "#e0616b", "#58b368", "#d6a321", "#5f95e6", "#bd7ad6", "#3fb4c4", "#f5f7fa")


@dataclass(frozen=True)
class _Style:
    """What SGR codes have switched on so far."""

    foreground: str | None = None
    background: str | None = None
    bold: bool = False
    underline: bool = False
    reverse: bool = False

    def css(self) -> str:
        """The style as CSS declarations, empty where nothing is on."""
        front, back = self.foreground, self.background
        if self.reverse:
            front, back = back or "Canvas", front or "CanvasText"
        parts = []
        if front:
            parts.append(f"color:{front}")
        if back:
            parts.append(f"background:{back}")
            if not front:
                parts.append("color:#11151b")
        if self.bold:
            parts.append("font-weight:700")
        if self.underline:
            parts.append("text-decoration:underline")
        return ";".join(parts)


def ansi_to_html(text: str) -> str:
    """Convert terminal text to HTML that is safe to place inside `pre`.

    Args:
        text: any text; SGR sequences (`ESC [ ... m`) set the style.

    Returns:
        Escaped HTML with `span` elements; without sequences, the escaped text.
    """
    style = _Style()
    parts: list[str] = []
    position = 0
    for found in _SEQUENCE.finditer(text):
        parts.append(_span(text[position : found.start()], style))
        position = found.end()
        if found.group(2) == "m":
            style = _apply(style, found.group(1) or "0")
    parts.append(_span(text[position:], style))
    return "".join(parts)


def _span(text: str, style: _Style) -> str:
    """One run of text in one style."""
    clean = escape(_CONTROL.sub("", text))
    css = style.css()
    return f'<span style="{css}">{clean}</span>' if css and clean else clean


def _apply(style: _Style, codes: str) -> _Style:
    """The style after a list of SGR codes; unknown ones change nothing."""
    numbers = [int(code) if code.isdigit() else 0 for code in re.split("[;:]", codes)]
    while numbers:
        code = numbers.pop(0)
        if code == 0:
            style = _Style()
        elif code in (1, 22):
            style = replace(style, bold=code == 1)
        elif code in (4, 24):
            style = replace(style, underline=code == 4)
        elif code in (7, 27):
            style = replace(style, reverse=code == 7)
        elif code in (38, 48):
            colour, numbers = _extended(numbers)
            style = _coloured(style, code == 38, colour)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style = _coloured(style, True, _named(code, 30))
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style = _coloured(style, False, _named(code, 40))
        elif code in (39, 49):
            style = _coloured(style, code == 39, None)
    return style


def _coloured(style: _Style, front: bool, colour: str | None) -> _Style:
    """The style with another colour of the text or behind it."""
    return replace(style, foreground=colour) if front else replace(style, background=colour)


def _named(code: int, base: int) -> str:
    """One of the sixteen named colours."""
    return _BASE[code - base] if code < base + 10 else _BRIGHT[code - base - 60]


def _extended(numbers: list[int]) -> tuple[str | None, list[int]]:
    """A 256-colour or 24-bit colour, and the codes that remain."""
    if numbers[:1] == [2] and len(numbers) >= 4:
        red, green, blue = (min(255, value) for value in numbers[1:4])
        return f"#{red:02x}{green:02x}{blue:02x}", numbers[4:]
    if numbers[:1] == [5] and len(numbers) >= 2:
        return _indexed(min(255, numbers[1])), numbers[2:]
    return None, []


def _indexed(index: int) -> str:
    """A colour of the 256-colour table: 16 named, a 6 x 6 x 6 cube, 24 greys."""
    if index < 16:
        return (_BASE + _BRIGHT)[index]
    if index >= 232:
        level = 8 + 10 * (index - 232)
        return f"#{level:02x}{level:02x}{level:02x}"
    levels = (0, 95, 135, 175, 215, 255)
    index -= 16
    red, green, blue = levels[index // 36], levels[index // 6 % 6], levels[index % 6]
    return f"#{red:02x}{green:02x}{blue:02x}"
