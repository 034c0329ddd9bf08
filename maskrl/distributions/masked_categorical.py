"""`MaskedCategorical`: a categorical distribution over the allowed actions only.

It equals `torch.distributions.Categorical` on the gathered allowed logits, keeps
its interface, and takes the mask in the constructor, so that an action cannot be
sampled under one mask and scored under another by accident. A disallowed action
has probability, gradient, entropy and KL contribution exactly 0.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints

from maskrl.distributions.constraints import AllowedActions
from maskrl.distributions.factored import FactoredDistribution
from maskrl.errors import MaskError
from maskrl.functional.rows import check_idle_action, check_logits, open_mask
from maskrl.masks.packed import PackedMask

_NAME = "MaskedCategorical"


class MaskedCategorical(FactoredDistribution):
    """Categorical distribution over the actions that a mask allows.

    Args:
        logits: Floating point `[..., A]`. What stands under the mask is never
            read: 1e30, inf and NaN are fine there. -inf on an allowed action is
            legal and means probability 0.
        action_mask: bool `[..., A]` or `PackedMask`, True = allowed; leading
            dimensions broadcast; None allows everything.
        empty: What a row that allows nothing means: "raise" refuses it, "idle"
            takes no decision there.
        idle_action: The action of an idle row.
        validate_args: Whether to look at values (logits, and actions that are
            scored). None means yes wherever values can be looked at; torch's global
            default is not asked, because the first `torch.compile` of a process
            switches it off for all eager code too.

    Raises:
        NoAllowedActionError: A row allows nothing and `empty="raise"`.
        NonFiniteLogitsError: Validated, and an allowed logit is NaN or +inf, or
            no allowed one of a row is finite.
        MaskDtypeError, MaskShapeError, MaskError: The mask is not boolean, does not
            broadcast, or is on another device.
        ConfigError: `empty="raise"` where values cannot be looked at (compile,
            export, vmap, and a GPU without validation), or a setting out of range.

    Empty rows:
        With `empty="idle"`: sample and mode give `idle_action`, whose log_prob is 0;
        probs are all 0, entropy is 0, gradients are 0; KL is 0 between two idle
        rows and +inf between an idle one and another.

    Reference:
        Huang and Ontañón, A Closer Look at Invalid Action Masking in Policy
        Gradient Algorithms, https://arxiv.org/abs/2006.14171

    Example:
        >>> mask = torch.tensor([True, False, True])
        >>> MaskedCategorical(torch.tensor([0.0, 9.0, 0.0]), mask).probs
        tensor([0.5000, 0.0000, 0.5000])
    """

    arg_constraints = {"logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(
        self,
        logits: Tensor,
        action_mask: Tensor | PackedMask | None = None,
        *,
        empty: str = "raise",
        idle_action: int = 0,
        validate_args: bool | None = None,
    ) -> None:
        check_logits(_NAME, logits)
        self._actions = logits.shape[-1]
        super().__init__(
            logits,
            open_mask(_NAME, action_mask, logits),
            event_dims=0,
            sizes=None,
            empty=empty,
            idle_action=check_idle_action(_NAME, idle_action, self._actions),
            validate_args=validate_args,
        )

    @property
    def logits(self) -> Tensor:
        """Normalised log-probabilities `[..., A]`, -inf where disallowed and in idle rows."""
        return self._wide_logits(self._prepared().log_probs())

    @property
    def probs(self) -> Tensor:
        """Probabilities `[..., A]`, exactly 0 where disallowed and in idle rows."""
        return self._wide_logits(self._prepared().probs())

    @property
    def action_mask(self) -> Tensor:
        """The mask `[..., A]`, all True if none was given; a view unless it was given as bits."""
        return self._full_mask()

    @property
    def param_shape(self) -> torch.Size:
        """Shape of the logits, `[..., A]`."""
        return self._raw_logits.shape

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> AllowedActions:
        """The allowed actions of every row, as a constraint."""
        return AllowedActions(
            self._actions, self._given_mask(), self._idle_action if self._idle else None
        )

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return all allowed actions of every row `[n, ...]`, in ascending order.

        Args:
            expand: With False and one mask for all rows, `[n, 1, ..., 1]`.

        Raises:
            MaskError: Rows allow different numbers of actions; use `support` or `probs`.

        Empty rows:
            `idle_action` is their one action.
        """
        mask = self.action_mask
        if self._idle:
            is_idle_action = torch.arange(self._actions, device=mask.device) == self._idle_action
            mask = torch.where(mask.any(-1, keepdim=True), mask, is_idle_action)
        counts = mask.sum(-1)
        if counts.numel() == 0:
            return counts.new_zeros((0, *counts.shape))
        fewest, most = int(counts.min()), int(counts.max())
        if fewest != most:
            raise MaskError(
                f"{_NAME}.enumerate_support: rows allow between {fewest} and {most} actions, so "
                f"there is no rectangular enumeration; expected the same number in every row. "
                f"Use support.check or probs instead."
            )
        values = mask.nonzero()[:, -1].reshape(-1, most).T
        first = values[:, :1]
        if not expand and bool((values == first).all()):
            return first.reshape(most, *[1] * counts.ndim)
        return values.reshape(most, *counts.shape)

    def __repr__(self) -> str:
        """Name shapes and how empty rows are answered."""
        return (
            f"{_NAME}(batch_shape={tuple(self._batch_shape)}, actions={self._actions}, "
            f"{self._settings()})"
        )
