"""How many threads torch should use for one network, found out by measuring.

Small networks run slower with two threads than with one, because handing over work
costs more than doing it. The choice changes the order in which numbers are added and so
the last digits of a run: it is made once, kept in the run's settings and reused when the
run is resumed.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from maskrl.policies.protocol import distribution_and_value

logger = logging.getLogger("maskrl")

SMALL = 2e7
"""Parameters times rows of a minibatch below which one thread always wins."""

WORTH = 1.25
"""How much faster more threads must be to be chosen: it keeps equal runs equal."""


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_threads(policy: nn.Module, obs: dict[str, Tensor]) -> int:
    """Number of threads with which a gradient step on this minibatch is fastest.

    Args:
        policy: Not changed: a copy is measured.
        obs: A minibatch of the size that training will use, on the policy's device.

    Returns:
        1, or the number of cores where that is at least `WORTH` times as fast.
    """
    cores = available_cores()
    rows = len(next(iter(obs.values())))
    size = sum(p.numel() for p in policy.parameters()) * rows
    on_cpu = all(p.device.type == "cpu" for p in policy.parameters())
    if cores == 1 or size < SMALL or not on_cpu:
        return 1
    trial = copy.deepcopy(policy)

    def step() -> None:
        distribution, value = distribution_and_value(trial, obs)
        (distribution.entropy().mean() + value.mean()).backward()

    with torch.random.fork_rng(devices=[]):
        one, several = _fastest(step, (1, cores))
    chosen = cores if several * WORTH < one else 1
    logger.info(
        "a gradient step takes %.1f ms with 1 thread and %.1f ms with %d: using %d",
        1e3 * one,
        1e3 * several,
        cores,
        chosen,
    )
    return chosen


@contextlib.contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Let torch use `number` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fastest(step: Callable[[], None], choices: tuple[int, ...], rounds: int = 5) -> list[float]:
    """Shortest time of one step per number of threads, measured in turns."""
    best = [float("inf")] * len(choices)
    for _ in range(rounds):
        for index, number in enumerate(choices):
            with torch_threads(number):
                step()
                start = time.perf_counter()
                step()
                best[index] = min(best[index], time.perf_counter() - start)
    return best
