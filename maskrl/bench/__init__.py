"""The speed comparison behind `maskrl bench`: cases, contenders, timing, tables.

Speed is only ever told as a ratio within one run: every contender computes the same
thing from the same tensors, in turns, and what it computed is compared with float64
first. Nothing here is needed to use maskrl, and nothing below imports it.
"""

from __future__ import annotations

from maskrl.bench.results import CellResult, Results, Timing
from maskrl.bench.run import GROUPS, BenchSettings, run_bench

__all__ = ["GROUPS", "BenchSettings", "CellResult", "Results", "Timing", "run_bench"]
