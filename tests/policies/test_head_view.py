"""Heads of a decision: cut apart, named, put in words, and their probabilities on the path."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.contract import describe, mask_space
from maskrl.masks.tree import ActionTree, Head
from maskrl.policies.head_view import (
    HeadLabels,
    action_text,
    label_heads,
    rows_along,
    split_heads,
)

TREE = ActionTree(
    Head("type", 2, choices=("wait", "move_to")),
    Head("direction", 3, relevant={"type": [1]}, logits_by="type"),
)
LABELS = (HeadLabels("type", ("wait", "move_to")), HeadLabels("direction", ("0", "1", "2")))


def described(action_space, tree=None, candidates=None):
    size = 2 * action_space.n if isinstance(action_space, spaces.MultiBinary) else None
    if size is None:
        size = int(np.sum(getattr(action_space, "nvec", getattr(action_space, "n", 0))))
    entries = {"action_mask": mask_space(size)}
    if candidates:
        entries["candidates"] = spaces.Box(-1, 1, (candidates, 2))
    return describe(spaces.Dict(entries), action_space, tree)


def test_a_row_is_cut_into_heads():
    mask = np.array([1, 0, 1, 1, 0], bool)
    logits, probs = np.arange(5.0), np.array([1, 0, 0.25, 0.75, 0])
    first, second = split_heads(LABELS, np.array([0, 1]), mask, logits, probs, np.array([1, 0]))
    assert (first.name, first.action, first.relevant, first.chosen) == ("type", 0, True, "wait")
    assert second.action_mask.tolist() == [True, True, False]
    assert second.logits.tolist() == [2, 3, 4] and second.probs.tolist() == [0.25, 0.75, 0]
    assert not second.relevant
    (only,) = split_heads(LABELS[:1], 1, None, logits[:2], probs[:2])
    assert only.relevant and only.allowed.tolist() == [True, True] and only.action_mask is None


@pytest.mark.parametrize(
    ("description", "names", "heads"),
    [
        (described(spaces.Discrete(2)), ["a", "b"], [("", ["a", "b"])]),
        (described(spaces.Discrete(2)), ["a"], [("", ["0", "1"])]),
        (described(spaces.Discrete(2)), None, [("", ["0", "1"])]),
        (
            described(spaces.MultiDiscrete([1, 2])),
            ["x", "y", "z"],
            [("head 0", ["x"]), ("head 1", ["y", "z"])],
        ),
        (
            described(spaces.MultiDiscrete([1, 2])),
            [["x"], ("y", "z")],
            [("head 0", ["x"]), ("head 1", ["y", "z"])],
        ),
        (
            described(spaces.MultiDiscrete([1, 2])),
            [["x", "w"], ["y", "z"]],
            [("head 0", ["0"]), ("head 1", ["0", "1"])],
        ),
        (
            described(spaces.MultiBinary(2)),
            ["door", "lamp"],
            [("door", ["off", "on"]), ("lamp", ["off", "on"])],
        ),
        (described(spaces.MultiBinary(1)), None, [("bit 0", ["off", "on"])]),
        (
            described(spaces.Discrete(2), candidates=2),
            None,
            [("", ["candidate 0", "candidate 1"])],
        ),
        (
            described(spaces.MultiDiscrete([2, 3]), TREE),
            None,
            [("type", ["wait", "move_to"]), ("direction", ["0", "1", "2"])],
        ),
    ],
)
def test_names(description, names, heads):
    assert [(head.name, list(head.choices)) for head in label_heads(description, names)] == heads


def test_heads_without_a_tree_may_have_names():
    plain = described(spaces.MultiDiscrete([1, 2]))

    def named(description, head_names):
        return [head.name for head in label_heads(description, None, head_names)]

    assert named(plain, ("unit", "type")) == ["unit", "type"]
    assert named(plain, ("unit",)) == named(plain, "ab") == ["head 0", "head 1"]
    assert named(described(spaces.MultiDiscrete([2, 3]), TREE), ("a", "b")) == ["type", "direction"]
    assert named(described(spaces.Discrete(2)), ("a",)) == [""]


def test_what_was_done_in_words():
    def views(action, labels=LABELS, relevant=None):
        size = sum(len(head.choices) for head in labels)
        return split_heads(labels, np.array(action), None, np.zeros(size), np.zeros(size), relevant)

    assert action_text(views([1, 2])) == "move to, direction 2"
    assert action_text(views([0, 2], relevant=np.array([True, False]))) == "wait"
    assert action_text(views([1], LABELS[:1])) == "move to"
    numbered = tuple(HeadLabels(f"head {k}", ("0", "1")) for k in range(2))
    assert action_text(views([1, 0], numbered)) == "head 0: 1, head 1: 0"
    # "up" alone would not say whether to go there or to dig there.
    ways = tuple(HeadLabels(name, ("up", "down")) for name in ("go_to", "dig"))
    labels = (HeadLabels("type", ("go", "dig")), *ways)
    assert action_text(views([0, 1, 0], labels)) == "go, go to down, dig up"
    seen = views([0, 1, 0], labels, relevant=np.array([True, True, False]))
    assert action_text(seen) == "go, down"
    bits = tuple(HeadLabels(name, ("off", "on")) for name in ("door_1", "lamp"))
    assert action_text(views([1, 1], bits), binary=True) == "door 1 and lamp on"
    assert action_text(views([0, 1], bits), binary=True) == "lamp on"
    assert action_text(views([0, 0], bits), binary=True) == "all off"


def test_rows_of_tables_are_those_of_the_choices_made():
    tables = [np.array([0.0, 1.0]), np.array([[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]])]
    assert rows_along(tables, TREE, np.array([1, 0])).tolist() == [0, 1, 5, 6, 7]
    assert rows_along(tables, TREE, np.array([0, 0])).tolist() == [0, 1, 2, 3, 4]
