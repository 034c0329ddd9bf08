"""`FusedRows`: masked categorical rows whose every statistic is one pass of a kernel.

Nothing is computed before it is asked for. A draw brings its log-probability with it, a
score its entropy, and either whether a row is empty or unsound; what came along is kept, so
that the next question costs nothing. Gradients are one pass too; a gradient that shall be
differentiated again is left to the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maskrl.kernels import reference
from maskrl.kernels.fused.choices import draws32, draws64, modes32, modes64
from maskrl.kernels.fused.dense import dense32, dense64, dense_gradient32, dense_gradient64
from maskrl.kernels.fused.forward import (
    EMPTY,
    IMPOSSIBLE,
    OUT_OF_RANGE,
    UNSOUND,
    forward32,
    forward64,
)
from maskrl.kernels.fused.gradient import gradient32, gradient64
from maskrl.kernels.fused.layout import Layout, lay_out
from maskrl.kernels.fused.threads import run
from maskrl.masks.packed import PackedMask

if TYPE_CHECKING:
    from maskrl.kernels.contract import Rows

_HALF = (torch.float16, torch.bfloat16)


class FusedRows:
    """Masked rows by compiled kernels; see `maskrl.kernels.contract.Rows`."""

    __slots__ = (
        "_action_mask",
        "_drawn",
        "_entropy",
        "_impossible",
        "_layout",
        "_logits",
        "_normalizer",
        "_shape",
        "_sizes",
        "_status",
    )

    def __init__(
        self,
        logits: Tensor,
        action_mask: Tensor | PackedMask | None,
        sizes: tuple[int, ...] | None,
    ) -> None:
        """Remember what the rows are made of; half precision is computed in float32."""
        self._logits = logits.to(torch.float32) if logits.dtype in _HALF else logits
        self._action_mask = action_mask
        self._sizes = sizes
        batch = logits.shape[:-1]
        self._shape = batch if sizes is None else (*batch, len(sizes))
        self._layout: Layout | None = None
        self._normalizer: Tensor | None = None
        self._status: int | None = None
        self._entropy: Tensor | None = None
        self._drawn: Drawn | None = None
        self._impossible: bool | None = None

    # What is known.

    @property
    def layout(self) -> Layout:
        """Where logits and mask lie."""
        if self._layout is None:
            self._layout = lay_out(self._logits.detach(), self._action_mask, self._sizes)
        return self._layout

    def _is_trained(self) -> bool:
        """Whether a result must carry a gradient."""
        return (
            self._logits.requires_grad
            and torch.is_grad_enabled()
            and not torch.is_inference_mode_enabled()
        )

    def _known(self) -> Tensor:
        """The normaliser of every row, from a pass of its own if there was none yet."""
        if self._normalizer is None:
            self._forward(None, None)
        assert self._normalizer is not None
        return self._normalizer

    @property
    def empty(self) -> Tensor | None:
        """Which rows allow nothing."""
        normalizer = self._known()
        if not self._flags & EMPTY:
            return None
        return (normalizer[:, 0] == reference.LOG_ZERO).reshape(self._shape)

    @property
    def unsound(self) -> Tensor | None:
        """Which rows have allowed logits that cannot be used."""
        normalizer = self._known()
        return normalizer[:, 0].isnan().reshape(self._shape) if self._flags & UNSOUND else None

    @property
    def _flags(self) -> int:
        return 0 if self._status is None else self._status

    # Passes.

    def _forward(self, uniforms: Tensor | None, actions: Tensor | None) -> tuple[Tensor, Tensor]:
        """One pass: log-probabilities of choices (drawn, given or none) and entropies."""
        layout = self.layout
        logits = layout.logits
        log_probs = torch.empty(self._shape, dtype=logits.dtype)
        entropy = torch.empty(self._shape, dtype=logits.dtype)
        normalizer = torch.empty((log_probs.numel(), 2), dtype=torch.float64)
        status = run(
            forward32 if logits.dtype == torch.float32 else forward64,
            layout.plan,
            logits.data_ptr(),
            layout.mask_address,
            0 if uniforms is None else uniforms.data_ptr(),
            0 if actions is None else actions.data_ptr(),
            0 if actions is None else log_probs.data_ptr(),
            normalizer.data_ptr(),
            entropy.data_ptr(),
        )
        self._normalizer = normalizer
        self._status = status
        self._impossible = bool(status & IMPOSSIBLE)
        if status & OUT_OF_RANGE:
            raise IndexError("an action is not one of those that there are")
        if not self._logits.requires_grad:
            self._entropy = entropy
        return log_probs, entropy

    def _dense(self, logs: bool) -> Tensor:
        if self._is_trained():
            result: Tensor = _apply(_Dense, self._logits, self, logs)
            return result
        return self._write(logs, self._known())

    def _write(self, logs: bool, normalizer: Tensor) -> Tensor:
        layout = self.layout
        logits = layout.logits
        out = torch.empty(self._logits.shape, dtype=logits.dtype)
        run(
            dense32 if logits.dtype == torch.float32 else dense64,
            layout.plan,
            logits.data_ptr(),
            layout.mask_address,
            normalizer.data_ptr(),
            int(logs),
            out.data_ptr(),
        )
        return out

    def log_probs(self) -> Tensor:
        """Log-probabilities; a -inf one is a constant."""
        return self._dense(True)

    def probs(self) -> Tensor:
        """Probabilities; one that is 0 by its mask or logit is a constant."""
        return self._dense(False)

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        if self._entropy is not None and self._entropy.requires_grad == self._is_trained():
            return self._entropy
        if self._is_trained():
            entropy: Tensor = _apply(_Score, self._logits, self, None)[1]
            self._entropy = entropy
            return entropy
        return self._forward(None, None)[1]

    def chosen(self, actions: Tensor) -> Tensor:
        """Log-probabilities of actions; a -inf one is a constant."""
        drawn = self._drawn
        is_drawn = drawn is not None and actions is drawn.actions and not self._is_trained()
        if drawn is not None and is_drawn and drawn.is_unchanged():
            self._impossible = False
            return drawn.log_probs
        if actions.shape != self._shape or _is_transformed():
            return self._chosen_more(actions)
        actions = actions.contiguous()
        if not self._is_trained():
            return self._forward(None, actions)[0]
        scored: tuple[Tensor, Tensor] = _apply(_Score, self._logits, self, actions)
        self._entropy = scored[1]
        return scored[0]

    def _chosen_more(self, actions: Tensor) -> Tensor:
        """Score actions with further leading dimensions, or inside a functional transform."""
        if _is_transformed():
            picked = self._reference().chosen(actions)
        elif self._sizes is None:
            picked = reference.chosen(self.log_probs(), actions)
        else:
            of_heads = self.log_probs().split(self._sizes, -1)
            pairs = zip(of_heads, actions.unbind(-1), strict=True)
            picked = torch.stack([reference.chosen(of, choice) for of, choice in pairs], -1)
        self._impossible = None
        return picked

    def sample(self, uniform: Tensor) -> Tensor:
        """Draw by inverse CDF."""
        shape = torch.Size(self._shape)
        lead = uniform.ndim - len(shape)
        if uniform.shape[lead:] != shape or not uniform.is_contiguous() or _is_transformed():
            return self._reference().sample(uniform)
        if lead == 0:
            actions = torch.empty(shape, dtype=torch.int64)
            self._drawn = Drawn(actions, self._forward(uniform, actions)[0])
            return actions
        layout = self.layout
        heads = 1 if self._sizes is None else len(self._sizes)
        actions = torch.empty(uniform.shape, dtype=torch.int64)
        normalizer = self._known()
        run(
            draws32 if layout.logits.dtype == torch.float32 else draws64,
            layout.plan,
            layout.logits.data_ptr(),
            layout.mask_address,
            normalizer.data_ptr(),
            uniform.data_ptr(),
            uniform.shape[:lead].numel(),
            shape.numel(),
            heads,
            1,
            actions.data_ptr(),
        )
        return actions

    def argmax(self) -> Tensor:
        """A most probable action, compared by logits: these are not rounded."""
        layout = self.layout
        actions = torch.empty(self._shape, dtype=torch.int64)
        run(
            modes32 if layout.logits.dtype == torch.float32 else modes64,
            layout.plan,
            layout.logits.data_ptr(),
            layout.mask_address,
            actions.data_ptr(),
        )
        return actions

    def is_possible(self, log_probs: Tensor) -> bool:
        """Whether no log-probability that was just scored is -inf."""
        return (
            reference.is_possible(log_probs) if self._impossible is None else not self._impossible
        )

    def _reference(self) -> Rows:
        """The same rows in plain torch."""
        mask = self._action_mask
        plain = mask.unpack() if isinstance(mask, PackedMask) else mask
        return reference.ReferenceBackend().rows(self._logits, plain, look=True, sizes=self._sizes)


def _apply(function: Any, *arguments: Any) -> Any:
    """Call an autograd function, which torch leaves untyped."""
    return function.apply(*arguments)


class Drawn:
    """Actions that were drawn, with the log-probabilities that came along.

    Args:
        actions: What the caller was given, and may write into.
        log_probs: Of these actions.
    """

    __slots__ = ("_copy", "_version", "actions", "log_probs")

    def __init__(self, actions: Tensor, log_probs: Tensor) -> None:
        self.actions = actions
        self.log_probs = log_probs
        # In inference mode nobody counts what is written, and a copy has to tell.
        untracked = actions.is_inference()
        self._copy = actions.clone() if untracked else None
        self._version = 0 if untracked else actions._version

    def is_unchanged(self) -> bool:
        """Whether nobody has written into the actions since."""
        if self._copy is not None:
            return torch.equal(self._copy, self.actions)
        return self.actions._version == self._version


class _Score(torch.autograd.Function):
    """Log-probabilities of actions and entropies, with one gradient for both."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, rows: FusedRows, actions: Tensor | None) -> Any:
        log_probs, entropy = rows._forward(None, actions)
        ctx.rows = rows
        ctx.has_actions = actions is not None
        mask = _watched(rows.layout.action_mask)
        ctx.save_for_backward(logits, rows._normalizer, entropy.detach(), actions, mask)
        ctx.set_materialize_grads(False)
        return log_probs, entropy

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> Any:
        of_log_prob, of_entropy = upstream
        logits, normalizer, entropy, actions, _ = ctx.saved_tensors
        rows: FusedRows = ctx.rows
        if not ctx.has_actions:
            of_log_prob = None
        if of_log_prob is None and of_entropy is None:
            return None, None, None
        if torch.is_grad_enabled():
            return _again(rows, logits, actions, of_log_prob, of_entropy), None, None
        layout = rows.layout
        out = torch.empty(logits.shape, dtype=logits.dtype)
        heads = 1 if rows._sizes is None else len(rows._sizes)
        g, g_row, g_head = _strides(of_log_prob, heads)
        h, h_row, h_head = _strides(of_entropy, heads)
        run(
            gradient32 if logits.dtype == torch.float32 else gradient64,
            layout.plan,
            layout.logits.data_ptr(),
            layout.mask_address,
            normalizer.data_ptr(),
            entropy.data_ptr(),
            0 if actions is None else actions.data_ptr(),
            0 if g is None else g.data_ptr(),
            g_row,
            g_head,
            0 if h is None else h.data_ptr(),
            h_row,
            h_head,
            out.data_ptr(),
        )
        return out, None, None


