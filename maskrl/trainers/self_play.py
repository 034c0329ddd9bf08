"""Self-play: the learner's opponents are itself, as it is now and as it was before.

A pool of past selves keeps a learner from forgetting how to beat what it has left behind.
The pool is an opponent like any other, asked by the environment with all games at once; it
belongs to the environment's state, and so to every checkpoint. Any trainer whose policy
chooses one of the numbered actions can learn in this way.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv, VectorEnv, VectorWrapper
from torch import nn

from maskrl.envs.contract import attribute_of
from maskrl.envs.opponents import BatchOpponent, Observation, require_allowed
from maskrl.envs.versus.finding import find_others
from maskrl.envs.versus.single_env import VersusEnv
from maskrl.envs.versus.vector_env import VersusVectorEnv
from maskrl.errors import ConfigError, RunFolderError
from maskrl.policies.actor_critic import trusted
from maskrl.policies.opponent import answers, require_no_memory

NOW = -1
"""Who plays at a place: the learner as it is now; past selves are numbered from 0."""

FIRST_OTHER = -2
"""Who plays at a place: the first of the others; the next have -3, -4 and so on."""


class SelfPlayPool:
    """The learner and its past selves, who play the other seats.

    When a game begins, it is drawn who plays a seat in it: one of the others, if there are any,
    in their shares of the games, else the learner or one of its past selves. A past self is
    what the learner was at the beginning, and after every `every` steps; when there are more
    than `size`, one that is neither the first nor the latest is dropped, in turn, so that old
    ones stay, ever further apart.

    Args:
        policy: What is trained, without memory; it is copied, never changed.
        places: How many seats there are, over all games.
        size: How many past selves are kept, at least 1.
        every: Steps of the learner from one to the next.
        current: The share of games against what the learner is now.
        others: Who else is met, each with a share of all games; `current` is then of what they
            leave.

    Attributes:
        steps: Steps of the learner so far.
        taken_at: The steps at which each past self was taken.
    """

    def __init__(
        self,
        policy: nn.Module,
        places: int,
        *,
        size: int,
        every: int,
        current: float,
        others: Sequence[tuple[BatchOpponent, float]] = (),
    ) -> None:
        require_no_memory(policy, "self-play")
        self.policy = policy
        self.size = size
        self.every = every
        self.current = current
        self.others = tuple(player for player, _ in others)
        self._shares = np.cumsum([share for _, share in others])
        self.steps = 0
        self.taken_at: list[int] = []
        self._past: list[nn.Module] = []
        self._who = np.full(places, NOW, np.int64)
        self._drops = 0
        self._generator = torch.Generator(
            next((p.device for p in policy.parameters()), torch.device("cpu"))
        )

    def __len__(self) -> int:
        """How many past selves there are."""
        return len(self._past)

    def count_steps(self, steps: int) -> None:
        """So many steps of the learner have been played; a past self is taken where due."""
        if not self._past or self.steps // self.every < (self.steps + steps) // self.every:
            self.take()
        self.steps += steps

    def take(self) -> None:
        """Keep what the learner is now."""
        self._past.append(_frozen(self.policy))
        self.taken_at.append(self.steps)
        if len(self._past) <= self.size:
            return
        # the second, then the fourth, ... of those there are: thins out what lies far back
        inner = max(1, len(self._past) - 2)
        dropped = 0 if self.size == 1 else 1 + (2 * self._drops) % inner
        self._drops += 1
        del self._past[dropped], self.taken_at[dropped]
        who = self._who
        # games against the dropped one go on against the next
        who[who > dropped] -= 1

    def act_all(
        self,
        obs: Observation,
        places: np.ndarray,
        starts: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """One pass of the learner's network, and one of each past self or other that plays."""
        begun = places[starts]
        if begun.size:
            self._who[begun] = self._draw(begun.size, rng)
        who = self._who[places]
        actions = np.zeros(len(places), np.int64)
        for player in np.unique(who):
            rows = np.flatnonzero(who == player)
            seen = obs if rows.size == len(places) else {k: x[rows] for k, x in obs.items()}
            if player == NOW:
                actions[rows] = answers(self.policy, seen, rng, generator=self._generator)
            elif player <= FIRST_OTHER:
                other = self.others[FIRST_OTHER - player]
                given = other.act_all(seen, places[rows], starts[rows], rng)
                actions[rows] = require_allowed(other, given, seen["action_mask"], "pool_others")
            else:
                past = self._past[player]
                with trusted(past):
                    actions[rows] = answers(past, seen, rng, generator=self._generator)
        return actions

    def _draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Who plays in games that begin: int64 `[count]`."""
        past = rng.integers(max(1, len(self._past)), size=count)
        now = rng.random(count) < self.current
        who = np.where(now | (len(self._past) == 0), NOW, past)
        if not self.others:
            return who
        other = np.searchsorted(self._shares, rng.random(count), side="right")
        return np.where(other < len(self.others), FIRST_OTHER - other, who)

    def get_state(self) -> dict[str, Any]:
        """Who plays where, the weights of all past selves, and what others remember."""
        state: dict[str, Any] = {
            "who": self._who.copy(),
            "steps": self.steps,
            "taken_at": list(self.taken_at),
            "drops": self._drops,
        }
        for number, past in enumerate(self._past):
            for name, tensor in past.state_dict().items():
                state[f"past.{number}.{name}"] = tensor.detach().cpu().numpy().copy()
        for number, other in enumerate(self.others):
            own = getattr(other, "get_state", None)
            for name, value in ({} if own is None else own()).items():
                state[f"other.{number}.{name}"] = value
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state`.

        Raises:
            RunFolderError: The state is of other games or another network.
        """
        who = np.asarray(state.get("who", ()))
        if who.shape != self._who.shape:
            raise RunFolderError(
                f"self-play: the saved pool plays {who.size} seats, here are {self._who.size}"
            )
        if who.min(initial=NOW) <= FIRST_OTHER - len(self.others):
            raise RunFolderError(
                f"self-play: the saved pool has more others than the {len(self.others)} here; give "
                "pool_others as it was"
            )
        past = []
        for number in range(len(state["taken_at"])):
            own = {
                name: _tensor(state, f"past.{number}.{name}", like)
                for name, like in self.policy.state_dict().items()
            }
            module = _frozen(self.policy)
            module.load_state_dict(own)
            past.append(module)
        self._past, self.taken_at = past, [int(steps) for steps in state["taken_at"]]
        self._who[...] = who
        self.steps, self._drops = int(state["steps"]), int(state["drops"])
        for number, other in enumerate(self.others):
            remember = getattr(other, "set_state", None)
            prefix = f"other.{number}."
            if remember is not None:
                remember(
                    {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
                )


def play_against_itself(env: VectorEnv[Any, Any, Any], policy: nn.Module) -> SelfPlayPool | None:
    """Let a policy that is about to be trained play against itself, where its games ask for it.

    Args:
        env: What it is trained on.
        policy: What is trained.

    Returns:
        The pool that now plays the other seats; None in environments without `opponent=self`.

    Raises:
        ConfigError: The policy has a memory; the games are made one by one or in other
            processes, where the learner cannot answer for all of them; or one of the others does
            not play this game.
    """
    games = _games_behind(env)
    if games is None:
        if any(value is True for value in attribute_of(env, "learns_from_itself")):
            raise ConfigError(
                "opponent=self: the learner answers for all games in one call, which it cannot in "
                "other processes (workers) or in games made one by one (mask_regime, a vector "
                "environment of one's own); leave that out, or name another opponent"
            )
        return None
    if not games.learns_from_itself:
        return None
    settings, engine = games.settings, games.engine
    pool = SelfPlayPool(
        policy,
        games.num_envs * engine.players,
        size=settings.pool_size,
        every=settings.pool_every,
        current=settings.pool_current,
        others=find_others(settings, board=getattr(engine, "board", None), name=engine.name),
    )
    games.play_against(pool)
    return pool


def _games_behind(env: Any) -> VersusVectorEnv | None:
    """The games of turns that a vector environment wraps, if they are in one."""
    while isinstance(env, VectorWrapper):
        env = env.env
    if isinstance(env, SyncVectorEnv) and env.num_envs == 1:
        single = env.envs[0].unwrapped
        return single.games if isinstance(single, VersusEnv) else None
    return env if isinstance(env, VersusVectorEnv) else None


def _frozen(policy: nn.Module) -> nn.Module:
    """A copy that nobody trains."""
    with torch.inference_mode(False):  # games are played inside one, and copies outlive it
        past = copy.deepcopy(policy).eval()
    return past.requires_grad_(False)


def _tensor(state: Mapping[str, Any], key: str, like: torch.Tensor) -> torch.Tensor:
    found = state.get(key)
    if found is None or tuple(np.shape(found)) != tuple(like.shape):
        raise RunFolderError(
            f"self-play: the saved pool's {key} is {None if found is None else np.shape(found)}, "
            f"this network needs {tuple(like.shape)}"
        )
    return torch.as_tensor(found).to(like)
