"""How many threads torch should use for one network, found out by measuring.

Small networks run slower with two threads than with one, because handing over work costs
more than doing it, and on a shared machine a multiple. One thread is therefore the rule,
and more are chosen only after a clear advantage in every one of several rounds of what
training does: its gradient step, and its acting. The choice changes the order in which
numbers are added and so the last digits of a run: it is made once, kept in the run's
settings and reused when the run is resumed.
"""

from __future__ import annotations

import contextlib
import copy
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.buffers.sequences import SequenceBatch
from maskrl.distributions import ConditionalCategorical
from maskrl.objectives.ppo_loss import Acted, LossSettings, ppo_loss
from maskrl.policies.action_heads import ActionDistribution
from maskrl.policies.actor_critic import trusted
from maskrl.policies.protocol import distribution_and_value, has_memory, require_answer
from maskrl.trainers.gradient_steps import ENTROPY_SAMPLES
from maskrl.trainers.learning_network import network_of

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


@dataclass(frozen=True)
class ThreadChoice:
    """How many threads torch gets, and why.

    Attributes:
        threads: The number.
        reason: As a display says it.
    """

    threads: int
    reason: str

    def __str__(self) -> str:
        """Number and reason in one line."""
        return f"{self.threads} thread{'s' if self.threads > 1 else ''}: {self.reason}"


def choose_threads(
    policy: nn.Module,
    obs: dict[str, Tensor],
    *,
    num_envs: int = 1,
    acts_per_step: float = 0.0,
    event_shape: tuple[int, ...] = (),
    sequence_length: int = 1,
) -> ThreadChoice:
    """Number of threads with which training on such minibatches is fastest.

    Args:
        policy: Not changed: a copy is measured.
        obs: A minibatch of the size that training will use, on the policy's device, whose
            masks allow everything.
        num_envs: Rows of an acting step, at most those of the minibatch.
        acts_per_step: Acting steps per gradient step: their time counts too.
        event_shape: Of one action: () or (K,).
        sequence_length: Of the sequences that a policy with memory learns from.

    Returns:
        1, or `thread_limit()` where that is at least `WORTH` times as fast in every round.

    Raises:
        ConfigError: What the policy answers cannot be trained with.
    """
    rows = len(next(iter(obs.values())))
    if (known := without_measuring(policy, rows)) is not None:
        return known
    trial = copy.deepcopy(policy)
    few = {key: tensor[:num_envs] for key, tensor in obs.items()}
    with torch.random.fork_rng(devices=[]), trusted(trial):
        distribution, value = _ask(trial, obs)
        require_answer(trial, distribution, value, obs, event_shape)
        learn = _gradient_step(trial, obs, distribution.sample(), sequence_length)

        def act() -> None:
            with torch.inference_mode():
                _ask(trial, few)[0].sample()

        return by_measuring(learn, act, acts_per_step)


def without_measuring(policy: nn.Module, rows: int) -> ThreadChoice | None:
    """One thread where that is clear for a policy and so many rows; None where it is not."""
    limit = thread_limit()
    if limit == 1:
        return ThreadChoice(1, "there is one core")
    if not all(p.device.type == "cpu" for p in policy.parameters()):
        return ThreadChoice(1, "the network is not on the CPU")
    if multiplied_weights(policy) * rows < SMALL:
        return ThreadChoice(1, f"{limit} are not worth it for a network of this size")
    return None


def by_measuring(
    learn: Callable[[], None], act: Callable[[], None], acts_per_step: float
) -> ThreadChoice:
    """The choice after measuring a gradient step, and acting steps as often as they come."""
    limit = thread_limit()
    rounds = [
        tuple(_time(learn, n) + acts_per_step * _time(act, n) for n in (1, limit))
        for _ in range(ROUNDS)
    ]
    chosen = limit if all(several * WORTH < one for one, several in rounds) else 1
    one, several = (1e3 * min(times) for times in zip(*rounds, strict=True))
    reason = (
        f"a gradient step and its acting take {one:.1f} ms with 1 and {several:.1f} ms with {limit}"
    )
    return ThreadChoice(chosen, reason)


def _ask(policy: Any, obs: dict[str, Tensor]) -> tuple[ActionDistribution, Tensor]:
    """Distribution and values; with memory of first observations."""
    if not has_memory(policy):
        return distribution_and_value(policy, obs)
    rows, some = len(next(iter(obs.values()))), next(iter(obs.values()))
    start = torch.ones(rows, dtype=torch.bool, device=some.device)
    distribution, value, _ = policy.act(obs, policy.initial_state(rows), start)
    return distribution, value


def _sequences(policy: Any, rows: int, length: int) -> SequenceBatch | None:
    """Sequences of so many rows in all, none of which holds the beginning of an episode."""
    if not has_memory(policy):
        return None
    count = max(1, rows // length)
    state = policy.initial_state(count).detach()
    starts = np.zeros((rows // count, count), np.bool_)
    return SequenceBatch(torch.arange(starts.size), state, starts, None)


def _gradient_step(
    policy: nn.Module, obs: dict[str, Tensor], actions: Tensor, sequence_length: int
) -> Callable[[], None]:
    """What an update does with a minibatch, except for reading it and moving parameters."""
    network = network_of(policy)
    sequences = _sequences(policy, len(actions), sequence_length)
    if sequences is not None:
        rows = len(sequences.index)
        obs, actions = {key: x[:rows] for key, x in obs.items()}, actions[:rows]
    with torch.no_grad():
        scored = _ask(policy, obs)[0].log_prob(actions, reduce="none")
    numbers = torch.linspace(-1.0, 1.0, len(actions), device=actions.device)
    acted = Acted(actions, scored.reshape(len(actions), -1), numbers, numbers, numbers, None)
    settings = LossSettings(clip=0.2, entropy_coef=0.01, value_coef=0.5)

    def learn() -> None:
        distribution, values = network.forward(obs, sequences)
        estimate = None
        if isinstance(distribution, ConditionalCategorical) and not distribution.is_enumerable:
            estimate = distribution.entropy_estimate(ENTROPY_SAMPLES)
        network.backward(ppo_loss(distribution, values, acted, settings, entropy=estimate))

    return learn


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
