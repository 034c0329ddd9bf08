"""The guard notices what it is there for, and agrees with torch.distributions."""

from __future__ import annotations

import math

import torch
from torch.distributions import Categorical

from maskrl.bench.correctness import Exact, check_acting, check_greedy, check_learning
from maskrl.bench.inputs import make_inputs


def learned(inputs, *, log_prob_off=0.0, entropy_off=0.0, scale=1.0):
    exact = Exact.of(inputs)
    pair = exact.score(inputs.actions) * scale + log_prob_off, exact.entropy() + entropy_off
    return pair, lambda: torch.autograd.grad(
        learned(inputs, scale=scale)[0],
        inputs.logits,
        [weight.double() for weight in inputs.weights],
    )[0]


def test_exact_is_categorical_on_the_allowed_logits():
    inputs = make_inputs(20, 6, 0.4)
    exact = Exact.of(inputs)
    logits = inputs.logits.detach().double()
    for row in range(20):
        keep = inputs.action_mask[row]
        of_row = Categorical(logits=logits[row, keep])
        place = int(keep[: inputs.actions[row]].sum())
        assert abs(exact.score(inputs.actions)[row] - of_row.log_prob(torch.tensor(place))) < 1e-12
        assert abs(exact.entropy()[row] - of_row.entropy()) < 1e-12


def test_heads_add_up():
    inputs = make_inputs(10, (3, 4), 1.0)
    exact = Exact.of(inputs)
    parts = [Categorical(logits=x) for x in inputs.logits.detach().double().split((3, 4), -1)]
    expected = sum(p.log_prob(a) for p, a in zip(parts, inputs.actions.unbind(-1), strict=True))
    assert torch.allclose(exact.score(inputs.actions).detach(), expected, atol=1e-12)
    assert torch.allclose(exact.entropy().detach(), sum(p.entropy() for p in parts), atol=1e-12)


def test_what_is_right_passes():
    inputs = make_inputs(10, (3, 4), 0.5)
    pair, gradient = learned(inputs)
    check = check_learning(inputs, lambda: pair, gradient)
    assert check.wrong is None and check.error < 1e-9


def test_what_is_off_is_named():
    inputs = make_inputs(10, (3, 4), 0.5)
    _, gradient = learned(inputs)
    pair = learned(inputs, entropy_off=0.01)[0]
    assert check_learning(inputs, lambda: pair, gradient).wrong == "entropy off by 1.0e-02"
    pair = learned(inputs, log_prob_off=math.nan)[0]
    check = check_learning(inputs, lambda: pair, gradient)
    assert check.wrong == "log_prob off by inf" and check.error == math.inf
    right, bad = learned(inputs)[0], learned(inputs, scale=1.5)[1]
    assert "gradient off by" in check_learning(inputs, lambda: right, bad).wrong


def test_sums_over_groups_of_rows():
    inputs = make_inputs(6, 4, 0.5)
    weights = (inputs.weights[0][:2], inputs.weights[1][:2])
    grouped = type(inputs)(inputs.logits, inputs.action_mask, inputs.actions, weights)

    def learn():
        exact = Exact.of(inputs)
        return exact.score(inputs.actions).view(2, 3).sum(-1), exact.entropy().view(2, 3).sum(-1)

    def gradient():
        return torch.autograd.grad(learn(), inputs.logits, [w.double() for w in weights])[0]

    assert check_learning(grouped, learn, gradient, groups=2).wrong is None
    rows = Exact.of(inputs)
    assert (
        "log_prob off by inf"
        in check_learning(
            grouped, lambda: (rows.score(inputs.actions), rows.entropy()), gradient, groups=2
        ).wrong
    )


def test_disallowed_actions_are_noticed():
    inputs = make_inputs(10, 4, 0.3)
    bad = inputs.action_mask.int().argmin(-1)  # disallowed wherever something is
    score = torch.zeros(10)
    assert check_acting(inputs, lambda: (bad, score)).wrong == "samples a disallowed action"
    outside = torch.full((10,), 4)
    assert check_acting(inputs, lambda: (outside, score)).wrong == "samples a disallowed action"
    assert check_greedy(inputs, lambda: bad).wrong == "chooses a disallowed action"
    exact = Exact.of(inputs)
    fine = (inputs.actions, exact.score(inputs.actions).detach())
    assert check_acting(inputs, lambda: fine).wrong is None


def test_a_greedy_choice_must_be_the_best():
    inputs = make_inputs(10, 6, 1.0)
    assert check_greedy(inputs, lambda: inputs.logits.detach().argmax(-1)).wrong is None
    assert "choice off by" in check_greedy(inputs, lambda: inputs.logits.detach().argmin(-1)).wrong
