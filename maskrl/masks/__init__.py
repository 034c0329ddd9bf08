"""Masks: conversion, checks, and bits. True = allowed, present, visible, alive.

The numpy side (`as_mask_array`, `check_mask_array`, `pack_bits`, `unpack_bits`,
`ActionTree`) is all that environments need and loads no torch. The torch side
(`as_mask`, `check_mask`, `PackedMask`, `pack_mask`) loads on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from maskrl.masks.arrays import as_mask_array, check_mask_array, pack_bits, unpack_bits
from maskrl.masks.binary import as_binary_mask_array
from maskrl.masks.tree import ActionTree, Head

if TYPE_CHECKING:
    from maskrl.masks.check import check_mask
    from maskrl.masks.convert import as_binary_mask, as_mask
    from maskrl.masks.packed import PackedMask, pack_mask

__all__ = [
    "ActionTree",
    "Head",
    "PackedMask",
    "as_binary_mask",
    "as_binary_mask_array",
    "as_mask",
    "as_mask_array",
    "check_mask",
    "check_mask_array",
    "pack_bits",
    "pack_mask",
    "unpack_bits",
]

_TORCH_SIDE = {
    "as_binary_mask": "maskrl.masks.convert",
    "as_mask": "maskrl.masks.convert",
    "check_mask": "maskrl.masks.check",
    "PackedMask": "maskrl.masks.packed",
    "pack_mask": "maskrl.masks.packed",
}


def __getattr__(name: str) -> Any:
    """Load a name of the torch side on first use (PEP 562)."""
    if name in _TORCH_SIDE:
        value = getattr(importlib.import_module(_TORCH_SIDE[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List every public name, loaded or not."""
    return sorted(__all__)
