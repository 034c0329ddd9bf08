"""Cells, slots and packed rows of the same agents give the same numbers, forward and backward."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch.distributions import kl_divergence

from maskrl.distributions import ConditionalCategorical, GridwiseCategorical
from maskrl.errors import DisallowedActionError, MaskError, MaskShapeError, NoAllowedActionError
from maskrl.masks import ActionTree, Head

B, H, W = 4, 3, 3


def random(seed):
    return torch.Generator().manual_seed(seed)


# Type 1 has a direction, whose logits differ by type; type 2 has a target, whose mask does.
TREE = ActionTree(
    Head("type", 3),
    Head("way", 2, {"type": [1, 2]}, logits_by="type"),
    Head("target", 4, {"type": [2]}, mask_by="way"),
)
CHOICES = {
    "one action": (6, 6, {}),
    "two heads": (6, 6, {"nvec": (2, 4)}),
    "a tree": (13, 9, {"tree": TREE}),
}

AGENT_MASK = torch.zeros(B, H, W, dtype=torch.bool)
AGENT_MASK[1] = True
AGENT_MASK[2, 2, 0] = True
AGENT_MASK[3] = torch.rand(H, W, generator=random(1)) > 0.4
COUNTS = AGENT_MASK.sum((1, 2))
OFFSETS = torch.cat([torch.zeros(1, dtype=torch.int64), COUNTS.cumsum(0)])
SLOTS = 9


def features_of(cells):
    """Features `[M, F]` of the agents in cells `[B, F, H, W]`, agent after agent."""
    return torch.stack([cells[b, ..., y, x] for b, y, x in AGENT_MASK.nonzero().tolist()])


def in_slots(cells, fill):
    """The same in slots `[B, N, F]`, each row's agents first."""
    rows = features_of(cells)
    slots = torch.full((B, SLOTS, *rows.shape[1:]), fill, dtype=rows.dtype)
    for b in range(B):
        slots[b, : COUNTS[b]] = rows[OFFSETS[b] : OFFSETS[b + 1]]
    return slots


def settings_of(name):
    logits_size, mask_size, choice = CHOICES[name]
    logits = torch.randn(B, logits_size, H, W, dtype=torch.float64, generator=random(2))
    mask = torch.rand(B, mask_size, H, W, generator=random(3)) > 0.2
    mask[:, 0] = mask[:, 3] = mask[:, -1] = True
    if name == "two heads":
        mask[:, 2] = True
    table = torch.rand(B, 2, 4, H, W, generator=random(4)) > 0.3
    table[:, :, -1] = True
    return logits, mask, table, choice


def layouts(name, **more):
    """For each layout: the leaf of its logits, the distribution, and its agents' rows."""
    logits, mask, table, choice = settings_of(name)
    of_slots, of_rows = in_slots(logits, torch.nan), features_of(logits)
    present = torch.arange(SLOTS) < COUNTS.unsqueeze(1)
    tables = [table, in_slots(table, False), features_of(table)]
    leaves = [x.clone().requires_grad_() for x in (logits, of_slots, of_rows)]
    made = []
    for i, (make, leaf, agents, allowed) in enumerate(
        [
            (GridwiseCategorical, leaves[0], AGENT_MASK, mask),
            (GridwiseCategorical.from_slots, leaves[1], present, in_slots(mask, False)),
            (GridwiseCategorical.from_packed, leaves[2], OFFSETS, features_of(mask)),
        ]
    ):
        given = dict(choice, head_masks={"target": tables[i]}) if "tree" in choice else choice
        made.append(make(leaf, agents, allowed, **given, **more))
    return leaves, made, present


def rows_of(d, x):
    """What belongs to each agent, row after row, from a tensor in the distribution's layout."""
    if d.agent_mask.ndim == 1:
        return x
    if d.agent_mask.shape[1:] == (H, W):
        return features_of(x)
    return x[d.agent_mask]


