"""What a run leaves on disk, and what makes it repeatable.

`RunDir` is the folder, `MetricsWriter` its curves, `save_checkpoint` and
`load_checkpoint` its weights and states (safetensors and JSON: loading one can
never run code), `seed_everything` its randomness, `interquartile_mean` and
`bootstrap_interval` the summary over several of them. Names load lazily: a
folder can be opened without importing torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "RunDir": "run_dir",
    "MetricsWriter": "metrics",
    "read_metrics": "metrics",
    "save_checkpoint": "checkpoint",
    "load_checkpoint": "checkpoint",
    "checkpoint_exists": "checkpoint",
    "save_arrays": "array_folder",
    "load_arrays": "array_folder",
    "arrays_exist": "array_folder",
    "Seeds": "seeding",
    "seed_everything": "seeding",
    "interquartile_mean": "statistics",
    "bootstrap_interval": "statistics",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'maskrl.runs' has no attribute {name!r}")
    return getattr(import_module(f"maskrl.runs.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
