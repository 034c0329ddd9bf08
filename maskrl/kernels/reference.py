"""The reference kernels in plain torch: the definition of every masked statistic.

Differentiable twice and traceable. A disallowed logit never enters the
arithmetic: it is replaced before the first operation and its place is filled
after the last, so neither 1e30 nor NaN under the mask reaches a value or a
gradient. Float16 and bfloat16 logits are computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from maskrl.kernels.contract import Rows
from maskrl.masks.packed import PackedMask

# The one fill value of the package: the log of probability zero.
LOG_ZERO = -math.inf

# Entries of float64 cumulative sums that are held at a time: 32 MiB.
CDF_ENTRIES = 1 << 22


class ReferenceRows:
    """Masked categorical rows in plain torch; see `maskrl.kernels.contract.Rows`."""

    __slots__ = ("_action_mask", "_log_probs", "_logits", "empty", "unsound")

    empty: Tensor | None
    unsound: Tensor | None

    def __init__(self, logits: Tensor, action_mask: Tensor | None, *, look: bool) -> None:
        """Normalise over the allowed logits; with `look`, leave out what no row needs."""
        self._logits = logits
        self._action_mask = action_mask
        self.empty = None
        self.unsound = None
        if look:
            self._log_probs = log_softmax(logits, action_mask)
            # NaN in a row's normaliser makes the whole row NaN, so one column tells of all.
            if not math.isnan(self._log_probs.detach().select(-1, 0).sum().item()):
                return
        if action_mask is not None:
            self.empty = ~action_mask.any(-1).expand(logits.shape[:-1])
            self._log_probs = log_softmax(logits, action_mask, self.empty)
        elif not look:
            self._log_probs = log_softmax(logits, None)
        self.unsound = self._log_probs.detach().isnan().any(-1)
        if look:
            self.empty = self.empty if self.empty is not None and bool(self.empty.any()) else None
            self.unsound = self.unsound if bool(self.unsound.any()) else None

    def log_probs(self) -> Tensor:
        """Log-probabilities; a -inf one is a constant, with gradient exactly 0."""
        return torch.where(self._log_probs == LOG_ZERO, LOG_ZERO, self._log_probs)

    def probs(self) -> Tensor:
        """Probabilities; one that is 0 by its mask or logit is a constant."""
        return torch.where(self._log_probs == LOG_ZERO, 0.0, self._log_probs.exp())

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        return entropy(self._log_probs)

    def chosen(self, actions: Tensor) -> Tensor:
        """Log-probabilities of actions; a -inf one is a constant for its whole row."""
        return chosen(self._log_probs, actions)

    def sample(self, uniform: Tensor) -> Tensor:
        """Actions by inverse CDF."""
        return sample(self._log_probs.detach(), uniform)

    def argmax(self) -> Tensor:
        """A most probable action, compared by logits: these are not rounded."""
        logits = self._logits.detach()
        if self._action_mask is not None:
            logits = torch.where(self._action_mask, logits, LOG_ZERO)
        return logits.argmax(-1)

    def is_possible(self, log_probs: Tensor) -> bool:
        """Whether no log-probability is -inf."""
        return is_possible(log_probs)


class ReferenceHeads:
    """Several masked categorical heads in a row; see `maskrl.kernels.contract.Rows`."""

    __slots__ = ("_heads", "empty", "unsound")

    empty: Tensor | None
    unsound: Tensor | None

    def __init__(
        self,
        logits: Tensor,
        action_mask: Tensor | None,
        sizes: tuple[int, ...],
        *,
        look: bool,
    ) -> None:
        """Prepare each head as rows of its own."""
        of_heads = logits.split(sizes, -1)
        masks = [None] * len(sizes) if action_mask is None else action_mask.split(sizes, -1)
        self._heads = [
            ReferenceRows(logits, mask, look=look)
            for logits, mask in zip(of_heads, masks, strict=True)
        ]
        self.empty = _stack_flags([head.empty for head in self._heads], logits)
        self.unsound = _stack_flags([head.unsound for head in self._heads], logits)

    def log_probs(self) -> Tensor:
        """Log-probabilities of all heads, joined."""
        return torch.cat([head.log_probs() for head in self._heads], -1)

    def probs(self) -> Tensor:
        """Probabilities of all heads, joined."""
        return torch.cat([head.probs() for head in self._heads], -1)

    def entropy(self) -> Tensor:
        """Entropy of each head in nats."""
        return torch.stack([head.entropy() for head in self._heads], -1)

    def chosen(self, actions: Tensor) -> Tensor:
        """Log-probability of each head's choice; a -inf one is a constant."""
        pairs = zip(self._heads, actions.unbind(-1), strict=True)
        return torch.stack([head.chosen(choice) for head, choice in pairs], -1)

    def sample(self, uniform: Tensor) -> Tensor:
        """Choices by inverse CDF, with one uniform for each head."""
        pairs = zip(self._heads, uniform.unbind(-1), strict=True)
        return torch.stack([head.sample(of_head) for head, of_head in pairs], -1)

    def argmax(self) -> Tensor:
        """A most probable choice of each head."""
        return torch.stack([head.argmax() for head in self._heads], -1)

    def is_possible(self, log_probs: Tensor) -> bool:
        """Whether no log-probability is -inf."""
        return is_possible(log_probs)


