"""A watch for masks of wrong polarity: allowed actions that never change anything.

An environment whose mask marks what is forbidden hands out what does nothing as what is
allowed. Nothing then ever changes, whatever is done, and that can be noticed. The watch
itself is a plain dictionary, because adapters save it with the rest of their state.
"""

from __future__ import annotations

import warnings
from typing import Any

from gymnasium.utils.env_checker import data_equivalence

STILL_STEPS = 64
"""Steps without any change after which a mask's polarity is doubted."""

POLARITY = "If 1 means forbidden in this environment's mask, say so with mask_allowed=0."

Watch = dict[str, Any]


def begin_watch() -> Watch:
    """A watch that has seen nothing."""
    return {"before": None, "still": 0, "tried": set()}


def look(watch: Watch, name: str, action: Any, seen: Any, *, forbids: bool) -> Watch | None:
    """Look at one step, and warn if nothing has changed for too long.

    Args:
        watch: From `begin_watch`; changed in place.
        name: What the warning calls the environment.
        action: What was done, all of it allowed.
        seen: The observation after it, masks included.
        forbids: Whether the mask now forbids anything.

    Returns:
        The watch; None where it is over, at the first change or at its end.
    """
    before, watch["before"] = watch["before"], seen
    if before is not None and not data_equivalence(before, seen):
        return None
    watch["still"] += 1
    watch["tried"].add(str(action))
    if watch["still"] < STILL_STEPS:
        return watch
    if len(watch["tried"]) > 1 and forbids:
        warnings.warn(
            f"environment {name!r}: {STILL_STEPS} steps with several "
            "different actions, all allowed by its mask, changed neither observation nor "
            f"mask. {POLARITY}",
            stacklevel=3,
        )
    return None
