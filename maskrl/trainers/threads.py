"""How many threads torch should use for one network, found out by measuring.

Small networks run slower with two threads than with one, because handing over work
costs more than doing it, and on a machine that others use too it costs a multiple. One
thread is therefore the rule, and more are chosen only for a large network and after a
clear advantage in every one of several rounds. The choice changes the order in which
numbers are added and so the last digits of a run: it is made once, kept in the run's
settings and reused when the run is resumed.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from maskrl.policies.protocol import distribution_and_value

logger = logging.getLogger("maskrl")

SMALL = 5e7
"""Multiplied weights times rows of a minibatch below which one thread always wins."""

WORTH = 1.25
"""How much faster more threads must be in every round: it keeps equal runs equal."""

ROUNDS = 5

_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_CGROUP = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Cores that this process may use, by affinity and by its container's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = _quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def thread_limit() -> int:
    """The most threads torch may be given: cores, and what the environment variables say."""
    limit = available_cores()
    for name in _LIMITS:
        first = os.environ.get(name, "").split(",")[0].strip()
        if first.isdecimal() and int(first) > 0:
            limit = min(limit, int(first))
    return limit


def choose_threads(
    policy: nn.Module, obs: dict[str, Tensor], *, num_envs: int = 1, acts_per_step: float = 0.0
) -> int:
    """Number of threads with which training on such minibatches is fastest.

    Args:
        policy: Not changed: a copy is measured.
        obs: A minibatch of the size that training will use, on the policy's device.
        num_envs: Rows of an acting step, at most those of the minibatch.
        acts_per_step: Acting steps per gradient step: their time counts too.

    Returns:
        1, or `thread_limit()` where that is at least `WORTH` times as fast in every round.
    """
    limit = thread_limit()
    rows = len(next(iter(obs.values())))
    on_cpu = all(p.device.type == "cpu" for p in policy.parameters())
    if limit == 1 or multiplied_weights(policy) * rows < SMALL or not on_cpu:
        return 1
    trial = copy.deepcopy(policy)
    few = {key: tensor[:num_envs] for key, tensor in obs.items()}

    def learn() -> None:
        distribution, value = distribution_and_value(trial, obs)
        (distribution.entropy().mean() + value.mean()).backward()

    def act() -> None:
        with torch.inference_mode():
            distribution_and_value(trial, few)[0].sample()

    with torch.random.fork_rng(devices=[]):
        rounds = [
            tuple(_time(learn, n) + acts_per_step * _time(act, n) for n in (1, limit))
            for _ in range(ROUNDS)
        ]
    chosen = limit if all(several * WORTH < one for one, several in rounds) else 1
    logger.info(
        "a gradient step and its acting take %.1f ms with 1 thread and %.1f ms with %d: using %d",
        1e3 * min(one for one, _ in rounds),
        1e3 * min(several for _, several in rounds),
        limit,
        chosen,
    )
    return chosen


def multiplied_weights(policy: nn.Module) -> int:
    """Parameters that every row is multiplied with: all but the tables of embeddings."""
    tables = {
        id(parameter)
        for module in policy.modules()
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag))
        for parameter in module.parameters(recurse=False)
    }
    return sum(p.numel() for p in policy.parameters() if id(p) not in tables)


@contextlib.contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Let torch use `number` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _time(work: Callable[[], None], number: int) -> float:
    """Seconds that work takes with so many threads, after one round to warm up."""
    with torch_threads(number):
        work()
        start = time.perf_counter()
        work()
        return time.perf_counter() - start


def _quota() -> float | None:
    """Processors' worth of time that a Linux container grants; None where nothing limits it."""
    with contextlib.suppress(OSError, ValueError):
        granted, period = (_CGROUP / "cpu.max").read_text().split()[:2]
        return None if granted == "max" else int(granted) / int(period)
    with contextlib.suppress(OSError, ValueError):
        old = _CGROUP / "cpu"
        granted_us = int((old / "cpu.cfs_quota_us").read_text())
        return granted_us / int((old / "cpu.cfs_period_us").read_text()) if granted_us > 0 else None
    return None
