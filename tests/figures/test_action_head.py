"""The head of one step: three bars, the mask told by shape as well as colour."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.figures import action_head_figure

NAMES = ("up", "down", "<left>")
LOGITS = np.array([1.0, 2.0, -1.0])
MASK = np.array([True, False, True])
PROBS = np.array([0.88, 0.0, 0.12])


def test_three_panels_and_the_mass_without_mask():
    figure = action_head_figure(NAMES, LOGITS, MASK, PROBS, unmasked_probs=PROBS, action=0)
    logits, mask, probs, without, numbers = figure.data
    assert list(logits.x) == [1.0, 2.0, -1.0]
    assert list(mask.marker.symbol) == ["circle", "x", "circle"]
    assert list(logits.marker.pattern.shape) == ["", "/", ""]
    assert list(numbers.text) == ["0.88", "0", "0.12"]
    assert list(without.x) == list(probs.x)
    assert without.marker.symbol == "diamond"
    assert figure.layout.yaxis.ticktext == ("<b>up</b>", "down", "&lt;left&gt;")


def test_a_logit_that_is_not_finite_has_no_bar():
    figure = action_head_figure(NAMES, np.array([0.0, -np.inf, np.nan]), MASK, PROBS)
    assert list(figure.data[0].x) == [0.0, None, None]


def test_masks_are_checked_not_cast():
    with pytest.raises(MaskDtypeError, match="action_head_figure: action_mask"):
        action_head_figure(NAMES, LOGITS, MASK.astype(np.int8), PROBS)
    with pytest.raises(MaskShapeError, match="action_head_figure: action_mask"):
        action_head_figure(NAMES, LOGITS, MASK[:2], PROBS)
    with pytest.raises(ValueError, match="probs has 2 entries, expected 3"):
        action_head_figure(NAMES, LOGITS, MASK, PROBS[:2])
