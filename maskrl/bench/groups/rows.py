"""Rows of actions, one choice or several heads: acting, learning, choosing greedily.

*Acting* is what a rollout does: construct, sample, log_prob, without a graph. *Learning*
is what a minibatch does: construct, log_prob, entropy, and the gradient of a weighted
sum of both with respect to the logits. At the largest shape a plain copy of the logits
says what memory alone costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from maskrl.bench.contenders.contract import Way
from maskrl.bench.correctness import Check, check_acting, check_greedy, check_learning
from maskrl.bench.inputs import Inputs, make_inputs
from maskrl.bench.tasks import Entrant, Run, Task, settled
from maskrl.bench.timing import timed

COPY = "copy of the logits"

SHAPES = ((1, 6), (64, 6), (2048, 8), (4096, 78), (256, 4672), (4, 1_837_080))
"""Rows and actions: one observation, small policies, a grid cell's heads, chess, Dota 2."""

NVEC = (6, 4, 4, 4, 4, 7, 49)
"""The heads of a unit in microRTS."""

HEAD_ROWS = (16, 1024, 24576)
ALLOWED = (0.02, 0.3, 1.0)

QUICK_SHAPES = ((1, 6), (64, 6))
QUICK_HEAD_ROWS = (16,)
QUICK_ALLOWED = (0.3,)


def one_choice(entrants: Sequence[Entrant], *, quick: bool) -> Iterator[Task]:
    """Acting and learning at every shape and share allowed."""
    for rows, actions in QUICK_SHAPES if quick else SHAPES:
        for allowed in QUICK_ALLOWED if quick else ALLOWED:
            inputs = make_inputs(rows, actions, allowed)
            yield from _both("rows", f"{rows}x{actions}", inputs, allowed, entrants)


def several_heads(entrants: Sequence[Entrant], *, quick: bool) -> Iterator[Task]:
    """Acting and learning with seven heads."""
    for rows in QUICK_HEAD_ROWS if quick else HEAD_ROWS:
        for allowed in QUICK_ALLOWED if quick else ALLOWED:
            inputs = make_inputs(rows, NVEC, allowed)
            yield from _both("heads", f"{rows}x[{len(NVEC)} heads]", inputs, allowed, entrants)


def greedy(entrants: Sequence[Entrant], *, quick: bool) -> Iterator[Task]:
    """The best allowed action of Q-values."""
    for rows, actions in QUICK_SHAPES if quick else SHAPES[:-1]:
        inputs = make_inputs(rows, actions, 0.3)
        runs = []
        for entrant in entrants:
            way = entrant.way(None, "greedy")
            if way is not None:
                runs.append(_greedy_run(entrant, way, inputs))
        yield Task("greedy", f"{rows}x{actions}", "greedy", 0.3, runs)


def _both(
    group: str, case: str, inputs: Inputs, allowed: float, entrants: Sequence[Entrant]
) -> Iterator[Task]:
    for workload, run in (("acting", acting_run), ("learning", learning_run)):
        runs = []
        for entrant in entrants:
            way = entrant.way(inputs.nvec, workload)
            if way is not None:
                runs.append(run(entrant, way, inputs))
        if case == "x".join(map(str, SHAPES[-1])):
            logits = inputs.logits.detach()
            runs.append(Run(COPY, timed(logits.clone, partial(settled, checks=False, grad=False))))
        yield Task(group, case, workload, allowed, runs)


def acting_run(entrant: Entrant, way: Way, inputs: Inputs) -> Run:
    """Construct, sample, log_prob."""
    logits, mask = inputs.logits.detach(), way.prepare_mask(inputs.action_mask)
    surroundings = partial(entrant.surroundings, grad=False)
    act = way.act

    def check() -> Check:
        with surroundings():
            return check_acting(inputs, lambda: act(logits, mask))

    return Run(entrant.name, timed(lambda: act(logits, mask), surroundings), check)


def learning_gradient(way: Way, inputs: Inputs) -> Callable[[], Tensor]:
    """What is timed while learning: construct, log_prob, entropy, gradient `[B, A]`."""
    logits, mask = inputs.logits, way.prepare_mask(inputs.action_mask)
    actions, weights, learn = inputs.actions, inputs.weights, way.learn

    def gradient() -> Tensor:
        (result,) = torch.autograd.grad(learn(logits, mask, actions), logits, weights)
        return result

    return gradient


def learning_run(entrant: Entrant, way: Way, inputs: Inputs) -> Run:
    """Construct, log_prob, entropy, gradient."""
    mask = way.prepare_mask(inputs.action_mask)
    surroundings = partial(entrant.surroundings, grad=True)
    gradient = learning_gradient(way, inputs)

    def check() -> Check:
        with surroundings():
            return check_learning(
                inputs, lambda: way.learn(inputs.logits, mask, inputs.actions), gradient
            )

    return Run(entrant.name, timed(gradient, surroundings), check)


def _greedy_run(entrant: Entrant, way: Way, inputs: Inputs) -> Run:
    logits, mask = inputs.logits.detach(), way.prepare_mask(inputs.action_mask)
    surroundings = partial(entrant.surroundings, grad=False)
    choose = way.choose_greedily

    def check() -> Check:
        with surroundings():
            return check_greedy(inputs, lambda: choose(logits, mask))

    return Run(entrant.name, timed(lambda: choose(logits, mask), surroundings), check)
