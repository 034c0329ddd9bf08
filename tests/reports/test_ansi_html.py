"""Terminal text as HTML: styled, escaped, nothing else left over."""

from __future__ import annotations

import pytest

from maskrl.reports.ansi_html import ansi_to_html

ESC = "\x1b"


def test_text_without_codes_is_only_escaped():
    assert ansi_to_html('<a href="x">&\n') == "&lt;a href=&quot;x&quot;&gt;&amp;\n"


def test_taxi_squares_are_coloured_until_reset():
    html = ansi_to_html(f"|{ESC}[43mR{ESC}[0m: |")
    assert html == '|<span style="background:#a8780a;color:#11151b">R</span>: |'


@pytest.mark.parametrize(
    ("codes", "css"),
    [
        ("1", "font-weight:700"),
        ("4", "text-decoration:underline"),
        ("31", "color:#bf3f4b"),
        ("91", "color:#e0616b"),
        ("38;5;196", "color:#ff0000"),
        ("38;5;244", "color:#808080"),
        ("48;2;1;2;3", "background:#010203;color:#11151b"),
        ("38;2;255;0;0;1", "color:#ff0000;font-weight:700"),
        ("7", "color:Canvas;background:CanvasText"),
    ],
)
def test_codes(codes, css):
    assert ansi_to_html(f"{ESC}[{codes}mx") == f'<span style="{css}">x</span>'


@pytest.mark.parametrize("codes", ["1;22", "4;24", "7;27", "31;39", "41;49", "31;0", "31;", "99"])
def test_what_is_switched_off_is_off(codes):
    assert ansi_to_html(f"{ESC}[{codes}mx") == "x"


def test_other_sequences_vanish_and_cannot_smuggle_markup():
    text = f"a{ESC}[2J{ESC}[10;5Hb{ESC}]0;title<script>\x07c{ESC}[38;5md\x00e"
    assert ansi_to_html(text) == "abcde"
    assert "<script" not in ansi_to_html(f'{ESC}[31m<script>alert("1")</script>')