def _stack_flags(flags: list[Tensor | None], logits: Tensor) -> Tensor | None:
    """Stack flags `[...]` of heads to `[..., K]`; None where no head has any."""
    if all(flag is None for flag in flags):
        return None
    none = torch.zeros(logits.shape[:-1], dtype=torch.bool, device=logits.device)
    return torch.stack([none if flag is None else flag for flag in flags], -1)


class ReferenceBackend:
    """Serves everything."""

    name = "reference"

    def serves(self, logits: Tensor, action_mask: Tensor | PackedMask | None) -> bool:
        """Serve any tensors."""
        return True

    def rows(
        self,
        logits: Tensor,
        action_mask: Tensor | None,
        *,
        look: bool,
        sizes: tuple[int, ...] | None = None,
    ) -> Rows:
        """Prepare rows; see `maskrl.kernels.contract.Backend`."""
        if sizes is None:
            return ReferenceRows(logits, action_mask, look=look)
        return ReferenceHeads(logits, action_mask, sizes, look=look)

    def logsumexp(self, logits: Tensor, action_mask: Tensor | None) -> Tensor:
        """Masked log-sum-exp; see `logsumexp`."""
        return logsumexp(logits, action_mask)


def statistics_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype statistics have: float32 for half precision, else unchanged."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def log_softmax(logits: Tensor, action_mask: Tensor | None, empty: Tensor | None = None) -> Tensor:
    """Normalise logits `[..., A]` over the allowed ones.

    Rows flagged in `empty` `[...]` become -inf with gradient 0. Without the flags
    an empty row is NaN, as is any row with a NaN or +inf allowed logit or no
    finite one (in every entry; with the flags only in the allowed ones).
    """
    dtype = statistics_dtype(logits.dtype)
    if action_mask is None:
        return torch.log_softmax(logits, -1, dtype=dtype)
    selected = torch.where(action_mask, logits, LOG_ZERO)
    if empty is None:
        return torch.log_softmax(selected, -1, dtype=dtype)
    # Finite here, because the gradient of a NaN is NaN even where it is not selected.
    opened = torch.where(empty.unsqueeze(-1), 0.0, selected)
    return torch.where(action_mask, torch.log_softmax(opened, -1, dtype=dtype), LOG_ZERO)


def logsumexp(logits: Tensor, action_mask: Tensor | None) -> Tensor:
    """Return log(sum(exp)) `[...]` over allowed logits `[..., A]`.

    Empty rows give -inf, the identity, with gradient 0; rows with a NaN or +inf
    allowed logit, or none that is finite, give NaN.
    """
    logits = logits.to(statistics_dtype(logits.dtype))
    if action_mask is None:
        total = torch.logsumexp(logits, -1)
        return torch.where(total.isfinite(), total, math.nan)
    empty = ~action_mask.any(-1)
    selected = torch.where(action_mask, logits, LOG_ZERO)
    total = torch.logsumexp(torch.where(empty.unsqueeze(-1), 0.0, selected), -1)
    return torch.where(empty, LOG_ZERO, torch.where(total.isfinite(), total, math.nan))


