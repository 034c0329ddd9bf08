"""`ConditionalCategorical` at its edges: idle heads, functions, poison, messages, tracing."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from torch.distributions import kl_divergence

from maskrl.distributions import ConditionalCategorical
from maskrl.errors import (
    ConfigError,
    DisallowedActionError,
    MaskDtypeError,
    MaskError,
    MaskShapeError,
    NoAllowedActionError,
    NonFiniteLogitsError,
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
    with pytest.raises(ConfigError, match="names .*; expected heads before it"):
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
