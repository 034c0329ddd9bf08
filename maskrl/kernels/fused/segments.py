"""`FusedSegments`: ragged candidate sets, of which every statistic is one pass of a kernel.

For the kernels the whole batch is one row, and every set is a head of it: nothing is padded,
and memory goes with candidates. Sets of one length are rows. Where results lie is the same for
both. The plan is made for the one batch and goes with it. What one pass brings along is kept,
as in `FusedRows`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maskrl.kernels import reference
from maskrl.kernels.fused.choices import draws32, draws64, modes32, modes64
from maskrl.kernels.fused.dense import dense32, dense64, dense_gradient32, dense_gradient64
from maskrl.kernels.fused.drawn import Drawn
from maskrl.kernels.fused.forward import pass32, pass64
from maskrl.kernels.fused.gradient import gradient32, gradient64
from maskrl.kernels.fused.layout import Layout, apart, check_on_cpu, check_same
from maskrl.kernels.fused.plan import BYTES, NO_MASK, Plan
from maskrl.kernels.fused.scoring import (
    EMPTY,
    IMPOSSIBLE,
    OUT_OF_RANGE,
    UNSOUND,
    pick32,
    pick64,
)
from maskrl.kernels.fused.threads import run
from maskrl.kernels.fused.tiles import LINE
from maskrl.kernels.segments import ReferenceSegments, Segments, check_places


class FusedSegments:
    """Masked segments by compiled kernels; see `maskrl.kernels.contract.Rows`.

    Args:
        logits: Floating point `[M]`; half precision is computed in float32.
        action_mask: bool `[M]`, or None.
        segments: What they are cut into.
    """

    __slots__ = (
        "_action_mask",
        "_blocks",
        "_drawn",
        "_entropy",
        "_impossible",
        "_layout",
        "_logits",
        "_normalizer",
        "_scored",
        "_scored_version",
        "_segments",
        "_status",
    )

    def __init__(self, logits: Tensor, action_mask: Tensor | None, segments: Segments) -> None:
        """Remember what the segments are made of; nothing is computed before it is asked for."""
        is_half = logits.dtype in (torch.float16, torch.bfloat16)
        self._logits = logits.to(torch.float32) if is_half else logits
        self._action_mask = action_mask
        self._segments = segments
        self._layout: Layout | None = None
        self._normalizer: Tensor | None = None
        self._entropy: Tensor | None = None
        self._blocks: Tensor | None = None
        self._status = 0
        self._scored: Tensor | None = None
        self._scored_version = 0
        self._drawn: Drawn | None = None
        self._impossible: bool | None = None

    # What is known.

    @property
    def layout(self) -> Layout:
        """Where logits and mask lie."""
        if self._layout is None:
            logits, mask = self._logits.detach().contiguous(), self._action_mask
            mask = None if mask is None else mask.contiguous()
            kind = NO_MASK if mask is None else BYTES
            count, longest = len(self._segments), self._segments.longest
            if count * longest == len(logits):
                # Of one length: rows, which are read faster.
                plan = Plan(count, [0, longest], longest, kind, 0 if mask is None else longest)
            else:
                plan = Plan(1, self._segments.on_host, len(logits), kind, 0)
            self._layout = Layout(plan, logits, mask)
        return self._layout

    @property
    def _shape(self) -> tuple[int, ...]:
        return (len(self._segments),)

    def _is_trained(self) -> bool:
        """Whether a result must carry a gradient."""
        return (
            self._logits.requires_grad
            and torch.is_grad_enabled()
            and not torch.is_inference_mode_enabled()
        )

    def _known(self) -> Tensor:
        """The normaliser `[B, 2]`, from a pass of its own if there was none yet.

        Raises:
            MaskError: Logits or mask are no longer those that it was computed from.
        """
        if self._normalizer is None:
            self._look()
        elif self._layout is not None and not self._layout.is_unchanged():
            self._look_again()
        assert self._normalizer is not None
        return self._normalizer

    @property
    def empty(self) -> Tensor | None:
        """Which segments allow nothing."""
        normalizer = self._known()
        return normalizer[:, 0] == reference.LOG_ZERO if self._status & EMPTY else None

    @property
    def unsound(self) -> Tensor | None:
        """Which segments have allowed logits that cannot be used."""
        normalizer = self._known()
        return normalizer[:, 0].isnan() if self._status & UNSOUND else None

    # Passes.

    def _look(self) -> None:
        """One pass without a choice: normalisers, entropies, and sums of long segments' blocks."""
        segments = self._segments
        if segments.longest > LINE and not self._logits.requires_grad:
            count = segments.entries // LINE + len(segments)
            self._blocks = torch.empty(2 * count, dtype=torch.float64, device="cpu")
        self._pass(None, None, None)

    def _look_again(self) -> None:
        """The same after somebody wrote into logits, mask, or what shares their memory."""
        before, entropy = self._normalizer, self._entropy
        # New ones, because graphs and callers have the others.
        self._normalizer = self._entropy = None
        self._look()
        assert before is not None and self._normalizer is not None
        now, self._normalizer = self._normalizer, before
        self._entropy, entropy = entropy, self._entropy
        check_same(before, now)
        self._entropy = entropy
        self.layout.look_again()

    def _forward(self, uniforms: Tensor | None, actions: Tensor) -> Tensor:
        """Log-probabilities of choices that are given, or drawn by uniforms."""
        log_probs = torch.empty(len(self._segments), dtype=self._logits.dtype, device="cpu")
        if uniforms is None and self._normalizer is not None:
            self._pick(actions, log_probs)
        else:
            self._pass(uniforms, actions, log_probs)
        return log_probs

    def _pass(
        self, uniforms: Tensor | None, actions: Tensor | None, log_probs: Tensor | None
    ) -> None:
        """One pass over logits and mask; what comes along is kept."""
        layout = self.layout
        dtype = layout.logits.dtype
        normalizer, entropy = self._normalizer, self._entropy
        is_known = normalizer is not None and entropy is not None
        if is_known:
            # Not written again, because callers and graphs have them.
            normalizer = self._known()
        else:
            count = len(self._segments)
            entropy = torch.empty(count, dtype=dtype, device="cpu")
            normalizer = torch.empty((count, 2), dtype=torch.float64, device="cpu")
        status = run(
            pass32 if dtype == torch.float32 else pass64,
            layout.plan,
            layout.logits.data_ptr(),
            layout.mask_address,
            0 if uniforms is None else uniforms.data_ptr(),
            0 if actions is None else actions.data_ptr(),
            0 if log_probs is None else log_probs.data_ptr(),
            normalizer.data_ptr() if not is_known or self._blocks is not None else 0,
            0 if is_known or entropy is None else entropy.data_ptr(),
            0 if self._blocks is None else self._blocks.data_ptr(),
        )
        if not is_known:
            self._normalizer, self._entropy = normalizer, entropy
        self._settle(status, actions)

    def _pick(self, actions: Tensor, log_probs: Tensor) -> None:
        """Score choices by normalisers that are known."""
        layout = self.layout
        status = run(
            pick32 if log_probs.dtype == torch.float32 else pick64,
            layout.plan,
            layout.logits.data_ptr(),
            layout.mask_address,
            self._known().data_ptr(),
            actions.data_ptr(),
            log_probs.data_ptr(),
        )
        self._settle(status | (self._status & (EMPTY | UNSOUND)), actions)

    def _settle(self, status: int, actions: Tensor | None) -> None:
        """Remember what a pass reported."""
        self._status = status
        if actions is not None:
            self._impossible = bool(status & IMPOSSIBLE)
        if status & OUT_OF_RANGE and actions is not None:
            check_places(actions, self._segments)

    def _dense(self, logs: bool) -> Tensor:
        if self._is_trained():
            result: Tensor = _apply(_Dense, self._logits, self, logs)
            return result
        return self._write(logs)

    def _write(self, logs: bool) -> Tensor:
        layout = self.layout
        normalizer = self._known()
        out = torch.empty_like(layout.logits)
        run(
            dense32 if out.dtype == torch.float32 else dense64,
            layout.plan,
            layout.logits.data_ptr(),
            layout.mask_address,
            normalizer.data_ptr(),
            int(logs),
            out.data_ptr(),
        )
        return out

    def log_probs(self) -> Tensor:
        """Log-probabilities `[M]`; a -inf one is a constant."""
        return self._dense(True)

    def probs(self) -> Tensor:
        """Probabilities `[M]`; one that is 0 by its mask or logit is a constant."""
        return self._dense(False)

    def entropy(self) -> Tensor:
        """Entropy in nats `[B]`."""
        if self._is_trained():
            kept = self._scored
            if kept is None or not kept.requires_grad or kept._version != self._scored_version:
                # Anew as well if somebody wrote into the one that was handed out.
                scored: tuple[Tensor, Tensor] = _apply(_Score, self._logits, self, None)
                kept = self._hand_out(scored[1])
            return kept
        entropy = self.untouched_entropy()
        return entropy.clone() if entropy.is_inference() else entropy

    def _hand_out(self, entropy: Tensor) -> Tensor:
        """Keep an entropy of the graph as long as nobody writes into it."""
        self._scored, self._scored_version = entropy, entropy._version
        return entropy

    def untouched_entropy(self) -> Tensor:
        """Entropies as a pass wrote them: anew if somebody wrote into those handed out."""
        entropy = self._entropy
        if entropy is None or not (entropy.is_inference() or entropy._version == 0):
            if self._normalizer is not None:
                self._known()
            self._entropy = None
            self._look()
        assert self._entropy is not None
        return self._entropy

    def chosen(self, actions: Tensor) -> Tensor:
        """Log-probabilities of actions `[..., B]`; a -inf one is a constant.

        Raises:
            IndexError: An action is below 0 or not below the size of the longest segment.
        """
        drawn = self._drawn
        is_drawn = drawn is not None and actions is drawn.actions and not self._is_trained()
        if drawn is not None and is_drawn and drawn.is_unchanged():
            self._impossible = False
            log_probs = drawn.log_probs
            return log_probs.clone() if log_probs.is_inference() else log_probs
        check_on_cpu("actions are", actions)
        if actions.ndim == 1 and not is_transformed():
            actions = actions.contiguous()
            if not self._is_trained():
                return self._forward(None, actions)
            scored: tuple[Tensor, Tensor] = _apply(_Score, self._logits, self, actions)
            self._hand_out(scored[1])
            return scored[0]
        self._impossible = None
        if is_transformed():
            return self.plainly()(self._logits).chosen(actions)
        check_places(actions, self._segments)
        picked = self._segments.at(self.log_probs(), actions, reference.LOG_ZERO)
        return torch.where(picked == reference.LOG_ZERO, reference.LOG_ZERO, picked)

    def sample(self, uniform: Tensor) -> Tensor:
        """Draw from every segment by inverse CDF, with uniforms `[..., B]`."""
        if is_transformed():
            return self.plainly()(self._logits).sample(uniform)
        check_on_cpu("uniforms are", uniform)
        uniform = uniform.contiguous()
        actions = torch.empty(uniform.shape, dtype=torch.int64, device="cpu")
        if uniform.ndim == 1:
            self._drawn = Drawn(actions, self._forward(uniform, actions))
            return actions
        layout = self.layout
        normalizer = self._known()
        run(
            draws32 if layout.logits.dtype == torch.float32 else draws64,
            layout.plan,
            layout.logits.data_ptr(),
            layout.mask_address,
            normalizer.data_ptr(),
            uniform.data_ptr(),
            uniform.shape[:-1].numel(),
            len(self._segments),
            1,
            1,
            actions.data_ptr(),
        )
        return actions

    def argmax(self) -> Tensor:
        """A most probable action `[B]`, compared by logits: these are not rounded."""
        layout = self.layout
        actions = torch.empty(len(self._segments), dtype=torch.int64, device="cpu")
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

    def plainly(self) -> Plainly:
        """How to make the same segments of any logits in plain torch."""
        return Plainly(self._action_mask, self._segments)