class _Dense(torch.autograd.Function):
    """Probabilities or log-probabilities of all entries."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, rows: FusedRows, logs: bool) -> Tensor:
        rows._forward(None, None)
        ctx.rows, ctx.logs = rows, logs
        ctx.save_for_backward(logits, rows._normalizer, _watched(rows.layout.action_mask))
        assert rows._normalizer is not None
        return rows._write(logs, rows._normalizer)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        logits, normalizer, _ = ctx.saved_tensors
        rows: FusedRows = ctx.rows
        (gradient,) = upstream
        if torch.is_grad_enabled():
            with torch.enable_grad():
                plain = rows._reference()
                values = plain.log_probs() if ctx.logs else plain.probs()
            (again,) = torch.autograd.grad(
                values, logits, gradient, create_graph=True, allow_unused=True
            )
            return again, None, None
        layout = rows.layout
        gradient = gradient.contiguous()
        out = torch.empty(logits.shape, dtype=logits.dtype)
        run(
            dense_gradient32 if logits.dtype == torch.float32 else dense_gradient64,
            layout.plan,
            layout.logits.data_ptr(),
            layout.mask_address,
            normalizer.data_ptr(),
            gradient.data_ptr(),
            int(ctx.logs),
            out.data_ptr(),
        )
        return out, None, None


def _again(
    rows: FusedRows,
    logits: Tensor,
    actions: Tensor | None,
    of_log_prob: Tensor | None,
    of_entropy: Tensor | None,
) -> Tensor | None:
    """The gradient by the reference, which can be differentiated again."""
    plain = rows._reference()
    values: list[Tensor] = []
    upstream: list[Tensor] = []
    if of_log_prob is not None and actions is not None:
        values.append(plain.chosen(actions))
        upstream.append(of_log_prob)
    if of_entropy is not None:
        values.append(plain.entropy())
        upstream.append(of_entropy)
    return torch.autograd.grad(values, logits, upstream, create_graph=True, allow_unused=True)[0]


def _watched(mask: Tensor | None) -> Tensor | None:
    """The mask, to be refused by autograd if it is changed before the backward pass."""
    return None if mask is None or mask.is_inference() else mask


def _is_transformed() -> bool:
    """Whether a functional transform such as vmap is at work."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def _strides(upstream: Tensor | None, heads: int) -> tuple[Tensor | None, int, int]:
    """An upstream gradient with its strides from row to row and from head to head."""
    if upstream is None:
        return None, 0, 0
    if not any(upstream.stride()):
        return upstream, 0, 0
    return upstream.contiguous(), heads, 1
