"""Letters have strokes, sizes and places; unknown ones are refused."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.lettering import STROKES, letter, write
from maskrl.errors import ConfigError


@pytest.mark.parametrize("height", [7, 14])
def test_every_letter_leaves_ink_inside_its_box(height):
    for character in STROKES:
        coverage = letter(character, height)
        assert coverage.shape[0] == 2 * height
        assert coverage.min() >= 0 and coverage.max() <= 1
        assert coverage.sum() > 0.5
        assert coverage[0].max() < 0.5 and coverage[-1].max() < 0.5


def test_no_two_letters_look_the_same():
    pictures = {letter(character, 10).tobytes() for character in STROKES}
    assert len(pictures) == len(STROKES)


def test_letters_stand_on_the_line():
    ink = np.flatnonzero(letter("h", 12).max(axis=1) > 0.4)
    assert 17 <= ink[-1] <= 19  # the line is at 18
    ink = np.flatnonzero(letter("g", 12).max(axis=1) > 0.4)
    assert 21 <= ink[-1] <= 23  # two units of 2 pixels lower


def test_a_line_is_its_letters_side_by_side():
    line = write("No 7", 8)
    assert line.shape[1] == sum(letter(c, 8).shape[1] for c in "no 7")
    assert write("", 8).shape == (16, 0)
    assert not line.flags.writeable


def test_unknown_characters_are_named():
    with pytest.raises(ConfigError, match="no strokes for 'é'"):
        write("pré", 8)
