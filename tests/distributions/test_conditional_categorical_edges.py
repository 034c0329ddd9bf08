"""`ConditionalCategorical` at its edges: idle heads, poison, messages, tracing."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.distributions import kl_divergence

from maskrl.distributions import ConditionalCategorical, conditional_categorical
from maskrl.errors import (
    ConfigError,
    DisallowedActionError,
    MaskShapeError,
    NoAllowedActionError,
    NonFiniteLogitsError,
)
from maskrl.masks import ActionTree, Head

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


def test_what_cannot_be_reached_may_be_empty():
    # Row 0: unit 2 is disallowed, so that its empty target row does not matter; nor does
    # the empty move row of unit 2, under which move does not count. Row 1: unit 1 likewise.
    d = make()
    assert d.sample((50,)).shape == (50, 2, 3)
    assert d.legal_actions().tolist() == [4, 2]


def test_a_reachable_head_without_a_choice_is_refused_and_named():
    moves = MOVES.clone()
    moves[0, 1] = False
    message = r"allows nothing in row \(0,\), head 1 \('move' after unit=1\)"
    for validate in (None, False):
        with pytest.raises(NoAllowedActionError, match=message):
            make(moves=moves, validate_args=validate)
    # Where the tables are too large to look through, the path that meets it says so.
    late = make(moves=moves, max_enumeration=1)
    with pytest.raises(NoAllowedActionError, match=message):
        late.log_prob(torch.tensor([[1, 0, 0], [0, 1, 0]]))
    with pytest.raises(NoAllowedActionError, match=message):
        late.sample((100,))


def test_an_empty_head_below_a_disallowed_choice_scores_minus_infinity():
    moves = MOVES.clone()
    moves[1, 1] = False
    d = make(moves=moves, validate_args=False)
    # unit 1 is disallowed in row 1, and its moves are all disallowed
    assert d.log_prob(torch.tensor([[1, 1, 0], [1, 0, 0]]))[1] == -math.inf


def test_an_idle_head_takes_no_decision():
    moves = MOVES.clone()
    moves[0, 1] = False
    logits = LOGITS.clone().requires_grad_()
    d = make(logits, moves=moves, empty="idle", idle_action=1)
    actions = d.sample((200,), generator=torch.Generator().manual_seed(1))
    idle = actions[:, 0, 0] == 1
    assert idle.any()
    assert (actions[idle, 0, 1] == 1).all()
    scores = d.log_prob(actions, reduce="none")
    assert (scores[idle, 0, 1] == 0).all()
    assert d.support.check(actions).all()
    # unit 0 has two moves, unit 1 none: by hand H(unit) + p(0) H(move after 0)
    p = LOGITS[0, :2].softmax(-1)
    q = LOGITS[0, [3, 6]].softmax(-1)
    expected = -(p * p.log()).sum() - p[0] * (q * q.log()).sum()
    torch.testing.assert_close(d.entropy()[0].detach(), expected)
    assert d.legal_actions()[0] == 3
    assert kl_divergence(d, d).tolist() == [0.0, 0.0]
    whole = make(moves=torch.where(moves.any(-1, keepdim=True), moves, True), validate_args=False)
    assert kl_divergence(d, whole)[0] == math.inf
    assert kl_divergence(whole, d)[0] == math.inf
    wrong = torch.tensor([[1, 0, 0], [0, 1, 0]])
    with pytest.raises(DisallowedActionError, match=r"takes no decision, which is idle_action=1"):
        d.log_prob(wrong)
    (d.entropy().sum() + d.log_prob(d.mode).sum()).backward()
    assert logits.grad.isfinite().all()


def test_a_later_head_depends_on_the_idle_choice():
    tree = ActionTree(Head("a", 2), Head("b", 3, relevant={"a": [1]}))
    d = ConditionalCategorical(
        tree,
        torch.zeros(5, dtype=torch.float64),
        torch.tensor([False, False, True, True, True]),
        empty="idle",
        idle_action=1,
    )
    assert d.entropy().item() == pytest.approx(math.log(3))
    assert (d.sample((20,))[:, 0] == 1).all()
    assert d.probs.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("poison", [1e30, -math.inf, math.inf, math.nan])
def test_x1_what_no_allowed_path_reads_changes_nothing(poison, dtype):
    # Row 0 reaches units 0 and 1 with all moves between them and no target; row 1 reaches
    # unit 0 with move 1 and unit 2 with target 0.
    read = torch.tensor(
        [[1, 1, 0, 1, 1, 1, 1, 0, 0], [1, 0, 1, 0, 1, 0, 0, 1, 0]],
        dtype=torch.bool,
    )
    results = []
    for logits in (LOGITS.to(dtype), torch.where(read, LOGITS.to(dtype), poison)):
        leaf = logits.clone().requires_grad_()
        d = make(leaf)
        uniform = make(torch.zeros_like(logits))
        total = d.log_prob(d.mode).sum() + d.entropy().sum() + d.probs.square().sum()
        total = total + kl_divergence(d, uniform).sum() + kl_divergence(uniform, d).sum()
        total.backward()
        draws = d.sample((20,), generator=torch.Generator().manual_seed(2))
        results.append((total.detach(), d.entropy().detach(), draws, leaf.grad))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert (results[1][3][~read] == 0).all()


def test_x13_an_allowed_logit_that_is_no_number():
    logits = LOGITS.clone()
    logits[0, 5] = math.nan  # move 2, allowed after unit 1 only
    message = r"nan at row \(0,\), head 1 \('move' after unit=1\), action 2"
    with pytest.raises(NonFiniteLogitsError, match=message):
        make(logits)
    unchecked = make(logits, validate_args=False)
    assert unchecked.entropy()[0].isnan()
    assert not unchecked.entropy()[1].isnan()
    with pytest.raises(NonFiniteLogitsError):
        unchecked.sample((100,))
    with pytest.raises(NonFiniteLogitsError):
        _ = unchecked.mode
    with pytest.raises(NonFiniteLogitsError, match=message):
        make(logits, max_enumeration=1).log_prob(torch.tensor([[1, 1, 0], [0, 1, 0]]))


def test_x6_a_disallowed_choice():
    d = make()
    for action, message in [
        ([2, 0, 0], r"action 2 in row \(0,\), head 0 \('unit'\) is disallowed.*allows \[0, 1\]"),
        ([0, 1, 0], r"action 1 in row \(0,\), head 1 \('move' after unit=0\) is disallowed"),
        ([0, 4, 0], r"action 4 in row \(0,\), head 1 .* is outside 0\.\.3"),
    ]:
        with pytest.raises(DisallowedActionError, match=message):
            d.log_prob(torch.tensor([action, [0, 1, 0]]))
    logits = LOGITS.clone().requires_grad_()
    scores = make(logits, validate_args=False).log_prob(torch.tensor([[0, 1, 0], [0, 1, 0]]))
    assert scores[0] == -math.inf
    scores.sum().backward()
    # the head that is -inf is a constant; the unit's own head still learns
    assert (logits.grad[0, 3:] == 0).all()
    assert logits.grad.isfinite().all()
    assert (logits.grad[0, :2] != 0).all()


def test_beyond_the_enumeration_there_is_an_unbiased_estimate():
    d, small = make(), make(max_enumeration=5)
    for ask in (small.entropy, small.entropy_normalized, small.legal_actions):
        with pytest.raises(ConfigError, match="max_enumeration is 5"):
            ask()
    with pytest.raises(ConfigError, match="max_enumeration"):
        _ = small.probs
    with pytest.raises(ConfigError, match="max_enumeration"):
        kl_divergence(small, d)
    # 20,000 sampled paths: the heads' entropies lie within [0, log 8], so that a mean is off
    # by 0.05 less than once in a million; the seed is fixed.
    estimate = small.entropy_estimate(20_000, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(estimate, d.entropy(), atol=0.05, rtol=0)
    with pytest.raises(ConfigError, match="samples is 0"):
        small.entropy_estimate(0)


def test_the_gradient_of_the_estimate_is_unbiased():
    # 40,000 paths with entropies below log 8 and scores of order 1: an error of 0.05 in a
    # gradient is more than six standard errors; the seed is fixed.
    exact, estimated = (LOGITS.clone().requires_grad_() for _ in range(2))
    make(exact).entropy().sum().backward()
    generator = torch.Generator().manual_seed(5)
    make(estimated).entropy_estimate(40_000, generator=generator).sum().backward()
    torch.testing.assert_close(estimated.grad, exact.grad, atol=0.05, rtol=0)
    assert exact.grad.abs().max() > 0.1


def test_the_mode_is_greedy_beyond_the_enumeration():
    # Greedy takes unit 0 (.4) and its best of four equal moves: .1; the mode is unit 2 (.35).
    logits = torch.tensor([0.4, 0.25, 0.35]).log()
    logits = torch.cat([logits, torch.zeros(4), torch.tensor([0.0, -math.inf])])
    assert ConditionalCategorical(TREE, logits).mode.tolist() == [2, 0, 0]
    assert ConditionalCategorical(TREE, logits, max_enumeration=1).mode.tolist() == [0, 0, 0]


@pytest.mark.parametrize("backend", ["aot_eager"])
def test_compiled(backend):
    def everything(logits, flat, moves, actions):
        d = make(logits, flat, moves, empty="idle")
        return d.log_prob(actions), d.entropy(), d.probs, d.mode, d.sample()

    actions = torch.tensor([[0, 3, 0], [2, 0, 0]])
    ours = torch.compile(everything, backend=backend, fullgraph=True)(LOGITS, FLAT, MOVES, actions)
    eager = everything(LOGITS, FLAT, MOVES, actions)
    for a, b in zip(ours[:4], eager[:4], strict=True):
        torch.testing.assert_close(a, b)
    assert make().support.check(ours[4]).all()
    with pytest.raises(Exception, match='empty="raise" has to look'):
        torch.compile(lambda x: make(x, FLAT, MOVES).entropy(), backend=backend)(LOGITS)


def test_vmapped():
    def entropy(logits, flat, moves):
        return make(logits, flat, moves, empty="idle").entropy()

    mapped = torch.func.vmap(entropy)(LOGITS, FLAT, MOVES)
    torch.testing.assert_close(mapped, make().entropy())


def test_an_empty_batch():
    d = make(LOGITS[:0], FLAT[:0], MOVES[:0])
    assert d.sample((3,)).shape == (3, 0, 3)
    assert d.log_prob(d.sample()).shape == d.entropy().shape == (0,)


def test_a_tree_met_first_while_acting_can_be_trained_with_later():
    """What is kept with a tree must not be an inference tensor."""
    tree = ActionTree(Head("type", 2), Head("target", 3, relevant={"type": [1]}))
    with torch.inference_mode():
        ConditionalCategorical(tree, torch.zeros(4, 5)).sample()
    logits = torch.zeros(4, 5, requires_grad=True)
    ConditionalCategorical(tree, logits).entropy().sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_rows_that_no_draw_leads_to_are_named_without_its_choices():
    # a table of masks is announced and not given, so that every choice of unit shares a row
    tree = ActionTree(Head("unit", 3), Head("move", 4, mask_by="unit"))
    d = ConditionalCategorical(tree, torch.zeros(2, 7))
    actions = torch.tensor([[0, 0], [2, 9]]).expand(5, 2, 2)
    with pytest.raises(
        DisallowedActionError, match=r"action 9 in row \(1,\), head 1 .*unit=2.* 0\.\.3"
    ):
        d.log_prob(actions)
    logits = torch.zeros(2, 7)
    logits[1, 5] = math.nan
    d = ConditionalCategorical(tree, logits, validate_args=False)
    with pytest.raises(
        NonFiniteLogitsError, match=r"nan at row \(1,\), head 1 \('move'\), action 2"
    ):
        d.sample((5,))


def test_the_mask_that_allows_nothing_is_named():
    nothing = torch.zeros(3, 4, dtype=torch.bool)
    for flat, name in [
        (None, r"head_masks\['move'\]"),
        (FLAT, r"action_mask with head_masks\['move'\]"),
    ]:
        with pytest.raises(NoAllowedActionError, match=rf": {name} allows nothing in row"):
            make(flat=flat, moves=nothing)
        with pytest.raises(NoAllowedActionError, match=rf": {name} allows nothing in row"):
            make(flat=flat, moves=nothing, max_enumeration=1).sample()


def test_no_setting_makes_a_choice_that_there_is_not():
    for validate in (None, False):
        with pytest.raises(DisallowedActionError, match=r"outside 0\.\.2, the choices") as caught:
            make(validate_args=validate).log_prob(torch.tensor([3, 0, 0]))
        assert "validate_args" not in str(caught.value)


def test_batches_of_a_divergence_broadcast():
    # three rows, as many as unit has choices: prefixes must not be taken for rows
    logits = torch.randn(3, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    one, many = make(logits[0], FLAT[0], MOVES[0]), make(logits, FLAT[0], MOVES[0])
    expected = [kl_divergence(one, make(row, FLAT[0], MOVES[0])) for row in logits]
    torch.testing.assert_close(kl_divergence(one, many), torch.stack(expected))
    expected = [kl_divergence(make(row, FLAT[0], MOVES[0]), one) for row in logits]
    torch.testing.assert_close(kl_divergence(many, one), torch.stack(expected))
    with pytest.raises(MaskShapeError, match=r"p has the batch \(3,\), q \(2,\)"):
        kl_divergence(many, make())


@pytest.mark.parametrize("acting", [torch.no_grad, torch.inference_mode])
def test_what_is_built_while_acting_can_be_trained(acting):
    gradients = []
    for grad in (True, False):
        logits = LOGITS.clone().requires_grad_()
        with torch.enable_grad() if grad else acting():
            d = make(logits).expand((3, 2))
            assert d.probs.shape == (3, 2, 9)
        (d.entropy().sum() + d.log_prob(make().mode).sum()).backward()
        gradients.append(logits.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0


def test_a_disallowed_prefix_is_not_read():
    # after the disallowed unit 2 stands a logit that is no number
    tree = ActionTree(Head("unit", 3), Head("move", 2, logits_by="unit"))
    logits = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    logits[7:] = math.nan
    logits.requires_grad_()
    masks = {"unit": torch.tensor([True, True, False])}
    d = ConditionalCategorical(tree, logits, masks, validate_args=False)
    scores = d.log_prob(torch.tensor([[0, 1], [2, 1], [1, 0]]))
    assert scores.isfinite().tolist() == [True, False, True]
    assert scores[1] == -math.inf
    scores.sum().backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[7:] == 0).all()


def test_x13_statistics_of_what_is_no_number_are_nan_or_refused():
    tree = ActionTree(Head("unit", 3), Head("move", 2))
    logits = {"unit": torch.zeros(3), "move": lambda prefix: torch.tensor([0.0, math.nan])}
    for statistic in (lambda d: d.entropy(), lambda d: d.probs, lambda d: d.logits):
        with pytest.raises(
            NonFiniteLogitsError, match=r"nan at row \(\), head 1 \('move' after unit=0"
        ):
            statistic(ConditionalCategorical(tree, logits))
        unchecked = statistic(ConditionalCategorical(tree, logits, validate_args=False))
        assert unchecked.flatten()[-2:].isnan().all()


def test_the_estimate_has_the_dtype_of_the_other_statistics():
    torch.set_default_dtype(torch.float64)
    try:
        estimate = make(LOGITS.float()).entropy_estimate(2)
    finally:
        torch.set_default_dtype(torch.float32)
    assert estimate.dtype == torch.float32


def test_a_large_sample_is_drawn_in_parts(monkeypatch):
    d = make()
    monkeypatch.setattr(conditional_categorical, "DRAWS", 80)
    rows = []
    once = ConditionalCategorical.sample_with_log_prob
    monkeypatch.setattr(
        ConditionalCategorical,
        "sample_with_log_prob",
        lambda self, shape, **how: rows.append(shape) or once(self, shape, **how),
    )
    actions = d.sample((5, 5), generator=torch.Generator().manual_seed(0))
    assert actions.shape == (5, 5, 2, 3)
    assert rows == [(10,), (10,), (5,)]
    assert d.support.check(actions).all()
    assert len(actions.reshape(-1, 6).unique(dim=0)) > 3


def test_more_actions_than_a_float_can_count():
    sizes = [30] * 250  # 30^250 is beyond 1e308
    tree = ActionTree(
        *(Head(f"h{k}", n, mask_by=f"h{k - 1}" if k % 2 else None) for k, n in enumerate(sizes))
    )
    d = ConditionalCategorical(tree, torch.zeros(2, tree.logits_size, dtype=torch.float64))
    assert d.legal_actions().tolist() == [math.inf, math.inf]
    torch.testing.assert_close(d.entropy_normalized(), torch.ones(2, dtype=torch.float64))
    masks = {name: torch.arange(30) < 2 for name in tree.names}
    d = ConditionalCategorical(tree, torch.zeros(tree.logits_size), masks)
    assert d.legal_actions().item() == 2.0**250


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_enumeration": None}, "max_enumeration is None; expected an integer of at least 1"),
        ({"head_masks": FLAT}, "head_masks has type Tensor; expected a mapping from names"),
        ({"depends_on": ["move"]}, "depends_on has type list; expected a mapping"),
        ({"depends_on": {"move": "unit"}}, r"depends_on\['move'\] is 'unit'; expected a sequence"),
        ({"depends_on": {"move": None}}, r"depends_on\['move'\] is None; expected a sequence"),
        ({"depends_on": {"move": ["target"]}}, r"heads before it, which are \['unit'\]"),
    ],
)
def test_arguments_of_the_wrong_kind(wrong, message):
    sources = {
        "unit": torch.zeros(3),
        "move": lambda prefix: torch.zeros(4),
        "target": torch.zeros(2),
    }
    with pytest.raises(ConfigError, match=message):
        ConditionalCategorical(TREE, sources, **wrong)


def test_a_copy_reaches_the_logits():
    logits = LOGITS.clone().requires_grad_()
    copy.copy(make(logits)).entropy().sum().backward()
    assert logits.grad.abs().sum() > 0
