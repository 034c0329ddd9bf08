"""On what a comparison ran: processor, cores, threads, versions; no names of machines.

A ratio travels further than a time, but not everywhere: a reader must see on how many
cores, with which vector width and which releases it was measured.
"""

from __future__ import annotations

import ctypes
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from maskrl.kernels.dispatch import get_backend
from maskrl.trainers.threads import available_cores

# Of glibc's malloc.h; 32 MiB is the largest that it takes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3

_PACKAGES = ("maskrl", "torch", "numpy", "numba", "gymnasium")


def describe_machine(threads: int) -> dict[str, Any]:
    """What a reader needs to know to judge the numbers."""
    return {
        "processor": processor(),
        "cores": available_cores(),
        "threads": threads,
        "load_before": _load(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "backend": get_backend(),
        **{name: package_version(name) for name in _PACKAGES},
    }


def keep_freed_memory() -> bool:
    """Have glibc keep what is freed, as it does in a process that has run for a while.

    How soon it gives memory back depends on what was freed before, by whomever; the pages
    would then be fetched anew within somebody's turn, at several times the cost of the work.

    Returns:
        Whether the system's allocator could be told.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 32 << 20)) and bool(mallopt(_TRIM_THRESHOLD, 1 << 30))


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's model, as far as the system tells."""
    try:
        for line in cpuinfo.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def package_version(name: str) -> str | None:
    """The version of an installed package, None without it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _load() -> float | None:
    """Runnable processes, averaged over a minute: how much others used the machine."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None
