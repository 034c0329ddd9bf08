"""Imitation: the cross-entropy of demonstrated actions under the mask.

Behavioural cloning as it should be where actions may be impossible: probability is spread
over allowed actions only, so is label smoothing, and a demonstration that the mask
disallows is an error in the data, which is named or left out and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from maskrl.distributions.constraints import AllowedActions
from maskrl.distributions.factored import FactoredDistribution
from maskrl.distributions.gridwise_categorical import GridwiseCategorical
from maskrl.distributions.masked_multi_categorical import MaskedMultiCategorical, check_nvec
from maskrl.distributions.pointer_picks import PointerPicks
from maskrl.errors import ConfigError, DisallowedActionError, MaskDtypeError, MaskShapeError
from maskrl.functional.reduce import masked_mean
from maskrl.functional.rows import check_logits
from maskrl.kernels.dispatch import is_traced
from maskrl.masks.check import check_mask
from maskrl.masks.packed import PackedMask

_NAME = "masked_cross_entropy"


class _Demonstrated(MaskedMultiCategorical):
    """A `MaskedMultiCategorical` whose messages name the function that its user called."""

    @property
    def _own_name(self) -> str:
        return _NAME

    def _place(self, index: tuple[int, ...]) -> str:
        head = f", head {index[-1]}" if len(self.nvec) > 1 else ""
        return f"row {index[:-1]}{head}"


def masked_cross_entropy(
    logits: Tensor,
    actions: Tensor,
    action_mask: Tensor | PackedMask | None,
    *,
    keep: Tensor | None = None,
    label_smoothing: float = 0.0,
    on_disallowed: str = "raise",
    reduction: str = "mean",
    nvec: Sequence[int] | None = None,
) -> Tensor:
    """Negative log-probability of demonstrated actions among the allowed ones, in nats.

    With smoothing e the target is 1 - e on the demonstrated action and e spread evenly over
    all allowed ones.

    Args:
        logits: Floating point `[..., A]`; `[..., sum(nvec)]` for several heads.
        actions: Integers `[...]`; `[..., K]` for several heads. An action has the sum of its
            heads' losses.
        action_mask: bool in the shape of `logits` or `PackedMask`, True = allowed; leading
            dimensions broadcast; None allows everything.
        keep: bool `[...]`, True = the row counts. What stands in other rows is never read.
        label_smoothing: e, at least 0 and below 1.
        on_disallowed: What a demonstration that the mask disallows means: "raise" refuses it;
            "skip" leaves its row out, however many heads it has. `count_disallowed` counts.
        reduction: "mean" over the rows that count, "none" for each row.
        nvec: Sizes of the heads; None for one.

    Returns:
        A scalar, or `[...]` with 0 in rows that do not count; at least float32.

    Raises:
        DisallowedActionError: A demonstration is disallowed and `on_disallowed="raise"`.
        NonFiniteLogitsError: Allowed logits of a row that counts cannot be used.
        MaskDtypeError, MaskShapeError: An argument does not fit the logits.
        ConfigError: A setting is out of range, or `on_disallowed="raise"` while tracing.

    Empty rows:
        No decision was taken: whatever the action, the row adds 0 and is not counted. One
        empty head among others adds 0 to its row. 0 where no row counts.

    Example:
        >>> mask = torch.tensor([[True, True, False]])
        >>> masked_cross_entropy(torch.zeros(1, 3), torch.tensor([1]), mask)  # log 2
        tensor(0.6931)
    """
    check_logits(_NAME, logits)
    if not 0.0 <= label_smoothing < 1.0:
        raise ConfigError(
            f"{_NAME}: label_smoothing is {label_smoothing}; expected at least 0 and below 1."
        )
    _check_choice("on_disallowed", on_disallowed, ("raise", "skip"))
    _check_choice("reduction", reduction, ("mean", "none"))
    sizes = (logits.shape[-1],) if nvec is None else check_nvec(_NAME, nvec, logits.shape)
    choices = _check_actions(_NAME, actions, logits.shape[:-1], None if nvec is None else sizes)
    if action_mask is None:
        action_mask = torch.ones((), dtype=torch.bool, device=logits.device).expand(logits.shape)
    mask = check_mask(_NAME, "action_mask", action_mask, logits.shape, device=logits.device)
    kept = _check_keep(_NAME, keep, choices.shape[:-1], logits.device)
    masks = mask.expand(logits.shape).split(sizes, -1)
    wrong, idle = _judge(choices, masks)
    decided = kept & ~idle.all(-1)
    if on_disallowed == "raise":
        _refuse(choices, masks, wrong & decided.unsqueeze(-1), heads=nvec is not None)
    counted = decided & ~wrong.any(-1)
    # A row that does not count becomes an empty one, and these are never read.
    distribution = _Demonstrated(logits, sizes, mask & counted.unsqueeze(-1), empty="idle")
    taken = torch.where(counted.unsqueeze(-1) & ~idle, choices, 0)
    loss = -distribution.log_prob(taken)
    if label_smoothing > 0.0:
        evenly = _mean_surprise(distribution)
        loss = (1.0 - label_smoothing) * loss + label_smoothing * evenly
    return loss if reduction == "none" else masked_mean(loss, counted)


def count_disallowed(
    actions: Tensor,
    action_mask: Tensor | PackedMask,
    *,
    keep: Tensor | None = None,
    nvec: Sequence[int] | None = None,
) -> Tensor:
    """How many demonstrations the mask disallows: int64, a scalar.

    These are the rows that `masked_cross_entropy` leaves out with `on_disallowed="skip"`.

    Args:
        actions: Integers `[...]`; `[..., K]` for several heads.
        action_mask: bool `[..., A]` or `PackedMask`; leading dimensions broadcast.
        keep: bool `[...]`, True = the row counts.
        nvec: Sizes of the heads; None for one.

    Raises:
        MaskDtypeError, MaskShapeError: An argument does not fit the actions.

    Empty rows:
        Not counted: no decision was taken there.
    """
    operation = "count_disallowed"
    batch = _check_integers(operation, actions).shape
    batch = batch if nvec is None else batch[:-1]
    shape = (*batch, *getattr(action_mask, "shape", ())[-1:])
    mask = check_mask(operation, "action_mask", action_mask, shape, data="actions with masks")
    sizes = (shape[-1],) if nvec is None else check_nvec(operation, nvec, shape)
    choices = _check_actions(operation, actions, batch, None if nvec is None else sizes)
    kept = _check_keep(operation, keep, batch, actions.device)
    wrong, _ = _judge(choices, mask.expand(shape).split(sizes, -1))
    return (wrong.any(-1) & kept).sum()


def imitation_loss(
    distribution: Distribution, actions: Tensor, keep: Tensor | None = None
) -> Tensor:
    """Mean negative log-probability of demonstrated actions, in nats: a scalar.

    For any distribution of the package: heads, bits, trees, sets, grids. A demonstration that
    the distribution disallows raises, as its `log_prob` does; `distribution.support.check`
    finds those to leave out.

    Args:
        distribution: Of batch shape `[*batch]`.
        actions: `[*batch, *event]`; of packed agents `[..., M, *event]`.
        keep: bool `[*batch]`, True = the row counts. What is demonstrated in other rows is
            never read.

    Raises:
        DisallowedActionError: A row that counts demonstrates a disallowed action.
        MaskDtypeError, MaskShapeError: `actions` or `keep` has another type or does not fit.

    Empty rows:
        A row in which every factor or agent is idle, or that has no agent, adds 0 and is not
        counted, whatever its action. A tree (`ConditionalCategorical`) has no such rows as a
        whole: its idle heads add 0, and `keep` can leave rows out.
    """
    batch = distribution.batch_shape
    _check_shape("imitation_loss", actions, _shape_of_actions(distribution))
    counted = _check_keep("imitation_loss", keep, batch, actions.device)
    counted = counted & _takes_decision(distribution, actions.device)
    if is_traced(actions) or not bool(counted.all()):
        row = counted.reshape(*batch, *[1] * len(distribution.event_shape))
        if isinstance(distribution, GridwiseCategorical):
            row = distribution.at_actions(counted)
        actions = torch.where(row, actions, distribution.mode)
    return masked_mean(-distribution.log_prob(actions), counted)


def _takes_decision(distribution: Distribution, device: torch.device) -> Tensor:
    """In which rows `[*batch]` a decision is taken at all."""
    if isinstance(distribution, FactoredDistribution):
        some = distribution.allowed_counts() > 0
        return some.any(-1) if distribution.event_shape else some
    if isinstance(distribution, PointerPicks):
        return ~distribution.idle
    if isinstance(distribution, GridwiseCategorical):
        return distribution.deciding
    return torch.ones(distribution.batch_shape, dtype=torch.bool, device=device)


def _shape_of_actions(distribution: Distribution) -> tuple[int, ...]:
    """The shape of one sample."""
    rows = distribution.batch_shape
    if isinstance(distribution, GridwiseCategorical):
        agents = distribution.agent_mask.shape
        # Packed: the event is that of one agent, of whom there are others than entries.
        rows = agents if len(agents) == len(rows) else rows
    return (*rows, *distribution.event_shape)


def _mean_surprise(distribution: MaskedMultiCategorical) -> Tensor:
    """Mean of -log p over the allowed choices of each head, summed over the heads `[...]`."""
    log_probs = distribution.logits.split(distribution.nvec, -1)
    masks = distribution.action_mask.split(distribution.nvec, -1)
    return torch.stack(
        [masked_mean(-of_head, m, -1) for of_head, m in zip(log_probs, masks, strict=True)], -1
    ).sum(-1)


def _judge(choices: Tensor, masks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Which choices `[..., K]` are disallowed, and in which heads nothing is allowed."""
    pairs = list(zip(choices.unbind(-1), masks, strict=True))
    idle = torch.stack([~m.any(-1) for _, m in pairs], -1)
    fine = [AllowedActions(m.shape[-1], m).check(choice) for choice, m in pairs]
    return ~torch.stack(fine, -1) & ~idle, idle


