"""What a policy of one's own must offer to be trained and evaluated.

Any `torch.nn.Module` with these two methods will do; nothing is inherited. Both get the
observation as a dict of tensors with a leading batch dimension, masks as bool, and the
distribution must carry the action mask, as `MaskedCategorical` does.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from maskrl.distributions import MaskedCategorical
from maskrl.errors import ConfigError


@runtime_checkable
class Policy(Protocol):
    """A distribution over actions and a value, both from a batch of observations.

    More is used where it is there: `logits(obs)` `[B, A]` before masking (for the
    probability mass on disallowed actions); `one_pass = True` where calling the module
    gives distribution and value together; a submodule `normalizer` of the type
    `maskrl.networks.normalize.ObservationNormalizer`, which the policy applies itself and
    the trainer updates between rollouts.
    """

    def distribution(self, obs: dict[str, Tensor]) -> MaskedCategorical:
        """The distribution over actions for a batch of B observations."""
        ...

    def value(self, obs: dict[str, Tensor]) -> Tensor:
        """The value of each observation: `[B]`."""
        ...


def distribution_and_value(
    policy: nn.Module, obs: dict[str, Tensor]
) -> tuple[MaskedCategorical, Tensor]:
    """Distribution and values `[B]` of any policy, in one pass where it offers one.

    A policy offers one by an attribute `one_pass = True`: then calling it returns both.
    """
    if getattr(policy, "one_pass", False):
        both: tuple[MaskedCategorical, Tensor] = policy(obs)
        return both
    return policy.distribution(obs), policy.value(obs)  # type: ignore[operator]


def require_policy(policy: object) -> nn.Module:
    """Return the policy if it is one.

    Raises:
        ConfigError: It is no module, or one of the two methods is missing.
    """
    missing = [
        name for name in ("distribution", "value") if not callable(getattr(policy, name, None))
    ]
    if not isinstance(policy, nn.Module):
        raise ConfigError(
            f"policy: expected a torch.nn.Module, got {type(policy).__name__}; see "
            "maskrl.policies.Policy for what one needs"
        )
    if missing:
        raise ConfigError(
            f"policy: {type(policy).__name__} has no method {missing[0]}(obs). A policy of one's "
            "own offers distribution(obs) -> MaskedCategorical and value(obs) -> [B]."
        )
    return policy
