"""`PackedMask`: a boolean mask stored as bits, an eighth of the bytes of a bool tensor.

Rollouts keep one mask for every step. As float32 the masks of a game with 4672
actions take 306 MB for 2048 x 8 steps; as bits 9.6 MB. A packed mask indexes
over its leading dimensions like a tensor, so minibatches are cut from the bits
and only the rows in use are unpacked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.masks.arrays import BoolArray, pack_bits, unpack_bits


@dataclass(frozen=True, eq=False, repr=False)
class PackedMask:
    """A boolean mask `[..., n]` whose last dimension is packed into bytes.

    Attributes:
        bits: uint8 `[..., ceil(n / 8)]`, lowest bit first; unused bits are 0.
        n: Length of the last dimension.
        shape: Shape of the mask, `[..., n]`.
    """

    bits: Tensor
    n: int
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check that bits, n and shape agree."""
        if not isinstance(self.bits, Tensor) or self.bits.dtype != torch.uint8:
            raise MaskDtypeError(
                "PackedMask: bits is not a uint8 tensor; build one with pack_mask(mask)."
            )
        expected = (*self.shape[:-1], -(-self.n // 8))
        if not self.shape or self.shape[-1] != self.n or tuple(self.bits.shape) != expected:
            raise MaskShapeError(
                f"PackedMask: bits of shape {tuple(self.bits.shape)} do not hold a mask of shape "
                f"{self.shape} with n = {self.n}; expected bits of shape {expected}."
            )

    def unpack(self) -> Tensor:
        """Return the mask as a new `torch.bool` tensor of `shape`."""
        if _through_numpy(self.bits):
            return torch.from_numpy(unpack_bits(self.bits.numpy(), self.n))
        places = torch.arange(8, dtype=torch.uint8, device=self.bits.device)
        bits = (self.bits.unsqueeze(-1) >> places) & 1
        return bits.flatten(-2)[..., : self.n].to(torch.bool)

    def numpy(self) -> BoolArray:
        """Return the mask as a numpy array of bool."""
        return unpack_bits(self.bits.cpu().numpy(), self.n)

    def __getitem__(self, index: Any) -> PackedMask:
        """Index over the leading dimensions; the last one stays whole.

        Raises:
            IndexError: The index reaches the packed dimension.
        """
        items = index if isinstance(index, tuple) else (index,)
        leading = len(self.shape) - 1
        used = sum(_dimensions_used(item) for item in items)
        if used > leading:
            raise IndexError(
                f"PackedMask: index {index!r} reaches the packed dimension of a mask of shape "
                f"{self.shape}; index its {leading} leading dimensions, or unpack() first."
            )
        if any(item is Ellipsis for item in items):
            # Spelt out, because an ellipsis would otherwise swallow the packed dimension too.
            at = next(i for i, item in enumerate(items) if item is Ellipsis)
            items = (*items[:at], *[slice(None)] * (leading - used), *items[at + 1 :])
        bits = self.bits[items]
        return PackedMask(bits, self.n, (*bits.shape[:-1], self.n))

    def expand(self, *leading: int) -> PackedMask:
        """Return the mask with larger leading dimensions; nothing is copied."""
        bits = self.bits.expand(*leading, self.bits.shape[-1])
        return PackedMask(bits, self.n, (*leading, self.n))

    def __len__(self) -> int:
        """Return the length of the first dimension."""
        return self.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the bits are."""
        return self.bits.device

    @property
    def nbytes(self) -> int:
        """Bytes that the mask takes."""
        return self.bits.numel()

    def to(self, device: torch.device | str) -> PackedMask:
        """Return the mask on another device."""
        return PackedMask(self.bits.to(device), self.n, self.shape)

    def __repr__(self) -> str:
        """Name shape and memory, not the bits."""
        return f"PackedMask(shape={self.shape}, {self.nbytes:,} bytes, device={self.device})"


def pack_mask(m: Tensor) -> PackedMask:
    """Pack a `torch.bool` mask `[..., n]` into bits.

    Args:
        m: Boolean tensor with at least one dimension.

    Returns:
        The packed mask, on the same device; it shares no memory with `m`.

    Raises:
        MaskDtypeError: `m` is not a boolean tensor.
        MaskShapeError: `m` has no dimension.

    Example:
        >>> pack_mask(torch.tensor([[True, False, True]])).bits
        tensor([[5]], dtype=torch.uint8)
    """
    if not isinstance(m, Tensor) or m.dtype != torch.bool:
        got = f"dtype {m.dtype}" if isinstance(m, Tensor) else f"type {type(m).__name__}"
        raise MaskDtypeError(
            f"pack_mask: m has {got}; expected a torch.bool tensor, True = allowed. "
            f"Convert it with maskrl.as_mask(m)."
        )
    if m.ndim == 0:
        raise MaskShapeError("pack_mask: m has no dimension; expected [..., n].")
    n = m.shape[-1]
    if _through_numpy(m):
        bits = torch.from_numpy(pack_bits(m.numpy()))
    else:
        width = -(-n // 8)
        padded = torch.nn.functional.pad(m.to(torch.uint8), (0, 8 * width - n))
        places = torch.arange(8, dtype=torch.uint8, device=m.device)
        eights = padded.unflatten(-1, (width, 8)) << places
        bits = eights.sum(-1, dtype=torch.uint8)
    return PackedMask(bits, n, tuple(m.shape))


def _through_numpy(m: Tensor) -> bool:
    """Whether numpy may do the bit work: an ordinary tensor on the CPU, not being traced."""
    return type(m) is Tensor and m.device.type == "cpu" and not torch.compiler.is_compiling()


def _dimensions_used(item: Any) -> int:
    """How many dimensions of the mask one index item takes."""
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, (Tensor, np.ndarray)) and item.dtype in (torch.bool, np.bool_):
        return item.ndim
    return 1
