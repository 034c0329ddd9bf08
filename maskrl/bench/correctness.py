"""What a contender computes, compared with float64 before its time counts.

The comparison value is computed here, apart from every contender: log-softmax of the
allowed logits in float64. Speed with wrong numbers is no speed: whoever is off by more
than `TOLERANCE`, or draws a disallowed action, is marked in every table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maskrl.bench.inputs import Inputs

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Check:
    """How a contender compares with float64.

    Attributes:
        error: Largest error, relative where values exceed 1.
        wrong: What is off, None if nothing is.
    """

    error: float
    wrong: str | None = None


@dataclass(frozen=True)
class Exact:
    """Float64 log-probabilities `[B, A]` under a mask; statistics add up over the heads."""

    log_probs: Tensor
    action_mask: Tensor
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, inputs: Inputs) -> Exact:
        """From logits and mask, with a graph back to the logits."""
        logits = torch.where(inputs.action_mask, inputs.logits.double(), -math.inf)
        log_probs = torch.cat([x.log_softmax(-1) for x in logits.split(inputs.sizes, -1)], -1)
        return cls(log_probs, inputs.action_mask, inputs.sizes)

    def _columns(self, actions: Tensor) -> Tensor:
        """Where each head's choice stands in the joined row `[B, K]`."""
        starts = torch.tensor([0, *self.sizes[:-1]]).cumsum(0)
        return actions.reshape(len(self.log_probs), len(self.sizes)) + starts

    def score(self, actions: Tensor) -> Tensor:
        """Log-probability `[B]` of actions `[B]` or `[B, K]`."""
        return self.log_probs.gather(-1, self._columns(actions)).sum(-1)

    def allows(self, actions: Tensor) -> bool:
        """Whether all these actions are inside their heads and allowed."""
        inside = actions.reshape(len(self.log_probs), len(self.sizes))
        if bool(((inside < 0) | (inside >= torch.tensor(self.sizes))).any()):
            return False
        return bool(self.action_mask.gather(-1, self._columns(actions)).all())

    def entropy(self) -> Tensor:
        """Entropy `[B]`."""
        finite = torch.where(self.action_mask, self.log_probs, 0.0)
        return -(finite.exp() * self.action_mask * finite).sum(-1)

    def argmax(self) -> Tensor:
        """Log-probability of a best action `[B]`, one choice."""
        return self.log_probs.max(-1).values


def check_acting(inputs: Inputs, act: Callable[[], tuple[Tensor, Tensor]]) -> Check:
    """Compare the log-probability of what was sampled."""
    with torch.no_grad():
        exact = Exact.of(inputs)
        actions, log_prob = act()
        if not exact.allows(actions):
            return Check(math.inf, "samples a disallowed action")
        return _judge({"log_prob": _error(log_prob, exact.score(actions))})


def check_learning(
    inputs: Inputs,
    learn: Callable[[], tuple[Tensor, Tensor]],
    gradient: Callable[[], Tensor],
    *,
    groups: int | None = None,
) -> Check:
    """Compare log-probability, entropy and the gradient of their weighted sum.

    Args:
        inputs: Rows, with weights `[B]`, or `[groups]`.
        learn: Gives both.
        gradient: Gives d loss / d logits `[B, A]`.
        groups: Into how many equal groups of rows both are summed; None leaves the rows.
    """
    exact = Exact.of(inputs)
    expected = exact.score(inputs.actions), exact.entropy()
    if groups is not None:
        expected = (expected[0].view(groups, -1).sum(-1), expected[1].view(groups, -1).sum(-1))
    weights = [weight.double() for weight in inputs.weights]
    (expected_gradient,) = torch.autograd.grad(expected, inputs.logits, weights)
    log_prob, entropy = learn()
    scale = expected_gradient.abs().max().clamp(min=1e-12)
    return _judge(
        {
            "log_prob": _error(log_prob.detach(), expected[0].detach()),
            "entropy": _error(entropy.detach(), expected[1].detach()),
            "gradient": _error(gradient() / scale, expected_gradient / scale),
        }
    )


def check_greedy(inputs: Inputs, choose: Callable[[], Tensor]) -> Check:
    """Compare the value of what was chosen with the best."""
    with torch.no_grad():
        exact = Exact.of(inputs)
        actions = choose()
        if not exact.allows(actions):
            return Check(math.inf, "chooses a disallowed action")
        return _judge({"choice": _error(exact.score(actions), exact.argmax())})


def _error(got: Tensor, expected: Tensor) -> float:
    """Largest error, relative where the expected value exceeds 1; NaN and shapes count as inf."""
    if got.shape != expected.shape:
        return math.inf
    error = (got.double() - expected).abs() / expected.abs().clamp(min=1.0)
    largest = float(error.max()) if error.numel() else 0.0
    return math.inf if math.isnan(largest) else largest


def _judge(errors: dict[str, float]) -> Check:
    off = [f"{name} off by {error:.1e}" for name, error in errors.items() if error > TOLERANCE]
    return Check(max(errors.values()), ", ".join(off) or None)
