"""`FusedRows`: masked categorical rows whose every statistic is one pass of a kernel.

Nothing is computed before it is asked for. A draw brings its log-probability with it, a
score its entropy, and either whether a row is empty or unsound; what came along is kept, so
that the next question costs nothing. Gradients are one pass too; a gradient that shall be
differentiated again is left to the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from maskrl.kernels import reference
from maskrl.kernels.fused.choices import draws32, draws64, modes32, modes64
from maskrl.kernels.fused.dense import dense32, dense64
from maskrl.kernels.fused.drawn import Drawn
from maskrl.kernels.fused.forward import pass32, pass64
from maskrl.kernels.fused.graph import Dense, Score, apply, plain
from maskrl.kernels.fused.layout import (
    Layout,
    check_on_cpu,
    check_same,
    lay_out,
)
from maskrl.kernels.fused.room import pattern, rooms
from maskrl.kernels.fused.scoring import (
    EMPTY,
    IMPOSSIBLE,
    OUT_OF_RANGE,
    UNSOUND,
    pick32,
    pick64,
    pick_whole32,
    pick_whole64,
    sum_heads32,
    sum_heads64,
)
from maskrl.kernels.fused.segments import is_transformed
from maskrl.kernels.fused.threads import run
from maskrl.kernels.fused.tiles import LINE
from maskrl.masks.packed import PackedMask

if TYPE_CHECKING:
    from maskrl.kernels.contract import Rows

_HALF = (torch.float16, torch.bfloat16)


class FusedRows:
    """Masked rows by compiled kernels; see `maskrl.kernels.contract.Rows`."""

    __slots__ = (
        "_action_mask",
        "_blocks",
        "_drawn",
        "_entropy",
        "_impossible",
        "_layout",
        "_like",
        "_logits",
        "_normalizer",
        "_plain_entropy",
        "_shape",
        "_sizes",
        "_status",
        "_whole_entropy",
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
        self._shape = batch if sizes is None else torch.Size((*batch, len(sizes)))
        self._like = rooms(self._shape, self._logits.dtype)
        self._layout: Layout | None = None
        self._normalizer: Tensor | None = None
        self._plain_entropy: Tensor | None = None
        self._blocks: Tensor | None = None
        self._status = 0
        # Entropies of the graph, and how often they had been written into when handed out.
        self._entropy: tuple[Tensor, int] | None = None
        self._whole_entropy: tuple[Tensor, int] | None = None
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
        """The normaliser of every row, from a pass of its own if there was none yet.

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
        """Which rows allow nothing."""
        if self._normalizer is None:
            self._look()
        if not self._status & EMPTY:
            return None
        return (self._known()[:, 0] == reference.LOG_ZERO).reshape(self._shape)

    @property
    def unsound(self) -> Tensor | None:
        """Which rows have allowed logits that cannot be used."""
        if self._normalizer is None:
            self._look()
        if not self._status & UNSOUND:
            return None
        return self._known()[:, 0].isnan().reshape(self._shape)

    # Passes.

    def _look(self) -> None:
        """One pass without a choice: normalisers, entropies, and sums of long rows' blocks."""
        layout = self.layout
        if layout.plan.entries > LINE and not self._logits.requires_grad:
            count = layout.plan.rows * (layout.plan.entries // LINE + layout.plan.heads)
            self._blocks = torch.empty(2 * count, dtype=torch.float64, device="cpu")
        self._pass(None, None, None)

    def _look_again(self) -> None:
        """The same after somebody wrote into logits, mask, or what shares their memory."""
        before, entropy = self._normalizer, self._plain_entropy
        # New ones, because graphs and callers have the others.
        self._normalizer = self._plain_entropy = None
        self._look()
        assert before is not None and self._normalizer is not None
        now, self._normalizer = self._normalizer, before
        self._plain_entropy, entropy = entropy, self._plain_entropy
        check_same(before, now)
        self._plain_entropy = entropy
        self.layout.look_again()

    def _forward(self, uniforms: Tensor | None, actions: Tensor) -> Tensor:
        """Log-probabilities of choices that are given, or drawn by uniforms."""
        log_probs = torch.empty_like(self._like.scores)
        if uniforms is None and self._normalizer is not None:
            self._pick(actions, log_probs)
        else:
            self._pass(uniforms, actions, log_probs)
        return log_probs

    def _pass(
        self, uniforms: Tensor | None, actions: Tensor | None, log_probs: Tensor | None
    ) -> None:
        """One pass over logits and mask; what comes along is kept."""
        layout = self._layout or self.layout
        logits = layout.logits
        dtype = logits.dtype
        normalizer, entropy = self._normalizer, self._plain_entropy
        is_known = normalizer is not None and entropy is not None
        if is_known:  # and not written again: callers and graphs have them
            normalizer = self._known()
        else:
            entropy = torch.empty_like(self._like.scores)
            normalizer = torch.empty_like(self._like.pairs)
        status = run(
            pass32 if dtype == torch.float32 else pass64,
            layout.plan,
            logits.data_ptr(),
            layout.mask_address,
            0 if uniforms is None else uniforms.data_ptr(),
            0 if actions is None else actions.data_ptr(),
            0 if log_probs is None else log_probs.data_ptr(),
            normalizer.data_ptr() if not is_known or self._blocks is not None else 0,
            0 if is_known or entropy is None else entropy.data_ptr(),
            0 if self._blocks is None else self._blocks.data_ptr(),
        )
        if not is_known:
            self._normalizer, self._plain_entropy = normalizer, entropy
        self._settle(status, actions is not None)

    def _pick(self, actions: Tensor, log_probs: Tensor) -> None:
        """Score choices by normalisers that are known."""
        layout = self._layout or self.layout
        logits = layout.logits
        pick = pick32 if logits.dtype == torch.float32 else pick64
        status = pick(
            layout.plan.address,
            logits.data_ptr(),
            layout.mask_address,
            self._known().data_ptr(),
            actions.data_ptr(),
            log_probs.data_ptr(),
        )
        self._settle(status | (self._status & (EMPTY | UNSOUND)), True)

    def _settle(self, status: int, is_scored: bool) -> None:
        """Remember what a pass reported."""
        self._status = status
        if is_scored:
            self._impossible = bool(status & IMPOSSIBLE)
        if status & OUT_OF_RANGE:
            raise IndexError("an action is not one of those that there are")

    def _dense(self, logs: bool) -> Tensor:
        if self._is_trained():
            result: Tensor = apply(Dense, self._logits, self, logs)
            return result
        return self._write(logs)

    def _write(self, logs: bool) -> Tensor:
        normalizer = self._known()
        layout = self.layout
        logits = layout.logits
        out = torch.empty(self._logits.shape, dtype=logits.dtype, device="cpu")
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
        if self._is_trained():
            kept = self._entropy
            if not _is_untouched(kept):
                scored: tuple[Tensor, Tensor] = apply(Score, self._logits, self, None, False)
                kept = self._entropy = scored[1], scored[1]._version
            assert kept is not None
            return kept[0]
        entropy = self.untouched_entropy()
        return entropy.clone() if entropy.is_inference() else entropy

    def whole_entropy(self) -> Tensor:
        """Entropy of whole actions, the sum over the heads `[*batch]`."""
        if is_transformed():
            return self.entropy().sum(-1)
        if not self._is_trained():
            return self._sum_of_heads(self.untouched_entropy())
        kept = self._whole_entropy
        if not _is_untouched(kept):
            scored: tuple[Tensor, Tensor] = apply(Score, self._logits, self, None, True)
            kept = self._whole_entropy = scored[1], scored[1]._version
        assert kept is not None
        return kept[0]

    def _sum_of_heads(self, values: Tensor) -> Tensor:
        out = torch.empty_like(self._whole_like())
        add = sum_heads32 if values.dtype == torch.float32 else sum_heads64
        heads = self._shape[-1]
        add(values.data_ptr(), self._shape.numel() // heads, heads, out.data_ptr())
        return out

    def _whole_like(self) -> Tensor:
        """A pattern of one number for each whole action."""
        return pattern(self._shape[:-1], self._logits.dtype)

    def untouched_entropy(self) -> Tensor:
        """Entropies as a pass wrote them: anew if somebody wrote into those handed out."""
        entropy = self._plain_entropy
        if entropy is None or not (entropy.is_inference() or entropy._version == 0):
            if self._normalizer is not None:
                self._known()
            self._plain_entropy = None
            self._look()
        assert self._plain_entropy is not None
        return self._plain_entropy

    def chosen(self, actions: Tensor) -> Tensor:
        """Log-probabilities of actions; a -inf one is a constant."""
        drawn = self._drawn
        is_drawn = drawn is not None and actions is drawn.actions and not self._is_trained()
        if drawn is not None and is_drawn and drawn.is_unchanged():
            self._impossible = False
            log_probs = drawn.log_probs
            return log_probs.clone() if log_probs.is_inference() else log_probs
        check_on_cpu("actions are", actions)
        if actions.shape != self._shape or is_transformed():
            return self._chosen_more(actions)
        if not actions.is_contiguous():
            actions = actions.contiguous()
        if not self._is_trained():
            return self._forward(None, actions)
        scored: tuple[Tensor, Tensor] = apply(Score, self._logits, self, actions, False)
        self._entropy = scored[1], scored[1]._version
        return scored[0]

    def whole(self, actions: Tensor) -> Tensor:
        """Log-probabilities of whole actions `[*batch, K]`, sums over the heads `[*batch]`."""
        if actions.shape != self._shape or is_transformed():
            return self.chosen(actions).sum(-1)
        if not self._is_trained():
            drawn = self._drawn
            if drawn is not None and actions is drawn.actions and drawn.is_unchanged():
                self._impossible = False
                return self._sum_of_heads(drawn.log_probs)
            check_on_cpu("actions are", actions)
            return self._pick_whole(actions.contiguous())[0]
        check_on_cpu("actions are", actions)
        scored: tuple[Tensor, Tensor] = apply(Score, self._logits, self, actions.contiguous(), True)
        self._whole_entropy = scored[1], scored[1]._version
        return scored[0]

    def _pick_whole(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies of whole actions, from a pass that is known."""
        entropy = self.untouched_entropy()
        normalizer = self._known()
        layout = self._layout or self.layout
        logits = layout.logits
        like = self._whole_like()
        log_probs, entropies = torch.empty_like(like), torch.empty_like(like)
        status = run(
            pick_whole32 if logits.dtype == torch.float32 else pick_whole64,
            layout.plan,
            logits.data_ptr(),
            layout.mask_address,
            normalizer.data_ptr(),
            entropy.data_ptr(),
            actions.data_ptr(),
            log_probs.data_ptr(),
            entropies.data_ptr(),
        )
        self._settle(status | (self._status & (EMPTY | UNSOUND)), True)
        return log_probs, entropies

    def _chosen_more(self, actions: Tensor) -> Tensor:
        """Score actions with further leading dimensions, or inside a functional transform."""
        if is_transformed():
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
        shape = self._shape
        check_on_cpu("uniforms are", uniform)
        if uniform.shape == shape and uniform.is_contiguous() and not is_transformed():
            actions = torch.empty_like(self._like.actions)
            self._drawn = Drawn(actions, self._forward(uniform, actions))
            return actions
        lead = uniform.ndim - len(shape)
        if uniform.shape[lead:] != shape or not uniform.is_contiguous() or is_transformed():
            return self._reference().sample(uniform)
        layout = self.layout
        heads = 1 if self._sizes is None else len(self._sizes)
        actions = torch.empty(uniform.shape, dtype=torch.int64, device="cpu")
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
        return self._modes()[0]

    def clear_argmax(self) -> Tensor | None:
        """The same with nothing else computed; None if a row has NaN or nothing above -inf."""
        actions, flags = self._modes()
        return None if flags else actions

    def _modes(self) -> tuple[Tensor, int]:
        layout = self.layout
        actions = torch.empty_like(self._like.actions)
        flags = run(
            modes32 if layout.logits.dtype == torch.float32 else modes64,
            layout.plan,
            layout.logits.data_ptr(),
            layout.mask_address,
            actions.data_ptr(),
        )
        return actions, flags

    def is_possible(self, log_probs: Tensor) -> bool:
        """Whether no log-probability that was just scored is -inf."""
        return (
            reference.is_possible(log_probs) if self._impossible is None else not self._impossible
        )

    def _reference(self) -> Rows:
        """The same rows in plain torch."""
        return plain(self._logits, self._action_mask, self._sizes)


def _is_untouched(kept: tuple[Tensor, int] | None) -> bool:
    """Whether entropies of the graph are there, and nobody has written into them."""
    return kept is not None and kept[0].requires_grad and kept[0]._version == kept[1]
