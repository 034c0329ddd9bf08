"""What came out of whole episodes: returns, what they compare with, and what agents did.

The score puts an agent between random valid play (0) and a reference (1), a planner unless
the environment calls it something else. Teams have figures of their own, for their returns
say little about who lived and who acted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

PLANNER = "planner"
"""What the reference of an environment is called that gives it no name."""


@dataclass(frozen=True)
class Reference:
    """What an environment says can be reached on its layouts, and what chance reaches.

    Attributes:
        planner: Expected return of the reference per episode's layout: float64 `[episodes]`.
        random: Random valid play's: float64 `[episodes]`.
        name: What the reference is: "planner", unless the environment calls it otherwise.
    """

    planner: np.ndarray
    random: np.ndarray
    name: str = PLANNER

    def __getitem__(self, which: str) -> np.ndarray:
        """`planner` or `random` by name."""
        returns: Mapping[str, np.ndarray] = {"planner": self.planner, "random": self.random}
        return returns[which]


@dataclass(frozen=True)
class TeamFigures:
    """What the agents of a team did in the episodes that were played.

    Attributes:
        agents: N, how many there can be.
        agent_steps: Decisions of agents, over all episodes.
        agents_acting: Mean number of agents that acted at a step.
        idle_share: Share of steps at which no agent acted.
        agents_alive: Mean number of agents alive at a step; None where nobody tells who lives.
        deaths: Per episode, how often an agent died: int64 `[episodes]`, or None.
        last_deaths: Those of them in its last step: int64 `[episodes]`, or None. Where a game
            that is over takes everybody out, as PettingZoo's do, that is no fate of an agent's.
        alive_at_end: Per episode, how many were alive after its last step: int64 `[episodes]`,
            or None.
        agent_returns: What each agent got: float64 `[episodes, N]`; None where agents have no
            rewards of their own.
    """

    agents: int
    agent_steps: int
    agents_acting: float
    idle_share: float
    agents_alive: float | None = None
    deaths: np.ndarray | None = None
    last_deaths: np.ndarray | None = None
    alive_at_end: np.ndarray | None = None
    agent_returns: np.ndarray | None = None

    def summary(self) -> dict[str, Any]:
        """The figures, ready for JSON; absent ones are left out."""
        means = {
            "deaths_mean": self.deaths,
            "last_deaths_mean": self.last_deaths,
            "alive_at_end_mean": self.alive_at_end,
        }
        figures: dict[str, Any] = {
            "agents": self.agents,
            "agent_steps": self.agent_steps,
            "agents_acting": self.agents_acting,
            "idle_share": self.idle_share,
            "agents_alive": self.agents_alive,
            **{name: None if v is None else float(v.mean()) for name, v in means.items()},
        }
        if self.agent_returns is not None:
            figures["agent_return_means"] = self.agent_returns.mean(axis=0).tolist()
        return {k: v for k, v in figures.items() if v is not None}


@dataclass(frozen=True)
class Evaluation:
    """What came out of a fixed number of episodes.

    Attributes:
        env: The environment's id.
        env_kwargs: Its arguments, split included.
        seed: Of the environments and of sampled actions.
        deterministic: Whether the most probable action was taken at every step.
        returns: Undiscounted return per episode: `[episodes]` float64.
        lengths: Steps per episode: `[episodes]` int64.
        layout_ids: The layout of each episode, or None where there are none: int64.
        planner: The planner's expected return per episode's layout, or None: float64.
        random: Random valid play's expected return per episode's layout, or None: float64.
        illegal_actions: Actions executed against the mask handed out: a head that counts
            chose what its mask disallows, and could have chosen otherwise. Where the mask was
            taken away, as many as the environment counted. Of a team those of all its agents.
        allowed_share: Mean share of choices that were allowed, of the heads that counted; 1
            without action mask. Of a team the mean over agents' decisions.
        forced_share: Share of steps, of a team of agents' decisions, with exactly one allowed
            action.
        cut_episodes: Episodes ended by `MOST_STEPS`, not by the environment.
        no_reference: Why the environment's planner cannot plan these layouts; empty where it
            can, and where there is none.
        reference_name: What `planner` really is, such as "scripted team".
        outcomes: Per episode 1 won, 0 drawn, -1 lost, NaN where it was not told: float64; None
            where no episode told. See `maskrl.envs.outcomes`.
        team: What agents did; None where one agent acts.
    """

    env: str
    env_kwargs: dict[str, Any]
    seed: int
    deterministic: bool
    returns: np.ndarray
    lengths: np.ndarray
    layout_ids: np.ndarray | None = None
    planner: np.ndarray | None = None
    random: np.ndarray | None = None
    illegal_actions: int = 0
    allowed_share: float = 1.0
    forced_share: float = 0.0
    cut_episodes: int = 0
    no_reference: str = ""
    reference_name: str = PLANNER
    outcomes: np.ndarray | None = None
    team: TeamFigures | None = None

    @property
    def episodes(self) -> int:
        """How many episodes were played."""
        return int(self.returns.size)

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of the mean return; NaN of a single episode."""
        if self.episodes < 2:
            return float("nan")
        return float(self.returns.std(ddof=1) / np.sqrt(self.episodes))

    @property
    def planner_mean(self) -> float | None:
        """The planner's mean return over the same layouts."""
        return None if self.planner is None else float(self.planner.mean())

    @property
    def random_mean(self) -> float | None:
        """Random valid play's mean return over the same layouts."""
        return None if self.random is None else float(self.random.mean())

    @property
    def win_rate(self) -> float | None:
        """Share of all episodes that were won; None where the environment does not tell.

        An episode that ended without an outcome, because it was cut off, is not a win.
        """
        return None if self.outcomes is None else float((self.outcomes == 1).mean())

    @property
    def draw_rate(self) -> float | None:
        """Share of all episodes that were drawn; None where the environment does not tell."""
        return None if self.outcomes is None else float((self.outcomes == 0).mean())

    @property
    def score(self) -> float | None:
        """(agent - random) / (planner - random), each a mean over layouts; None without them."""
        return score(self.mean, self.planner_mean, self.random_mean)

    def summary(self) -> dict[str, Any]:
        """The figures without the arrays, ready for JSON; absent ones are left out."""
        figures: dict[str, Any] = {
            "env": self.env,
            "env_kwargs": {k: v for k, v in self.env_kwargs.items() if k != "layout_seeds"},
            "seed": self.seed,
            "deterministic": self.deterministic,
            "episodes": self.episodes,
            "mean": self.mean,
            "standard_error": self.standard_error,
            "length_mean": float(self.lengths.mean()),
            "planner_mean": self.planner_mean,
            "random_mean": self.random_mean,
            "score": self.score,
            "illegal_actions": self.illegal_actions,
            "allowed_share": self.allowed_share,
            "forced_share": self.forced_share,
            "cut_episodes": self.cut_episodes,
            "no_reference": self.no_reference or None,
            "reference_name": self.reference_name if self.planner is not None else None,
            "win_rate": self.win_rate,
            "draw_rate": self.draw_rate,
            "team": None if self.team is None else self.team.summary(),
        }
        return {k: v for k, v in figures.items() if v is not None and v == v}

    def to_json(self) -> dict[str, Any]:
        """`summary()` with returns, lengths and layouts of every episode."""
        arrays = {
            "returns": self.returns,
            "lengths": self.lengths,
            "layout_ids": self.layout_ids,
            "planner": self.planner,
            "random": self.random,
            "outcomes": None if self.outcomes is None else _without_nan(self.outcomes),
        }
        if self.team is not None:
            arrays["deaths"] = self.team.deaths
            arrays["last_deaths"] = self.team.last_deaths
            arrays["alive_at_end"] = self.team.alive_at_end
            arrays["agent_returns"] = self.team.agent_returns
        lists = {k: v.tolist() for k, v in arrays.items() if v is not None}
        return {**self.summary(), "per_episode": lists}


def score(mean: float, planner: float | None, random: float | None) -> float | None:
    """Where a mean return lies between random valid play (0) and the planner (1).

    Returns:
        None where there is no reference or the two do not differ.
    """
    if planner is None or random is None or planner == random:
        return None
    return (mean - random) / (planner - random)


def _without_nan(values: np.ndarray) -> np.ndarray:
    """Values with None for NaN, which JSON has no word for."""
    plain = values.astype(object)
    plain[np.isnan(values)] = None
    return plain
