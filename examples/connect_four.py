"""A trained connect four player, examined: games against opponents of known strength.

    maskrl train pettingzoo:connect_four_v3 --out runs/connect-four
    python examples/connect_four.py runs/connect-four

Its most probable moves, after a first move drawn at random, on PettingZoo's own environment:
as many games with each colour against a random player, one that wins or blocks where it can,
and searches of two and four plies. A tie counts half.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from maskrl.envs import make_vec
from maskrl.policies.opponent import answers

ENV_ID = "pettingzoo:connect_four_v3"
OPPONENTS = ("random", "win_or_block", "depth:2", "depth:4")


@dataclass(frozen=True)
class Games:
    """How games with one colour went: each 1 for won, 0 for a tie, -1 for lost."""

    outcomes: np.ndarray
    lengths: np.ndarray
    illegal_actions: int

    @property
    def share(self) -> float:
        """Points won of those there were: a tie is half a point."""
        return float((self.outcomes + 1).mean() / 2)

    @property
    def error(self) -> float:
        """Standard error of `share`."""
        spread = float(self.outcomes.std(ddof=1)) if self.outcomes.size > 1 else float("nan")
        return spread / 2 / self.outcomes.size**0.5


def play(
    policy: nn.Module, opponent: Any, seat: int, games: int, seed: int = 0, **env: Any
) -> Games:
    """Play every game once, side by side.

    Args:
        policy: As `maskrl.policies.Policy`.
        opponent: In any form that the environment takes.
        seat: 0 moves first.
        games: How many.
        seed: Of first moves and opponents.
        env: Further settings of the environment.
    """
    settings = {"engine": "pettingzoo", "opening_moves": 1, **env}
    venv: Any = make_vec(ENV_ID, games, opponent=opponent, seat=seat, **settings)
    obs, _ = venv.reset(seed=seed)
    rng = np.random.default_rng(seed)
    outcomes, lengths = np.zeros(games), np.zeros(games, np.int64)
    going = np.ones(games, np.bool_)
    illegal = 0
    while going.any():
        actions = answers(policy, obs, rng, deterministic=True)
        illegal += int((~obs["action_mask"][going, actions[going]]).sum())
        lengths[going] += 1
        obs, _, terminated, truncated, infos = venv.step(actions)
        ended = going & (terminated | truncated)
        if ended.any():
            outcomes[ended] = infos["final_info"]["outcome"][ended]
        going &= ~ended  # what follows are second games, which do not count
    venv.close()
    return Games(outcomes, lengths, illegal)


def both_colours(policy: nn.Module, opponent: Any, games: int, seed: int = 0) -> list[Games]:
    """As many games moving first as moving second."""
    return [play(policy, opponent, seat, games, seed=seed + seat) for seat in (0, 1)]


def joined(parts: list[Games]) -> Games:
    """The games of both colours together."""
    return Games(
        np.concatenate([part.outcomes for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        sum(part.illegal_actions for part in parts),
    )


def line(name: str, parts: list[Games]) -> str:
    """A row of the table."""
    all_games = joined(parts)
    counts = [int((all_games.outcomes == value).sum()) for value in (1, 0, -1)]
    first, second = (f"{100 * part.share:.1f} %" for part in parts)
    both = f"{100 * all_games.share:.1f} % +- {100 * all_games.error:.1f}"
    return (
        f"{name:<14} {both:>16} {first:>8} {second:>8}   {'/'.join(map(str, counts)):>12} "
        f"{all_games.lengths.mean():6.1f} {all_games.illegal_actions:8d}"
    )


HEAD = (
    f"{'against':<14} {'points':>16} {'first':>8} {'second':>8}   {'won/tied/lost':>12} "
    f"{'moves':>5} {'illegal':>8}"
)


def main() -> None:
    """Load a run folder, play, print the table."""
    parser = argparse.ArgumentParser(description="A run's greedy connect four player, examined.")
    parser.add_argument("run", help="run folder, as `maskrl train pettingzoo:connect_four_v3` made")
    parser.add_argument("--which", choices=("best", "last"), default="best")
    parser.add_argument("--games", type=int, default=500, help="with each colour")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--against", nargs="+", default=OPPONENTS, help="opponents, or run folders")
    arguments = parser.parse_args()

    from maskrl.policies import load_policy

    policy = load_policy(arguments.run, which=arguments.which)
    print(HEAD)
    for opponent in arguments.against:
        print(line(opponent, both_colours(policy, opponent, arguments.games, arguments.seed)))


if __name__ == "__main__":
    main()
