"""PettingZoo's environments in which agents take turns, many games side by side.

Each game is one `AECEnv`, driven by its own protocol: `last`, `step`, and a step with None for
every agent whose game is over. What an agent sees is copied when its turn comes, with its
mask as booleans, and once more when the game is over for it: what the mask says then differs
from game to game and means nothing. A game's state is its seed and its moves, played again
to get there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from maskrl.envs.entries import mask_space
from maskrl.envs.games.lines.board import Board
from maskrl.envs.games.lines.drawing import picture_of
from maskrl.envs.versus.engine import GameEngine
from maskrl.errors import ConfigError, MaskError, MaskShapeError, NoMaskError
from maskrl.masks.arrays import BoolArray, as_mask_array
from maskrl.masks.tree import FLAT_MASK

__all__ = ["AECGames"]

OBSERVATION = "observation"

_COOPERATIVE = ("hanabi",)
"""Games, by how their names begin, in which all players earn the same and nobody wins."""


class AECGames(GameEngine):
    """N games of one `AECEnv` whose agents are alike; see `GameEngine`.

    Args:
        make: Makes one game.
        count: N.
        name: What messages call it.
        mask_key: Name of the action mask in agents' Dict observations, or in their infos.
        mask_allowed: The value that means "allowed" in it, 1 or 0.
        board: Of a game of lines, which is drawn here, without a screen; None elsewhere.

    Raises:
        ConfigError: It is no AECEnv, its agents are not alike, or their actions are no numbers.
        NoMaskError: There is no mask under this name.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        count: int,
        *,
        name: str,
        mask_key: str = FLAT_MASK,
        mask_allowed: int = 1,
        board: Board | None = None,
    ) -> None:
        self.name = name
        self._board = board
        self.envs = [make() for _ in range(count)]
        first = self.envs[0]
        self.agent_names = tuple(getattr(first, "possible_agents", ()))
        if not self.agent_names:
            raise ConfigError(f"{name}: it does not say its possible_agents")
        self.players = len(self.agent_names)
        self._seat = {agent: seat for seat, agent in enumerate(self.agent_names)}
        self._mask_key = mask_key
        self._allowed = mask_allowed
        action = self._shared_space("action_space")
        if not isinstance(action, spaces.Discrete):
            raise ConfigError(f"{name}: its action space is {action}, expected Discrete")
        self._start = int(action.start)
        self.action_space = spaces.Discrete(int(action.n))
        self.action_names: tuple[str, ...] = () if board is None else board.action_names
        seen = self._shared_space("observation_space")
        self._entries: dict[str, spaces.Space[Any]] = (
            {key: space for key, space in seen.spaces.items() if key != mask_key}
            if isinstance(seen, spaces.Dict)
            else {OBSERVATION: seen}
        )
        self._is_dict = isinstance(seen, spaces.Dict)
        self._mask_is_seen = self._is_dict and mask_key in seen.spaces
        self.observation_space = spaces.Dict(
            {**self._entries, FLAT_MASK: mask_space(int(action.n))}
        )
        modes = getattr(first, "metadata", {}).get("render_modes", ())
        self.render_modes = tuple(modes) if board is None else ("rgb_array", "ansi")
        title = str(getattr(first, "metadata", {}).get("name", name))
        self.is_competitive = not title.startswith(_COOPERATIVE)
        shape = (count, self.players)
        self.to_move = np.full(count, -1, np.int64)
        self.rewards = np.zeros(shape, np.float64)
        self.terminated = np.zeros(shape, np.bool_)
        self.truncated = np.zeros(shape, np.bool_)
        self._seen: list[dict[int, dict[str, Any]]] = [{} for _ in range(count)]
        self._seeds = np.zeros(count, np.int64)
        self._moves: list[list[int]] = [[] for _ in range(count)]

    def begin(self, games: np.ndarray, seeds: np.ndarray) -> None:
        """Reset some games with these seeds."""
        for game, seed in zip(games.tolist(), seeds.tolist(), strict=True):
            self.envs[game].reset(seed=seed)
            self._seeds[game] = seed
            self._moves[game] = []
            self._seen[game] = {}
            self.rewards[game] = 0.0
            self.terminated[game] = self.truncated[game] = False
            self._go_on(game)

    def play(self, games: np.ndarray, actions: np.ndarray) -> None:
        """Step some games; what their rules say of a move that is not allowed happens."""
        for game, action in zip(games.tolist(), actions.tolist(), strict=True):
            self._moves[game].append(action)
            self.envs[game].step(action + self._start)
            self._go_on(game)

    def observe(self, games: np.ndarray, seats: np.ndarray) -> dict[str, np.ndarray]:
        """What players saw last: at their turn, or when the game was over for them."""
        rows = [
            self._seen[game][seat]
            for game, seat in zip(games.tolist(), seats.tolist(), strict=True)
        ]
        entries = self.observation_space.spaces
        return {
            key: np.stack([row[key] for row in rows])
            if rows
            else np.zeros((0, *(space.shape or ())), space.dtype)
            for key, space in entries.items()
        }

    def _go_on(self, game: int) -> None:
        """Find out whose turn it is, and step those for whom the game is over."""
        env = self.envs[game]
        while env.agents:
            agent = env.agent_selection
            seat = self._seat[agent]
            observation, reward, terminated, truncated, info = env.last()
            self.rewards[game, seat] += float(reward)
            self._seen[game][seat] = self._entries_of(observation, info, agent)
            if not (terminated or truncated):
                self.to_move[game] = seat
                return
            self.terminated[game, seat] |= bool(terminated)
            self.truncated[game, seat] |= bool(truncated)
            env.step(None)
        self.to_move[game] = -1

    def _entries_of(self, observation: Any, info: Mapping[str, Any], agent: Any) -> dict[str, Any]:
        """One agent's observation in arrays of our own."""
        told = observation if self._mask_is_seen else info
        if self._mask_key not in told:
            raise NoMaskError(
                f"{self.name}: {agent} has no {self._mask_key!r} in its observation or its infos, "
                f"which have {sorted(map(str, info))}. If the mask has another name, say "
                "mask_key=..."
            )
        mask = self._mask(told[self._mask_key], agent)
        given = observation if self._is_dict else {OBSERVATION: observation}
        row: dict[str, Any] = {
            key: np.array(given[key], dtype=space.dtype) for key, space in self._entries.items()
        }
        row[FLAT_MASK] = mask
        return row

    def _mask(self, raw: Any, agent: Any) -> BoolArray:
        try:
            mask = as_mask_array(raw, allowed=self._allowed)
        except MaskError as error:
            raise type(error)(f"{self.name}, {agent}: {error}") from error
        if mask.shape != (int(self.action_space.n),):
            raise MaskShapeError(
                f"{self.name}, {agent}: action_mask has shape {mask.shape}, expected "
                f"({self.action_space.n},): one entry per action"
            )
        return mask

    def render(self, game: int, seat: int, mode: str) -> Any:
        """A board, or what the environment draws itself, if it was made with this mode."""
        if self._board is not None:
            return picture_of(self._board, self._seen[game][seat][OBSERVATION], seat, mode)
        env = self.envs[game]
        return env.render() if getattr(env, "render_mode", None) == mode else None

    def get_state(self) -> dict[str, Any]:
        """Seeds and moves."""
        lengths = np.array([len(moves) for moves in self._moves], np.int64)
        moves = np.array([move for moves in self._moves for move in moves], np.int64)
        return {"seeds": self._seeds.copy(), "lengths": lengths, "moves": moves}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Play the moves again.

        Raises:
            ConfigError: They are of another number of games, or do not fit into them.
        """
        seeds, lengths = (np.asarray(state.get(name, ())) for name in ("seeds", "lengths"))
        moves = np.asarray(state.get("moves", ()), np.int64)
        if seeds.shape != self._seeds.shape or lengths.shape != seeds.shape:
            raise ConfigError(
                f"set_state: the state is of {seeds.size} games of {self.name}, here are "
                f"{self._seeds.size}"
            )
        if lengths.sum() != moves.size:
            raise ConfigError(f"set_state: the moves of {self.name} are damaged")
        self.begin(np.arange(len(seeds)), seeds.astype(np.int64))
        ends = np.cumsum(lengths)
        for game, (length, end) in enumerate(zip(lengths.tolist(), ends.tolist(), strict=True)):
            for move in moves[end - length : end].tolist():
                if self.to_move[game] < 0:
                    raise ConfigError(
                        f"set_state: game {game} of {self.name} is over before its saved moves "
                        "are: it does not repeat itself when it is reset with the same seed"
                    )
                self.play(np.array([game]), np.array([move]))

    def close(self) -> None:
        """Close the environments."""
        for env in self.envs:
            env.close()

    def _shared_space(self, kind: str) -> Any:
        """The space of all agents.

        Raises:
            ConfigError: They have different ones.
        """
        found = {agent: getattr(self.envs[0], kind)(agent) for agent in self.agent_names}
        first = found[self.agent_names[0]]
        for agent, space in found.items():
            if space != first:
                raise ConfigError(
                    f"{self.name}: {agent} has the {kind} {space}, {self.agent_names[0]} has "
                    f"{first}; one policy plays every seat, so they must be alike"
                )
        return first
