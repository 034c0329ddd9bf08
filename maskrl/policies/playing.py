"""A policy that plays episodes side by side, and what it remembers of each of them.

Evaluation, recorded episodes and whatever else lets a policy act step by step ask it through
a `Player`: it carries the memory of a recurrent policy from step to step, row by row, and
clears it where an episode begins. A policy without memory is asked as it always was. A
team's policy decides for the agents that act; its actions come as the environment takes them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.envs.teams import TeamDescription
from maskrl.errors import ConfigError
from maskrl.policies.acting import Acting
from maskrl.policies.action_heads import ActionDistribution
from maskrl.policies.protocol import has_memory, require_state
from maskrl.policies.team_protocol import require_team_policy


def memory_size(policy: nn.Module) -> int:
    """How many numbers a policy remembers from step to step; 0 of one without memory.

    Raises:
        ConfigError: `state_size` is no whole number from 0 on, or what it takes to play with a
            memory is missing.
    """
    if not has_memory(policy):
        return 0
    name, size = type(policy).__name__, policy.state_size
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ConfigError(
            f"policy: {name}.state_size is {size!r}; expected how many numbers it remembers from "
            "step to step, 0 for none"
        )
    for method in ("initial_state", "act"):
        if not callable(getattr(policy, method, None)):
            raise ConfigError(
                f"policy: {name} remembers {size} numbers (state_size) and has no method {method}. "
                "To be played, a policy with memory offers initial_state(batch) -> [B, S] and "
                "act(obs, state, episode_start) -> (distribution, value [B], next state [B, S]); "
                "see maskrl.policies.RecurrentPolicy"
            )
    return size


@contextlib.contextmanager
def in_evaluation_mode(policy: nn.Module) -> Iterator[None]:
    """Put a policy into evaluation mode inside the block, and every part back as it was.

    A part that its author keeps in another mode than the whole, as a frozen batch norm in
    evaluation mode, is in that mode again afterwards.
    """
    modes = [(part, part.training) for part in policy.modules()]
    policy.eval()
    try:
        yield
    finally:
        policy.train(modes[0][1])
        for part, training in modes:
            part.training = training


class Player:
    """A policy in the middle of B episodes, each remembered by itself.

    Args:
        policy: As `maskrl.policies.Policy`, `maskrl.policies.RecurrentPolicy` or
            `maskrl.policies.TeamPolicy`.
        rows: B, how many episodes go on side by side.

    Attributes:
        team: Of the policy, which decides for many agents; None of one that decides for one.
        remembers: Whether the policy has a memory.
        state: What it remembers: `[B, S]`, as after the last step; None without memory.

    Raises:
        ConfigError: It says that it has a memory, and does not offer what that takes.
    """

    def __init__(self, policy: nn.Module, rows: int) -> None:
        self._policy: Any = policy
        self._rows = rows
        self._device = next((p.device for p in policy.parameters()), torch.device("cpu"))
        self.remembers = memory_size(policy) > 0
        found = getattr(policy, "team", None)
        self.team: TeamDescription | None = found if isinstance(found, TeamDescription) else None
        self.state: Tensor | None = None
        self._starts = torch.ones(rows, dtype=torch.bool, device=self._device)
        if self.remembers:
            self.state = policy.initial_state(rows)  # type: ignore[operator]
            require_state(policy, self.state, rows)

    def begin(self, rows: np.ndarray) -> None:
        """Say where the next observation is the first of an episode.

        Args:
            rows: bool `[B]`; the others go on.
        """
        if self.remembers:
            begun = torch.from_numpy(np.asarray(rows, np.bool_)).to(self._device)
            self._starts = self._starts | begun

    def require_team(self, team: TeamDescription | None) -> None:
        """Refuse to play an environment that the policy does not decide for.

        Args:
            team: Of the environment; None where one agent acts.

        Raises:
            ConfigError: The policy is for a team and the environment for one agent, or for
                another team. A policy that says nothing of a team may play one: its actions
                are looked at when they come.
        """
        name = type(self._policy).__name__
        if self.team is not None and team is None:
            raise ConfigError(
                f"policy: {name} decides for a team of {self.team.agents} agents, and the "
                "environment has no agent_mask: one agent acts there"
            )
        if self.team is not None and team is not None:
            require_team_policy(self._policy, team)

    def choose(
        self,
        obs: dict[str, Tensor],
        *,
        deterministic: bool,
        generator: torch.Generator | None = None,
    ) -> np.ndarray:
        """What is done next in all episodes, which are then a step on.

        Args:
            obs: What is seen now, `[B, ...]` each.
            deterministic: The most probable actions; otherwise a sample.
            generator: Of the samples.

        Returns:
            int64 `[B, *event]`; of a team as its environment takes it.
        """
        acting = None if self.team is None else Acting.read(obs, self.team)
        if acting is not None and self.team is not None:
            distribution = self._policy.distribution(obs, acting)
        else:
            distribution = self.distribution(obs)
        actions = distribution.mode if deterministic else distribution.sample(generator=generator)
        if acting is not None and self.team is not None:
            idle_action = getattr(self._policy, "idle_action", 0)
            actions = acting.scatter(actions, self.team, idle_action)
        chosen: np.ndarray = actions.cpu().numpy()
        return chosen

    def distribution(self, obs: dict[str, Tensor]) -> ActionDistribution:
        """The distribution over the next actions of all episodes, which are then a step on.

        Args:
            obs: What is seen now, `[B, ...]` each.
        """
        if not self.remembers:
            distribution: ActionDistribution = self._policy.distribution(obs)
            return distribution
        return self._act(obs)[0]

    def look(self, obs: dict[str, Tensor]) -> None:
        """Let the policy see what it is asked about next, for those who listen; nobody goes on.

        Args:
            obs: What is seen now, `[B, ...]` each.
        """
        if self.state is None:
            self._policy.distribution(obs)
        else:
            self._policy.act(obs, self.state.clone(), self._starts.clone())

    def distribution_and_value(
        self, obs: dict[str, Tensor]
    ) -> tuple[ActionDistribution, Callable[[], Tensor]]:
        """As `distribution`, and what gives the values `[B]`, which are computed if asked for."""
        if not self.remembers:
            return self._policy.distribution(obs), lambda: self._policy.value(obs)
        distribution, value = self._act(obs)
        return distribution, lambda: value

    def _act(self, obs: dict[str, Tensor]) -> tuple[ActionDistribution, Tensor]:
        answer = self._policy.act(obs, self.state, self._starts)
        if not isinstance(answer, tuple) or len(answer) != 3:
            raise ConfigError(
                f"policy: {type(self._policy).__name__}.act gave {type(answer).__name__}; expected "
                "(distribution, value [B], next state [B, S])"
            )
        distribution, value, self.state = answer
        require_state(self._policy, self.state, self._rows)
        self._starts = torch.zeros_like(self._starts)
        return distribution, value
