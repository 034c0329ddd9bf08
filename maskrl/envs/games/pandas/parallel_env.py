"""The pandas' world as a PettingZoo `ParallelEnv`: every panda observes for itself.

An agent is told what it sees around it (`window`), where it is itself (`own`), and what it
may do (`action_mask`). Pandas that are caught leave `agents`; one that chews stays and may
do nothing but `stay`. This module needs PettingZoo, and nothing else in maskrl needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from maskrl.envs.games.pandas.grid_view import write_grid
from maskrl.envs.games.pandas.scene_view import room_to_tell
from maskrl.envs.games.pandas.settings import (
    ACTION_NAMES,
    ACTIONS,
    PLANES,
    STAY,
    PandasSettings,
)
from maskrl.envs.games.pandas.single_env import PandasEnv
from maskrl.envs.games.pandas.window import OWN, WINDOW_PLANES, window_radius, write_window
from maskrl.errors import ConfigError

try:
    from pettingzoo import ParallelEnv
except ImportError as error:
    raise ImportError(
        "maskrl.envs.games.pandas.parallel_env needs PettingZoo: pip install 'maskrl[pettingzoo]'. "
        "Without it the same world is maskrl.make('pandas')."
    ) from error

AgentObservation = dict[str, npt.NDArray[Any]]


class PandasParallelEnv(ParallelEnv[str, AgentObservation, int]):
    """One team of pandas; agent `panda_1` is panda 1 of the picture, and so on.

    Args:
        render_mode: `"rgb_array"`, `"ansi"` or None.
        seed: Seed of all randomness until `reset` gets one.
        layout_seeds: Layouts to play, as for `PandasEnv`.
        **settings: Fields of `PandasSettings`, but `form`, and without `respawn_steps`:
            an agent of PettingZoo does not come back.

    Raises:
        ConfigError: A setting is unknown, out of range or none of those above.
    """

    metadata = {
        "name": "pandas_v0",
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 4,
        "is_parallelizable": True,
    }
    action_names = ACTION_NAMES

    def __init__(
        self,
        *,
        render_mode: str | None = None,
        seed: int = 0,
        layout_seeds: int | Sequence[int] | npt.NDArray[np.int64] | None = None,
        **settings: Any,
    ) -> None:
        if "form" in settings:
            raise ConfigError(
                f"pandas: form is {settings['form']!r}; agents of PettingZoo observe for "
                "themselves: leave form out"
            )
        if settings.get("respawn_steps") is not None:
            raise ConfigError(
                f"pandas: respawn_steps is {settings['respawn_steps']!r}; an agent of PettingZoo "
                "that died does not come back: leave it out, or use maskrl.make('pandas')"
            )
        self._env = PandasEnv(
            render_mode=render_mode, seed=seed, layout_seeds=layout_seeds, **settings
        )
        self.render_mode = render_mode
        self.settings: PandasSettings = self._env.settings
        self.possible_agents = [f"panda_{n}" for n in range(1, self.settings.pandas + 1)]
        self.agents: list[str] = []
        side = 2 * window_radius(self.settings) + 1
        self._windows = np.zeros((self.settings.pandas, len(WINDOW_PLANES), side, side), np.float32)
        self._own = np.zeros((self.settings.pandas, len(OWN)), np.float32)
        planes = (len(PLANES), self.settings.height, self.settings.width)
        self.state_space = spaces.Box(0.0, 1.0, planes, np.float32)
        self.observation_space = lru_cache(maxsize=None)(self._observation_space)
        self.action_space = lru_cache(maxsize=None)(self._action_space)

    def _observation_space(self, agent: str) -> spaces.Dict:
        """What an agent observes; every agent has a space of its own, all of them alike."""
        return spaces.Dict(
            {
                "window": spaces.Box(0.0, 1.0, self._windows.shape[1:], np.float32),
                "own": spaces.Box(0.0, 1.0, self._own.shape[1:], np.float32),
                # int8 is what Discrete.sample(mask) takes, and so PettingZoo's custom.
                "action_mask": spaces.Box(0, 1, (ACTIONS,), np.int8),
            }
        )

    def _action_space(self, agent: str) -> spaces.Discrete[np.int64]:
        """What an agent may do: stay, up, down, left, right."""
        return spaces.Discrete(ACTIONS)

    @property
    def illegal_actions(self) -> int:
        """Disallowed actions that were sent so far; each was done as `stay`."""
        return self._env.illegal_actions

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, AgentObservation], dict[str, dict[str, Any]]]:
        """Begin the next episode, with every panda alive."""
        told, info = self._env.reset(seed=seed, options=options)
        self.agents = list(self.possible_agents)
        infos = {agent: {"layout_id": info["layout_id"]} for agent in self.agents}
        return self._observe(told, self.agents), infos

    def step(
        self, actions: Mapping[str, int]
    ) -> tuple[
        dict[str, AgentObservation],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Let every agent do its action; a disallowed one is counted and done as `stay`.

        Args:
            actions: For every agent in `agents`.

        Raises:
            ConfigError: Nobody is left, an agent has no action, or one that is none.
        """
        if not self.agents:
            raise ConfigError("pandas: step was called with no agent left; call reset first")
        missing = [agent for agent in self.agents if agent not in actions]
        if missing:
            raise ConfigError(
                f"pandas: step got no action for {missing[0]}; it needs one for each of "
                f"{', '.join(self.agents)}"
            )
        chosen = np.full(self.settings.pandas, STAY, np.int64)
        for agent in self.agents:
            chosen[self._number(agent)] = self._read_action(agent, actions[agent])
        told, _, terminated, truncated, info = self._env.step(chosen)
        before, alive = self.agents, told["alive"]
        dead = {agent: not bool(alive[self._number(agent)]) for agent in before}
        self.agents = (
            [] if terminated or truncated else [agent for agent in before if not dead[agent]]
        )
        return (
            self._observe(told, before),
            {agent: float(info["agent_rewards"][self._number(agent)]) for agent in before},
            {agent: dead[agent] or terminated for agent in before},
            {agent: truncated and not dead[agent] for agent in before},
            {agent: {"layout_id": info["layout_id"]} for agent in before},
        )

    def _number(self, agent: str) -> int:
        return int(agent.removeprefix("panda_")) - 1

    def _read_action(self, agent: str, action: Any) -> int:
        """One agent's action; of one that chews whatever it says is `stay`."""
        array = np.asarray(action)
        whole = array.size == 1 and np.issubdtype(array.dtype, np.integer)
        if not whole or not 0 <= int(array.reshape(-1)[0]) < ACTIONS:
            raise ConfigError(
                f"pandas: the action of {agent} must be a whole number from 0 to {ACTIONS - 1} "
                f"({', '.join(ACTION_NAMES)}); got {action!r}"
            )
        return int(array.reshape(-1)[0])

    def _observe(
        self, told: Mapping[str, npt.NDArray[Any]], agents: Sequence[str]
    ) -> dict[str, AgentObservation]:
        """What each of these agents is told; zeros for those that just died."""
        worlds = self._env._worlds
        observations = {}
        for agent in agents:
            n = self._number(agent)
            write_window(0, n, worlds._world, worlds._facts, self._windows[n], self._own[n])
            mask = told["action_mask"][n].astype(np.int8)
            if told["alive"][n] and not told["agent_mask"][n]:
                mask[STAY] = 1  # it chews
            observations[agent] = {
                "window": self._windows[n].copy(),
                "own": self._own[n].copy(),
                "action_mask": mask,
            }
        return observations

    def state(self) -> npt.NDArray[np.float32]:
        """The whole grid, float32 [planes, H, W], as `pandas-grid` tells it."""
        worlds = self._env._worlds
        grid = replace(self.settings, form="grid", sight="full", view_radius=None)
        told = room_to_tell(grid, 1)
        write_grid(0, worlds._world, worlds._facts, told)
        return told.grid[0]

    def render(self) -> Any:
        """A picture, as `PandasEnv.render` gives it."""
        return self._env.render()

    def close(self) -> None:
        """Nothing is held open."""

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on: continuing from it is exact."""
        return {**self._env.get_state(), "agents": list(self.agents)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `get_state` gave.

        Raises:
            ConfigError: The state is of another world or damaged.
        """
        if "agents" not in state:
            raise ConfigError("pandas: the saved state has no entry 'agents'")
        unknown = [agent for agent in state["agents"] if agent not in self.possible_agents]
        if unknown:
            raise ConfigError(f"pandas: the saved state has an agent {unknown[0]!r}")
        self._env.set_state(state)
        self.agents = list(state["agents"])


def parallel_env(**settings: Any) -> PandasParallelEnv:
    """The environment under the name that PettingZoo's modules have it by."""
    return PandasParallelEnv(**settings)
