"""`ConditionalCategorical` against enumeration of every joint action, written out here."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from maskrl.distributions import ConditionalCategorical, MaskedMultiCategorical
from maskrl.masks import ActionTree, Head

MICRORTS = ActionTree(
    Head("type", 6),
    Head("move", 4, relevant={"type": [1]}),
    Head("harvest", 4, relevant={"type": [2]}),
    Head("return", 4, relevant={"type": [3]}),
    Head("produce", 4, relevant={"type": [4]}),
    Head("what", 7, relevant={"type": [4]}),
    Head("attack", 49, relevant={"type": [5]}),
)

TREES = {
    "5 x 4 x 6, masks and logits by the head before": ActionTree(
        Head("a", 5),
        Head("b", 4, mask_by="a", logits_by="a"),
        Head("c", 6, mask_by="b", relevant={"a": [0, 1, 3]}),
    ),
    "three levels deep, each under the one before": ActionTree(
        Head("a", 3),
        Head("b", 3, relevant={"a": [1, 2]}, mask_by="a"),
        Head("c", 4, relevant={"b": [0, 2]}, logits_by="b"),
        Head("d", 2, relevant={"c": [1, 3], "a": [2]}, mask_by="c", logits_by="a"),
    ),
    "a head that goes by one that may not count": ActionTree(
        Head("a", 2),
        Head("b", 3, relevant={"a": [1]}),
        Head("c", 3, mask_by="b", logits_by="b"),
        Head("d", 2, mask_by="a"),
    ),
    "no dependence at all": ActionTree(Head("a", 3), Head("b", 4)),
}


class ByHand:
    """A conditional action in plain Python: one row, numbers in lists, nothing shared."""

    def __init__(self, tree, logits, flat, tables):
        self.tree, self.flat, self.tables = tree, flat.tolist(), tables
        self.logits, start = {}, 0
        for head, shape in zip(tree.heads, tree.logits_shapes, strict=True):
            count = math.prod(shape)
            self.logits[head.name] = logits[start : start + count].reshape(shape)
            start += count

    def scores(self, action):
        """Log-probability of every head, 0 where it does not count."""
        counts, out = {}, []
        for k, head in enumerate(self.tree.heads):
            value = dict(zip(self.tree.names, action, strict=True))
            counted = all(counts[n] and value[n] in of for n, of in head.relevant.items())
            counts[head.name] = counted
            if not counted:
                out.append(0.0)
                continue
            seen = {n: v if counts[n] else 0 for n, v in value.items() if n in counts}
            row = self.logits[head.name]
            row = row if head.logits_by is None else row[seen[head.logits_by]]
            start = sum(self.tree.nvec[:k])
            mask = torch.tensor(self.flat[start : start + head.size])
            if head.name in self.tables:
                mask = mask & self.tables[head.name][seen[head.mask_by]]
            allowed = mask.nonzero().flatten().tolist()
            if action[k] not in allowed:
                return None
            theirs = Categorical(logits=row[mask])
            out.append(theirs.log_prob(torch.tensor(allowed.index(action[k]))).item())
        return out

    def actions(self):
        """Every legal joint action once, 0 in heads that do not count, with its scores."""
        found = {}
        for action in itertools.product(*(range(n) for n in self.tree.nvec)):
            counts = self.tree.relevant(action)
            if all(c or a == 0 for c, a in zip(counts, action, strict=True)):
                scores = self.scores(action)
                if scores is not None:
                    found[action] = scores
        return found


def arguments(tree, batch=3, seed=0):
    """Random logits and masks for a tree in which every head always has a choice."""
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, tree.logits_size, dtype=torch.float64, generator=g)
    flat = torch.rand(batch, sum(tree.nvec), generator=g) < 0.7
    tables = {
        head.name: torch.rand(batch, tree.nvec[tree.position(head.mask_by)], head.size, generator=g)
        < 0.6
        for head in tree.heads
        if head.mask_by is not None
    }
    start = 0
    for head in tree.heads:
        flat[:, start] = True
        if head.name in tables:
            tables[head.name][..., 0] = True
        start += head.size
    return logits, flat, tables


def build(tree, batch=3, seed=0, **settings):
    logits, flat, tables = arguments(tree, batch, seed)
    hands = [
        ByHand(tree, logits[b], flat[b], {n: t[b] for n, t in tables.items()}) for b in range(batch)
    ]
    return ConditionalCategorical(tree, logits, flat, head_masks=tables, **settings), hands


@pytest.fixture(params=TREES, ids=list(TREES))
def tree(request):
    return TREES[request.param]


def every(tree):
    return torch.tensor(list(itertools.product(*(range(n) for n in tree.nvec))))


def test_every_joint_action_equals_enumeration(tree):
    d, hands = build(tree, validate_args=False)
    actions = every(tree)
    scores = d.log_prob(actions.unsqueeze(1).expand(-1, 3, -1))
    relevant = torch.from_numpy(tree.relevant(actions.numpy()))
    canonical = ((actions == 0) | relevant).all(-1)
    for row, hand in enumerate(hands):
        legal = hand.actions()
        expected = torch.tensor(
            [sum(legal.get(tuple(a), [-math.inf])) for a in actions[canonical].tolist()],
            dtype=torch.float64,
        )
        torch.testing.assert_close(scores[canonical, row], expected)
        assert abs(scores[canonical, row].exp().sum() - 1) < 1e-9
        assert (scores[canonical, row].exp()[expected == -math.inf] == 0).all()
        allowed = d.support.check(actions.unsqueeze(1).expand(-1, 3, -1))[canonical, row]
        assert torch.equal(allowed, expected > -math.inf)
        assert d.legal_actions()[row] == len(legal)


def test_what_stands_in_a_head_that_does_not_count_does_not_matter(tree):
    d, _ = build(tree, validate_args=False)
    actions = every(tree)
    counts = torch.from_numpy(tree.relevant(actions.numpy()))
    for garbage in (0, 77, -5):
        other = torch.where(counts, actions, garbage)
        a, b = (d.log_prob(x.unsqueeze(1).expand(-1, 3, -1)) for x in (actions, other))
        assert torch.equal(a, b)
        assert torch.equal(
            d.support.check(actions.unsqueeze(1)), d.support.check(other.unsqueeze(1))
        )


def test_entropy_mode_marginals_and_kl_equal_enumeration(tree):
    d, hands = build(tree)
    other = ConditionalCategorical(
        tree,
        arguments(tree, seed=9)[0],
        arguments(tree)[1],
        head_masks=arguments(tree)[2],
        validate_args=False,
    )
    for row, hand in enumerate(hands):
        legal = hand.actions()
        actions = torch.tensor(list(legal))
        parts = torch.tensor(list(legal.values()), dtype=torch.float64)
        log_p = parts.sum(-1)
        p = log_p.exp()
        assert d.entropy()[row].item() == pytest.approx(-(p * log_p).sum().item(), abs=1e-12)
        # Head k adds its own surprise, expected over everything.
        shares = -(p.unsqueeze(-1) * parts).sum(0)
        torch.testing.assert_close(d.entropy(reduce="none")[row], shares, atol=1e-12, rtol=0)
        assert d.mode[row].tolist() == actions[p.argmax()].tolist()
        normalized = -(p * log_p).sum().item() / max(math.log(len(legal)), 1e-300)
        assert len(legal) > 1 or d.entropy()[row] == 0
        assert d.entropy_normalized()[row].item() == pytest.approx(normalized)
        marginals = torch.zeros(sum(tree.nvec), dtype=torch.float64)
        start = 0
        for k, size in enumerate(tree.nvec):
            counts = torch.from_numpy(tree.relevant(actions.numpy()))[:, k]
            marginals.index_add_(0, start + actions[counts, k], p[counts])
            start += size
        torch.testing.assert_close(d.probs[row], marginals)
        log_q = other.log_prob(actions.unsqueeze(1))[:, row]
        expected = (p * (log_p - log_q)).sum().item()
        assert kl_divergence(d, other)[row].item() == pytest.approx(expected, abs=1e-12)


def test_scoring_equals_the_sampling_path_to_the_bit(tree):
    for batch in (1, 3):
        d, _ = build(tree, batch)
        actions, scores = d.sample_with_log_prob((200,), generator=torch.Generator().manual_seed(1))
        assert torch.equal(d.log_prob(actions, reduce="none"), scores)
        again = d.sample((200,), generator=torch.Generator().manual_seed(1))
        assert torch.equal(actions, again)
        assert d.support.check(actions).all()
        counts = torch.from_numpy(tree.relevant(actions.numpy()))
        assert (actions[~counts] == 0).all()
        assert (scores[~counts] == 0).all()


def test_sampled_frequencies_of_joint_actions(tree):
    # Chi-square over all joint actions of positive expectation, pooled below 5 expected.
    # The bound is the mean plus six standard deviations of the statistic, passed by chance
    # less than once in ten thousand trees; the seed is fixed.
    d, hands = build(tree, batch=1, seed=2)
    draws = 20_000
    sampled = d.sample((draws,), generator=torch.Generator().manual_seed(3))[:, 0]
    counts: dict[tuple[int, ...], int] = {}
    for action in sampled.tolist():
        counts[tuple(action)] = counts.get(tuple(action), 0) + 1
    legal = hands[0].actions()
    assert set(counts) <= set(legal)
    expected = {a: draws * math.exp(sum(s)) for a, s in legal.items()}
    large = [a for a, e in expected.items() if e >= 5]
    statistic = sum((counts.get(a, 0) - expected[a]) ** 2 / expected[a] for a in large)
    rest = draws - sum(expected[a] for a in large)
    if rest >= 5:
        seen = draws - sum(counts.get(a, 0) for a in large)
        statistic += (seen - rest) ** 2 / rest
    freedom = len(large)
    assert statistic < freedom + 6 * math.sqrt(2 * freedom)


def test_a_uniform_unit_of_microrts():
    d = ConditionalCategorical(MICRORTS, torch.zeros(2, 78, dtype=torch.float64))
    # log 6 + (3 log 4 + (log 4 + log 7) + log 49) / 6, as only the chosen type's heads count
    by_hand = math.log(6) + (4 * math.log(4) + math.log(7) + math.log(49)) / 6
    assert by_hand == pytest.approx(3.69, abs=0.005)
    torch.testing.assert_close(d.entropy(), torch.full((2,), by_hand, dtype=torch.float64))
    heads = MaskedMultiCategorical(torch.zeros(78, dtype=torch.float64), MICRORTS.nvec)
    assert heads.entropy().item() == pytest.approx(13.17, abs=0.005)
    assert d.legal_actions().tolist() == [1 + 4 + 4 + 4 + 28 + 49] * 2


def test_without_dependences_it_is_several_heads():
    tree = TREES["no dependence at all"]
    logits, flat, _ = arguments(tree)
    ours = ConditionalCategorical(tree, logits, flat)
    heads = MaskedMultiCategorical(logits, tree.nvec, flat)
    actions = heads.sample((20,))
    torch.testing.assert_close(ours.log_prob(actions, "none"), heads.log_prob(actions, "none"))
    torch.testing.assert_close(ours.entropy(reduce="none"), heads.entropy(reduce="none"))
    torch.testing.assert_close(ours.probs, heads.probs)
    assert torch.equal(ours.mode, heads.mode)


def test_gradients_of_everything(tree):
    logits, flat, tables = arguments(tree, batch=2)
    actions = ConditionalCategorical(tree, logits, flat, head_masks=tables).sample((3,))
    other = ConditionalCategorical(tree, logits.flip(-1), flat, head_masks=tables)

    def scored(logits):
        d = ConditionalCategorical(tree, logits, flat, head_masks=tables)
        return torch.cat(
            [d.log_prob(actions).sum(0), d.entropy(), kl_divergence(d, other), d.probs[:, 0]]
        )

    assert torch.autograd.gradcheck(scored, logits.clone().requires_grad_())


def test_the_gradient_of_the_entropy_reaches_the_earlier_head():
    # Entropy = H(type) + p(1) log 4 with equal logits of the target: a network that is
    # rewarded for entropy must learn to prefer type 1, whose parameter is free.
    tree = ActionTree(Head("type", 2), Head("target", 4, relevant={"type": [1]}))
    logits = torch.zeros(6, dtype=torch.float64).requires_grad_()
    ConditionalCategorical(tree, logits).entropy().backward()
    # d H(type) = 0 at equal logits; d p(1) = (-1/4, 1/4)
    expected = [-math.log(4) / 4, math.log(4) / 4, 0.0, 0.0, 0.0, 0.0]
    torch.testing.assert_close(logits.grad, torch.tensor(expected, dtype=torch.float64))


def test_probability_zero_by_a_logit_is_legal(tree):
    logits, flat, tables = arguments(tree)
    logits[:, 0] = -math.inf  # the first choice of the first head, where another is allowed
    flat[:, 1] = True
    leaf = logits.requires_grad_()
    d = ConditionalCategorical(tree, leaf, flat, head_masks=tables)
    assert (d.sample((200,))[..., 0] != 0).all()
    assert (d.probs[:, 0] == 0).all()
    (d.entropy().sum() + d.log_prob(d.mode).sum() + kl_divergence(d, d).sum()).backward()
    assert leaf.grad.isfinite().all()
    assert (leaf.grad[:, 0] == 0).all()


def test_many_small_random_trees_equal_enumeration():
    g = torch.Generator().manual_seed(7)

    def integer(low, high):
        return int(torch.randint(low, high, (), generator=g))

    for seed in range(25):
        heads = []
        for k in range(integer(1, 5)):
            earlier = [head for head in heads if integer(0, 2)]
            relevant = {
                head.name: sorted({integer(0, head.size), integer(0, head.size)})
                for head in earlier[:2]
            }
            by = [None, *(head.name for head in heads)]
            heads.append(
                Head(
                    f"h{k}",
                    integer(1, 4),
                    relevant,
                    mask_by=by[integer(0, len(by))],
                    logits_by=by[integer(0, len(by))],
                )
            )
        d, hands = build(ActionTree(*heads), batch=2, seed=seed)
        for row, hand in enumerate(hands):
            log_p = torch.tensor([sum(s) for s in hand.actions().values()], dtype=torch.float64)
            entropy = -(log_p.exp() * log_p).sum()
            torch.testing.assert_close(d.entropy()[row], entropy, atol=1e-12, rtol=0)
            assert d.legal_actions()[row] == len(log_p)
            torch.testing.assert_close(d.log_prob(d.mode)[row], log_p.max())
