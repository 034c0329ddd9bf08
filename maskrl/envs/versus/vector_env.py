"""Many games of turns as one vector environment: one seat of each is the agent's.

A step is the agent's move and everything until its next turn, or until its game is over: the
moves of all opponents that are due are asked for in one call for all games. A game that is
over is followed by the next in the same step, and its last observation is in
`infos["final_obs"]`. Seats, openings and opponents draw from one generator, which is part
of the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from maskrl.envs.opponents import BatchOpponent, as_batch, draw_allowed, require_allowed
from maskrl.envs.versus.engine import GameEngine
from maskrl.envs.versus.settings import VersusSettings, opening_range
from maskrl.errors import ConfigError
from maskrl.masks.arrays import check_mask_array

MOST_BEGINNINGS = 1000
"""Games that may end one after the other before the agent has its first turn."""

Observation = dict[str, np.ndarray]


class VersusVectorEnv(VectorEnv[Observation, np.ndarray, np.ndarray]):
    """The agent's seats in N games.

    Rewards are what its seat earns until its next turn. Games that end before the agent's
    first turn are not its games: others begin in their place. Infos have `seat` int64 `[N]`;
    where a game was over, `final_info` has its `seat` and, in competitive games, `outcome`:
    1.0 for won, 0.0 for drawn, -1.0 for lost (NaN elsewhere).

    Args:
        engine: The games.
        opponent: Plays the other seats, in either form of `maskrl.envs.opponents`.
        settings: Who sits where.
        seed: Of all randomness, unless `reset` gets one.

    Attributes:
        opponent: As it is asked, for many games at once.
        illegal_actions: Moves of the agent that its mask did not allow.

    Raises:
        ConfigError: The engine has no such seat, or the opponent is none, or of another game.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
    takes_reset_mask = True

    def __init__(
        self,
        engine: GameEngine,
        opponent: Any,
        settings: VersusSettings | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        self.engine = engine
        self.settings = settings = settings or VersusSettings()
        self.num_envs = count = len(engine.to_move)
        if settings.seat != "random" and settings.seat >= engine.players:
            raise ConfigError(
                f"seat: {engine.name} has {engine.players} players, expected a number from 0 to "
                f"{engine.players - 1}, got {settings.seat}"
            )
        self.opponent = self._who_fits(opponent)
        self.single_observation_space = engine.observation_space
        self.single_action_space = engine.action_space
        self.observation_space = batch_space(engine.observation_space, count)
        self.action_space = batch_space(engine.action_space, count)
        self.action_names = engine.action_names
        self.illegal_actions = 0
        self._rng = np.random.default_rng(0 if seed is None else seed)
        self._autoreset = True
        self._begun = False
        self._all = np.arange(count)
        self._seats = np.zeros(count, np.int64)
        self._told = np.zeros(count, np.float64)  # of the present game's rewards
        self._first_turn = np.ones(count * engine.players, np.bool_)
        self._mask = np.ones((count, int(engine.action_space.n)), np.bool_)

    def play_against(self, opponent: Any) -> None:
        """Let somebody else play the other seats, from the next move on.

        Raises:
            ConfigError: It is no opponent, or one of another game.
        """
        self.opponent = self._who_fits(opponent)

    @property
    def learns_from_itself(self) -> bool:
        """Whether the opponent is to be who learns here."""
        return self.settings.learns_from_itself

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin new games, up to the agent's first turn.

        Args:
            seed: A new seed for all randomness; None goes on with the present generator.
            options: `{"reset_mask": bool [N]}` begins only those games anew.
        """
        anew = np.ones(self.num_envs, np.bool_)
        if options and "reset_mask" in options:
            anew = check_mask_array(
                options["reset_mask"], anew.shape, name="reset_mask", operation="reset"
            )
            if not self._begun and not anew.all():
                raise ConfigError("the first reset begins every game; leave out reset_mask")
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        games = np.flatnonzero(anew)
        self._begin(games)
        self._until_turn(games, None)
        self._begun = True
        return self._observe(), {"seat": self._seats.copy()}

    def step(
        self, actions: np.ndarray
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """The agent's moves, and what follows until its next turns.

        Args:
            actions: Integers `[N]`. One that the mask does not allow is counted and goes to
                the game, whose rules say what it leads to: PettingZoo's end with -1.

        Raises:
            ConfigError: `reset` was never called, actions are none, or an opponent answers
                what it may not do.
        """
        given = self._checked(actions)
        self.illegal_actions += int((~self._mask[self._all, given]).sum())
        self.engine.play(self._all, given)
        tick = getattr(self.opponent, "count_steps", None)
        if tick is not None:
            tick(self.num_envs)
        ends = _Ends(self)
        self._until_turn(self._all, ends)
        going = ~ends.over
        ends.rewards[going] = self._earned(np.flatnonzero(going))
        observation = self._observe()
        infos: dict[str, Any] = {"seat": self._seats.copy()}
        if self._autoreset and ends.final is not None:
            infos["final_obs"] = ends.final
            infos["final_info"] = {"seat": ends.seats, "outcome": ends.outcomes}
            infos["_final_obs"] = infos["_final_info"] = ends.over.copy()
        elif ends.final is not None:
            infos["outcome"] = ends.outcomes
        return observation, ends.rewards, ends.terminated, ends.truncated, infos

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on, the opponent included, as copies."""
        state: dict[str, Any] = {
            "seats": self._seats.copy(),
            "told": self._told.copy(),
            "first_turn": self._first_turn.copy(),
            "generator": self._rng.bit_generator.state,
            "illegal_actions": self.illegal_actions,
        }
        state |= {f"engine.{name}": value for name, value in self.engine.get_state().items()}
        own = getattr(self.opponent, "get_state", None)
        if own is not None:
            state |= {f"opponent.{name}": value for name, value in own().items()}
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state`, with an opponent of the same kind.

        Raises:
            ConfigError: The state is of other games or of fewer, or damaged.
        """
        for name in ("seats", "told", "first_turn"):
            own, saved = getattr(self, f"_{name}"), np.asarray(state.get(name, ()))
            if saved.shape != own.shape:
                raise ConfigError(
                    f"set_state: {name} has shape {saved.shape}, expected {own.shape}: the state "
                    f"is of another number of games, or not of {self.engine.name}"
                )
        self.engine.set_state(_under("engine.", state))
        for name in ("seats", "told", "first_turn"):
            getattr(self, f"_{name}")[...] = np.asarray(state[name])
        self._rng = np.random.default_rng(0)
        self._rng.bit_generator.state = state["generator"]
        self.illegal_actions = int(state["illegal_actions"])
        own = getattr(self.opponent, "set_state", None)
        if own is not None:
            own(_under("opponent.", state))
        self._begun = True
        self._mask = self.engine.observe(self._all, self._seats)["action_mask"]

    def close_extras(self, **kwargs: Any) -> None:
        """Give back what the games hold."""
        self.engine.close()

    def _who_fits(self, opponent: Any) -> BatchOpponent:
        """An opponent that, if it says what it sees and does, sees and does what is played here."""
        found, engine = as_batch(opponent), self.engine
        for name in ("observation_space", "action_space"):
            own, here = getattr(found, name, None), getattr(engine, name)
            if own is not None and own != here:
                raise ConfigError(
                    f"opponent: the policy is of another game than {engine.name}: its {name} is "
                    f"{own}, here it is {here}"
                )
        return found

    def _begin(self, games: np.ndarray) -> None:
        """Begin games, draw seats and make the moves of the opening."""
        engine, rng, settings = self.engine, self._rng, self.settings
        if settings.seat == "random":
            self._seats[games] = rng.integers(engine.players, size=len(games))
        else:
            self._seats[games] = settings.seat
        fewest, most = opening_range(settings.opening_moves)
        left, again = games, rng.integers(fewest, most + 1, size=len(games))
        for _ in range(MOST_BEGINNINGS):
            engine.begin(left, rng.integers(2**31, size=len(left)))
            for move in range(again.max(initial=0)):
                going = left[(again > move) & (engine.to_move[left] >= 0)]
                if going.size:
                    mask = engine.observe(going, engine.to_move[going])["action_mask"]
                    engine.play(going, draw_allowed(mask, rng))
            over = engine.to_move[left] < 0
            left, again = left[over], again[over]
            if not left.size:
                break
        else:
            raise ConfigError(
                f"opening_moves: {settings.opening_moves} random moves end every game of "
                f"{engine.name}: make fewer, or, if its mask marks what is forbidden, say "
                "mask_allowed=0 (1 where it marks what is allowed)"
            )
        self._told[games] = 0.0
        self._first_turn.reshape(-1, engine.players)[games] = True

    def _until_turn(self, games: np.ndarray, ends: _Ends | None) -> None:
        """Let opponents move until it is the agent's turn everywhere.

        A game that is over for the agent is handed to `ends`, and the next one begins. Without
        `ends`, and in a game that began here, it is not the agent's yet: another begins.
        """
        engine, seats = self.engine, self._seats
        for _ in range(MOST_BEGINNINGS * 100):
            over = games[
                engine.terminated[games, seats[games]] | engine.truncated[games, seats[games]]
            ]
            if over.size:
                own = over if ends is None else over[~ends.over[over]]
                if ends is not None and own.size:
                    ends.take(own)
                if self._autoreset or ends is None:
                    self._begin(over)
                else:
                    games = np.setdiff1d(games, over, assume_unique=True)
            games = games[engine.to_move[games] != seats[games]]
            if not games.size:
                return
            self._answer(games)
        raise ConfigError(f"{engine.name}: the agent never has a turn")

    def _answer(self, games: np.ndarray) -> None:
        """One move of the opponents in each of these games."""
        engine = self.engine
        movers = engine.to_move[games]
        seen = engine.observe(games, movers)
        places = games * engine.players + movers
        starts = self._first_turn[places]
        actions = self.opponent.act_all(seen, places, starts, self._rng)
        self._first_turn[places] = False
        engine.play(
            games, require_allowed(self.opponent, actions, seen["action_mask"], engine.name)
        )

    def _observe(self) -> Observation:
        seen = self.engine.observe(self._all, self._seats)
        self._mask = seen["action_mask"].copy()
        return seen

    def _earned(self, games: np.ndarray) -> np.ndarray:
        """What the agent's seats earned since they were told last."""
        total = self.engine.rewards[games, self._seats[games]]
        new = total - self._told[games]
        self._told[games] = total
        return np.asarray(new)

    def _checked(self, actions: np.ndarray) -> np.ndarray:
        if not self._begun:
            raise ConfigError("step was called before the first reset; call reset first")
        given, count = np.asarray(actions), int(self.engine.action_space.n)
        if given.shape != (self.num_envs,) or given.dtype.kind not in "iu":
            raise ConfigError(
                f"step: actions must be integers of shape ({self.num_envs},); got {given.dtype} of "
                f"shape {given.shape}"
            )
        outside = (given < 0) | (given >= count)
        if outside.any():
            index = int(outside.argmax())
            raise ConfigError(
                f"step: actions[{index}] = {given[index]} is not in [0, {count}), the actions of "
                f"{self.engine.name}"
            )
        return given.astype(np.int64)


class _Ends:
    """What is known of the games that end within a step."""

    def __init__(self, env: VersusVectorEnv) -> None:
        count = env.num_envs
        self._env = env
        self.over = np.zeros(count, np.bool_)
        self.rewards = np.zeros(count, np.float64)
        self.terminated = np.zeros(count, np.bool_)
        self.truncated = np.zeros(count, np.bool_)
        self.outcomes = np.full(count, np.nan)
        self.seats = env._seats.copy()
        self.final: Observation | None = None

    def take(self, games: np.ndarray) -> None:
        """Write down how games ended that are over for the agent."""
        env, engine = self._env, self._env.engine
        seats = env._seats[games]
        self.over[games] = True
        self.rewards[games] = env._earned(games)
        self.terminated[games] = engine.terminated[games, seats]
        self.truncated[games] = engine.truncated[games, seats] & ~engine.terminated[games, seats]
        if engine.is_competitive:
            totals = engine.rewards[games]
            own = totals[np.arange(len(games)), seats]
            others = totals.copy()
            others[np.arange(len(games)), seats] = -np.inf
            self.outcomes[games] = np.sign(own - others.max(axis=1))
        seen = engine.observe(games, seats)
        if self.final is None:
            self.final = {
                key: np.zeros((env.num_envs, *array.shape[1:]), array.dtype)
                for key, array in seen.items()
            }
        for key, array in seen.items():
            self.final[key][games] = array


def _under(prefix: str, state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
