"""Every setting of DQN, with the line that explains it on the command line.

Sizes of the memory and how often is learned from it are those of every algorithm that learns
from one; here is what is this one's own: how actions are tried, and what is learned of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from maskrl.errors import ConfigError
from maskrl.networks.q_head import Returns
from maskrl.trainers.off_policy_config import OffPolicyConfig

Exploration = Literal["epsilon", "boltzmann", "noisy"]


@dataclass(frozen=True)
class DQNConfig(OffPolicyConfig):
    """Deep Q-learning under masks: double, dueling, several steps, and more by choice."""

    label = "DQN"

    exploration: Exploration = "epsilon"
    """How actions are tried: any allowed one with probability epsilon; each allowed one in
    proportion to exp(value / temperature); or by noise in the last layers that is learned."""
    epsilon: float = 1.0
    """Of exploration "epsilon": probability of a random allowed action in the beginning."""
    epsilon_final: float = 0.02
    """What epsilon falls to."""
    temperature: float = 1.0
    """Of exploration "boltzmann", in units of return, in the beginning."""
    temperature_final: float = 0.02
    """What the temperature falls to; actions that are sampled after training, however it explored,
    are drawn under it."""
    exploration_fraction: float = 0.4
    """Share of the training in which epsilon or temperature fall, linearly."""
    double: bool = True
    """Let the network being trained choose the action whose value the target network gives."""
    dueling: bool = True
    """Give states a value of their own, and actions what they add to it."""
    returns: Returns = "mean"
    """What is learned of every action: its mean return, a categorical distribution of returns on
    fixed atoms (C51), or quantiles of it (QR)."""
    atoms: int = 51
    """Of returns "categorical" and "quantile": how many atoms or quantiles a distribution has."""
    low: float = -10.0
    """Of returns "categorical": the lowest atom. No discounted return should be lower; what is,
    counts as it, and a message says so."""
    high: float = 10.0
    """Of returns "categorical": the highest atom, likewise."""
    masked_targets: bool = True
    """Learn from the best allowed action of the state that follows. False is the naive regime, for
    comparisons: masks are obeyed in acting alone, and values of actions that nobody can take are
    learned from."""
    huber: float | None = 1.0
    """From which error on the loss grows linearly; None squares all errors. Of returns "quantile"
    None is plain quantile regression; "categorical" has no such loss."""
    target_every: int = 200
    """Gradient steps between two copies of the network to the target network; with
    target_rate below 1, between two steps towards it."""
    target_rate: float = 1.0
    """How far the target network moves towards the network each time; 1 copies it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("exploration", get_args(Exploration))
        self._one_of("returns", get_args(Returns))
        for name in ("epsilon", "epsilon_final"):
            self._number(name, low=0.0, high=1.0)
        for name in ("temperature", "temperature_final"):
            self._number(name, low=0.0, above=True)
        for name in ("exploration_fraction", "target_rate"):
            self._number(name, low=0.0, high=1.0, above=True)
        if self.huber is not None:
            self._number("huber", low=0.0, above=True)
        for name in ("double", "dueling", "masked_targets"):
            self._yes_or_no(name)
        self._whole("target_every", at_least=1)
        self._whole("atoms", at_least=2)
        self._number("low", low=-math.inf)
        self._number("high", low=-math.inf)
        if not self.low < self.high:
            raise ConfigError(f"low: expected less than high, got {self.low} and {self.high}")