def entropy(log_probs: Tensor) -> Tensor:
    """Return -sum(p log p) `[...]` of log-probabilities `[..., A]`, with 0 log 0 = 0.

    The gradient of p log p at p = 0 is -inf; here the entry is a constant.
    """
    finite = torch.where(log_probs == LOG_ZERO, 0.0, log_probs)
    # Subtracted from 0 so that a certain row gives 0 and not -0.
    return 0.0 - (log_probs.exp() * finite).sum(-1)


def chosen(log_probs: Tensor, actions: Tensor) -> Tensor:
    """Pick log-probabilities of int64 actions from `[..., A]`; a -inf one has gradient 0.

    The shape of `actions` may have further leading dimensions, and larger sizes
    where the rows have size 1.
    """
    batch = log_probs.shape[:-1]
    if actions.ndim == len(batch) and actions.shape == batch:
        picked = log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    else:
        columns, restore = _by_row(actions, batch)
        picked = restore(log_probs.reshape(-1, log_probs.shape[-1]).gather(-1, columns))
    if not torch.is_grad_enabled():
        return picked
    return torch.where(picked == LOG_ZERO, LOG_ZERO, picked)


def is_possible(log_probs: Tensor) -> bool:
    """Whether no log-probability is -inf."""
    return not bool((log_probs.detach() == LOG_ZERO).any())


def sample(log_probs: Tensor, uniform: Tensor) -> Tensor:
    """Draw from rows of log-probabilities `[..., A]` by inverse CDF.

    The index is the first whose cumulative sum exceeds `uniform * total`. A float64
    sum grows only at actions of positive probability, and a uniform below 1 gives a
    product below the total, so for every uniform the index is allowed and possible.

    Args:
        log_probs: `[..., A]`, with no gradient; -inf where disallowed.
        uniform: float64 in [0, 1), 53 bits each. Its shape may have further leading
            dimensions, and larger sizes where the rows have size 1.

    Returns:
        int64 actions of the shape of `uniform`; any index in empty or NaN rows.
    """
    in_parts = not torch.compiler.is_compiling() and log_probs.numel() > CDF_ENTRIES
    batch = log_probs.shape[:-1]
    if not in_parts and uniform.ndim == len(batch) and uniform.shape == batch:
        return _draw(log_probs, uniform.unsqueeze(-1)).squeeze(-1)
    columns, restore = _by_row(uniform, batch)
    rows = log_probs.reshape(-1, log_probs.shape[-1])
    if not in_parts:
        return restore(_draw(rows, columns))
    step = max(1, CDF_ENTRIES // rows.shape[-1])
    pairs = zip(rows.split(step), columns.split(step), strict=True)
    return restore(torch.cat([_draw(some, of_some) for some, of_some in pairs]))


def _draw(rows: Tensor, uniform: Tensor) -> Tensor:
    """Draw actions `[..., M]` from log-probabilities `[..., A]` with uniforms `[..., M]`."""
    probs = rows.exp()
    cdf = probs.cumsum(-1, dtype=torch.float64)
    if rows.device.type != "cpu" or torch.compiler.is_compiling():
        # A parallel scan rounds in any order: let the sum grow at possible actions only.
        cdf = torch.where(probs > 0, cdf, -1.0).cummax(-1).values
    targets = (uniform * cdf[..., -1:]).contiguous()
    # Only the answer of an empty or NaN row can lie outside and needs the clamp.
    return torch.searchsorted(cdf, targets, right=True).clamp(max=rows.shape[-1] - 1)


def _by_row(values: Tensor, batch: torch.Size) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Lay values out as `[R, M]`, one line for each of the R rows of shape `batch`.

    Returns the matrix and the function that gives such a matrix the shape of
    `values` again.
    """
    shape = values.shape
    padded = (1,) * (len(shape) - len(batch)) + tuple(batch)
    free = [i for i, size in enumerate(padded) if size == 1]
    order = [i for i, size in enumerate(padded) if size != 1] + free
    matrix = values.permute(order).reshape(batch.numel(), math.prod([shape[i] for i in free]))
    back = sorted(range(len(order)), key=order.__getitem__)
    permuted = [shape[i] for i in order]
    return matrix, lambda drawn: drawn.reshape(permuted).permute(back)
