"""What masks say about actions of every shape, against hand-made rows."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.errors import ConfigError, MaskShapeError
from maskrl.masks import ActionHeads, ActionTree, Head

T, F = True, False

TREE = ActionTree(
    Head("type", 3),
    Head("direction", 2, relevant={"type": [1]}),
    Head("target", 4, relevant={"type": [1, 2]}, mask_by="type"),
)


def said(judgement):
    return {
        name: getattr(judgement, name).tolist() for name in ("illegal", "idle", "forced", "share")
    }


def test_a_discrete_action_has_one_head():
    heads = ActionHeads((3,))
    mask = np.array([[T, F, T], [T, F, T], [F, F, T], [F, F, F]])
    judged = heads.judge({"action_mask": mask}, np.array([0, 1, 2, 1]))
    assert said(judged) == {
        "illegal": [F, T, F, F],
        "idle": [F, F, F, T],
        "forced": [F, F, T, F],
        "share": [pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(1 / 3), 0.0],
    }
    assert judged.counts.tolist() == [[2], [2], [1], [0]]


def test_independent_heads():
    heads = ActionHeads((2, 3), (2,))
    assert heads.names == ("0", "1") and heads.mask_shapes == {"action_mask": (5,)}
    mask = np.array(
        [
            [T, T, T, F, F],  # both allowed; the second is forced
            [T, T, T, F, F],  # the second chooses 1, which is disallowed
            [F, F, T, T, F],  # the first idles
            [F, F, F, F, F],  # both idle
            [F, T, F, F, T],  # both forced
            [F, F, F, T, F],  # one idle, one forced
        ]
    )
    actions = np.array([[1, 0], [0, 1], [0, 1], [0, 0], [1, 2], [0, 1]])
    judged = heads.judge({"action_mask": mask}, actions)
    assert said(judged) == {
        "illegal": [F, T, F, F, F, F],
        "idle": [F, F, F, T, F, F],
        "forced": [F, F, F, F, T, T],
        "share": pytest.approx([(1 + 1 / 3) / 2, (1 + 1 / 3) / 2, 1 / 3, 0, 5 / 12, 1 / 6]),
    }
    assert judged.stuck[2].tolist() == [T, F]


@pytest.mark.parametrize("shape", [(4,), (2, 2)])
def test_bits_take_their_mask_flat_or_in_pairs(shape):
    heads = ActionHeads((2, 2, 2, 2), shape, binary=True)
    pairs = np.array([[[T, T], [T, F], [F, T], [F, F]]])
    action = np.array([1, 0, 1, 0], np.int8).reshape(1, *shape)
    for mask in (pairs, pairs.reshape(1, 8)):
        judged = heads.judge({"action_mask": mask}, action)
        assert judged.counts.tolist() == [[2, 1, 1, 0]]
        assert said(judged) == {"illegal": [F], "idle": [F], "forced": [F], "share": [0.5]}
        wrong = heads.judge({"action_mask": mask}, 1 - action)
        assert wrong.allowed.tolist() == [[T, F, F, F]]
        assert wrong.illegal.tolist() == [T]


def tree_masks(rows):
    flat = np.ones((rows, 9), np.bool_)
    table = np.zeros((rows, 3, 4), np.bool_)
    table[:, 1, :2] = True
    table[:, 2, 3] = True
    return {"action_mask": flat, "action_mask:target": table}


def test_a_tree_judges_only_heads_that_count_by_the_row_of_the_choice_before():
    heads = ActionHeads(TREE.nvec, (3,), tree=TREE)
    assert heads.names == ("type", "direction", "target")
    assert heads.mask_shapes == {"action_mask": (9,), "action_mask:target": (3, 4)}
    masks = tree_masks(4)
    masks["action_mask"][1, 5] = False  # target 0 is out for other reasons
    actions = np.array([[0, 1, 2], [1, 1, 0], [1, 0, 1], [2, 0, 3]])
    judged = heads.judge(masks, actions)
    assert judged.relevant.tolist() == [[T, F, F], [T, T, T], [T, T, T], [T, F, T]]
    assert judged.counts[1:, 2].tolist() == [1, 2, 1]
    assert said(judged)["illegal"] == [F, T, F, F]
    assert said(judged)["share"] == pytest.approx([1, (1 + 1 + 1 / 4) / 3, (2 + 0.5) / 3, 5 / 8])
    np.testing.assert_array_equal(~judged.illegal, TREE.allows(actions, masks))
    np.testing.assert_array_equal(heads.counting(actions), judged.relevant)


def test_a_head_of_a_tree_that_counts_and_may_choose_nothing_is_stuck():
    heads = ActionHeads(TREE.nvec, (3,), tree=TREE)
    masks = tree_masks(2)
    masks["action_mask:target"][:, 2] = False
    judged = heads.judge(masks, np.array([[2, 0, 0], [0, 0, 0]]))
    assert judged.stuck.tolist() == [[F, F, T], [F, F, F]]
    assert said(judged)["illegal"] == [F, F] and said(judged)["idle"] == [F, F]


def test_one_row_equals_the_row_of_the_table_and_of_the_flat_mask():
    heads = ActionHeads(TREE.nvec, (3,), tree=TREE)
    masks = tree_masks(2)
    masks["action_mask"][1, 6] = False
    actions = np.array([[1, 0, 0], [1, 0, 0]])
    assert heads.row(2, masks, actions).tolist() == [[T, T, F, F], [T, F, F, F]]
    assert heads.row(0, {}, actions).all()


def test_any_leading_shape_and_choices_out_of_range():
    heads = ActionHeads((2, 3), (2,))
    mask = np.random.default_rng(0).random((4, 5, 5)) < 0.5
    actions = np.random.default_rng(1).integers(0, 2, (4, 5, 2))
    whole = heads.judge({"action_mask": mask}, actions)
    for t in range(4):
        part = heads.judge({"action_mask": mask[t]}, actions[t])
        np.testing.assert_array_equal(part.illegal, whole.illegal[t])
        np.testing.assert_array_equal(part.counts, whole.counts[t])
    beyond = heads.judge({"action_mask": np.ones((1, 5), np.bool_)}, np.array([[0, 3]]))
    assert beyond.illegal.tolist() == [T]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"'type': 3.*sizes \[3, 2\]"):
        ActionHeads((3, 2), (2,), tree=TREE)
    with pytest.raises(MaskShapeError, match=r"got shape \(4, 3\); expected \[..., 2\]"):
        ActionHeads((2, 3), (2,)).judge({}, np.zeros((4, 3), int))
