"""Acting as a team: fills a team's rollout buffer, step by step.

Each step asks who acts, lets the policy choose for all of them at once, writes one packed
row for each, and steps the environments. An agent that may do nothing is caught where
environment, step and agent are known. What an episode's cut-off state was worth, and who
was alive in it, is looked up in its final observation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor, nn

from maskrl.buffers.teams import TeamBuffer
from maskrl.distributions import ConditionalCategorical, GridwiseCategorical
from maskrl.envs.contract import final_observations
from maskrl.envs.teams import agent_rewards
from maskrl.errors import ConfigError, NoAllowedActionError, NonFiniteLogitsError
from maskrl.masks.heads import Choices, choices_of, starts_of
from maskrl.masks.packed import PackedMask
from maskrl.masks.tree import FLAT_MASK, ActionTree
from maskrl.objectives.advantages import successor_values
from maskrl.policies.acting import Acting
from maskrl.policies.predict import obs_to_tensors
from maskrl.policies.team_protocol import require_team_answer, team_distribution_and_value
from maskrl.trainers.collector import ROWS_AT_ONCE, Collector

AGENTS_AT_ONCE = 1 << 16
"""Rows of agents whose masks are unpacked together when a rollout is counted."""


class TeamCollector(Collector[TeamBuffer]):
    """Steps a vector environment in which a team acts.

    Args:
        env, buffer, policy: The policy as `maskrl.policies.TeamPolicy`.
        idle_action: What the environment is given where nobody acts.
        settings: As of `Collector`.

    Attributes:
        agent_steps: Decisions of agents so far, over all rollouts.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        buffer: TeamBuffer,
        policy: nn.Module,
        *,
        idle_action: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(env, buffer, policy, **settings)
        self.team = buffer.team
        stored = {*buffer.features, *buffer.bits, "agent_mask"}
        for key in getattr(policy, "value_reads", None) or ():
            if key not in stored:
                raise ConfigError(
                    f"policy: {type(policy).__name__}.value_reads names {key!r}, which a rollout "
                    f"does not keep for values; expected some of {sorted(stored)}. Action masks "
                    "are kept for those who act alone: a value cannot go by them"
                )
        self.idle_action = idle_action
        self.agent_steps = 0
        self._idle: list[np.ndarray] = []
        self._seen: dict[str, float] = {}

    def collect(self) -> Tensor:
        """Fill the buffer with one rollout.

        Returns:
            `[T, B]`, or `[T, B, N]` of each agent: the value of the state that truly followed
            each step.

        Raises:
            NoAllowedActionError: An acting agent may do nothing and `empty` is "raise".
            ConfigError: What the policy answers cannot be trained with, or a reward is no
                finite number.
        """
        self.begin()
        buffer, rewards, batch = self.buffer, self._rewards, self.env.num_envs
        own = len(buffer.agent_rewards) > 0
        buffer.carry_over()
        self._idle = []
        reads: tuple[str, ...] | None = getattr(self.policy, "value_reads", None)
        obs = buffer.observation(0)
        done = self._counted = 0
        finals: list[dict[str, np.ndarray]] = []
        final_index: list[np.ndarray] = []
        with torch.inference_mode():
            try:
                for t in range(buffer.steps):
                    actions = self._act(t, obs, with_value=reads is None)
                    given, rewards[t], buffer.terminated[t], truncated, infos = self.env.step(
                        actions
                    )
                    obs = buffer.write_observation(t + 1, given)
                    buffer.truncated[t] = truncated
                    done = t + 1
                    if own:
                        ended = buffer.terminated[t] | buffer.truncated[t]
                        buffer.agent_rewards[t] = agent_rewards(
                            infos, ended, batch, self.team.agents
                        )
                    if np.count_nonzero(truncated):
                        cut = np.flatnonzero(buffer.truncated[t] & ~buffer.terminated[t])
                        if cut.size:
                            finals.append(final_observations(infos, cut))
                            final_index.append(t * batch + cut)
            finally:
                # Whatever ends a rollout early, what happened until then has happened.
                self._catch_up(done)
                if done < buffer.steps:
                    buffer.end_early(done)
            successors = self._successors(obs, finals, final_index, reads)
        buffer.idle = np.concatenate(self._idle)
        buffer.rewards[...] = rewards
        self._refuse_strange_rewards()
        self._count()
        return successors.clone()

    def mask_metrics(self) -> dict[str, float]:
        """Shares of this rollout's decisions of agents, and how many agents there were.

        Choices allowed, forced moves and idle rows as `maskrl.masks.heads.Choices` defines them;
        `agents_acting` and `agents_alive` are means over the steps, the latter NaN where agents
        have no identity and nobody tells who lives; `agent_steps` counts all decisions so far.
        """
        return {**self._seen, "agent_steps": float(self.agent_steps)}

    def set_counters(self, state: Mapping[str, Any]) -> None:
        """As of `Collector`, with the number of decisions."""
        super().set_counters(state)
        self.agent_steps = int(state["agent_steps"])

    def _counters(self) -> dict[str, Any]:
        return {**super()._counters(), "agent_steps": self.agent_steps}

    def _act(self, t: int, obs: dict[str, Tensor], *, with_value: bool) -> np.ndarray:
        """Choose for all who act at step `t`; the environments' actions `[B, ...]`."""
        seen = self._on_device(obs)
        acting = Acting.read(seen, self.team)
        masks = _masks_of(acting)
        idle = self._idle_agents(t, acting, masks)
        actions, log_probs = self._choose(t, seen, acting, with_value=with_value)
        on_cpu = [x.cpu().numpy() for x in (acting.offsets, acting.place, acting.slot)]
        offsets, places, slots = on_cpu
        chosen = actions.cpu().numpy()
        if isinstance(self.team.heads, ActionTree) and masks and len(acting):
            idle = self._idle_in_tree(t, acting, masks, chosen)
        self._idle.append(np.zeros(len(acting), np.bool_) if idle is None else idle)
        self.buffer.acted.write(
            offsets,
            places=places,
            slots=slots,
            actions=chosen,
            log_probs=log_probs.cpu().numpy(),
            masks=masks,
        )
        everywhere = acting.scatter(actions, self.team, self.idle_action).cpu().numpy()
        return np.asarray(everywhere.astype(self.env.single_action_space.dtype, copy=False))

    def _choose(
        self, t: int, seen: dict[str, Tensor], acting: Acting, *, with_value: bool
    ) -> tuple[Tensor, Tensor]:
        """Actions `[M]` or `[M, K]` and their log-probabilities; the values are written too."""
        team, policy = self.team, self.policy
        if not len(acting):  # a policy of one's own need not know what to do for nobody
            if with_value:
                self._write_values(t, policy.value(seen))  # type: ignore[operator]
            shape = (0, team.n_heads) if team.has_head_axis else (0,)
            nothing = torch.zeros(shape, dtype=torch.int64, device=self.device)
            return nothing, nothing.float()
        try:
            if with_value:
                distribution, value = team_distribution_and_value(policy, seen, acting)
            else:
                distribution = policy.distribution(seen, acting)  # type: ignore[operator]
                value = None
            if not self._answered:
                if value is None:
                    value = policy.value(seen)  # type: ignore[operator]
                require_team_answer(policy, distribution, value, acting)
                self._answered = True
            if value is not None and with_value:
                self._write_values(t, value)
            return self._sample(distribution)
        except NonFiniteLogitsError as error:
            raise NonFiniteLogitsError(self._diagnosis(t, error)) from error

    def _write_values(self, t: int, value: Tensor) -> None:
        torch.from_numpy(self.buffer.values[t]).copy_(value)

    def _sample(self, distribution: GridwiseCategorical) -> tuple[Tensor, Tensor]:
        """Actions and their log-probabilities per head; of a tree on one way through it."""
        agents = distribution.of_agents
        if isinstance(agents, ConditionalCategorical):
            return agents.sample_with_log_prob(generator=self.generator)
        actions = agents.sample(generator=self.generator)
        return actions, agents.log_prob(actions, reduce="none")

    def _idle_agents(
        self, t: int, acting: Acting, masks: Mapping[str, np.ndarray]
    ) -> np.ndarray | None:
        """Which agents have no choice in any head: bool `[M]`; None where none is so."""
        flat = masks.get(FLAT_MASK)
        if flat is None or isinstance(self.team.heads, ActionTree) or not len(flat):
            return None
        if self.team.n_heads == 1:
            some = np.asarray(flat.any(axis=-1, keepdims=True))
        else:
            starts = starts_of(self.team.heads)
            some = np.asarray(np.logical_or.reduceat(flat, starts, axis=-1))
        if some.all():
            return None
        if self.empty == "raise":
            agent, head = np.argwhere(~some)[0].tolist()
            heads = "" if self.team.n_heads == 1 else f" in head {head}"
            self._refuse(t, acting, agent, heads, "action_mask is all False")
        return np.asarray(~some.any(axis=-1))

    def _idle_in_tree(
        self, t: int, acting: Acting, masks: Mapping[str, np.ndarray], chosen: np.ndarray
    ) -> np.ndarray:
        """Find agents with heads that count after their choices and may choose nothing."""
        tree = self.team.heads
        assert isinstance(tree, ActionTree)
        seen = choices_of(chosen, masks, tree)
        stuck = np.argwhere(seen.empty)
        if stuck.size and self.empty == "raise":
            agent, head = stuck[0].tolist()
            before = [f"{tree.names[p]} = {chosen[agent, p]}" for p in tree.parents[head]]
            after = f" after {', '.join(before)}" if before else ""
            what = f"what action_mask leaves of it{after} is all False"
            self._refuse(t, acting, agent, f" in head {tree.names[head]!r}", what)
        return np.asarray(seen.idle)

    def _refuse(self, t: int, acting: Acting, agent: int, head: str, what: str) -> NoReturn:
        env = int(acting.row[agent])
        who = name_agent(self.team, int(acting.place[agent]), int(acting.slot[agent]))
        raise NoAllowedActionError(
            f"{self.name}: environment {env} of {self.env.num_envs} allows {who} no choice{head} "
            f"{self._where_empty(t, env)}: {what}, and agent_mask says that it acts. If the mask "
            "marks what is forbidden, it must be inverted: True = allowed. If there is nothing to "
            "decide, agent_mask should be False (the agent waits, or is dead). If no decision is "
            "taken there, set empty='idle' (on the command line: --ppo.empty idle)."
        )

    def _suspects(self, t: int) -> dict[str, np.ndarray]:
        """Features but scenes, and of agents' own observations those of agents that act."""
        features = super()._suspects(t)
        if self.team.source == "own":
            agents = self.buffer.masks["agent_mask"]
            return {
                key: np.where(agents.reshape(*agents.shape, *[1] * (x.ndim - 2)), x, 0)
                for key, x in features.items()
            }
        return {key: x for key, x in features.items() if key != "entities"}

    def _refuse_strange_rewards(self) -> None:
        super()._refuse_strange_rewards()
        own = self.buffer.agent_rewards
        if not np.isfinite(own).all():  # finite when given, and too large to be kept
            t, env, agent = np.argwhere(~np.isfinite(own))[0].tolist()
            raise ConfigError(
                f"environment {env} of {self.env.num_envs} gave agent {agent} a reward at step {t} "
                f"of this rollout that is {own[t, env, agent]} as float32; scale rewards down"
            )

    def _count(self) -> None:
        """What masks said about the rollout's choices, and how many agents there were."""
        buffer, team = self.buffer, self.team
        acted = buffer.acted
        rows, steps = len(acted), buffer.steps * buffer.num_envs
        allowed, forced, illegal = 0.0, 0, 0
        for start in range(0, rows, AGENTS_AT_ONCE):
            part = slice(start, min(start + AGENTS_AT_ONCE, rows))
            seen = self._choices(part)
            allowed += float(seen.allowed_share.sum())
            forced += int(seen.forced.sum())
            illegal += int(seen.illegal.sum())
        self.illegal_actions += illegal
        self.agent_steps += rows
        alive = float(buffer.alive().sum()) / steps if team.has_identity else float("nan")
        self._seen = {
            "allowed_share": allowed / max(rows, 1),
            "forced_share": forced / max(rows, 1),
            "idle_share": float(buffer.idle.mean()) if rows else 0.0,
            "agents_acting": rows / steps,
            "agents_alive": alive,
        }

    def _choices(self, rows: slice) -> Choices:
        acted = self.buffer.acted
        return choices_of(acted.actions[rows], acted.masks_at(rows), self.team.heads)

    def _successors(
        self,
        last: dict[str, Tensor],
        finals: list[dict[str, np.ndarray]],
        final_index: list[np.ndarray],
        reads: tuple[str, ...] | None,
    ) -> Tensor:
        """Values of what followed; before that, who was alive there is noted."""
        buffer = self.buffer
        ask: Any = self.policy.value
        index = np.concatenate(final_index) if finals else np.zeros(0, np.int64)
        joined = (
            {key: np.concatenate([obs[key] for obs in finals]) for key in last} if finals else {}
        )
        no_agents = np.zeros((0, self.team.agents), np.bool_)
        known = bool(joined) and self.team.has_identity
        buffer.note_next_alive(index, buffer.alive_in(joined) if known else no_agents)
        if reads is not None:
            flat = torch.from_numpy(buffer.values).flatten(0, 1)
            for start in range(0, len(flat), ROWS_AT_ONCE):
                stop = min(start + ROWS_AT_ONCE, len(flat))
                rows = self._on_device(buffer.observations_between(start, stop, reads))
                flat[start:stop] = ask(rows).to(flat)
        values = [
            ask(
                obs_to_tensors(
                    {k: x[start : start + ROWS_AT_ONCE] for k, x in joined.items()}, self.device
                )
            )
            for start in range(0, len(index), ROWS_AT_ONCE)
        ]
        return successor_values(
            torch.from_numpy(buffer.values),
            ask(self._on_device(last)).cpu(),
            final_index=torch.from_numpy(index) if finals else None,
            final_values=torch.cat(values).cpu() if finals else None,
        )


def name_agent(team: Any, place: int, slot: int) -> str:
    """For messages: an agent by its number, and on a grid by its cell."""
    if team.form == "slots":
        return f"agent {slot}"
    row, column = divmod(place, team.places[-1])
    cell = f"cell ({row}, {column})"
    return f"the agent in {cell}" if slot < 0 else f"agent {slot} in {cell}"


def _masks_of(acting: Acting) -> dict[str, np.ndarray]:
    """Action masks of those who act under the names of an observation, bool `[M, ...]`."""
    named = {f"{FLAT_MASK}:{head}": mask for head, mask in acting.head_masks.items()}
    if acting.action_mask is not None:
        named[FLAT_MASK] = acting.action_mask
    return {
        key: mask.numpy() if isinstance(mask, PackedMask) else mask.cpu().numpy()
        for key, mask in named.items()
    }
