"""microRTS games, many at a time: a Gymnasium vector environment over the real engine.

Every own idle unit is an agent in a cell of the map: `agent_mask` tells where they are,
`action_mask` what each may do, the engine's own masks, read anew before every step. An
episode that ends is followed by the next one in the same step; its last observation is in
`infos["final_obs"]`, and whether it was played to its end (`terminated`) or cut off
(`truncated`) is told apart. How it went is in `infos["outcome"]`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from maskrl.envs.adapters.microrts.arrays import write_actions, write_observation
from maskrl.envs.adapters.microrts.games import Games
from maskrl.envs.adapters.microrts.maps import GameMap, find_map
from maskrl.envs.adapters.microrts.settings import (
    MEMORYLESS,
    MICRORTS_TREE,
    PLANES,
    REWARDS,
    VISIBLE_PLANE,
    WALL_PLANE,
    MicrortsSettings,
    read_settings,
)
from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError
from maskrl.masks.arrays import check_mask_array

Observation = dict[str, npt.NDArray[Any]]
_ENTRIES = ("grid", "agent_mask", "action_mask")
WON, DRAWN, LOST = 1.0, 0.0, -1.0


def plane_names(game_map: GameMap, settings: MicrortsSettings) -> tuple[str, ...]:
    """Names of the planes of `grid`: the engine's, and those that a map or setting adds."""
    walls = (WALL_PLANE,) if game_map.walls.any() else ()
    return (*PLANES, *walls, *((VISIBLE_PLANE,) if settings.partial_obs else ()))


def microrts_spaces(
    game_map: GameMap, settings: MicrortsSettings
) -> tuple[spaces.Dict, spaces.MultiDiscrete]:
    """The observation and action space of one game."""
    height, width = game_map.height, game_map.width
    nvec = np.array(MICRORTS_TREE.nvec)
    observation = spaces.Dict(
        {
            "grid": mask_space(len(plane_names(game_map, settings)), height, width),
            "agent_mask": mask_space(height, width),
            "action_mask": mask_space(int(nvec.sum()), height, width),
        }
    )
    return observation, spaces.MultiDiscrete(np.tile(nvec[:, None, None], (1, height, width)))


