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


def look_at_waiting(waited: int | None, name: str, *, acts: bool) -> int | None:
    """Look at one step of a team; warn if for too long none of its agents was ever to act.

    Masks of wrong polarity that would allow everything make all agents wait for good.

    Args:
        waited: Steps in which all waited so far; None where the watch is over.
        name: What the warning calls the environment.
        acts: Whether any agent acts in this step.

    Returns:
        What to give next time; None once an agent has acted, or after the warning.
    """
    if waited is None or acts:
        return None
    if waited + 1 < STILL_STEPS:
        return waited + 1
    warnings.warn(
        f"environment {name!r}: in {STILL_STEPS} steps no agent was allowed any action, so that "
        f"all only waited. {POLARITY}",
        stacklevel=3,
    )
    return None
