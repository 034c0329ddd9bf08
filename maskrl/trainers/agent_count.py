"""What agents of a team did while they were evaluated: decisions, masks, deaths, own returns.

The unit of everything about masks is an agent's decision at a step, because a step of a team
is as many decisions as agents act, perhaps none. Deaths are counted where an agent was alive
and is no longer, so that one who comes back can die again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskrl.envs.acting_rows import ActingRows, alive_agents
from maskrl.envs.contract import final_observations
from maskrl.envs.teams import TeamDescription, agent_rewards
from maskrl.errors import NoAllowedActionError
from maskrl.masks.heads import choices_of, flat_mask, starts_of
from maskrl.masks.tree import FLAT_MASK, ActionTree
from maskrl.trainers.evaluation import TeamFigures


class AgentCount:
    """Adds up what the masks allowed the agents that acted; as `MaskCount` does of one agent.

    Args:
        team: Of the environment.
        env_id: What messages call it.
        idles: Whether a head that may choose nothing idles, instead of being an error.

    Attributes:
        steps: Steps of environments.
        agent_steps: Decisions of agents.
        illegal: Decisions against their mask.
        opened: Whether the masks of the last step allowed everything to everybody.
    """

    def __init__(self, team: TeamDescription, env_id: str, *, idles: bool) -> None:
        self.team = team
        self.env_id = env_id
        self.idles = idles
        self.steps = self.agent_steps = self.illegal = self.idle_steps = 0
        self.opened = True
        self._forced = 0
        self._allowed = 0.0

    @property
    def allowed_share(self) -> float:
        """Mean share of choices that were allowed, over agents' decisions."""
        return self._allowed / self.agent_steps if self.agent_steps else 1.0

    @property
    def forced_share(self) -> float:
        """Share of agents' decisions with exactly one possible action."""
        return self._forced / max(self.agent_steps, 1)

    def require_choice(
        self, obs: Mapping[str, np.ndarray], active: np.ndarray, length: np.ndarray
    ) -> None:
        """Refuse states in which an agent acts and may choose nothing.

        Args as in `MaskCount.require_choice`.

        Raises:
            NoAllowedActionError: There is such an agent, and heads do not idle.
        """
        heads = self.team.heads
        if self.idles or FLAT_MASK not in obs or isinstance(heads, ActionTree):
            return
        rows = ActingRows.read(obs, self.team)
        keep = flat_mask(rows.masks, heads, (len(rows),))
        empty = ~np.logical_or.reduceat(keep, starts_of(heads), axis=-1) if len(rows) else keep
        self._refuse(empty & active[rows.row][:, None], rows, length)

    def add(
        self,
        obs: Mapping[str, np.ndarray],
        actions: np.ndarray,
        active: np.ndarray,
        length: np.ndarray,
    ) -> np.ndarray:
        """Count one step.

        Args:
            obs: Batched observation that the actions were chosen from.
            actions: `[B, *action_space.shape]`.
            active: bool `[B]`, sub-environments that count.
            length: int64 `[B]`, steps taken in the episode before this one.

        Returns:
            Decisions against the masks in each sub-environment: int64 `[B]`.

        Raises:
            NoAllowedActionError: A head of a tree counted and could choose nothing, and heads
                do not idle.
        """
        rows = ActingRows.read(obs, self.team)
        count = active[rows.row]
        self.steps += int(active.sum())
        self.agent_steps += int(count.sum())
        self.idle_steps += int((active & (rows.counts() == 0)).sum())
        self.opened = all(bool(mask.all()) for mask in rows.masks.values())
        if not rows.masks or not len(rows):
            self._allowed += float(count.sum())
            return np.zeros(rows.batch, np.int64)
        seen = choices_of(rows.take(actions, self.team), rows.masks, self.team.heads)
        if not self.idles:
            self._refuse(seen.empty & count[:, None], rows, length)
        self._allowed += float(seen.allowed_share[count].sum())
        self._forced += int(seen.forced[count].sum())
        illegal = np.bincount(rows.row[seen.illegal], minlength=rows.batch)
        self.illegal += int(illegal[active].sum())
        return illegal

    def _refuse(self, stuck: np.ndarray, rows: ActingRows, length: np.ndarray) -> None:
        if not stuck.any():
            return
        agent, head = np.argwhere(stuck)[0].tolist()
        env, place = int(rows.row[agent]), int(rows.place[agent])
        who = f"agent {place}"
        if self.team.grid_shape is not None:
            who = f"the agent in cell {divmod(place, self.team.grid_shape[1])}"
        tree = self.team.action_tree
        name = repr(tree.names[head]) if tree is not None else str(head)
        of_head = f" for its head {name}" if self.team.n_heads > 1 else ""
        raise NoAllowedActionError(
            f"evaluate: environment {self.env_id!r} lets {who} act and allows it no action"
            f"{of_head} in sub-environment {env} at step {int(length[env])} of its episode: its "
            "row of action_mask is all False. Take it out of agent_mask there, or train with "
            "empty='idle' if that means that it decides nothing."
        )


