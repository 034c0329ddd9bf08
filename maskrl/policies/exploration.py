"""How an agent that learns values tries actions: epsilon-greedy and Boltzmann, and schedules.

Both choose among allowed actions only. Epsilon-greedy over all actions, with the forbidden
ones repaired afterwards, would try some allowed ones more often than others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maskrl.distributions import MaskedCategorical
from maskrl.errors import ConfigError, MaskShapeError
from maskrl.functional.select import masked_argmax, masked_sample
from maskrl.masks.packed import PackedMask


@dataclass(frozen=True)
class LinearSchedule:
    """From one number to another, linearly over a part of the training, and then constant.

    Args:
        start: At the beginning.
        end: After `fraction` of the training.
        fraction: In (0, 1].

    Raises:
        ConfigError: A number is not finite, or the fraction out of range.

    Example:
        >>> LinearSchedule(1.0, 0.05, fraction=0.5)(0.25)
        0.525
    """

    start: float
    end: float
    fraction: float = 1.0

    def __post_init__(self) -> None:
        for name in ("start", "end", "fraction"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value):
                raise ConfigError(f"LinearSchedule: {name} is {value!r}; expected a number.")
        if not 0 < self.fraction <= 1:
            raise ConfigError(
                f"LinearSchedule: fraction is {self.fraction!r}; expected a share of the training "
                "above 0 and at most 1."
            )

    def __call__(self, progress: float) -> float:
        """The number when a share `progress` of the training is over."""
        share = min(max(progress, 0.0) / self.fraction, 1.0)
        return self.start + share * (self.end - self.start)


def epsilon_greedy(
    values: Tensor,
    action_mask: Tensor | PackedMask | None,
    epsilon: float | Tensor,
    *,
    generator: torch.Generator | None = None,
    empty: str = "raise",
    idle_action: int = 0,
) -> Tensor:
    """The best allowed action, or with probability `epsilon` any allowed one, each as likely.

    Args:
        values: `[..., A]`, of which allowed ones are no NaN.
        action_mask: bool `[..., A]`, True = allowed; None allows everything.
        epsilon: In [0, 1]; a tensor `[...]` gives each row its own.
        generator: Of all random numbers.
        empty: What a row that allows nothing means: "raise" or "idle".
        idle_action: The action of such a row.

    Returns:
        int64 `[...]`.

    Raises:
        ConfigError: `epsilon` is no probability.
        NoAllowedActionError: A row allows nothing and `empty="raise"`.
        NonFiniteLogitsError: An allowed value is NaN.
        MaskDtypeError, MaskShapeError: The mask is not boolean or does not fit, or `epsilon` is
            not one number for each row.

    Empty rows:
        `idle_action`.
    """
    chances = torch.as_tensor(epsilon, dtype=torch.float64, device=values.device)
    if not bool(((chances >= 0) & (chances <= 1)).all()):
        raise ConfigError(f"epsilon_greedy: epsilon is {epsilon}; expected a probability.")
    if chances.ndim and chances.shape != values.shape[:-1]:
        raise MaskShapeError(
            f"epsilon_greedy: epsilon has shape {tuple(chances.shape)}; expected a number, or one "
            f"for each row of the values, {tuple(values.shape[:-1])}."
        )
    best = masked_argmax(values, action_mask, empty=empty, idle_action=idle_action)
    if not bool(chances.any()):
        return best
    anywhere = masked_sample(
        torch.zeros_like(values),
        action_mask,
        generator=generator,
        empty=empty,
        idle_action=idle_action,
    )
    chance = torch.rand(best.shape, generator=generator, device=values.device, dtype=torch.float64)
    return torch.where(chance < chances, anywhere, best)


def boltzmann(
    values: Tensor,
    action_mask: Tensor | PackedMask | None,
    temperature: float,
    *,
    empty: str = "raise",
    idle_action: int = 0,
) -> MaskedCategorical:
    """The distribution over allowed actions in proportion to `exp(value / temperature)`.

    Args:
        values: `[..., A]`.
        action_mask: bool `[..., A]`, True = allowed; None allows everything.
        temperature: Above 0; small is nearly greedy.
        empty: What a row that allows nothing means: "raise" or "idle".
        idle_action: The action of such a row.

    Raises:
        ConfigError: The temperature is not above 0.
        NoAllowedActionError, NonFiniteLogitsError, MaskDtypeError, MaskShapeError: As in
            `MaskedCategorical`.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ConfigError(f"boltzmann: temperature is {temperature!r}; expected more than 0.")
    return MaskedCategorical(
        values / temperature, action_mask, empty=empty, idle_action=idle_action
    )
