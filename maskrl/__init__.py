"""Masking for deep reinforcement learning, in PyTorch: every mask, in one vocabulary.

True means allowed, present, visible, alive, everywhere. This file is the index
of the public names; each loads its module on first use (PEP 562), so importing
maskrl costs nothing and `maskrl.envs` never loads torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_INDEX = {
    # Masks: conversion and bits
    "as_mask": "maskrl.masks.convert",
    "PackedMask": "maskrl.masks.packed",
    "pack_mask": "maskrl.masks.packed",
    # Masked tensor maths
    "masked_softmax": "maskrl.functional.softmax",
    "masked_log_softmax": "maskrl.functional.softmax",
    "masked_logsumexp": "maskrl.functional.softmax",
    "masked_entropy": "maskrl.functional.softmax",
    "masked_sum": "maskrl.functional.reduce",
    "masked_mean": "maskrl.functional.reduce",
    "masked_max": "maskrl.functional.reduce",
    "masked_var": "maskrl.functional.reduce",
    "masked_argmax": "maskrl.functional.select",
    "masked_sample": "maskrl.functional.select",
    "set_backend": "maskrl.kernels.dispatch",
    # Distributions
    "MaskedCategorical": "maskrl.distributions",
}

_SUBPACKAGES = {"distributions", "errors", "functional", "kernels", "masks"}

__all__ = sorted([*_INDEX, *_SUBPACKAGES, "__version__"])

if TYPE_CHECKING:
    from maskrl.distributions import MaskedCategorical as MaskedCategorical
    from maskrl.functional.reduce import masked_max as masked_max


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name in _INDEX:
        value = getattr(importlib.import_module(_INDEX[name]), name)
        globals()[name] = value
        return value
    if name in _SUBPACKAGES:
        return importlib.import_module(f"maskrl.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List every public name, loaded or not."""
    return list(__all__)
