"""PettingZoo's environments in which agents take turns, many games side by side.

Each game is one `AECEnv`, driven by its own protocol: `last`, `step`, and a step with None for
every agent whose game is over. What an agent sees is copied when its turn comes, with its
mask as booleans, and once more when the game is over for it: what the mask says then differs
from game to game and means nothing. A game's state is its seed and its moves, played again
to get there; a game that does not repeat itself is found out as far as it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from maskrl.envs.entries import mask_space
from maskrl.envs.games.lines.board import Board
from maskrl.envs.games.lines.drawing import picture_of
from maskrl.errors import ConfigError, MaskError, MaskShapeError, NoMaskError
from maskrl.masks.arrays import BoolArray, as_mask_array
from maskrl.masks.tree import FLAT_MASK

__all__ = ["AECGames"]

OBSERVATION = "observation"

SHOWN = "shown."
"""How names of a state begin under which it is kept what games had shown when it was saved."""

UNREPEATED = (
    "it does not repeat itself when it is reset with the same seed, so that nothing that is saved "
    "of it can be gone on with. All that is drawn in it must come from the seed that reset gets"
)

_COOPERATIVE = ("hanabi",)
"""Games, by how their names begin, in which all players earn the same and nobody wins."""


class AECGames:
    """N games of one `AECEnv` whose agents are alike: an engine of `maskrl.envs.versus`.

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
        self.board = board
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
            over = bool(terminated or truncated)
            self._seen[game][seat] = self._entries_of(observation, info, agent, over=over)
            if not over:
                self.to_move[game] = seat
                return
            self.terminated[game, seat] |= bool(terminated)
            self.truncated[game, seat] |= bool(truncated)
            env.step(None)
        self.to_move[game] = -1
        untold = ~(self.terminated[game] | self.truncated[game])
        if untold.any():
            agent = self.agent_names[int(untold.argmax())]
            raise ConfigError(
                f"{self.name}: the game is over, and {agent} was never told: its agents are gone "
                "before each was terminated or truncated and had its last step, with None. Set "
                "terminations or truncations, and leave it to _was_dead_step to remove agents"
            )

    def _entries_of(self, observation: Any, info: Any, agent: Any, *, over: bool) -> dict[str, Any]:
        """One agent's observation in arrays of our own; zeros for what is not told at the end."""
        told = observation if self._mask_is_seen else info
        raw = told.get(self._mask_key) if isinstance(told, Mapping) else None
        if over and (raw is None or np.size(raw) == 0):
            mask = np.zeros(int(self.action_space.n), np.bool_)
        elif raw is None:
            raise NoMaskError(
                f"{self.name}: {agent} has no {self._mask_key!r} in its observation or its infos, "
                f"which have {sorted(map(str, info or ()))}. If the mask has another name, say "
                "mask_key=..."
            )
        else:
            mask = self._mask(raw, agent)
        given = observation if self._is_dict else {OBSERVATION: observation}
        row: dict[str, Any] = {
            key: np.zeros(space.shape or (), space.dtype)
            if over and observation is None
            else np.array(given[key], dtype=space.dtype)
            for key, space in self._entries.items()
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
        if self.board is not None:
            return picture_of(self.board, self._seen[game][seat][OBSERVATION], seat, mode)
        env = self.envs[game]
        return env.render() if getattr(env, "render_mode", None) == mode else None

    def get_state(self) -> dict[str, Any]:
        """Seeds and moves; and what was seen and earned, by which a repetition is known."""
        lengths = np.array([len(moves) for moves in self._moves], np.int64)
        moves = np.array([move for moves in self._moves for move in moves], np.int64)
        state = {"seeds": self._seeds.copy(), "lengths": lengths, "moves": moves}
        if not all(self._seen):  # some have not begun
            return state
        return state | {f"{SHOWN}{name}": value for name, value in self._shown().items()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Play the moves again.

        Raises:
            ConfigError: They are of another number of games, or do not fit into them; or games do
                not repeat themselves, so that players see or have earned what they had not.
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
                        f"are: {UNREPEATED}"
                    )
                try:
                    self.play(np.array([game]), np.array([move]))
                except Exception as error:  # whatever an environment says of moves of another game
                    raise ConfigError(
                        f"set_state: game {game} of {self.name} does not take its saved move "
                        f"{move} ({type(error).__name__}: {error}): {UNREPEATED}"
                    ) from error
        for name, value in self._shown().items():
            saved = state.get(f"{SHOWN}{name}")
            if saved is not None:  # states of older versions do not tell
                self._compare(name, np.asarray(saved), value)

    def _shown(self) -> dict[str, np.ndarray]:
        """What the games have shown so far: per name `[N, ...]`, zeros for who saw nothing yet."""
        shown: dict[str, np.ndarray] = {
            "to_move": self.to_move.copy(),
            "rewards": self.rewards.copy(),
            "terminated": self.terminated.copy(),
            "truncated": self.truncated.copy(),
        }
        shape = self.rewards.shape
        for key, space in self.observation_space.spaces.items():
            array = np.zeros((*shape, *(space.shape or ())), space.dtype)
            for game, seen in enumerate(self._seen):
                for seat, row in seen.items():
                    array[game, seat] = row[key]
            shown[f"seen.{key}"] = array
        return shown

    def _compare(self, name: str, saved: np.ndarray, here: np.ndarray) -> None:
        """Check that games repeated themselves.

        Raises:
            ConfigError: One did not.
        """
        if saved.shape != here.shape:
            raise ConfigError(
                f"set_state: {name} has shape {saved.shape}, expected {here.shape}: the state is "
                f"of another game than {self.name}, or of one with other settings"
            )
        if here.dtype.kind == "f":  # other machines may round otherwise
            same = np.isclose(saved, here, rtol=1e-4, atol=1e-6, equal_nan=True)
        else:
            same = saved == here
        if not same.all():
            game, *place = (int(i) for i in np.argwhere(~same)[0])
            raise ConfigError(
                f"set_state: game {game} of {self.name} is another one after its saved moves: "
                f"{name}{place or ''} was {saved[game, *place]} and is {here[game, *place]}; "
                f"{UNREPEATED}"
            )

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
