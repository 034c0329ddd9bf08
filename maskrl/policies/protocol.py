"""What a policy of one's own must offer to be trained and evaluated.

Any `torch.nn.Module` with these two methods will do; nothing is inherited. Both get the
observation as a dict of tensors with a leading batch dimension, masks as bool, and the
distribution must carry the action mask, as all of `maskrl.distributions` do: which of
them is free, if its actions have the shape that the environment's have. A policy that
remembers earlier steps offers the methods of `RecurrentPolicy` instead.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn
from torch.distributions import Distribution

from maskrl.errors import ConfigError
from maskrl.policies.action_heads import ActionDistribution

logger = logging.getLogger("maskrl")


@runtime_checkable
class Policy(Protocol):
    """A distribution over actions and a value, both from a batch of observations.

    More is used where it is there: `logits(obs)` `[B, A]` before masking, laid out as
    `maskrl.policies.action_heads.ActionHeads` says (for the probability mass on disallowed
    actions); `one_pass = True` where calling the module gives distribution and value together;
    `packed_masks`, names of masks that may come as `maskrl.PackedMask` `[B, n]` while learning;
    `value_reads`, the names of the entries that `value` reads, where it shares no work with
    the distribution and each row's value depends on that row alone: the values of a rollout
    are then computed at its end, many rows at once; a submodule `normalizer` of the type
    `maskrl.networks.normalize.ObservationNormalizer`, which the policy applies itself and
    the trainer updates between rollouts.
    """

    def distribution(self, obs: dict[str, Tensor]) -> ActionDistribution:
        """The distribution over actions for a batch of B observations."""
        ...

    def value(self, obs: dict[str, Tensor]) -> Tensor:
        """The value of each observation: `[B]`."""
        ...


class RecurrentPolicy(Protocol):
    """A policy with memory: the first three to act, and `unroll` to be trained.

    What it remembers of an episode is one float tensor row, and is 0 or whatever
    `initial_state` says before the first step. Rows are independent of each other. A number
    that is not finite must not get from one episode into the next, nor out of padding:
    select with `torch.where`, do not multiply. `maskrl.networks.recurrent.RecurrentCore` does
    all of this for a GRU or an LSTM.

    More is used where it is there: a `normalizer`, as of `Policy`.
    """

    state_size: int
    """Numbers that are remembered for a row, S, at least 1."""

    def initial_state(self, batch: int) -> Tensor:
        """What is remembered before the first step: `[B, S]`."""
        ...

    def act(
        self, obs: dict[str, Tensor], state: Tensor, episode_start: Tensor
    ) -> tuple[ActionDistribution, Tensor, Tensor]:
        """Distribution, value `[B]` and the next state `[B, S]` of B observations.

        Where `episode_start` `[B]` is True, `state` is not read. The value of an episode's
        final observation is asked by this too; if its mask allows nothing, because the episode
        is over, it comes as one that allows everything.
        """
        ...

    def unroll(
        self,
        obs: dict[str, Tensor],
        state: Tensor,
        episode_start: Tensor,
        valid: Tensor | None,
    ) -> tuple[ActionDistribution, Tensor]:
        """What `act` says step by step, for whole sequences: observations `[L, B, ...]`.

        `state` `[B, S]` is that before the first step, `episode_start` `[L, B]`. Where `valid`
        `[L, B]` is False lies padding, which nothing may depend on; None says that there is
        none. Answers for the R valid steps only, step after step (`features[valid]`): the
        distribution, and the values `[R]`.
        """
        ...


def has_memory(policy: nn.Module) -> bool:
    """Whether a policy remembers earlier steps, by its attribute `state_size`."""
    size: Any = getattr(policy, "state_size", 0)
    return size is not None and size != 0


def distribution_and_value(
    policy: nn.Module, obs: dict[str, Tensor]
) -> tuple[ActionDistribution, Tensor]:
    """Distribution and values `[B]` of any policy, in one pass where it offers one.

    A policy offers one by an attribute `one_pass = True`: then calling it returns both.
    """
    if getattr(policy, "one_pass", False):
        both: tuple[ActionDistribution, Tensor] = policy(obs)
        return both
    return policy.distribution(obs), policy.value(obs)  # type: ignore[operator]


_METHODS = ("distribution", "value")
_RECURRENT = ("initial_state", "act", "unroll")


def require_policy(policy: object) -> nn.Module:
    """Return the policy if it is one that can be trained.

    Raises:
        ConfigError: It is no module, a method is missing, or `state_size` is no whole number.
    """
    if not isinstance(policy, nn.Module):
        raise ConfigError(
            f"policy: expected a torch.nn.Module, got {type(policy).__name__}; see "
            "maskrl.policies.Policy for what one needs"
        )
    name, remembers = type(policy).__name__, has_memory(policy)
    size = getattr(policy, "state_size", 0)
    if remembers and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ConfigError(
            f"policy: {name}.state_size is {size!r}, expected how many numbers it remembers of an "
            "episode, a whole number; 0 for none"
        )
    needed = _RECURRENT if remembers else _METHODS
    missing = [method for method in needed if not callable(getattr(policy, method, None))]
    if missing and remembers:
        raise ConfigError(
            f"policy: {name} remembers {size} numbers and has no method {missing[0]}. A policy "
            "with memory offers initial_state(batch), act(obs, state, episode_start) and "
            "unroll(obs, state, episode_start, valid); see maskrl.policies.RecurrentPolicy"
        )
    if missing:
        raise ConfigError(
            f"policy: {name} has no method {missing[0]}(obs). A policy of one's "
            "own offers distribution(obs) -> MaskedCategorical and value(obs) -> [B]."
        )
    return policy


def require_state(policy: nn.Module, state: object, batch: int) -> None:
    """Refuse what a policy with memory wants remembered if it is not `[B, state_size]`.

    Raises:
        ConfigError: It is something else.
    """
    size: Any = policy.state_size
    expected = (batch, size)
    shape = tuple(state.shape) if isinstance(state, Tensor) else type(state).__name__
    if shape != expected or not isinstance(state, Tensor) or not state.is_floating_point():
        kind = f" of {state.dtype}" if isinstance(state, Tensor) else ""
        raise ConfigError(
            f"policy: {type(policy).__name__} gave the state {shape}{kind}, expected real numbers "
            f"{expected}: state_size of them for every observation"
        )


def require_answer(
    policy: nn.Module,
    distribution: object,
    value: object,
    obs: Mapping[str, Tensor],
    event_shape: tuple[int, ...] = (),
) -> None:
    """Refuse what a policy of one's own answered if it cannot be trained with.

    A distribution that allows what the mask disallows is warned of and not refused: to train
    without a mask, for comparison, is legitimate.

    Args:
        policy: For its name.
        distribution: What it gave as distribution for `obs`.
        value: What it gave as value.
        obs: A batch of B observations, with `action_mask` `[B, ...]` where there is one.
        event_shape: Of one action: () or (K,).

    Raises:
        ConfigError: The distribution is none of `maskrl.distributions`, or it or the value has
            another shape than `[B]`, its actions another than `event_shape`, or the number of
            choices is not that of the mask.

    Empty rows:
        Where the mask allows nothing, the distribution is expected to allow nothing too.
    """
    name = type(policy).__name__
    batch = len(next(iter(obs.values())))
    ours = isinstance(distribution, Distribution) and hasattr(distribution, "action_mask")
    if not ours or not isinstance(distribution, Distribution):
        example = (
            "a distribution of maskrl.distributions that takes a mask, for actions of "
            f"{event_shape[0]} heads"
            if event_shape
            else 'a maskrl.MaskedCategorical, as in MaskedCategorical(logits, obs["action_mask"])'
        )
        raise ConfigError(
            f"policy: {name}.distribution(obs) returned a {type(distribution).__name__}, expected "
            + example
        )
    if tuple(distribution.batch_shape) != (batch,):
        raise ConfigError(
            f"policy: {name}.distribution(obs) has the batch shape "
            f"{tuple(distribution.batch_shape)}, expected {(batch,)}: one row of logits per "
            "observation"
        )
    if tuple(distribution.event_shape) != event_shape:
        raise ConfigError(
            f"policy: {name}.distribution(obs) is a {type(distribution).__name__} of the event "
            f"shape {tuple(distribution.event_shape)}, the environment's actions have "
            f"{event_shape}: " + ("a choice for every head" if event_shape else "one number")
        )
    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    if shape != (batch,):
        advice = "; take the last dimension away with .squeeze(-1)" if shape == (batch, 1) else ""
        raise ConfigError(
            f"policy: {name}.value(obs) gave {shape}, expected a tensor of shape {(batch,)}{advice}"
        )
    if (action_mask := obs.get("action_mask")) is None:
        return
    # Bits come as pairs or flat, which is the same row.
    allowed = distribution.action_mask.flatten(1)  # type: ignore[attr-defined]
    action_mask = action_mask.flatten(1)
    if allowed.shape != action_mask.shape:
        raise ConfigError(
            f"policy: {name}.distribution(obs) decides between {allowed.shape[-1]} actions, the "
            f"action_mask of the environment is about {action_mask.shape[-1]}"
        )
    wrong = (allowed & ~action_mask).nonzero()
    if len(wrong):
        row, action = wrong[0].tolist()
        logger.warning(
            "policy: %s.distribution(obs) allows action %d in row %d, which the observation's "
            "action_mask disallows; such actions will be executed, and counted as illegal. To "
            'rule them out: %s(logits, ..., obs["action_mask"])',
            name,
            action,
            row,
            type(distribution).__name__,
        )