@pytest.mark.parametrize("name", CHOICES)
def test_the_three_layouts_agree_forward_and_backward(name):
    leaves, made, present = layouts(name)
    draws = [d.sample(generator=random(5)) for d in made]
    drawn = [rows_of(d, actions) for d, actions in zip(made, draws, strict=True)]
    assert torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn[1], drawn[2])
    for statistic in (
        lambda d, actions: d.log_prob(actions),
        lambda d, actions: d.entropy(),
        lambda d, actions: d.entropy(reduce="mean"),
        lambda d, actions: d.entropy_normalized(),
        lambda d, actions: d.agent_counts,
        lambda d, actions: kl_divergence(d, d),
        lambda d, actions: rows_of(d, d.mode),
        lambda d, actions: rows_of(d, d.probs),
        lambda d, actions: rows_of(d, d.logits),
        lambda d, actions: rows_of(d, d.action_mask),
        lambda d, actions: rows_of(d, d.log_prob(actions, reduce="agent")),
        lambda d, actions: rows_of(d, d.log_prob(actions, reduce="none")),
        lambda d, actions: rows_of(d, d.entropy(reduce="agent")),
        lambda d, actions: rows_of(d, d.entropy(reduce="none")),
    ):
        cells, slots, packed = (statistic(d, a) for d, a in zip(made, draws, strict=True))
        torch.testing.assert_close(cells, packed, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(slots, packed, rtol=1e-6, atol=1e-6)
    for d, actions in zip(made, draws, strict=True):
        weights = torch.arange(1.0, B + 1)
        (weights * (d.log_prob(actions) + d.entropy()) + d.entropy_normalized()).sum().backward()
    rows = leaves[2].grad
    assert (rows != 0).any()
    torch.testing.assert_close(features_of(leaves[0].grad), rows, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(leaves[1].grad[present], rows, rtol=1e-6, atol=1e-6)
    assert (leaves[0].grad.movedim(1, -1)[~AGENT_MASK] == 0).all()
    assert (leaves[1].grad[~present] == 0).all()


@pytest.mark.parametrize("name", CHOICES)
def test_events_have_the_shapes_of_their_layout(name):
    _, (cells, slots, packed), _ = layouts(name)
    heads = len(CHOICES[name][2].get("nvec", TREE.nvec)) if CHOICES[name][2] else None
    k = () if heads is None else (heads,)
    assert cells.event_shape == (*k, H, W)
    assert slots.event_shape == (SLOTS, *k)
    assert packed.event_shape == k
    assert cells.batch_shape == slots.batch_shape == packed.batch_shape == (B,)
    m = int(COUNTS.sum())
    assert packed.sample((7, 2)).shape == (7, 2, m, *k)
    assert packed.log_prob(packed.sample((7, 2))).shape == (7, 2, B)
    assert packed.log_prob(packed.mode, reduce="agent").shape == (m,)
    for d in (cells, slots, packed):
        assert d.support.event_dim == len(d.event_shape)
        assert d.support.check(d.sample((3,))).all()
    assert cells.support.check(cells.mode).shape == slots.support.check(slots.mode).shape == (B,)
    assert packed.support.check(packed.mode).shape == (m,)


def test_an_agent_with_a_tree_is_a_conditional_categorical():
    logits, mask, table, choice = settings_of("a tree")
    d = GridwiseCategorical(logits, AGENT_MASK, mask, head_masks={"target": table}, **choice)
    actions = d.sample((6,), generator=random(6))
    for b, y, x in AGENT_MASK.nonzero().tolist():
        single = ConditionalCategorical(
            TREE, logits[b, :, y, x], mask[b, :, y, x], head_masks={"target": table[b, ..., y, x]}
        )
        ours = d.log_prob(actions, reduce="agent")[:, b, y, x]
        torch.testing.assert_close(ours, single.log_prob(actions[:, b, :, y, x]))
        torch.testing.assert_close(d.entropy(reduce="agent")[b, y, x], single.entropy())
        torch.testing.assert_close(d.probs[b, :, y, x], single.probs)


def test_the_mean_surprise_of_trees_is_the_summed_entropy():
    # 20,000 events: five standard errors are exceeded once in a million; the seed is fixed.
    d = layouts("a tree")[1][2]
    surprise = -d.log_prob(d.sample((20_000,), generator=random(7)))
    error = surprise.std(0) / 20_000**0.5
    assert ((surprise.mean(0) - d.entropy()).abs() <= 5 * error + 1e-12).all()


def test_permuting_slots_permutes_what_agents_do():
    logits, mask, _, choice = settings_of("two heads")
    order = torch.randperm(SLOTS, generator=random(8))
    slots, allowed = in_slots(logits, 0.0), in_slots(mask, True)
    present = torch.arange(SLOTS) < COUNTS.unsqueeze(1)
    d = GridwiseCategorical.from_slots(slots, present, allowed, **choice)
    other = GridwiseCategorical.from_slots(
        slots[:, order], present[:, order], allowed[:, order], **choice
    )
    assert torch.equal(other.mode, d.mode[:, order])
    torch.testing.assert_close(other.entropy(), d.entropy())
    torch.testing.assert_close(other.log_prob(other.mode), d.log_prob(d.mode))


def test_more_slots_change_nothing():
    logits, mask, _, _ = settings_of("one action")
    slots, allowed = in_slots(logits, 0.0), in_slots(mask, True)
    present = torch.arange(SLOTS) < COUNTS.unsqueeze(1)
    d = GridwiseCategorical.from_slots(slots, present, allowed)

    def padded(x, fill):
        return torch.cat([x, torch.full_like(x[:, :5], fill)], 1)

    more = GridwiseCategorical.from_slots(
        padded(slots, torch.inf), padded(present, False), padded(allowed, False)
    )
    assert torch.equal(more.entropy(), d.entropy())
    assert torch.equal(more.mode[:, :SLOTS], d.mode)
    assert torch.equal(more.log_prob(more.mode), d.log_prob(d.mode))


def test_one_mask_row_holds_for_all_slots():
    logits = torch.randn(2, 3, 4, generator=random(9))
    row = torch.tensor([True, False, True, True])
    there = torch.tensor([True, True, False])
    d = GridwiseCategorical.from_slots(logits, there, row)
    assert torch.equal(d.action_mask, row.expand(2, 3, 4))
    assert (d.probs[..., 1] == 0).all()


def test_an_expanded_packed_distribution_repeats_its_rows():
    d = layouts("two heads")[1][2]
    m = int(COUNTS.sum())
    wide = d.expand((2, 3, B))
    actions = wide.sample((5,))
    assert actions.shape == (5, 2, 3, m, 2)
    assert wide.log_prob(actions).shape == (5, 2, 3, B)
    assert wide.agent_counts.shape == wide.entropy().shape == (2, 3, B)
    assert torch.equal(wide.entropy(), d.entropy().expand(2, 3, B))
    torch.testing.assert_close(wide.log_prob(actions), d.log_prob(actions))
    with pytest.raises(MaskShapeError, match=r"batch_shape is \(2, 5\); expected \(\.\.\., 4\)"):
        d.expand((2, 5))


@pytest.mark.parametrize("duplicate", [lambda d: pickle.loads(pickle.dumps(d)), copy.copy])
@pytest.mark.parametrize("name", CHOICES)
def test_copies_of_every_layout(name, duplicate):
    for d in layouts(name)[1]:
        other = duplicate(d)
        assert torch.equal(other.probs, d.probs)
        assert torch.equal(other.mode, d.mode)


def test_nobody_at_all_in_any_layout():
    nobody = torch.zeros(2, 3, dtype=torch.bool)
    slots = GridwiseCategorical.from_slots(torch.zeros(2, 3, 4), nobody, tree=None)
    packed = GridwiseCategorical.from_packed(torch.zeros(0, 4), torch.tensor([0, 0, 0]))
    trees = GridwiseCategorical.from_slots(torch.zeros(2, 3, 13), nobody, tree=TREE)
    for d in (slots, packed, trees):
        assert d.entropy().tolist() == d.log_prob(d.mode).tolist() == [0, 0]
        assert d.entropy_normalized().tolist() == [0, 0]
        assert kl_divergence(d, d).tolist() == [0, 0]
    empty = GridwiseCategorical.from_packed(torch.zeros(0, 4), torch.tensor([0]))
    assert empty.sample((2,)).shape == (2, 0)
    assert empty.entropy().shape == (0,)


def test_messages_name_agents_in_each_layout():
    mask = torch.ones(5, 2, dtype=torch.bool)
    mask[3] = False
    offsets = torch.tensor([0, 2, 2, 5])
    logits = torch.zeros(5, 2)
    with pytest.raises(NoAllowedActionError, match=r"row \(2,\), agent 1 \(packed row 3\)"):
        GridwiseCategorical.from_packed(logits, offsets, mask)
    with pytest.raises(NoAllowedActionError, match=r"row \(0,\), slot 3 "):
        GridwiseCategorical.from_slots(
            logits[None], torch.tensor([False, True, True, True, True]), mask
        )
    d = GridwiseCategorical.from_packed(logits, offsets)
    with pytest.raises(DisallowedActionError, match=r"action 2 in row \(0, 2\), agent 2 \(packed"):
        d.log_prob(torch.tensor([[0, 0, 0, 0, 2]]))
    tree = ActionTree(Head("type", 2), Head("target", 2, {"type": [1]}))
    targets = torch.ones(5, 4, dtype=torch.bool)
    targets[3, 2:] = False
    with pytest.raises(NoAllowedActionError) as caught:
        GridwiseCategorical.from_packed(torch.zeros(5, 4), offsets, targets, tree=tree)
    assert str(caught.value).startswith("GridwiseCategorical: action_mask allows nothing in row ")
    assert "row (2,), agent 1 (packed row 3), head 1 ('target'" in str(caught.value)
    d = GridwiseCategorical.from_slots(torch.zeros(1, 2, 4), torch.tensor([0, 1]).bool(), tree=tree)
    with pytest.raises(
        DisallowedActionError, match=r"^GridwiseCat.* in row \(0,\), slot 1, head 1"
    ):
        d.log_prob(torch.tensor([[[0, 0], [1, 3]]]))


def test_kl_needs_the_same_division():
    p = GridwiseCategorical.from_packed(torch.zeros(5, 2), torch.tensor([0, 2, 5]))
    q = GridwiseCategorical.from_packed(torch.zeros(5, 2), torch.tensor([0, 3, 5]))
    with pytest.raises(MaskError, match=r"first at offsets\[1\], 2 in p and 3 in q"):
        kl_divergence(p, q)


def test_a_misspelt_setting_is_refused_and_not_ignored():
    logits, here = torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(TypeError, match=r"no such settings: \['emtpy', 'nvecs'\]"):
        GridwiseCategorical.from_slots(logits, here, nvecs=[2, 2], emtpy="idle")
    with pytest.raises(TypeError, match=r"no such settings: \['idle'\]"):
        GridwiseCategorical.from_packed(logits[0], torch.tensor([0, 3]), idle=0)


@pytest.mark.parametrize("acting", [torch.no_grad, torch.inference_mode])
def test_a_distribution_made_while_acting_has_gradients_later(acting):
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(3)).requires_grad_()
    here = torch.tensor([[True, False, True], [False, True, True]])
    first = logits[0]
    builders = [
        lambda: GridwiseCategorical.from_slots(logits, here),
        lambda: GridwiseCategorical.from_slots(logits, here, nvec=[2, 2]),
        lambda: GridwiseCategorical.from_slots(logits, here).expand((3, 2)),
        lambda: GridwiseCategorical.from_packed(first, torch.tensor([0, 1, 3])),
    ]
    for build in builders:
        expected = torch.autograd.grad(build().entropy().sum(), logits, retain_graph=True)[0]
        with acting():
            d = build()
            d.sample()
        found = torch.autograd.grad(d.entropy().sum(), logits, retain_graph=True)[0]
        assert torch.equal(found, expected)
    wide = GridwiseCategorical.from_slots(logits, here)
    with acting():
        wide = wide.expand((3, 2))
    assert torch.autograd.grad(wide.entropy().sum(), logits)[0].abs().sum() > 0
