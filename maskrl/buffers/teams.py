"""One rollout of a team: observations once per environment step, choices once per agent.

A step of a team is one observation and as many choices as there are agents that act.
Who acted, what each did and what each was allowed is packed by agents (`AgentRows`); the
masks of that form, and the agent mask itself, are given back from there. Values and
rewards are the team's, or every agent's own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from maskrl.buffers.agent_rows import AgentRows
from maskrl.buffers.steps import StepBuffer
from maskrl.envs.acting_rows import alive_agents
from maskrl.envs.entries import is_mask_key
from maskrl.envs.teams import TeamDescription
from maskrl.masks.tree import FLAT_MASK

AGENTS = "agent_mask"


@dataclass(slots=True)
class TeamMinibatch:
    """Environment steps of a rollout with all their acting agents, as tensors.

    Attributes:
        index: `[R]` int64, flat positions `t * num_envs + env`.
        observations: Per key `[R, ...]`: features and masks, without the action masks.
        row: `[M]` int64, which of the R steps an agent acts in, ascending.
        slot: `[M]` int64, which agent it is; -1 without identity.
        place: `[M]` int64, slot or cell.
        offsets: `[R + 1]` int64.
        masks: Action masks and tables by name, bool `[M, ...]`.
        actions: `[M]` int64, or `[M, K]` where actions have an axis of heads.
        log_probs: `[M, K]`, per head, under the policy that acted.
        keep: `[M]` bool, False where no head of an agent decided; None where that never happened.
        advantages: `[M]`, or `[R]` if they are joint ones.
        values: `[R]`, or `[M]` if every agent has its own; predicted then.
        returns: As `values`.
    """

    index: Tensor
    observations: dict[str, Tensor]
    row: Tensor
    slot: Tensor
    place: Tensor
    offsets: Tensor
    masks: dict[str, Tensor]
    actions: Tensor
    log_probs: Tensor
    keep: Tensor | None
    advantages: Tensor
    values: Tensor
    returns: Tensor


class TeamBuffer(StepBuffer):
    """Room for `steps` steps of `num_envs` environments, in each of which a team acts.

    Args:
        observation_space: Of one environment, as of a team.
        num_envs: Parallel environments, B.
        steps: Steps per environment, T.
        team: Of the environment, with N agents.
        critic: Whose values there are: "team" or "agent".
        own_rewards: Whether every agent has rewards of its own.
        joint: Whether advantages are those of what all agents do together.

    Attributes:
        acted: The packed rows of those who acted, M in all.
        idle: `[M]` bool after the rollout: no head of the agent had a choice.
        values: `[T, B]` float32, or `[T, B, N]`.
        agent_rewards: `[T, B, N]` float32; no rows without rewards of their own.
        next_alive: `[T, B, N]` bool, in the state that truly followed; after the rollout.
        advantages: `[M]` float32, or `[T * B]` if they are joint ones.
        returns: `[T * B]` float32, or `[M]` if every agent has a value of its own.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        num_envs: int,
        steps: int,
        team: TeamDescription,
        *,
        critic: Literal["team", "agent"] = "team",
        own_rewards: bool = False,
        joint: bool = False,
    ) -> None:
        elsewhere = [key for key in observation_space.spaces if _belongs_to_agents(key)]
        super().__init__(observation_space, num_envs, steps, kept_elsewhere=elsewhere)
        self.team = team
        self.critic = critic
        self.joint = joint
        self.acted = AgentRows(team, steps * num_envs)
        each = (steps, num_envs, team.agents)
        self.values = np.zeros(each if critic == "agent" else each[:2], np.float32)
        self.agent_rewards = np.zeros((steps if own_rewards else 0, *each[1:]), np.float32)
        self.next_alive = np.zeros(each if team.has_identity else (0, *each[1:]), np.bool_)
        self.idle = np.zeros(0, np.bool_)
        self.advantages = np.zeros(0, np.float32)
        self.returns = np.zeros(0, np.float32)

    def carry_over(self) -> None:
        """Begin the next rollout with the observation that ended this one, and no rows."""
        super().carry_over()
        self.acted.begin()

    def end_early(self, t: int) -> None:
        """Let the rollout have ended with the observation written last, that before step `t`."""
        super().end_early(t)
        self.acted.end_at(t * self.num_envs)

    # Who was there.

    def acting(self) -> np.ndarray:
        """Who acted: bool `[T, B, N]`, of agents with an identity."""
        slots = self.acted.slots
        assert slots is not None
        out = np.zeros((self.steps * self.num_envs, self.team.agents), np.bool_)
        out[self.acted.entries, slots] = True
        return out.reshape(self.steps, self.num_envs, -1)

    def alive(self) -> np.ndarray:
        """Who existed at each step: bool `[T, B, N]`; without `alive` those who acted."""
        if self.team.has_alive:
            return self.unpacked("alive", self.bits["alive"])
        return self.acting()

    def alive_in(self, obs: Mapping[str, Any]) -> np.ndarray:
        """Who exists in a batch of observations, as the policy sees it: bool `[m, N]`."""
        alive = alive_agents(obs, self.team)
        assert alive is not None
        return alive

    def note_next_alive(self, index: np.ndarray, alive: np.ndarray) -> None:
        """Fill in who existed after each step, once the rollout is over.

        Args:
            index: int64 `[m]`, flat positions of the steps that an episode was cut off at.
            alive: bool `[m, N]`, who existed in the states these ended in.
        """
        if not self.team.has_identity:
            return
        self.next_alive[:-1] = self.alive()[1:]
        last = {**self.masks, **{k: x[self.steps] for k, x in self.features.items()}}
        self.next_alive[-1] = self.alive_in(last)
        self.next_alive.reshape(-1, self.team.agents)[index] = alive

    # Reading.

    def observations_between(
        self, start: int, stop: int, keys: Collection[str]
    ) -> dict[str, Tensor]:
        """As of `StepBuffer`; the agent mask comes from the packed rows."""
        out = super().observations_between(start, stop, [key for key in keys if key != AGENTS])
        if AGENTS in keys:
            out[AGENTS] = self._agent_mask(np.arange(start, stop))
        return out

    def observations_at(
        self, index: np.ndarray, device: torch.device, *, leave_out: Collection[str] = ()
    ) -> dict[str, Tensor]:
        """As of `StepBuffer`, with the agent mask and without action masks."""
        out = super().observations_at(index, device, leave_out=leave_out)
        if AGENTS not in leave_out:
            out[AGENTS] = self._agent_mask(index).to(device)
        return out

    def _agent_mask(self, index: np.ndarray) -> Tensor:
        rows, offsets = self.acted.rows_of(index)
        out = np.zeros((len(index), self.team.n_places), np.bool_)
        out[np.repeat(np.arange(len(index)), np.diff(offsets)), self.acted.places[rows]] = True
        return torch.from_numpy(out.reshape(len(index), *self.team.places))

    def minibatch(self, index: np.ndarray, device: torch.device) -> TeamMinibatch:
        """The environment steps at the flat positions `index` `[R]`, on `device`."""
        acted, entries = self.acted, self.steps * self.num_envs
        rows, offsets = acted.rows_of(index)
        row = np.repeat(np.arange(len(index)), np.diff(offsets))
        actions = acted.actions[rows].astype(np.int64)
        if not self.team.has_head_axis:
            actions = actions[:, 0]
        place = acted.places[rows].astype(np.int64)
        slots = acted.slots
        slot = np.full_like(place, -1) if slots is None else slots[rows].astype(np.int64)
        if self.critic == "team":
            values, returns = self.values.reshape(-1)[index], self.returns[index]
        else:
            flat = self.values.reshape(entries, -1)
            values, returns = flat[index[row], slot], self.returns[rows]
        keep = ~self.idle[rows] if self.idle.any() else None

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(device)

        return TeamMinibatch(
            index=torch.from_numpy(index),
            observations=self.observations_at(index, device),
            row=tensor(row),
            slot=tensor(slot),
            place=tensor(place),
            offsets=tensor(offsets),
            masks={key: tensor(mask) for key, mask in acted.masks_at(rows).items()},
            actions=tensor(actions),
            log_probs=tensor(acted.log_probs[rows]),
            keep=None if keep is None else tensor(keep),
            advantages=tensor(self.advantages[index if self.joint else rows]),
            values=tensor(values),
            returns=tensor(returns),
        )


def _belongs_to_agents(key: str) -> bool:
    """Whether the packed rows hold this entry of the observation."""
    return is_mask_key(key) and (key == AGENTS or key.partition(":")[0] == FLAT_MASK)
