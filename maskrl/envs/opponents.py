"""Who plays the other seats of a game: the protocol, and players that know no game.

An opponent sees what the player whose turn it is sees, masks included, and answers with an
action that the mask allows. Everything it draws comes from the generator that it is handed,
so that a saved generator is its whole randomness. Who can answer for many games at once,
as a network does, offers `act_all` beside; everybody else is asked game by game.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from maskrl.errors import ConfigError

Observation = Mapping[str, np.ndarray]


class Opponent(Protocol):
    """A player of one game.

    One that remembers or learns something may offer `get_state() -> dict` of arrays and plain
    values and `set_state(state)`, by which a resumed training finds it as it was.
    """

    def reset(self, rng: np.random.Generator) -> None:
        """A new game begins."""

    def act(self, obs: Observation, rng: np.random.Generator) -> int:
        """The next move.

        Args:
            obs: What the player sees: per key an array without a leading dimension,
                `action_mask` bool `[A]` among them.
            rng: Where all randomness comes from.

        Returns:
            The number of an allowed action.
        """


@runtime_checkable
class BatchOpponent(Protocol):
    """A player of many games side by side.

    It may offer `get_state` and `set_state` like an `Opponent`, and `count_steps(steps)`, which
    is told how many steps of the learner have been played since it was told last.
    """

    def act_all(
        self,
        obs: Observation,
        places: np.ndarray,
        starts: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """The next moves.

        Args:
            obs: What the players see: per key `[K, ...]`, `action_mask` bool `[K, A]` among them.
            places: int64 `[K]`, each at most once: which game and seat a row belongs to. The
                same number stands for the same seat from move to move.
            starts: bool `[K]`: the first move of this seat in a new game.
            rng: Where all randomness comes from.

        Returns:
            int64 `[K]`, allowed actions.
        """


class RandomOpponent:
    """Every allowed action is as likely as any other."""

    def reset(self, rng: np.random.Generator) -> None:
        """Remembers nothing."""

    def act(self, obs: Observation, rng: np.random.Generator) -> int:
        """One of the allowed actions."""
        return int(draw_allowed(obs["action_mask"][None], rng)[0])

    def act_all(
        self,
        obs: Observation,
        places: np.ndarray,
        starts: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """One of the allowed actions in every row."""
        return draw_allowed(obs["action_mask"], rng)


class OneByOne:
    """Opponents of single games as one of many: every place has a copy of its own.

    Args:
        opponent: Copied (`copy.deepcopy`) for every place that it comes to play.

    Attributes:
        original: The opponent that is copied.
    """

    def __init__(self, opponent: Opponent) -> None:
        self.original = opponent
        self._copies: dict[int, Any] = {}

    def act_all(
        self,
        obs: Observation,
        places: np.ndarray,
        starts: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Ask the copies one after the other."""
        answers: list[Any] = []  # as given: who asks looks at them, and must see a float or None
        for row, place in enumerate(places.tolist()):
            is_new = place not in self._copies
            if is_new:
                self._copies[place] = copy.deepcopy(self.original)
            if starts[row] or is_new:  # in a game that goes on, after a state without its own
                self._copies[place].reset(rng)
            seen = {key: array[row] for key, array in obs.items()}
            answers.append(self._copies[place].act(seen, rng))
        return np.array(answers) if answers else np.zeros(0, np.int64)

    def get_state(self) -> dict[str, Any]:
        """States of the copies that have one."""
        saved: dict[str, Any] = {}
        for place, player in self._copies.items():
            if hasattr(player, "get_state"):
                for name, value in player.get_state().items():
                    saved[f"{place}.{name}"] = value
        return saved

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on as `get_state` told."""
        self._copies = {}
        own: dict[int, dict[str, Any]] = {}
        for key, value in state.items():
            place, _, name = key.partition(".")
            own.setdefault(int(place), {})[name] = value
        for seat, saved in own.items():
            self._copies[seat] = copy.deepcopy(self.original)
            self._copies[seat].set_state(saved)


def as_batch(opponent: Any) -> BatchOpponent:
    """An opponent of many games, whichever of the two forms it has.

    Raises:
        ConfigError: It has neither, or it is a class where an object of it is needed.
    """
    if isinstance(opponent, type):
        raise ConfigError(
            f"opponent: expected an object, got the class {opponent.__name__}; give "
            f"{opponent.__name__}(...)"
        )
    if callable(getattr(opponent, "act_all", None)):
        batch: BatchOpponent = opponent
        return batch
    if callable(getattr(opponent, "act", None)) and callable(getattr(opponent, "reset", None)):
        return OneByOne(opponent)
    raise ConfigError(
        f"opponent: expected methods act(obs, rng) and reset(rng), or act_all(obs, places, starts, "
        f"rng), as maskrl.envs.opponents describes them; {type(opponent).__name__} has neither"
    )


def draw_allowed(action_mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One allowed action per row, each as likely as any other.

    Args:
        action_mask: bool `[K, A]`; every row allows something.
        rng: Where the randomness comes from: one number a row.

    Returns:
        int64 `[K]`.

    >>> draw_allowed(np.array([[False, True, False]]), np.random.default_rng(0))
    array([1])
    """
    counts = action_mask.cumsum(axis=1)
    # the draw-th allowed action is the first up to which more than draw are allowed
    draws = (rng.random(len(action_mask)) * counts[:, -1]).astype(np.int64)
    return np.asarray((counts > draws[:, None]).argmax(axis=1))


def require_allowed(
    opponent: object, actions: Any, action_mask: np.ndarray, name: str
) -> np.ndarray:
    """Actions of an opponent, looked at: a game must not be won by the other's mistake.

    Args:
        opponent: For the message.
        actions: What it answered.
        action_mask: bool `[K, A]`, what it was allowed.
        name: Of the environment.

    Returns:
        int64 `[K]`.

    Raises:
        ConfigError: A wrong number of actions, none that there is, or one not allowed.
    """
    given = np.asarray(actions)
    rows, count = action_mask.shape
    who = f"{name}: the opponent {type(getattr(opponent, 'original', opponent)).__name__}"
    if given.shape != (rows,) or given.dtype.kind not in "iu":
        raise ConfigError(
            f"{who} answered {given.dtype} of shape {given.shape}, expected integers ({rows},): an "
            "action for each game"
        )
    outside = (given < 0) | (given >= count)
    if outside.any():
        row = int(outside.argmax())
        raise ConfigError(
            f"{who} answered {given[row]} in row {row}, expected an action from 0 to {count - 1}"
        )
    wrong = ~action_mask[np.arange(rows), given]
    if wrong.any():
        row = int(wrong.argmax())
        raise ConfigError(
            f"{who} answered {given[row]} in row {row}, which its mask does not allow: allowed are "
            f"{np.flatnonzero(action_mask[row]).tolist()}"
        )
    return given.astype(np.int64)
