"""Kernels: the few operations that may be fused, one meaning, several backends.

`reference` defines the numbers in plain torch, `dispatch` decides which backend
serves a call, `contract` says what a backend must offer.
"""

from __future__ import annotations

from pathlib import Path

from maskrl.caches import drop_stale_caches
from maskrl.kernels.dispatch import get_backend, register_backend, set_backend

drop_stale_caches(Path(__file__).resolve().parent)

__all__ = ["get_backend", "register_backend", "set_backend"]
