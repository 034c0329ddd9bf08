"""The bits of one step: log-odds, what the mask says in words, probability of being on."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.figures import action_bits_figure

NAMES = ("lamp", "door", "<bell>", "fan")
LOG_ODDS = np.array([np.log(3.0), 2.0, -1.0, np.nan])
MASK = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], bool)
PROBS = np.array([0.75, 0.0, 1.0, 0.0])


def test_three_panels_in_words_and_the_probability_without_mask():
    figure = action_bits_figure(NAMES, LOG_ODDS, MASK, PROBS, action=np.array([1, 0, 1, 0]))
    odds, words, probs, without, numbers = figure.data
    assert list(odds.x) == [pytest.approx(np.log(3.0)), 2.0, -1.0, None]
    assert list(odds.marker.pattern.shape) == ["", "/", "/", "/"]
    assert list(words.text) == ["free", "must be off", "must be on", "idle"]
    assert list(probs.x) == PROBS.tolist()
    # odds of 3 to 1; e^2 / (1 + e^2); 1 / (1 + e)
    assert list(without.x)[:3] == pytest.approx([0.75, 0.8807971, 0.2689414])
    assert list(numbers.text) == ["0.75", "0", "1", ""]
    assert figure.layout.yaxis.ticktext == ("<b>lamp</b>", "door", "<b>&lt;bell&gt;</b>", "fan")


def test_diamonds_can_be_left_out():
    figure = action_bits_figure(NAMES, LOG_ODDS, MASK, PROBS, show_unmasked=False)
    assert len(figure.data) == 4
    assert "<b>" not in "".join(figure.layout.yaxis.ticktext)


def test_arrays_are_checked():
    with pytest.raises(MaskDtypeError, match="action_bits_figure: action_mask"):
        action_bits_figure(NAMES, LOG_ODDS, MASK.astype(int), PROBS)
    with pytest.raises(MaskShapeError, match=r"expected \(4, 2\)"):
        action_bits_figure(NAMES, LOG_ODDS, MASK.reshape(-1), PROBS)
    with pytest.raises(ValueError, match="log_odds has 2 entries, expected 4"):
        action_bits_figure(NAMES, LOG_ODDS[:2], MASK, PROBS)