class MicrortsVectorEnv(VectorEnv[Observation, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """`num_envs` games that step together, played as player 0.

    The reward is the weighted sum of the engine's six, which are in `infos["raw_rewards"]`
    float64 [num_envs, 6]. A unit that is busy has no mask and does not act; there are steps
    in which nobody does. An action that its unit's mask disallows is counted in
    `illegal_actions`, and the unit waits one step.

    Args:
        map_name: A map of the engine or the path of one.
        num_envs: How many games.
        seed: Of all randomness, the opponents' included, unless `reset` gets one.
        **settings: Fields of `MicrortsSettings`.

    Attributes:
        max_agents: How many units can act at once at most.
        plane_names: What each plane of `grid` says.

    Raises:
        UnknownEnvError: No such map.
        ConfigError: A setting is out of range or unknown, or Java cannot be used here.
        MicrortsMissingError: The engine, the bridge or Java is not installed.
        EngineError: (from every method) The engine raised an error.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
    action_tree = MICRORTS_TREE
    takes_reset_mask = True

    def __init__(self, map_name: str, num_envs: int = 1, *, seed: int = 0, **settings: Any) -> None:
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise ConfigError(
                f"microrts: num_envs must be a whole number from 1 on; got {num_envs!r}"
            )
        self.settings = read_settings(settings)
        self.game_map = find_map(map_name)
        self.num_envs = num_envs
        observation_space, self.single_action_space = microrts_spaces(self.game_map, self.settings)
        self.single_observation_space = observation_space
        self._shapes = {
            name: (num_envs, *(entry.shape or ()))
            for name, entry in observation_space.spaces.items()
        }
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.max_agents = self.game_map.max_agents
        self.plane_names = plane_names(self.game_map, self.settings)
        self.illegal_actions = 0
        self._autoreset = True
        self._begun = False
        self._weights = np.array(self.settings.weights)
        self._lengths = np.zeros(num_envs, np.int64)
        self._sums = np.zeros((num_envs, len(REWARDS)))
        self._observation = self._empty_observation()
        names = self.settings.opponents
        self._games: Games | None = Games(
            self.game_map,
            [names[i % len(names)] for i in range(num_envs)],
            partial_obs=self.settings.partial_obs,
            seed=_whole_seed(seed),
        )

    @property
    def games(self) -> Games:
        """The games in the engine.

        Raises:
            ConfigError: The environment was closed.
        """
        if self._games is None:
            raise ConfigError("microrts: this environment was closed; make a new one")
        return self._games

    def _empty_observation(self) -> Observation:
        return {name: np.zeros(shape, np.bool_) for name, shape in self._shapes.items()}

    def _write(self, rows: npt.NDArray[np.int64], into: Observation) -> None:
        """Write the present observation of some games."""
        write_observation(
            rows,
            self.games.planes,
            self.games.masks,
            self.game_map.walls,
            bool(self.game_map.walls.any()),
            self.games.sight,
            *(into[name] for name in _ENTRIES),
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a new game everywhere.

        Args:
            seed: A new seed for all randomness; None goes on with the present one.
            options: `{"reset_mask": bool [num_envs]}` begins anew only where it is True.

        Returns:
            The batched observation, fresh arrays, and infos, empty.
        """
        if seed is not None:
            self.games.seed(_whole_seed(seed))
        rows = self._to_reset(options)
        self._begin(rows)
        self._begun = True
        self._write(rows, self._observation)
        return self.observation(), {}

    def _to_reset(self, options: dict[str, Any] | None) -> npt.NDArray[np.int64]:
        """Indices of the games that `reset` begins anew."""
        if not options or "reset_mask" not in options:
            return np.arange(self.num_envs)
        keep = check_mask_array(
            options["reset_mask"], (self.num_envs,), name="reset_mask", operation="microrts: reset"
        )
        if not self._begun and not keep.all():
            raise ConfigError("microrts: the first reset begins every game; leave out reset_mask")
        return np.flatnonzero(keep)

    def _begin(self, rows: npt.NDArray[np.int64]) -> None:
        self.games.begin(int(row) for row in rows)
        self._lengths[rows] = 0
        self._sums[rows] = 0.0

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[
        Observation,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """One cycle of the engine in every game.

        Args:
            actions: integers [num_envs, 7, H, W]. They are read where an agent acts and
                nowhere else; parameters that do not count for the type may be any choice.

        Returns:
            Observation (fresh arrays), rewards float64 [num_envs], terminated, truncated, and
            infos: `raw_rewards` float64 [num_envs, 6] always. Where a game ended the
            observation is the next one's first, and infos have `outcome` float64 [num_envs]
            (1 won, 0 drawn or cut off, -1 lost, NaN where none ended), `raw_returns` float64
            [num_envs, 6] (sums over the game, NaN likewise), `final_obs` (batched) and
            `_final_obs`. Nobody acts in the final observation of a game that is over.

        Raises:
            ConfigError: The actions have a wrong shape, dtype or range, or `reset` was never
                called.
        """
        if not self._begun:
            raise ConfigError("microrts: step was called before the first reset; call reset first")
        games = self.games
        illegal, wrong = write_actions(
            self._checked(actions),
            self._observation["agent_mask"],
            self._observation["action_mask"],
            games.orders,
        )
        if wrong[0] >= 0:
            raise ConfigError(self._no_choice(np.asarray(actions), wrong))
        raw, over = games.step()
        self.illegal_actions += illegal
        self._lengths += 1
        self._sums += raw
        truncated = ~over & (self._lengths >= self.settings.max_steps)
        ended = over | truncated
        infos: dict[str, Any] = {"raw_rewards": raw}
        observation = self._empty_observation()
        self._write(np.arange(self.num_envs), observation)
        for name in ("agent_mask", "action_mask"):
            observation[name][over] = False
        if ended.any():
            infos |= self._told(ended, over)
            infos["final_obs"] = observation
            infos["_final_obs"] = ended.copy()
            if self._autoreset:
                observation = {name: array.copy() for name, array in observation.items()}
                rows = np.flatnonzero(ended)
                self._begin(rows)
                self._write(rows, observation)
        self._observation = observation  # ours: callers get copies, and may change them
        return self.observation(), raw @ self._weights, over, truncated, infos

    def _told(
        self, ended: npt.NDArray[np.bool_], over: npt.NDArray[np.bool_]
    ) -> dict[str, npt.NDArray[np.float64]]:
        """How the games went that ended in this step."""
        outcomes = np.full(self.num_envs, np.nan)
        outcomes[ended] = DRAWN
        for row in np.flatnonzero(over):
            outcomes[row] = {0: WON, 1: LOST}.get(self.games.winner(int(row)), DRAWN)
        sums = np.where(ended[:, None], self._sums, np.nan)
        return {"outcome": outcomes, "raw_returns": sums}

    def _checked(self, actions: Any) -> npt.NDArray[np.int64]:
        """The actions as int64 [num_envs, 7, H, W], refused if they are of another shape."""
        given, shape = np.asarray(actions), self.action_space.shape
        if given.shape != shape or not np.issubdtype(given.dtype, np.integer):
            raise ConfigError(
                f"microrts: actions must be integers of shape {shape}: games, the heads "
                f"{', '.join(self.action_tree.names)}, rows, columns; got {given.dtype} of shape "
                f"{given.shape}"
            )
        return np.ascontiguousarray(given, dtype=np.int64)

    def _no_choice(self, actions: npt.NDArray[Any], place: tuple[int, ...]) -> str:
        head = self.action_tree.heads[place[1]]
        return (
            f"microrts: actions{list(place)} = {actions[place]} is no choice of {head.name!r}, "
            f"which has {head.size}: an agent acts at row {place[2]}, column {place[3]}. Parts "
            "that do not count for its type may be any choice of their head, 0 for example"
        )

    def can_save_state(self) -> bool:
        """Whether `get_state` works: the opponents must have no memory of their own."""
        return not self.settings.partial_obs and set(self.settings.opponents) <= set(MEMORYLESS)

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on, as copies: continuing from it is exact.

        Raises:
            ConfigError: An opponent remembers what nobody can read, or sight is partial.
        """
        if not self.can_save_state():
            raise ConfigError(
                f"microrts: games against {', '.join(self.settings.opponents)}"
                f"{' under partial_obs' if self.settings.partial_obs else ''} cannot be saved; "
                f"those against {', '.join(MEMORYLESS)} with full sight can"
            )
        states = [self.games.state(row) for row in range(self.num_envs)] if self._begun else []
        return {
            "games": np.frombuffer(json.dumps(states).encode(), np.uint8).copy(),
            "random": self.games.random_state(),
            "lengths": self._lengths.copy(),
            "sums": self._sums.copy(),
            "illegal_actions": self.illegal_actions,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `get_state` gave.

        Raises:
            ConfigError: The state is of other games, or damaged.
        """
        try:
            states = json.loads(np.asarray(state["games"], np.uint8).tobytes())
            lengths = np.asarray(state["lengths"], np.int64)
            sums = np.asarray(state["sums"], np.float64)
            random, illegal = int(state["random"]), int(state["illegal_actions"])
        except (KeyError, ValueError, TypeError) as error:
            raise ConfigError(
                f"microrts: the saved state is damaged: {type(error).__name__}: {error}"
            ) from error
        sizes = {(one["pgs"]["height"], one["pgs"]["width"]) for one in states}
        here = (self.game_map.height, self.game_map.width)
        fits = lengths.shape == (self.num_envs,) and sums.shape == self._sums.shape
        if not fits or (states and (len(states) != self.num_envs or sizes != {here})):
            raise ConfigError(
                f"microrts: the saved state is of {len(states)} games on maps of {sorted(sizes)}; "
                f"this environment has {self.num_envs} on a map of {here}"
            )
        if states:
            self.games.begin(range(self.num_envs))
        for row, one in enumerate(states):
            self.games.set_state(row, one)
        self.games.set_random_state(random)
        self._lengths, self._sums = lengths.copy(), sums.copy()
        self.illegal_actions = illegal
        self._begun = bool(states)
        if self._begun:
            self._observation = self._empty_observation()
            self._write(np.arange(self.num_envs), self._observation)

    def observation(self) -> Observation:
        """The current observation, as after the last `reset`, `step` or `set_state`."""
        return {name: array.copy() for name, array in self._observation.items()}

    def close_extras(self, **kwargs: Any) -> None:
        """Let go of the games. Java keeps running: a process cannot start it twice."""
        self._games = None


def _whole_seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ConfigError(f"microrts: seed must be a whole number from 0 on; got {seed!r}")
    return int(seed) % 2**63
