"""Compiled functions on disk that are older than something they were compiled from.

Numba keeps compiled functions and compiles them again when their own file changes, but not
when a file does from which they took in another function. Whoever pulls or edits would go on
with the old code. `drop_stale_caches` looks when a package of such functions is imported.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

_IMPORT = re.compile(r"^\s*(?:from|import)\s+(maskrl[\w.]*)", re.MULTILINE)
_PACKAGE = Path(__file__).resolve().parent


def drop_stale_caches(*folders: Path) -> list[Path]:
    """Delete compiled functions that are older than a source they depend on.

    Args:
        folders: Packages below maskrl whose functions take in each other. What they import
            from elsewhere is not looked at.

    Returns:
        The files that were deleted.
    """
    try:
        changed = {p: p.stat().st_mtime for folder in folders for p in folder.rglob("*.py")}
        kept = {p: p.stat().st_mtime for folder in folders for p in folder.rglob("*.nb[ic]")}
    except OSError:  # another process is at it
        return []
    if not kept or not changed or max(changed.values()) <= min(kept.values()):
        return []
    dropped = []
    last: dict[Path, float] = {}
    for cache, when in kept.items():
        source = cache.parent.parent / f"{cache.name.partition('.')[0]}.py"
        if source not in last:
            last[source] = max((changed[p] for p in _needed(source, changed)), default=0.0)
        if last[source] > when:
            with contextlib.suppress(OSError):
                cache.unlink()
                dropped.append(cache)
    return dropped


def _needed(source: Path, known: dict[Path, float]) -> set[Path]:
    """A source and all known ones that it imports, directly or through others."""
    found: set[Path] = set()
    waiting = [source]
    while waiting:
        path = waiting.pop()
        if path in found or path not in known:
            continue
        found.add(path)
        for module in _IMPORT.findall(path.read_text("utf-8")):
            parts = module.split(".")[1:]
            waiting.append(_PACKAGE.joinpath(*parts).with_suffix(".py"))
    return found
