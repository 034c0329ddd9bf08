"""Every state in which an episode can begin, played once: an examination without luck.

Where an environment has few starts, a sample of test episodes says less than all of
them. An entry of the registry names a function that plays them; Taxi's is here, with the
optimum of each start by value iteration over the allowed actions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Choose = Callable[[dict[str, np.ndarray]], np.ndarray]
"""Actions for observations `[B, ...]`."""

TAXI = "gymnasium:Taxi-v4"
_AT_ONCE = 50
_MOST_SEEDS = 100_000


@dataclass(frozen=True)
class AllStarts:
    """What came of one episode from every start.

    Attributes:
        returns: float64 `[S]`.
        solved: bool `[S]`: the episode ended by its rules, not by the time limit.
        optimum: float64 `[S]`, the best return there is.
        illegal_actions: Executed against the mask.
    """

    returns: np.ndarray
    solved: np.ndarray
    optimum: np.ndarray
    illegal_actions: int

    def summary(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        return {
            "starts": int(self.returns.size),
            "mean": float(self.returns.mean()),
            "optimum": float(self.optimum.mean()),
            "below_optimum": int((self.returns < self.optimum - 1e-9).sum()),
            "unsolved": int((~self.solved).sum()),
            "worst": float(self.returns.min()),
            "illegal_actions": self.illegal_actions,
        }

    def line(self) -> str:
        """The figures in a sentence."""
        s = self.summary()
        below = f"{s['below_optimum']} below it" if s["below_optimum"] else "none below it"
        return (
            f"from each of its {s['starts']} start states: mean return {s['mean']:.3f} (optimum "
            f"{s['optimum']:.3f}, {below}), {s['unsolved'] or 'none'} unsolved, worst "
            f"{s['worst']:.0f}, {s['illegal_actions']} illegal actions"
        )


def play_taxi_starts(choose: Choose, env_kwargs: Mapping[str, Any]) -> AllStarts:
    """Play Taxi from each of its 300 start states.

    Args:
        choose: The agent.
        env_kwargs: Of the environment.
    """
    from maskrl.envs.registry import make

    envs = [make(TAXI, **env_kwargs) for _ in range(_AT_ONCE)]
    values = optimal_taxi_values(envs[0])[0]
    seeds = _seeds_of_starts(envs[0])
    starts = np.array(sorted(seeds))
    returns, solved = np.zeros(starts.size), np.zeros(starts.size, np.bool_)
    for first in range(0, starts.size, _AT_ONCE):
        places = range(first, min(first + _AT_ONCE, starts.size))
        playing = dict(zip(places, envs, strict=False))
        seen = {k: env.reset(seed=seeds[int(starts[k])])[0] for k, env in playing.items()}
        while playing:
            batch = {
                key: np.stack([seen[k][key] for k in playing]) for key in seen[next(iter(playing))]
            }
            actions = np.asarray(choose(batch))
            for k, action in zip(list(playing), actions.tolist(), strict=True):
                seen[k], reward, terminated, truncated, _ = playing[k].step(action)
                returns[k] += float(reward)
                if terminated or truncated:
                    solved[k] = terminated
                    del playing[k]
    counts = [int(env.get_wrapper_attr("illegal_actions")) for env in envs]
    for env in envs:
        env.close()
    return AllStarts(returns, solved, values[starts], sum(counts))


def optimal_taxi_values(env: Any) -> tuple[np.ndarray, np.ndarray]:
    """Undiscounted optimum by value iteration over the allowed actions.

    Args:
        env: Taxi, wrapped or not.

    Returns:
        The value of each state [500], and of each action in it [500, 6], -inf if disallowed.
    """
    inner: Any = env.unwrapped
    n_states, n_actions = inner.observation_space.n, inner.action_space.n
    table = [[inner.P[s][a][0] for a in range(n_actions)] for s in range(n_states)]
    following = np.array([[entry[1] for entry in row] for row in table])
    reward = np.array([[float(entry[2]) for entry in row] for row in table])
    goes_on = np.array([[not entry[3] for entry in row] for row in table])
    allowed = np.array([inner.action_mask(s) for s in range(n_states)], dtype=bool)
    values = np.zeros(n_states)
    while True:
        actions = np.where(allowed, reward + goes_on * values[following], -np.inf)
        better = actions.max(axis=1)
        if np.array_equal(better, values):
            return values, actions
        values = better


def taxi_start_states(env: Any) -> np.ndarray:
    """The states in which an episode can begin: passenger waiting elsewhere than it wants to."""
    return np.flatnonzero(env.unwrapped.initial_state_distrib)


def _seeds_of_starts(env: Any) -> dict[int, int]:
    """For every start state the first seed of a reset that leads there."""
    wanted = set(taxi_start_states(env).tolist())
    found: dict[int, int] = {}
    for seed in range(_MOST_SEEDS):
        env.reset(seed=seed)
        found.setdefault(int(env.unwrapped.s), seed)
        if len(found) == len(wanted):
            break
    return found
