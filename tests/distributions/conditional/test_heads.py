"""Where masks and logits of a conditional action come from: tensors, tables, functions."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch.distributions import kl_divergence

from maskrl.distributions import ConditionalCategorical
from maskrl.errors import (
    ConfigError,
    MaskDtypeError,
    MaskError,
    MaskShapeError,
)
from maskrl.masks import ActionTree, Head, pack_mask

TREE = ActionTree(
    Head("unit", 3),
    Head("move", 4, relevant={"unit": [0, 1]}, mask_by="unit"),
    Head("target", 2, relevant={"unit": [2]}),
)
LOGITS = torch.randn(2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
FLAT = torch.tensor(
    [[1, 1, 0, 1, 1, 1, 1, 0, 0], [1, 0, 1, 1, 1, 0, 1, 1, 0]],
    dtype=torch.bool,
)
MOVES = torch.tensor(
    [
        [[1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]],
        [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    ],
    dtype=torch.bool,
)


def make(logits=LOGITS, flat=FLAT, moves=MOVES, **settings):
    return ConditionalCategorical(TREE, logits, flat, head_masks={"move": moves}, **settings)


def from_functions(weights, **settings):
    """TREE with logits and masks of `move` by functions of the prefix, `target` by a tensor."""

    def move(prefix):
        return weights[:, 3:7] + prefix["unit"].unsqueeze(-1) * 0.5

    def may_move(prefix):
        rows = torch.arange(2).expand(prefix["unit"].shape)
        return MOVES[rows, prefix["unit"]]

    return ConditionalCategorical(
        TREE,
        {"unit": weights[:, :3], "move": move, "target": weights[:, 7:]},
        FLAT,
        head_masks={"move": may_move},
        **settings,
    )


def test_functions_of_the_prefix_equal_tables():
    tree = ActionTree(
        Head("unit", 3),
        Head("move", 4, relevant={"unit": [0, 1]}, mask_by="unit", logits_by="unit"),
        Head("target", 2, relevant={"unit": [2]}),
    )
    table = LOGITS[:, None, 3:7] + 0.5 * torch.arange(3.0)[:, None]
    tables = ConditionalCategorical(
        tree,
        torch.cat([LOGITS[:, :3], table.flatten(1), LOGITS[:, 7:]], -1),
        FLAT,
        head_masks={"move": MOVES},
    )
    functions = from_functions(LOGITS)
    actions = tables.sample((50,), generator=torch.Generator().manual_seed(3))
    again = functions.sample((50,), generator=torch.Generator().manual_seed(3))
    assert torch.equal(actions, again)
    torch.testing.assert_close(functions.log_prob(actions), tables.log_prob(actions))
    torch.testing.assert_close(functions.entropy(), tables.entropy())
    torch.testing.assert_close(functions.probs, tables.probs)
    assert torch.equal(functions.mode, tables.mode)
    assert functions.expand((3, 2)).entropy().shape == (3, 2)
    weights = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda w: from_functions(w).entropy(), weights)


def test_a_function_reads_only_what_it_says():
    seen = []

    def target(prefix):
        seen.append(set(prefix))
        return LOGITS[:, 7:]

    logits = {"unit": LOGITS[:, :3], "move": LOGITS[:, 3:7], "target": target}
    d = ConditionalCategorical(TREE, logits, depends_on={"target": ["unit"]})
    all_of_them = ConditionalCategorical(TREE, logits)
    torch.testing.assert_close(d.entropy(), all_of_them.entropy())
    d.sample((3,))
    assert seen[0] == {"unit"}
    assert {"unit", "move"} in seen


@pytest.mark.parametrize(
    ("gives", "error", "message"),
    [
        (lambda p: torch.zeros(2, 3), MaskShapeError, r"'move'\], a function of the prefix, gave"),
        (lambda p: "no", MaskShapeError, r"gave str; expected"),
        (lambda p: torch.zeros(2, 4, dtype=torch.int64), MaskDtypeError, "expected floating"),
        (lambda p: torch.zeros(7, 7, 2, 4), MaskShapeError, r"gave \(7, 7, 2, 4\); expected"),
    ],
)
def test_functions_that_give_something_else(gives, error, message):
    logits = {"unit": LOGITS[:, :3], "move": gives, "target": LOGITS[:, 7:]}
    with pytest.raises(error, match=message):
        ConditionalCategorical(TREE, logits).sample()


def test_forms_of_masks_and_logits_are_the_same():
    expected = make()
    parts = dict(zip(TREE.names, FLAT.split(TREE.nvec, -1), strict=True))
    logits = dict(zip(TREE.names, LOGITS.split(TREE.nvec, -1), strict=True))
    for d in (
        make(flat=pack_mask(FLAT), moves=pack_mask(MOVES)),
        make(flat=parts),
        make(logits),
    ):
        assert torch.equal(d.probs, expected.probs)
        assert torch.equal(d.action_mask, expected.action_mask)
    free = make(flat={"unit": FLAT[:, :3]}, moves=None, validate_args=False)
    assert free.action_mask[:, 3:].all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"logits": LOGITS[:, :8]}, MaskShapeError, "expected a last dimension of 9"),
        ({"logits": {"unit": LOGITS[:, :3]}}, ConfigError, "nothing for head 'move'"),
        ({"logits": LOGITS.long()}, MaskDtypeError, "floating point"),
        ({"flat": FLAT.to(torch.int8)}, MaskDtypeError, "as_mask"),
        ({"flat": FLAT[:, :8]}, MaskShapeError, r"expected \(2, 9\)"),
        ({"flat": {"jump": FLAT[:, :3]}}, ConfigError, "no head 'jump'"),
        ({"flat": {"unit": FLAT[:, :2]}}, MaskShapeError, r"action_mask\['unit'\] has shape"),
        ({"moves": MOVES[:, :2]}, MaskShapeError, r"head_masks\['move'\] has shape \(2, 2, 4\)"),
        ({"moves": MOVES.float()}, MaskDtypeError, r"head_masks\['move'\] has dtype"),
        ({"depends_on": {"unit": ["move"]}}, None, ""),
        ({"empty": "uniform"}, ConfigError, "empty is 'uniform'"),
        ({"idle_action": 2}, ConfigError, "idle_action is 2"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    if error is None:
        make(**arguments)  # what no function reads is not looked at
        return
    with pytest.raises(error, match=message):
        make(**arguments)


def test_trees_are_checked():
    with pytest.raises(ConfigError, match="expected a maskrl.ActionTree"):
        ConditionalCategorical([3, 4], LOGITS)
    with pytest.raises(ConfigError, match="mask goes by no earlier head"):
        ConditionalCategorical(TREE, LOGITS, head_masks={"target": MOVES})
    with pytest.raises(ConfigError, match="at least one head"):
        ConditionalCategorical(ActionTree(Head("a", 2)), {"a": lambda prefix: torch.zeros(2)})
    with pytest.raises(ConfigError, match="expected a sequence of heads before it"):
        ConditionalCategorical(
            TREE,
            {"unit": LOGITS[:, :3], "move": lambda p: LOGITS[:, 3:7], "target": LOGITS[:, 7:]},
            depends_on={"move": ["target"]},
        )
    other = ActionTree(Head("unit", 3), Head("move", 4), Head("target", 2))
    with pytest.raises(MaskError, match="expected equal trees"):
        kl_divergence(make(), ConditionalCategorical(other, LOGITS))


def test_functions_cannot_be_pickled_and_say_so():
    with pytest.raises(ConfigError, match="'move' has a function"):
        pickle.dumps(from_functions(LOGITS))