def _refuse(choices: Tensor, masks: Sequence[Tensor], wrong: Tensor, *, heads: bool) -> None:
    """Raise DisallowedActionError for the first disallowed choice."""
    if is_traced(choices) or is_traced(wrong):
        raise ConfigError(
            f'{_NAME}: on_disallowed="raise" has to look at the actions, which is not possible '
            f'under compile, export and vmap; pass on_disallowed="skip".'
        )
    if not bool(wrong.any()):
        return
    *row, k = (int(i) for i in wrong.nonzero()[0])
    allowed = masks[k][tuple(row)].nonzero().flatten().tolist()
    shown = ", ".join(map(str, allowed[:10])) + (", ..." if len(allowed) > 10 else "")
    raise DisallowedActionError(
        f"{_NAME}: action {int(choices[(*row, k)])} in row {tuple(row)}"
        f"{f', head {k},' if heads else ''} is disallowed by action_mask, which allows [{shown}] "
        f"({int(wrong.any(-1).sum())} such rows). Were the demonstrations recorded under this "
        f'mask? on_disallowed="skip" leaves them out.'
    )


def _check_choice(name: str, value: str, choices: tuple[str, str]) -> None:
    if value not in choices:
        raise ConfigError(
            f'{_NAME}: {name} is {value!r}; expected "{choices[0]}" or "{choices[1]}".'
        )


