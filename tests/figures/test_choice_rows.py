"""The pieces of figures with a row for each choice: allowed and not are told apart everywhere."""

from __future__ import annotations

import numpy as np

from maskrl.figures.choice_rows import (
    NUMBERS_AT,
    add_marks,
    add_numbers,
    add_probabilities,
    add_raw_bars,
    colours_of,
    hatched,
    lay_out,
    lay_out_three,
    panels,
)
from maskrl.figures.theme import PALETTE

ALLOWED = np.array([True, False, True])
NAMES = ["left", "right", "stay"]


def test_what_is_disallowed_is_hatched_and_crossed():
    assert colours_of(ALLOWED) == [PALETTE.allowed, PALETTE.disallowed, PALETTE.allowed]
    filled = hatched(ALLOWED)
    assert filled["pattern"]["shape"] == ["", "/", ""] and filled["color"] == colours_of(ALLOWED)
    figure = panels(("mask", "other"), (0.5, 0.5))
    add_marks(figure, ALLOWED, NAMES, col=2)
    (marks,) = figure.data
    assert marks.marker.symbol == ("circle", "x", "circle") and marks.xaxis == "x2"
    assert marks.hovertext[1] == "<b>right</b><br>disallowed"


def test_three_panels_say_what_went_in_and_what_comes_out():
    figure = panels(("a", "b", "c"), (0.3, 0.2, 0.5))
    add_raw_bars(figure, [1.0, None, -2.0], ALLOWED, ["one", "two", "three"])
    shown = {"names": NAMES, "hover": NAMES, "numbers": ["0.25", "0", "0.75"]}
    add_probabilities(figure, [0.25, 0.0, 0.75], **shown, without=[0.2, 0.3, 0.5])
    raw, bars, diamonds, numbers = figure.data
    assert raw.x == (1.0, None, -2.0) and raw.xaxis == "x"
    assert bars.x == (0.25, 0.0, 0.75) and diamonds.x == (0.2, 0.3, 0.5)
    assert diamonds.hovertext[1] == "<b>right</b><br>without the mask 0.3000"
    assert numbers.text == ("0.25", "0", "0.75") and set(numbers.x) == {NUMBERS_AT}
    assert max(bars.x) < NUMBERS_AT and {t.xaxis for t in (bars, diamonds, numbers)} == {"x3"}
    lay_out_three(figure, NAMES, 30)
    assert figure.layout.height == 3 * 30 + 72
    assert figure.layout.yaxis.ticktext == tuple(NAMES)
    assert figure.layout.yaxis.range == (2.5, -0.5)  # from top to bottom
    assert figure.layout.xaxis3.range[1] > NUMBERS_AT
    bare = panels(("a", "b", "c"), (0.3, 0.2, 0.5))
    add_probabilities(bare, [0.25, 0.0, 0.75], **shown, without=None)
    assert len(bare.data) == 2


def test_numbers_stand_where_they_are_put():
    figure = panels(("a", "b"), (0.1, 0.9))
    add_numbers(figure, ["1", "2"], at=7.5, col=2)
    lay_out(figure, ["up", "down"], 20, nticks=5)
    assert figure.data[0].x == (7.5, 7.5) and figure.data[0].y == (0, 1)
    assert figure.layout.xaxis2.nticks == 5 and figure.layout.height == 112
