"""Policies as opponents: who plays the other seats of a game with a network.

All games in which it is the opponent's turn are answered in one pass of the network. What is
drawn comes from the generator that the environment hands over, so that a saved environment
repeats its opponents' moves too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from maskrl.envs.opponents import Observation
from maskrl.errors import ConfigError
from maskrl.policies.load import load_policy
from maskrl.policies.predict import obs_to_tensors
from maskrl.policies.protocol import has_memory


def answers(
    policy: nn.Module,
    obs: Observation,
    rng: np.random.Generator,
    *,
    deterministic: bool = False,
    generator: torch.Generator | None = None,
) -> np.ndarray:
    """What a policy does in K observations, in one pass.

    Args:
        policy: As `maskrl.policies.Policy`, without memory.
        obs: Per key `[K, ...]`.
        rng: What samples are drawn from.
        deterministic: The most probable actions; otherwise samples.
        generator: To be seeded from `rng`; made anew without one.

    Returns:
        int64 `[K]`.
    """
    device = next((p.device for p in policy.parameters()), torch.device("cpu"))
    given: Any = policy
    with torch.inference_mode():
        distribution = given.distribution(obs_to_tensors(obs, device))
        if deterministic:
            actions = distribution.mode
        else:
            generator = generator or torch.Generator(device)
            generator.manual_seed(int(rng.integers(2**63)))
            actions = distribution.sample(generator=generator)
    return np.asarray(actions.cpu().numpy())


def require_no_memory(policy: nn.Module, what: str) -> None:
    """Refuse a policy that remembers, which would have to be told where its games begin.

    Raises:
        ConfigError: It has a memory.
    """
    if has_memory(policy):
        raise ConfigError(
            f"{what}: {type(policy).__name__} has a memory, and an opponent is asked move by move "
            "without one. Train with network.memory=none, or give an opponent of your own that "
            "keeps its memory (maskrl.envs.opponents.BatchOpponent)."
        )


class PolicyOpponent:
    """A policy that plays the other seats; it is not trained here.

    Args:
        policy: As `maskrl.policies.Policy`, without memory.
        deterministic: Play the most probable moves; otherwise samples.

    Attributes:
        observation_space: What the policy was made for; None if it does not say.
        action_space: Likewise.

    Raises:
        ConfigError: The policy has a memory.
    """

    def __init__(self, policy: nn.Module, *, deterministic: bool = True) -> None:
        require_no_memory(policy, "PolicyOpponent")
        self.policy = policy
        self.deterministic = deterministic
        self.observation_space = getattr(policy, "observation_space", None)
        self.action_space = getattr(policy, "action_space", None)
        self._generator = torch.Generator(
            next((p.device for p in policy.parameters()), torch.device("cpu"))
        )

    def act_all(
        self,
        obs: Observation,
        places: np.ndarray,
        starts: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """One pass of the network for all games."""
        return answers(
            self.policy,
            obs,
            rng,
            deterministic=self.deterministic,
            generator=self._generator,
        )


def run_opponent(folder: str | Path, *, deterministic: bool = True) -> PolicyOpponent:
    """The policy of a run, best checkpoint first, as an opponent.

    Args:
        folder: A run folder or a checkpoint folder.
        deterministic: As of `PolicyOpponent`.

    Raises:
        RunFolderError: Nothing there, or damaged.
        ConfigError: The policy has a memory, or only its author can build it.
    """
    return PolicyOpponent(load_policy(folder), deterministic=deterministic)
