"""What a backend offers: masked categorical rows, one meaning whoever computes them.

`Rows` is a batch of masked categorical distributions over the last dimension,
prepared once and asked for any of its statistics; the last dimension may also be
several heads in a row, with a statistic each. `Backend` makes rows from logits and
a mask. The reference backend defines the numbers; any other one is
measured against it.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from maskrl.masks.packed import PackedMask


class Rows(Protocol):
    """Masked categorical rows `[..., A]`; every statistic is at least float32.

    Made with `sizes`, a row is K heads joined, `[..., sum(sizes)]`, and every shape
    `[...]` below is `[..., K]`; log-probabilities and probabilities stay joined.

    Attributes:
        empty: `[...]` bool, True where a row allows nothing; None if no row does.
        unsound: `[...]` bool, True where an allowed logit is NaN or +inf or no
            allowed one is finite; None if there is no such row. Its allowed
            statistics are NaN.
    """

    @property
    def empty(self) -> Tensor | None:
        """Which rows allow nothing."""

    @property
    def unsound(self) -> Tensor | None:
        """Which rows have allowed logits that cannot be used."""

    def log_probs(self) -> Tensor:
        """Normalised log-probabilities `[..., A]`, -inf where disallowed or in empty rows."""

    def probs(self) -> Tensor:
        """Probabilities `[..., A]`, exactly 0 where disallowed or in empty rows."""

    def entropy(self) -> Tensor:
        """Entropy in nats `[...]`, 0 in empty rows."""

    def chosen(self, actions: Tensor) -> Tensor:
        """Log-probability of int64 `actions`, whose shape the row shape broadcasts to."""

    def sample(self, uniform: Tensor) -> Tensor:
        """Action of each float64 uniform in [0, 1), any index in empty and unsound rows."""

    def argmax(self) -> Tensor:
        """A most probable action `[...]`, any index in empty and unsound rows."""

    def is_possible(self, log_probs: Tensor) -> bool:
        """Whether none of the log-probabilities that `chosen` just gave is -inf."""


class Backend(Protocol):
    """Makes rows. `name` is what `set_backend` calls it."""

    name: str

    def serves(self, logits: Tensor, action_mask: Tensor | PackedMask | None) -> bool:
        """Whether this backend can take these tensors."""

    def rows(
        self,
        logits: Tensor,
        action_mask: Any,
        *,
        look: bool,
        sizes: tuple[int, ...] | None = None,
    ) -> Rows:
        """Prepare rows.

        Args:
            logits: Floating point `[..., A]`.
            action_mask: bool, or `PackedMask` if the backend has the attribute `reads_bits` and it
                is True; broadcastable to the shape of `logits`; None allows all.
            look: Whether values may steer control flow; False while tracing.
            sizes: Sizes of the heads that the last dimension joins; None for one head
                without a dimension of its own.
        """

    def logsumexp(self, logits: Tensor, action_mask: Tensor | None) -> Tensor:
        """Log of the sum of exp over allowed logits `[...]`, -inf in empty rows."""
