"""`FusedBackend`: the compiled kernels behind the contract of every backend.

Serves ordinary tensors on the CPU. Nothing is imported from Numba before the first call, so
that maskrl starts as fast without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from maskrl.kernels.contract import Rows
from maskrl.kernels.reference import logsumexp

if TYPE_CHECKING:
    from maskrl.masks.packed import PackedMask

_DTYPES = frozenset({torch.float32, torch.float64, torch.float16, torch.bfloat16})


class FusedBackend:
    """Masked rows by compiled kernels; see `maskrl.kernels.contract.Backend`."""

    name = "fused"
    reads_bits = True

    def serves(self, logits: Tensor, action_mask: Tensor | PackedMask | None) -> bool:
        """Serve real tensors on the CPU, outside of functional transforms and forward mode."""
        return (
            type(logits) in (Tensor, torch.nn.Parameter)
            and logits.is_cpu
            and logits.dtype in _DTYPES
            and logits.numel() > 0
            and torch._C._functorch.peek_interpreter_stack() is None
            and torch.autograd.forward_ad._current_level < 0
        )

    def rows(
        self,
        logits: Tensor,
        action_mask: Tensor | PackedMask | None,
        *,
        look: bool,
        sizes: tuple[int, ...] | None = None,
    ) -> Rows:
        """Prepare rows; see `maskrl.kernels.contract.Backend`."""
        from maskrl.kernels.fused.rows import FusedRows

        return FusedRows(logits, action_mask, sizes)

    def logsumexp(self, logits: Tensor, action_mask: Tensor | None) -> Tensor:
        """Log of the sum of exp; by the reference, which is memory-bound already."""
        return logsumexp(logits, action_mask)