def _check_actions(
    operation: str, actions: Any, batch: torch.Size, sizes: tuple[int, ...] | None
) -> Tensor:
    """Return actions as int64 `[..., K]`, K = 1 without heads."""
    integers = _check_integers(operation, actions).to(torch.int64)
    expected = batch if sizes is None else (*batch, len(sizes))
    what = f", one number for each row{'' if sizes is None else ' and head'}"
    _check_shape(operation, actions, tuple(expected), what)
    return integers if sizes is not None else integers.unsqueeze(-1)


def _check_integers(operation: str, actions: Any) -> Tensor:
    if not isinstance(actions, Tensor) or actions.is_floating_point() or actions.is_complex():
        got = getattr(actions, "dtype", type(actions).__name__)
        raise MaskDtypeError(f"{operation}: actions has {got}; expected an integer tensor.")
    return actions


def _check_shape(operation: str, actions: Any, shape: tuple[int, ...], what: str = "") -> None:
    """Raise unless actions are a tensor of this very shape: another would broadcast unseen."""
    if not isinstance(actions, Tensor):
        raise MaskDtypeError(
            f"{operation}: actions has {type(actions).__name__}; expected a tensor."
        )
    if tuple(actions.shape) != shape:
        raise MaskShapeError(
            f"{operation}: actions has shape {tuple(actions.shape)}; expected {shape}{what}."
        )


def _check_keep(operation: str, keep: Any, batch: torch.Size, device: torch.device) -> Tensor:
    """Return `keep` as bool `[*batch]`, all True if it is None."""
    if keep is None:
        return torch.ones((), dtype=torch.bool, device=device).expand(batch)
    if not isinstance(keep, Tensor) or keep.dtype != torch.bool:
        got = getattr(keep, "dtype", type(keep).__name__)
        raise MaskDtypeError(
            f"{operation}: keep has {got}; expected torch.bool with True = the row counts."
        )
    try:
        return keep.expand(batch)
    except RuntimeError:
        raise MaskShapeError(
            f"{operation}: keep has shape {tuple(keep.shape)}; expected {tuple(batch)}."
        ) from None
