"""A trained taxi driver, examined: its greedy policy from each of the 300 start states.

    maskrl train gymnasium:Taxi-v4 --out runs/taxi
    python examples/taxi_all_starts.py runs/taxi

Prints the mean return beside the optimum (value iteration), how many starts stay
unsolved within 200 steps, and the actions executed against the mask.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskrl.envs import make
from maskrl.envs.adapters.gymnasium_info import MaskFromInfo
from maskrl.envs.all_starts import optimal_taxi_values as optimal_values
from maskrl.envs.all_starts import taxi_start_states as start_states

Choose = Callable[[dict[str, Any]], int]


@dataclass(frozen=True)
class AllStarts:
    """What came out: per start its return and whether the passenger arrived, both [300]."""

    returns: np.ndarray
    solved: np.ndarray
    illegal_actions: int

    def lines(self, optimum: np.ndarray) -> list[str]:
        """A summary for people."""
        short = int((self.returns < optimum - 1e-9).sum())
        return [
            f"starts            {self.returns.size}",
            f"mean return       {self.returns.mean():.3f}   (optimum {optimum.mean():.3f})",
            f"below optimum     {short} starts, worst {self.returns.min():.0f}",
            f"unsolved          {int((~self.solved).sum())}",
            f"illegal actions   {self.illegal_actions}",
        ]


def taxi() -> MaskFromInfo:
    """The environment, with its time limit of 200 steps and its mask in the observation."""
    env = make("gymnasium:Taxi-v4")
    assert isinstance(env, MaskFromInfo)
    return env


def evaluate_all_starts(choose: Choose, env: MaskFromInfo) -> AllStarts:
    """Play one episode from every start.

    Args:
        choose: The action for a Dict observation.
        env: From `taxi`.
    """
    inner: Any = env.unwrapped
    before = env.illegal_actions
    returns, solved = [], []
    for state in start_states(env):
        env.reset(seed=0)
        inner.s = int(state)  # observation and mask are read anew for this state
        observation = env.observe(inner.s, {"action_mask": inner.action_mask(inner.s)})
        total, terminated, truncated = 0.0, False, False
        while not (terminated or truncated):
            observation, reward, terminated, truncated, _ = env.step(choose(observation))
            total += reward
        returns.append(total)
        solved.append(terminated)
    return AllStarts(np.array(returns), np.array(solved), env.illegal_actions - before)


def main() -> None:
    """Load a run folder, examine its policy, print the summary."""
    parser = argparse.ArgumentParser(description="Greedy policy of a run from all Taxi starts.")
    parser.add_argument("run", help="run folder, as `maskrl train gymnasium:Taxi-v4` made it")
    parser.add_argument("--which", choices=("best", "last"), default="best")
    arguments = parser.parse_args()

    from maskrl.policies import load_policy

    policy = load_policy(arguments.run, which=arguments.which)
    env = taxi()
    result = evaluate_all_starts(lambda seen: int(policy.predict(seen)[0]), env)
    optimum = optimal_values(env)[0][start_states(env)]
    print("\n".join(result.lines(optimum)))


if __name__ == "__main__":
    main()
