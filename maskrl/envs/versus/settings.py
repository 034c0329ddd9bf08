"""Who sits where: the settings that every game of turns takes beside its own.

They are checked when they are made, and written so that they fit into an environment's id,
as in `pettingzoo:connect_four_v3?seat=0&opponent=depth:2`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from maskrl.errors import ConfigError

SELF = "self"
"""The opponent that is the learner itself, as it is and as it was."""

GAME_OPTIONS = {
    "opponent": "Who plays the other seats: random; win_or_block or depth:N, a search of N plies "
    "(connect four, tic-tac-toe); the folder of a run; self, the learner and its past selves.",
    "seat": "Which seat the agent has: random, which holds if nothing is said, or its number; on "
    "a board 0 moves first.",
    "opening_moves": "Moves at the beginning of each game that are drawn at random: a number, 0 "
    "if nothing is said (connect four against oneself: 0-10), or a range as in 0-8.",
    "opponent_samples": "Of a run's folder as the opponent: draw its moves from its policy "
    "instead of playing the most probable ones.",
    "pool_size": "Of opponent=self: how many past selves are kept.",
    "pool_every": "Of opponent=self: steps of the learner from one kept self to the next.",
    "pool_current": "Of opponent=self: the share of games against what the learner is now.",
    "pool_others": "Of opponent=self: who else is met, and in which share of the games, as in "
    "depth:2@0.2 or win_or_block@0.1+depth:2@0.1; nobody if nothing is said.",
    "engine": "Who plays connect four and tic-tac-toe: fast, compiled rules, which holds if "
    "nothing is said, or pettingzoo; the games are the same.",
    "mask_key": "Name of the action mask in agents' observations or infos; action_mask if "
    "nothing is said.",
    "mask_allowed": "The value that means allowed, 1 or 0; 1 if nothing is said.",
}
"""Settings that every game takes in which agents take turns, beside its own."""


@dataclass(frozen=True)
class VersusSettings:
    """Who plays, and where."""

    opponent: Any = "random"
    """Who plays the other seats: random; win_or_block or depth:N, a search of N plies (connect
    four and tic-tac-toe); the folder of a run; self, the learner and what it was before, where
    nobody learns win_or_block or, in other games, random; or an object with act and reset."""
    seat: int | Literal["random"] = "random"
    """Which seat the agent has: random, drawn in each game, or its number; on a board 0 moves
    first."""
    opening_moves: int | str = 0
    """Moves at the beginning of each game that are drawn at random, whoever's turn it is: a
    number, or from how many to how many, as in 0-8, each as likely as any other."""
    opponent_samples: bool = False
    """Of a run's folder as the opponent: draw its moves from its policy, instead of playing the
    most probable ones."""
    pool_size: int = 24
    """Of opponent=self: how many of its past selves are kept."""
    pool_every: int = 500_000
    """Of opponent=self: steps of the learner from one kept self to the next."""
    pool_current: float = 0.5
    """Of opponent=self: the share of games against what it is now; in the others it meets one of
    the kept selves, each as likely as any other."""
    pool_others: str = ""
    """Of opponent=self: who else is met, and in which share of all games, as in depth:2@0.2 or
    win_or_block@0.1+depth:2@0.1; what is left is shared by present and kept selves."""

    def __post_init__(self) -> None:
        if self.seat != "random" and (
            isinstance(self.seat, bool) or not isinstance(self.seat, int) or self.seat < 0
        ):
            raise ConfigError(
                f"seat: expected random or a number from 0 (who moves first), got {self.seat!r}"
            )
        opening_range(self.opening_moves)
        for name, least in (("pool_size", 1), ("pool_every", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name}: expected a whole number from {least}, got {value!r}")
        if not isinstance(self.opponent_samples, bool):
            raise ConfigError(f"opponent_samples: expected a bool, got {self.opponent_samples!r}")
        share = self.pool_current
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ConfigError(f"pool_current: expected a share from 0 to 1, got {share!r}")
        other_shares(self.pool_others)

    @property
    def learns_from_itself(self) -> bool:
        """Whether the opponent is the learner."""
        return isinstance(self.opponent, str) and self.opponent == SELF

    @classmethod
    def split(cls, kwargs: dict[str, Any]) -> VersusSettings:
        """Take these settings out of an environment's arguments, which keep the others."""
        return cls(**{name: kwargs.pop(name) for name in cls.names() if name in kwargs})

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the settings."""
        return tuple(cls.__dataclass_fields__)


def opening_range(told: int | str) -> tuple[int, int]:
    """Fewest and most random moves at the beginning of a game.

    Raises:
        ConfigError: It is neither a number nor a range.

    >>> opening_range(1), opening_range("0-8")
    ((1, 1), (0, 8))
    """
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", str(told))
    low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if low > high or isinstance(told, bool):
        raise ConfigError(
            f"opening_moves: expected a whole number from 0, or a range as in 0-8, got {told!r}"
        )
    return low, high


def other_shares(told: str) -> tuple[tuple[str, float], ...]:
    """Who is met beside oneself, each with a share of the games.

    Raises:
        ConfigError: It is not of the form who@share+who@share, or the shares exceed 1.

    >>> other_shares("win_or_block@0.1+depth:2@0.25")
    (('win_or_block', 0.1), ('depth:2', 0.25))
    """
    if not isinstance(told, str):
        raise ConfigError(f"pool_others: expected text as in depth:2@0.2, got {told!r}")
    found = []
    for part in told.split("+") if told else ():
        who, _, share = part.rpartition("@")
        if not who or who == SELF or not re.fullmatch(r"\d*\.?\d+", share) or float(share) > 1:
            raise ConfigError(
                "pool_others: expected an opponent other than self and its share of the games, 0 "
                f"to 1, joined by @, as in depth:2@0.2; got {part!r}"
            )
        found.append((who, float(share)))
    total = sum(share for _, share in found)
    if total > 1 + 1e-9:
        raise ConfigError(f"pool_others: expected shares of 1 at most in all, got {total:g}")
    return tuple(found)
