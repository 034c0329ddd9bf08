"""`ActionTree`: what it derives from its heads, and what it refuses."""

from __future__ import annotations

import itertools
import json
import pickle

import numpy as np
import pytest

from maskrl.errors import ConfigError, MaskShapeError
from maskrl.masks import ActionTree, Head

TREE = ActionTree(
    Head("unit", 3, choices=("worker", "archer", "none")),
    Head("move", 4, relevant={"unit": [0]}, mask_by="unit"),
    Head("target", 2, relevant={"unit": [1]}, logits_by="unit"),
    Head("force", 2, relevant={"target": [1]}),
)


def test_what_follows_from_the_heads():
    assert TREE.names == ("unit", "move", "target", "force")
    assert TREE.nvec == (3, 4, 2, 2)
    assert TREE.parents == ((), (0,), (0,), (2,))
    assert TREE.logits_shapes == ((3,), (4,), (3, 2), (2,))
    assert TREE.logits_size == 3 + 4 + 6 + 2
    assert TREE.mask_shapes == {"action_mask": (11,), "action_mask:move": (3, 4)}
    assert TREE.position("target") == 2
    assert repr(TREE) == (
        "ActionTree(unit[3]; move[4] by unit; target[2] by unit; force[2] by target)"
    )


def test_relevance_runs_through_the_heads_that_it_depends_on():
    # force counts only where target counts, which it does for an archer.
    actions = np.array([[0, 1, 1, 1], [1, 0, 1, 0], [1, 0, 0, 0], [2, 3, 1, 1]])
    expected = np.array(
        [[1, 1, 0, 0], [1, 0, 1, 1], [1, 0, 1, 0], [1, 0, 0, 0]],
        dtype=bool,
    )
    assert (TREE.relevant(actions) == expected).all()
    assert (TREE.relevant(actions.reshape(2, 2, 4)) == expected.reshape(2, 2, 4)).all()


def test_allows_by_hand_over_every_action():
    flat = np.array([1, 1, 0, 1, 1, 0, 1, 1, 0, 0, 1], dtype=bool)
    table = np.ones((3, 4), dtype=bool)
    table[0] = [0, 1, 1, 1]
    masks = {"action_mask": flat, "action_mask:move": table}
    for unit, move, target, force in itertools.product(range(3), range(4), range(2), range(2)):
        if unit == 0:
            # flat row [1, 1, 0, 1] and table row [0, 1, 1, 1]
            good = move in (1, 3)
        elif unit == 1:
            # target 1 is disallowed, so that force never counts
            good = target == 0
        else:
            good = False
        action = np.array([unit, move, target, force])
        assert TREE.allows(action, masks) == good
    every = np.array(list(itertools.product(range(3), range(4), range(2), range(2))))
    one_by_one = [bool(TREE.allows(action, masks)) for action in every]
    assert TREE.allows(every, masks).tolist() == one_by_one


def test_choices_out_of_range_are_not_allowed_where_they_count():
    assert not TREE.allows([3, 0, 0, 0], {})
    assert not TREE.allows([0, -1, 0, 0], {})
    assert TREE.allows([2, 9, 9, 9], {})


@pytest.mark.parametrize(
    "duplicate",
    [
        lambda tree: ActionTree.from_json(json.loads(json.dumps(tree.to_json()))),
        lambda tree: pickle.loads(pickle.dumps(tree)),
        lambda tree: ActionTree(list(tree.heads)),
    ],
)
def test_it_survives_json_and_pickling(duplicate):
    other = duplicate(TREE)
    assert other == TREE
    assert hash(other) == hash(TREE)
    assert other.heads[0].choices == ("worker", "archer", "none")
    assert other != ActionTree(Head("unit", 3))


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ((), "expected one Head after another"),
        ((Head("a", 2), Head("a", 2)), "two heads are called 'a'"),
        ((Head("a", 2, relevant={"b": [0]}), Head("b", 2)), "depends on 'b'; expected one of"),
        ((Head("a", 2), Head("b", 2, mask_by="b")), "depends on 'b'"),
        ((Head("a", 2), Head("b", 2, logits_by="c")), "depends on 'c'"),
        ((Head("a", 2), Head("b", 2, relevant={"a": [2]})), "expected choices from 0 to 1"),
        ((Head("a", 2), Head("b", 2, relevant={"a": []})), "at least one"),
    ],
)
def test_heads_that_do_not_fit_are_refused(heads, message):
    with pytest.raises(ConfigError, match=message):
        ActionTree(*heads)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", 2), "name is ''"),
        (("a:b", 2), "without ':'"),
        (("a", 0), "size is 0"),
        (("a", 2.0), "size is 2.0"),
        (("a", True), "size is True"),
        (("a", 2, {}, None, None, ("one",)), "1 names for 2 choices"),
    ],
)
def test_a_head_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Head(*arguments)


def test_questions_about_what_is_not_there():
    with pytest.raises(ConfigError, match=r"no head 'x'; the heads are \['unit'"):
        TREE.position("x")
    with pytest.raises(MaskShapeError, match=r"expected \[..., 4\]"):
        TREE.relevant([1, 2])


@pytest.mark.parametrize(
    "relevant",
    [None, ["unit"], {"unit": 1}, {"unit": "archer"}, {"unit": [1.5]}, {"unit": [False, True]}],
)
def test_a_relevance_that_names_no_choices(relevant):
    with pytest.raises(ConfigError, match="'target': relevant is .* sequence of its choices"):
        Head("target", 2, relevant=relevant)


def test_tables_go_by_choices_that_count():
    # direction does not count after waiting, so that target goes by its choice 0
    tree = ActionTree(
        Head("type", 2),
        Head("direction", 2, relevant={"type": [1]}),
        Head("target", 2, mask_by="direction"),
    )
    masks = {"action_mask:target": np.array([[True, False], [False, True]])}
    actions = [[0, 0, 0], [0, 1, 0], [0, 1, 1], [1, 1, 1], [1, 1, 0]]
    assert tree.allows(actions, masks).tolist() == [True, True, False, True, False]
    assert tree.settled(actions).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1], [1, 1, 1], [1, 1, 0]]
