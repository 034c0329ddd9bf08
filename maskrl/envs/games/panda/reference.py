"""Planner's and random returns of many layouts, computed in parallel and kept on disk.

A score of 0 is a random valid panda and 1 the planner, both as means over the
same layouts. Planning a layout takes a fraction of a second, so results are
kept in the user's cache folder, one file per world and rules version. A cache
that cannot be read or written only costs time.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.envs.games.panda import settings as constants
from maskrl.envs.games.panda.planner import plan
from maskrl.envs.games.panda.planner_states import (
    MOST_STATES_AT_ONCE,
    most_states,
    why_not,
)
from maskrl.envs.games.panda.settings import RULES_VERSION, PandaSettings
from maskrl.errors import NoReferenceError

CACHE_VARIABLE = "MASKRL_CACHE_DIR"
_RULE_CONSTANTS = (
    "DRAGON_CHASE",
    "SCORPION_CREEP",
    "SCORPION_WANDER",
    "WAKE",
    "SCORPION_REACH",
    "THROW_RANGE",
    "START_DISTANCE",
)
# What the planner's world does not depend on.
_BESIDES_THE_RULES = ("sight", "split", "tells_time")
# Settings that came later: at their defaults a world is the one that it was without them.
_LATER = tuple(
    name
    for name in PandaSettings.__dataclass_fields__
    if name.endswith(("scorpions", "dragons", "view_radius", "field_of_view"))
)


def cache_folder() -> Path:
    """Where references are kept: `$MASKRL_CACHE_DIR`, or `maskrl` in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "maskrl"


def reference(
    env_kwargs: Mapping[str, Any],
    layout_ids: Sequence[int] | npt.NDArray[np.int64],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, npt.NDArray[np.float64]]:
    """Expected undiscounted returns of the best and of random valid play.

    Args:
        env_kwargs: Settings of the world; those that are no rule (`sight`, seeds) are ignored.
        layout_ids: int64 [n], layout seeds.
        progress: Called with (layouts planned, layouts to plan) as they are done.

    Returns:
        `planner` and `random`, float64 [n] each.

    Raises:
        NoReferenceError: The world cannot be planned exactly; the message says why.
    """
    known = PandaSettings.__dataclass_fields__
    settings = PandaSettings(**{k: v for k, v in env_kwargs.items() if k in known})
    reason = why_not(settings)
    if reason is not None:
        raise NoReferenceError(f"panda: no planner for this world, and so no score: {reason}")
    wanted = np.asarray(layout_ids, dtype=np.int64)
    if settings.preset != "random":
        wanted = np.zeros_like(wanted)
    path = _cache_path(settings)
    known_values = _read(path)
    missing = sorted({int(seed) for seed in wanted} - set(known_values))

    def both(seed: int) -> tuple[int, tuple[float, float]]:
        return seed, (plan(settings, seed).value, plan(settings, seed, best=False).value)

    if missing:
        if progress:
            progress(0, len(missing))
        workers = min(os.cpu_count() or 1, max(1, MOST_STATES_AT_ONCE // most_states(settings)))
        with ThreadPoolExecutor(max_workers=workers) as pool:
            for count, (seed, values) in enumerate(pool.map(both, missing), start=1):
                known_values[seed] = values
                if progress:
                    progress(count, len(missing))
        _write(path, known_values)
    table = np.array([known_values[int(seed)] for seed in wanted], np.float64).reshape(-1, 2)
    return {"planner": table[:, 0], "random": table[:, 1]}


def _cache_path(settings: PandaSettings) -> Path:
    """One file per world: a hash of everything that planned values depend on."""
    default = asdict(PandaSettings())
    world = {k: v for k, v in asdict(settings).items() if k not in _BESIDES_THE_RULES}
    world = {k: v for k, v in world.items() if k not in _LATER or v != default[k]}
    world["banana_slots"] = settings.banana_slots
    world["rules_version"] = RULES_VERSION
    world |= {name: getattr(constants, name) for name in _RULE_CONSTANTS}
    digest = hashlib.sha256(json.dumps(world, sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / "panda" / f"reference-{digest}.json"


def _read(path: Path) -> dict[int, tuple[float, float]]:
    try:
        raw = json.loads(path.read_text())
        return {int(seed): (float(best), float(chance)) for seed, (best, chance) in raw.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(path: Path, values: Mapping[int, tuple[float, float]]) -> None:
    """Add to the file what others may have added meanwhile, and replace it in one move."""
    merged = _read(path) | dict(values)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump({str(seed): pair for seed, pair in sorted(merged.items())}, file)
        os.replace(file.name, path)
    except OSError:
        return
