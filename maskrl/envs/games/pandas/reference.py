"""What the script and random allowed play get on many layouts, for scores and reports.

A score of 0 is random allowed play and 1 the scripted team, both as means over the same
layouts. Both are played, `EPISODES` times each layout, with random numbers that depend on
the layout alone: the same layout gives the same figures whenever it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from maskrl.envs.games.compiling import KERNEL
from maskrl.envs.games.pandas.layouts import no_room, write_layout
from maskrl.envs.games.pandas.rules import GOES_ON, action_allowed
from maskrl.envs.games.pandas.script import make_script_room, script_actions
from maskrl.envs.games.pandas.settings import ACTIONS, STAY, PandasSettings
from maskrl.envs.games.pandas.stepping import advance, make_scratch
from maskrl.envs.games.pandas.world import empty_world, make_facts
from maskrl.envs.games.random_stream import below, mix
from maskrl.errors import ConfigError

EPISODES = 8
"""How often each layout is played, by the script and by random allowed play."""
LABEL = "script"
"""What stands in the planner's place: no optimum, a scripted team that sees everything."""

_WORLD_STREAM = np.uint64(0x7265666572656E01)
_CHOICE_STREAM = np.uint64(0x7265666572656E02)


def reference(
    env_kwargs: Mapping[str, Any], layout_ids: Sequence[int] | npt.NDArray[np.int64]
) -> dict[str, Any]:
    """Mean undiscounted returns of the scripted team and of random allowed play.

    Args:
        env_kwargs: Settings of the world; those that are no rule (`form`, `sight`, seeds) make
            no difference, nor do other arguments of the environment.
        layout_ids: int64 [n], layout seeds.

    Returns:
        `planner` and `random`, float64 [n] each, and `label`, what to call the first of them.
    """
    known = PandasSettings.__dataclass_fields__
    settings = PandasSettings(**{k: v for k, v in env_kwargs.items() if k in known})
    seeds, where = np.unique(np.asarray(layout_ids, dtype=np.int64), return_inverse=True)
    return {
        "planner": play(settings, seeds, scripted=True)[where],
        "random": play(settings, seeds, scripted=False)[where],
        "label": LABEL,
    }


def play(
    settings: PandasSettings,
    layout_ids: npt.NDArray[np.int64],
    *,
    scripted: bool,
    episodes: int = EPISODES,
) -> npt.NDArray[np.float64]:
    """Mean returns per layout of the script, or of uniformly random allowed actions.

    Args:
        settings: Of the world.
        layout_ids: int64 [n], layout seeds.
        scripted: The script, or random allowed play.
        episodes: How often each layout is played.

    Returns:
        float64 [n].

    Raises:
        ConfigError: A layout does not exist.
    """
    world = empty_world(settings, 1)
    returns = np.zeros(len(layout_ids), np.float64)
    failed = _play(
        np.asarray(layout_ids, np.int64),
        episodes,
        scripted,
        world,
        make_facts(settings),
        make_scratch(settings, world.trees.shape[1]),
        make_script_room(settings),
        np.zeros(settings.pandas, np.float64),
        returns,
    )
    if failed >= 0:
        raise ConfigError(no_room(settings, int(layout_ids[failed])))
    return returns


@njit(**KERNEL)
def random_actions(i, key, counter, world, facts, actions):
    """Write uniformly random allowed actions of world i; return the next counter."""
    for n in range(actions.shape[0]):
        actions[n] = STAY
        if world.rest[i, n] != 0:
            continue
        cell, allowed = world.pandas[i, n], 0
        for action in range(ACTIONS):
            allowed += action_allowed(action, cell, world.tree_at[i], world.standing[i], facts.grid)
        pick = below(key, counter, allowed)
        counter += np.uint64(1)
        for action in range(ACTIONS):
            if action_allowed(action, cell, world.tree_at[i], world.standing[i], facts.grid):
                if pick == 0:
                    actions[n] = action
                    break
                pick -= 1
    return counter


@njit(nogil=True, **KERNEL)
def _play(layout_ids, episodes, scripted, world, facts, scratch, room, rewards, returns):
    """Play every layout and write mean returns; -1, or the first layout that does not exist."""
    for index in range(layout_ids.shape[0]):
        for episode in range(episodes):
            if not write_layout(layout_ids[index], 0, world, facts, scratch.layout):
                return index
            seed = mix(np.uint64(layout_ids[index])) + np.uint64(episode)
            world.keys[0] = mix(seed ^ _WORLD_STREAM)
            world.counters[0] = np.uint64(0)
            key, counter = mix(seed ^ _CHOICE_STREAM), np.uint64(0)
            ending = GOES_ON
            while ending == GOES_ON:
                if scripted:
                    script_actions(0, world, facts, room, scratch.chosen)
                else:
                    counter = random_actions(0, key, counter, world, facts, scratch.chosen)
                ending = advance(0, world, facts, scratch, rewards)
                for n in range(rewards.shape[0]):
                    returns[index] += rewards[n] / episodes
    return -1
