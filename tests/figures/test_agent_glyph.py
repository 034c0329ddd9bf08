"""The shapes of one agent's decision: what was done is strong, what is masked has a bar."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.figures.action_glyphs import arrange
from maskrl.figures.agent_glyph import BARRED, FAINT, STRONG, action_colours, agent_shapes, between
from maskrl.figures.theme import CATEGORIES, PALETTE

ONE = [("", ("stay", "up", "down"))]
TREE = [("type", ("wait", "go", "hit")), ("way", ("up", "down")), ("aim", ("+1,+0", "-1,-2"))]


def shapes(heads, probs, allowed, chosen, counts=None, colour="entropy", show_masks=True):
    probs = np.asarray(probs)
    keep = np.ones(len(probs), bool) if allowed is None else np.asarray(allowed)
    counts = np.ones(len(heads), bool) if counts is None else np.asarray(counts)
    chosen = None if chosen is None else np.asarray(chosen)
    return list(agent_shapes(heads, probs, keep, chosen, counts, "#123456", colour, show_masks))


def test_what_was_done_is_strong_and_a_disallowed_direction_barred():
    drawn = shapes(ONE, [0.3, 0.7, 0.0], [True, True, False], [1])
    assert [(s.colour, s.opacity) for s in drawn] == [
        ("#123456", FAINT),
        ("#123456", STRONG),
        (PALETTE.disallowed, BARRED),
    ]
    assert drawn[2].outline[:, 1].min() > 0.4  # below, where "down" would go
    assert len(shapes(ONE, [0.3, 0.7, 0.0], [True, True, False], [1], show_masks=False)) == 2
    assert {s.opacity for s in shapes(ONE, [0.3, 0.7, 0.0], None, None)} == {STRONG}


def test_a_colour_per_action():
    drawn = shapes(ONE, [0.3, 0.3, 0.4], None, [1], colour="action")
    assert [s.colour for s in drawn] == [PALETTE.neutral, CATEGORIES[0], CATEGORIES[1]]
    names = ["noop", "a", "b"]
    assert action_colours(names, arrange(names)) == (PALETTE.neutral, *CATEGORIES[:2])


def test_of_a_tree_the_types_are_a_ring_and_what_counts_lies_inside():
    probs = [0.2, 0.5, 0.3, 0.9, 0.1, 0.5, 0.5]
    drawn = shapes(TREE, probs, None, [1, 0, 0], [True, True, False])
    ring, inner = drawn[:3], drawn[3:]
    assert [s.opacity for s in ring] == [FAINT, STRONG, FAINT]
    assert ring[1].colour == CATEGORIES[0]
    assert len(inner) == 2 and {s.colour for s in inner} == {CATEGORIES[0]}
    assert max(np.abs(s.outline).max() for s in inner) < 0.31  # inside the ring
    # an attack is an arrow to the cell that it aims at
    drawn = shapes(TREE, probs, None, [2, 0, 1], [True, False, True])
    (arrow,) = drawn[3:]
    assert arrow.colour == CATEGORIES[1]
    tip = arrow.outline[np.linalg.norm(arrow.outline, axis=1).argmax()]
    assert np.linalg.norm(tip - [-1, -2]) < 0.15


def test_who_may_do_nothing_has_no_shapes():
    assert shapes(ONE, [0.0, 0.0, 0.0], [False] * 3, [0]) == []


def test_surer_is_nearer_to_the_first_colour():
    assert between("#000000", "#ff8040", 0.0) == "#000000"
    assert between("#000000", "#ff8040", 1.0) == "#ff8040"
    assert between("#000000", "#ff8040", 0.5) == pytest.approx("#804020")
    assert between("#000000", "#ff8040", float("nan")) == "#000000"
