"""The states that the planner goes through, how many they are, and when they are too many.

A state is who stands where, who is stunned, which bananas lie on the ground and whether
one is carried; and where somebody faces, if its field of view is narrow. With several
scorpions or dragons there are too many of them to plan exactly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maskrl.envs.games.panda.settings import ALL_AROUND, DIRECTIONS, WITH_EYES, PandaSettings

MOST_STATES = 2**27
"""States of one step that fit into memory: the planner holds two float32 values of each."""
MOST_STATES_AT_ONCE = 4 * MOST_STATES
"""States of all layouts that are planned side by side: more would take tens of gigabytes."""
MOST_WORK = 4 * 10**9
"""States times steps that are planned in a minute or two."""


def item_modes(bananas: int, scorpions: int = 1, dragons: int = 1) -> npt.NDArray[np.int64]:
    """Number the possible combinations of bananas and stuns.

    Only a thrown banana stuns: with `bananas` of them, at most those that are
    neither on the ground nor carried can have hit somebody who is there.

    Returns:
        int64 [2**bananas, 2, 2, 2]: ground bits, carrying, scorpion stunned, dragon stunned.
    """
    modes = np.full((2**bananas, 2, 2, 2), -1, np.int64)
    number = 0
    for ground in range(2**bananas):
        for carrying in range(2):
            thrown = bananas - ground.bit_count() - carrying
            for scorpion in range(1 + scorpions):
                for dragon in range(1 + dragons):
                    if thrown >= scorpion + dragon:
                        modes[ground, carrying, scorpion, dragon] = number
                        number += 1
    return modes


def why_not(settings: PandaSettings) -> str | None:
    """Why the layouts of a world cannot be planned exactly; None where they can.

    >>> why_not(PandaSettings(max_dragons=2))
    'it may hold 2 dragons, and the planner plans for at most one of a kind'
    """
    for kind in ("scorpion", "dragon"):
        count = getattr(settings, f"max_{kind}s")
        if count > 1:
            return f"it may hold {count} {kind}s, and the planner plans for at most one of a kind"
    states = most_states(settings)
    if states > MOST_STATES or states * settings.step_limit > MOST_WORK:
        return (
            f"it has about {states:.1e} states in each of {settings.step_limit} steps, and the "
            f"planner goes through at most {MOST_STATES:.1e} and {MOST_WORK:.0e} in all"
        )
    return None


def most_states(settings: PandaSettings) -> int:
    """States of one step of a layout, at most; with at most one creature of a kind."""
    counts = (settings.max_scorpions, settings.max_dragons)
    cells = settings.cells - 1 - (0 if settings.preset != "random" else settings.min_trees)
    panda, scorpion, dragon = (
        (cells * facings if there else 1)
        for facings, there in zip(facings_told_apart(settings), (1, *counts), strict=True)
    )
    # Each banana lies there or not, and all but the first states of a game allow every stun.
    bananas = settings.banana_slots
    modes = int(item_modes(min(bananas, 8), *counts).max() + 1) << max(bananas - 8, 0)
    return modes * panda * scorpion * dragon


def facings_told_apart(settings: PandaSettings) -> tuple[int, int, int]:
    """How many facings of panda, scorpion and dragon the future depends on."""
    panda, scorpion, dragon = (
        len(DIRECTIONS) if settings.field_of_view(who) < ALL_AROUND else 1 for who in WITH_EYES
    )
    return panda, scorpion, dragon