class TeamFollower:
    """Follows who lives and what each agent gets, through the episodes of B sub-environments.

    Args:
        team: Of the environment.
        episodes: How many are played.
        own_rewards: Whether agents have rewards of their own.
    """

    def __init__(self, team: TeamDescription, episodes: int, *, own_rewards: bool) -> None:
        self.team = team
        self._own = own_rewards
        self._alive: np.ndarray | None = None
        self._deaths: np.ndarray | None = None
        self._died: np.ndarray | None = None
        self._got: np.ndarray | None = None
        self._alive_sum = 0
        self._steps = 0
        self.deaths = np.zeros(episodes, np.int64)
        self.last_deaths = np.zeros(episodes, np.int64)
        self.alive_at_end = np.zeros(episodes, np.int64)
        self.agent_returns = np.zeros((episodes, team.agents), np.float64)

    def begin(self, obs: Mapping[str, np.ndarray], rows: np.ndarray) -> None:
        """Take in the first observation of the episodes that begin in some rows.

        Args:
            obs: Batched.
            rows: bool `[B]`.
        """
        alive = alive_agents(obs, self.team) if self.team.has_alive else None
        if self._got is None:
            self._got = np.zeros((len(rows), self.team.agents))
            self._deaths = np.zeros(len(rows), np.int64)
        self._got[rows] = 0.0
        if alive is not None and self._deaths is not None:
            self._deaths[rows] = 0
            self._alive = alive if self._alive is None else self._alive
            self._alive[rows] = alive[rows]

    def step(
        self,
        obs: Mapping[str, np.ndarray],
        infos: Mapping[str, Any],
        over: np.ndarray,
        active: np.ndarray,
    ) -> None:
        """Take in what a step brought.

        Args:
            obs: The next observation, of the next episode where one is over.
            infos: Of the step.
            over: bool `[B]`, the episode ended in this step.
            active: bool `[B]`, sub-environments that count.
        """
        if self._own and self._got is not None:
            self._got += agent_rewards(infos, over, len(over), self.team.agents)
        if self._alive is None or self._deaths is None:
            return
        self._alive_sum += int(self._alive[active].sum())
        self._steps += int(active.sum())
        after = alive_agents(obs, self.team)
        if after is None:
            return
        ended = np.flatnonzero(over)
        if ended.size:
            last = alive_agents(final_observations(infos, ended), self.team)
            after[ended] = False if last is None else last
        self._died = (self._alive & ~after).sum(axis=1)
        self._deaths += self._died
        self._alive = after

    def end(self, rows: np.ndarray, numbers: np.ndarray) -> None:
        """Write down the episodes that ended.

        Args:
            rows: int `[n]`, sub-environments.
            numbers: int `[n]`, of the episodes.
        """
        if self._got is not None:
            self.agent_returns[numbers] = self._got[rows]
        if self._alive is not None and self._deaths is not None:
            self.deaths[numbers] = self._deaths[rows]
            self.last_deaths[numbers] = 0 if self._died is None else self._died[rows]
            self.alive_at_end[numbers] = self._alive[rows].sum(axis=1)

    def figures(self, count: AgentCount) -> TeamFigures:
        """What it came to."""
        told = self._alive is not None
        return TeamFigures(
            agents=self.team.agents,
            agent_steps=count.agent_steps,
            agents_acting=count.agent_steps / max(count.steps, 1),
            idle_share=count.idle_steps / max(count.steps, 1),
            agents_alive=self._alive_sum / max(self._steps, 1) if told else None,
            deaths=self.deaths if told else None,
            last_deaths=self.last_deaths if told else None,
            alive_at_end=self.alive_at_end if told else None,
            agent_returns=self.agent_returns if self._own else None,
        )
