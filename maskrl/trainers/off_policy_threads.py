"""How many threads torch should use for learning from a memory of transitions.

Measured as for PPO: a gradient step and the acting that comes with it, and one thread unless
more are clearly faster in every round.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from maskrl.trainers.threads import ThreadChoice, by_measuring, without_measuring

if TYPE_CHECKING:
    from maskrl.trainers.off_policy import OffPolicyParts


def choose_off_policy_threads(parts: OffPolicyParts) -> ThreadChoice:
    """Number of threads with which turns of acting and learning are fastest.

    Args:
        parts: Begun, and not changed: a copy of the policy is measured, on the observations of
            now, repeated to the size of a batch.
    """
    config, obs = parts.config, parts.collector.tensors()
    rows = config.batch_size
    if (known := without_measuring(parts.policy, rows)) is not None:
        return known
    index = torch.arange(rows, device=parts.device) % config.num_envs
    batch = {key: x.index_select(0, index) for key, x in obs.items()}
    trial = copy.deepcopy(parts.policy)
    trained = [p for p in trial.parameters() if p.requires_grad]

    def learn() -> None:
        for parameter in trained:
            parameter.grad = None
        with torch.no_grad():
            parts.outputs(trial, batch)  # what the successors are worth
        parts.outputs(trial, batch).sum().backward()

    def act() -> None:
        with torch.inference_mode():
            parts.outputs(trial, obs)

    each = max(1, round(config.train_every / config.num_envs))
    with torch.random.fork_rng(devices=[]):
        return by_measuring(learn, act, each / config.gradient_steps)
