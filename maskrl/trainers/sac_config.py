"""Every setting of discrete soft actor-critic, with the line that explains it.

Sizes of the memory and how often is learned from it are those of every algorithm that learns
from one; here is what is this one's own: how random the policy is to be, and two critics.
"""

from __future__ import annotations

from dataclasses import dataclass

from maskrl.errors import ConfigError
from maskrl.trainers.off_policy_config import OffPolicyConfig


@dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """Soft actor-critic for discrete actions under masks."""

    label = "SAC"

    n_step: int = 1
    """Rewards that a target sums before it trusts the values of the state that follows. What lies
    between counts without its entropy and by whichever policy acted then, so more than one biases
    the values here."""
    entropy_share: float = 0.5
    """How random the policy is to be at first: in every state this share of the greatest entropy
    that its mask leaves, log of the number of allowed actions."""
    entropy_share_final: float | None = 0.02
    """What that share falls to, linearly; None keeps it."""
    entropy_fraction: float = 0.8
    """Share of the training in which it falls."""
    temperature: float = 0.1
    """Weight of the entropy in the beginning, in units of return per nat."""
    temperature_rate: float = 1e-3
    """Step size of the temperature's logarithm, which follows the share; 0 keeps the temperature
    as it is."""
    temperature_min: float = 1e-4
    """Least temperature."""
    temperature_max: float = 10.0
    """Greatest temperature."""
    target_every: int = 1
    """Gradient steps between two steps of the critics' slow copy towards them, by which targets
    are computed."""
    target_rate: float = 0.01
    """How far the copy moves each time; 1 copies."""
    dueling: bool = True
    """Give states a value of their own in the critics, and actions what they add to it."""
    shared_critics: bool = False
    """Let both critics read one encoder; with network.shared the policy reads it too."""
    masked_targets: bool = True
    """Learn policy and soft values over the allowed actions. False is the naive regime, for
    comparisons: masks are obeyed in acting alone, and probability and value of actions that nobody
    can take are learned from."""
    huber: float | None = 1.0
    """From which error on the critics' loss grows linearly; None squares all errors."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("entropy_share", low=0.0, high=1.0)
        if self.entropy_share_final is not None:
            self._number("entropy_share_final", low=0.0, high=1.0)
        for name in ("entropy_fraction", "target_rate"):
            self._number(name, low=0.0, high=1.0, above=True)
        for name in ("temperature", "temperature_min", "temperature_max"):
            self._number(name, low=0.0, above=True)
        self._number("temperature_rate", low=0.0)
        if self.huber is not None:
            self._number("huber", low=0.0, above=True)
        self._whole("target_every", at_least=1)
        for name in ("dueling", "shared_critics", "masked_targets"):
            self._yes_or_no(name)
        if not self.temperature_min <= self.temperature <= self.temperature_max:
            raise ConfigError(
                f"temperature: expected a number between temperature_min ({self.temperature_min}) "
                f"and temperature_max ({self.temperature_max}), got {self.temperature}"
            )
