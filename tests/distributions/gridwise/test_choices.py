"""What an agent chooses is checked against the logits it has."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.distributions import (
    ConditionalCategorical,
    GridwiseCategorical,
    MaskedCategorical,
    MaskedMultiCategorical,
)
from maskrl.distributions.gridwise.choices import log_legal_actions
from maskrl.errors import ConfigError, MaskShapeError
from maskrl.masks import ActionTree, Head

TREE = ActionTree(Head("type", 3), Head("target", 2, {"type": [2]}, mask_by="type"))
LOGITS = torch.zeros(1, 5, 2, 2)
HERE = torch.eye(2, dtype=torch.bool)


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        ({}, MaskedCategorical),
        ({"nvec": [2, 3]}, MaskedMultiCategorical),
        ({"tree": TREE}, ConditionalCategorical),
    ],
)
def test_one_distribution_for_all_agents(choice, kind):
    d = GridwiseCategorical(LOGITS, HERE, **choice)
    assert isinstance(d.of_agents, kind)
    assert d.of_agents.batch_shape == (2,)


def test_the_number_of_legal_actions():
    mask = torch.tensor([1, 1, 0, 1, 0]).bool().reshape(5, 1, 1).expand(5, 2, 2)
    for choice, legal in [
        ({}, 3),
        ({"nvec": [2, 3]}, 2 * 1),
        ({"nvec": [3, 2]}, 2 * 1),
        ({"tree": TREE}, 2),  # type 0 or 1, neither of which has a target
        ({"tree": ActionTree(Head("type", 3), Head("target", 2, {"type": [1]}))}, 2),
    ]:
        d = GridwiseCategorical(LOGITS, HERE, mask, **choice)
        expected = torch.full((2,), math.log(legal), dtype=torch.float64)
        torch.testing.assert_close(log_legal_actions(d.of_agents), expected)
        assert d.entropy_normalized().item() == pytest.approx(1.0)


def test_logits_that_heads_do_not_fill():
    with pytest.raises(MaskShapeError) as caught:
        GridwiseCategorical(LOGITS, HERE, nvec=[2, 2])
    assert str(caught.value) == (
        "GridwiseCategorical: logits has shape (1, 5, 2, 2), A is 5, but the heads [2, 2] need 4; "
        "expected [..., A, H, W]."
    )
    with pytest.raises(MaskShapeError, match=r"A is 6, but ActionTree\(.*\) needs 5; .*N, A"):
        GridwiseCategorical.from_slots(torch.zeros(2, 6), torch.ones(2).bool(), tree=TREE)


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="nvec and tree are both given"):
        GridwiseCategorical(LOGITS, HERE, nvec=[3, 2], tree=TREE)
    with pytest.raises(ConfigError, match=r"tree is \[3, 2\]; expected a maskrl.ActionTree"):
        GridwiseCategorical(LOGITS, HERE, tree=[3, 2])
    with pytest.raises(ConfigError, match="nvec is "):
        GridwiseCategorical(LOGITS, HERE, nvec=[5.0])
    with pytest.raises(ConfigError, match="idle_action is 2; expected an integer from 0 to 1"):
        GridwiseCategorical(LOGITS, HERE, tree=TREE, idle_action=2)
    with pytest.raises(ConfigError, match="empty is \"?'uniform'"):
        GridwiseCategorical(LOGITS, HERE, empty="uniform")
    table = torch.ones(3, 2, 2, 2, dtype=torch.bool)
    for choice in ({}, {"tree": ActionTree(Head("a", 3), Head("target", 2))}):
        with pytest.raises(ConfigError, match="expected tables for heads of the tree that say"):
            GridwiseCategorical(LOGITS, HERE, head_masks={"target": table}, **choice)
    with pytest.raises(ConfigError, match="no head 'aim'"):
        GridwiseCategorical(LOGITS, HERE, tree=TREE, head_masks={"aim": table})


def test_a_missing_table_allows_everything():
    d = GridwiseCategorical(LOGITS, HERE, tree=TREE, head_masks={"target": None})
    assert d.entropy().item() == pytest.approx(2 * (math.log(3) + math.log(2) / 3))
    assert torch.equal(d.entropy(), GridwiseCategorical(LOGITS, HERE, tree=TREE).entropy())


def test_a_tree_too_large_for_exact_statistics():
    d = GridwiseCategorical(LOGITS, HERE, tree=TREE, max_enumeration=3)
    assert d.log_prob(d.sample()).isfinite().all()
    with pytest.raises(ConfigError, match=r"^GridwiseCategorical.entropy: .*max_enumeration is 3"):
        d.entropy()


def test_repr_says_between_what():
    for choice, says in [({"nvec": [2, 3]}, "nvec=[2, 3]"), ({"tree": TREE}, "target[2] by type")]:
        assert says in repr(GridwiseCategorical(LOGITS, HERE, **choice))
