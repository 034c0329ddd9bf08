"""Peak memory beyond what is there already while learning from rows of 1.8 million actions.

Each contender learns in a process of its own, after a warm-up: the kernel's high-water mark
of resident memory is reset before one call and read after it. The C library's allocator
is told to give freed blocks back at once, so that one call cannot hide in another's.
Needs Linux; elsewhere the group is left out with a note.
"""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from maskrl.bench.groups.rows import learning_gradient
from maskrl.bench.inputs import make_inputs
from maskrl.bench.results import CellResult, Timing
from maskrl.bench.tasks import Entrant

SHAPE = (4, 1_837_080)
QUICK_SHAPE = (64, 6)
ALLOWED = 0.3
CALLS = 3
LIMIT_SECONDS = 600
GRADIENT = "the gradient alone"

_PROCESS = Path("/proc/self")
_GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
_RESET_PEAK = "5"


def unavailable() -> str | None:
    """Why memory cannot be measured here, None if it can."""
    try:
        (_PROCESS / "clear_refs").write_text(_RESET_PEAK)
    except OSError:
        return "memory: left out, it needs Linux with a writable /proc/self/clear_refs"
    return None


def peak_bytes(call: Callable[[], object], *, calls: int = CALLS) -> list[int]:
    """Resident bytes at the peak of a call beyond those before it, once per call.

    Args:
        call: What is measured; its result is held until the peak has been read.
        calls: How many measurements, after one call to warm up.

    Raises:
        OSError: The system does not tell.
    """
    peaks = []
    call()
    for _ in range(calls):
        gc.collect()
        _trim()
        (_PROCESS / "clear_refs").write_text(_RESET_PEAK)
        before = _status("VmRSS")
        result = call()
        peaks.append(max(0, _status("VmHWM") - before))
        del result
    return peaks


def measure_contender(name: str, rows: int, actions: int) -> list[int]:
    """Peak bytes of one contender in this process.

    Raises:
        ImportError: Its library is missing.
        KeyError: There is no such contender that learns.
    """
    from maskrl.bench.contenders import CONTENDERS

    (contender,) = [c for c in CONTENDERS if c.name == name]
    entrant = Entrant(contender, contender.load())
    way = entrant.way(None, "learning")
    if way is None:
        raise KeyError(f"{name} has no way to learn")
    inputs = make_inputs(rows, actions, ALLOWED)
    if rows * actions > QUICK_SHAPE[0] * QUICK_SHAPE[1]:
        # Imports and compilation first, on little data.
        small = make_inputs(*QUICK_SHAPE, ALLOWED)
        learning_gradient(way, small)()
    gradient = learning_gradient(way, inputs)
    with entrant.surroundings(grad=True):
        return peak_bytes(gradient)


def measure_in_process(name: str, rows: int, actions: int, threads: int) -> list[int]:
    """Peak bytes of one contender, in a fresh process.

    Raises:
        RuntimeError: The process failed; with the last line it wrote.
    """
    command = [sys.executable, "-m", "maskrl.bench.groups.memory", name, str(rows), str(actions)]
    environment = {**os.environ, **_GIVE_BACK, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=LIMIT_SECONDS
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"memory of {name}: {last}")
    return [int(word) for word in done.stdout.split()]


def memory(
    entrants: Sequence[Entrant],
    *,
    quick: bool,
    threads: int,
    measure: Callable[[str, int, int, int], list[int]] = measure_in_process,
) -> tuple[list[CellResult], list[str]]:
    """Measure every contender that learns.

    Returns:
        One cell, in bytes, with the size of the gradient for comparison; and notes.
    """
    reason = unavailable()
    if reason is not None:
        return [], [reason]
    rows, actions = QUICK_SHAPE if quick else SHAPE
    timings, notes = [], []
    for entrant in entrants:
        if entrant.way(None, "learning") is None:
            continue
        try:
            peaks = np.array(measure(entrant.name, rows, actions, threads), np.float64)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            notes.append(str(error))
        else:
            timings.append(Timing.of(entrant.name, peaks, 1))
    gradient = np.array([4.0 * rows * actions])
    timings.append(Timing.of(GRADIENT, gradient, 1))
    case = f"{rows}x{actions}"
    cell = CellResult("memory", case, "learning", ALLOWED, tuple(timings), unit="bytes")
    return [cell], notes


def _status(name: str) -> int:
    """A line of /proc/self/status in bytes."""
    for line in (_PROCESS / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def _trim() -> None:
    """Ask the C library to give free memory back; only glibc knows how."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


if __name__ == "__main__":
    words = sys.argv[1:]
    measured = measure_contender(words[0], int(words[1]), int(words[2]))
    sys.stdout.write(" ".join(map(str, measured)) + "\n")