@dataclass(frozen=True, slots=True)
class Plainly:
    """Makes segments in plain torch; apart, so that no graph holds what holds its results."""

    action_mask: Tensor | None
    segments: Segments

    def __call__(self, logits: Tensor) -> ReferenceSegments:
        """The segments of such logits."""
        return ReferenceSegments(logits, self.action_mask, self.segments)


class _Score(torch.autograd.Function):
    """Log-probabilities of actions and entropies, with one gradient for both."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, of: FusedSegments, actions: Tensor | None) -> Any:
        log_probs = None if actions is None else of._forward(None, actions)
        kept = of.untouched_entropy()
        normalizer = of._known()
        ctx.plainly, ctx.layout, ctx.actions = of.plainly(), of.layout, actions
        ctx.known = normalizer, kept
        # Saved to be refused by autograd if changed before the backward pass.
        watched = _watched(actions), _watched(of.layout.action_mask), _watched(kept)
        ctx.save_for_backward(logits, *watched)
        ctx.set_materialize_grads(False)
        # A copy: the first may have been made in inference mode, and callers may write into it.
        return log_probs, kept.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> Any:
        logits, *_ = ctx.saved_tensors
        actions: Tensor | None = ctx.actions
        g, h = upstream if actions is not None else (None, upstream[1])
        if g is None and h is None:
            return None, None, None
        if torch.is_grad_enabled() or is_batched(g, h):
            again = torch.is_grad_enabled()
            with torch.enable_grad():
                logits = apart(logits)
                plain = ctx.plainly(logits)
                pairs = [(plain.chosen(actions), g)] if g is not None else []
                pairs += [(plain.entropy(), h)] if h is not None else []
            values, given = zip(*pairs, strict=True)
            return *torch.autograd.grad(values, logits, given, create_graph=again), None, None
        normalizer, entropy = ctx.known
        layout: Layout = ctx.layout
        out = torch.empty_like(layout.logits)
        run(
            gradient32 if out.dtype == torch.float32 else gradient64,
            layout.plan,
            layout.logits.data_ptr(),
            layout.mask_address,
            normalizer.data_ptr(),
            entropy.data_ptr(),
            0 if actions is None else actions.data_ptr(),
            0 if g is None else g.data_ptr(),
            *(2 * g.stride() if g is not None else (0, 0)),
            0 if h is None else h.data_ptr(),
            *(2 * h.stride() if h is not None else (0, 0)),
            out.data_ptr(),
        )
        return out, None, None


class _Dense(torch.autograd.Function):
    """Probabilities or log-probabilities of all entries."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, of: FusedSegments, logs: bool) -> Tensor:
        out = of._write(logs)
        ctx.plainly, ctx.layout = of.plainly(), of.layout
        ctx.logs, ctx.normalizer = logs, of._known()
        ctx.save_for_backward(logits, _watched(of.layout.action_mask))
        return out

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        logits, _ = ctx.saved_tensors
        (gradient,) = upstream
        if torch.is_grad_enabled() or is_batched(gradient):
            again = torch.is_grad_enabled()
            with torch.enable_grad():
                logits = apart(logits)
                plain = ctx.plainly(logits)
                values = plain.log_probs() if ctx.logs else plain.probs()
            return *torch.autograd.grad(values, logits, gradient, create_graph=again), None, None
        layout: Layout = ctx.layout
        gradient = gradient.contiguous()
        out = torch.empty_like(layout.logits)
        run(
            dense_gradient32 if out.dtype == torch.float32 else dense_gradient64,
            layout.plan,
            layout.logits.data_ptr(),
            layout.mask_address,
            ctx.normalizer.data_ptr(),
            gradient.data_ptr(),
            int(ctx.logs),
            out.data_ptr(),
        )
        return out, None, None


def _apply(function: Any, *arguments: Any) -> Any:
    """Call an autograd function, which torch leaves untyped."""
    return function.apply(*arguments)


def _watched(mask: Tensor | None) -> Tensor | None:
    """The mask, to be refused by autograd if it is changed before the backward pass."""
    return None if mask is None or mask.is_inference() else mask


def is_batched(*upstream: Tensor | None) -> bool:
    """Whether gradients are computed for a batch of upstream ones at once."""
    functorch = torch._C._functorch
    return any(
        functorch.is_batchedtensor(g) or functorch.is_legacy_batchedtensor(g)
        for g in upstream
        if g is not None
    )


def is_transformed() -> bool:
    """Whether a functional transform such as vmap is at work."""
    return torch._C._functorch.peek_interpreter_stack() is not None
