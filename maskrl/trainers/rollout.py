"""Acting: fills a rollout buffer, step by step, and keeps count of the episodes.

Each step holds only what the next one needs: a forward pass of the policy, a draw, a step
of all environments, and writing what they give into its place. A head that may choose
nothing is caught here, where environment and step are known: before the policy acts, or
for the heads of a tree, which may not count at all, right after. Values, counts and
checks of the whole follow the last step, under the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor, nn

from maskrl.buffers.rollout import RolloutBuffer
from maskrl.distributions import ConditionalCategorical
from maskrl.envs.contract import CANDIDATES, final_observations
from maskrl.errors import NoAllowedActionError, NonFiniteLogitsError
from maskrl.masks.heads import Choices, choices_of
from maskrl.masks.tree import ActionTree
from maskrl.objectives.advantages import successor_values
from maskrl.policies.action_heads import ActionDistribution
from maskrl.policies.predict import env_actions, obs_to_tensors
from maskrl.policies.protocol import distribution_and_value, has_memory, require_answer
from maskrl.trainers.collector import ROWS_AT_ONCE, Collector
from maskrl.trainers.rollout_memory import RolloutMemory


class RolloutCollector(Collector[RolloutBuffer]):
    """Steps a vector environment in which one agent acts.

    Args:
        env, buffer, policy: The policy as `maskrl.policies.Policy` or
            `maskrl.policies.RecurrentPolicy`.
        settings: As of `Collector`.

    Attributes:
        memory: What a policy with memory remembers; None of others.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        buffer: RolloutBuffer,
        policy: nn.Module,
        **settings: Any,
    ) -> None:
        super().__init__(env, buffer, policy, **settings)
        self._choices: Choices | None = None
        self.memory = RolloutMemory(policy, buffer, self.device) if has_memory(policy) else None
        self._look_at_memory()

    def _look_at_memory(self) -> None:
        buffer = self.buffer
        # Row by row, because making a view takes as long as writing a small one.
        self._action_rows = [torch.from_numpy(actions) for actions in buffer.actions]
        self._values, self._value_rows = self._rows(buffer.values)
        self._log_probs, self._log_prob_rows = self._rows(
            buffer.log_probs.reshape(buffer.actions.shape)
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Be a copy, which writes into the copy of the buffer."""
        vars(self).update(state)
        self._look_at_memory()

    def _rows(self, array: np.ndarray) -> tuple[Tensor, list[Tensor]]:
        """The array `[T, ...]` as a tensor on the policy's device, and its rows."""
        there = torch.from_numpy(array)
        if not self._on_cpu:
            there = torch.empty_like(there, device=self.device)
        return there, [there[t] for t in range(len(there))]

    def collect(self) -> Tensor:
        """Fill the buffer with one rollout.

        Returns:
            `[T, B]`: the value of the state that truly followed each step.

        Raises:
            NoAllowedActionError: A row allows nothing and `empty` is "raise".
            ConfigError: What the policy answers cannot be trained with, or a reward is no
                finite number.
        """
        self.begin()
        buffer, rewards, step = self.buffer, self._rewards, self.env.step
        buffer.carry_over()
        memory = self.memory
        value_reads: tuple[str, ...] | None = None
        if memory is None:  # with one a value depends on more than what it reads
            value_reads = getattr(self.policy, "value_reads", None)
        is_tree = isinstance(buffer.heads, ActionTree) and len(buffer.action_masks) > 0
        action_space = self.env.single_action_space
        obs = buffer.observation(0)
        done = self._counted = 0
        finals: list[dict[str, np.ndarray]] = []
        final_index: list[np.ndarray] = []
        final_states: list[Tensor] = []
        with torch.inference_mode():
            try:
                for t in range(buffer.steps):
                    self._mark_idle(t)
                    distribution = self._decide(t, obs, with_value=value_reads is None)
                    try:
                        action, log_prob = self._sample(distribution)
                    except NonFiniteLogitsError as error:
                        raise NonFiniteLogitsError(self._diagnosis(t, error)) from error
                    self._action_rows[t].copy_(action)
                    if is_tree:
                        self._look_at_tree(t)
                    row = self._log_prob_rows[t]
                    row.copy_(
                        log_prob if log_prob.shape == row.shape else log_prob.reshape(row.shape)
                    )
                    # A copy, because some environments write into the actions they are given.
                    given, rewards[t], buffer.terminated[t], truncated, infos = step(
                        env_actions(buffer.actions[t], action_space)
                    )
                    obs = buffer.write_observation(t + 1, given)
                    buffer.truncated[t] = truncated
                    self._note_charges(t, infos)
                    if memory is not None:
                        memory.go_on(t)
                    done = t + 1
                    if np.count_nonzero(truncated):
                        cut = np.flatnonzero(buffer.truncated[t] & ~buffer.terminated[t])
                        if cut.size:
                            finals.append(final_observations(infos, cut))
                            final_index.append(t * buffer.num_envs + cut)
                            if memory is not None:
                                final_states.append(memory.state[cut])
            finally:
                # Whatever ends a rollout early, what happened until then has happened.
                self._catch_up(done)
                if done < buffer.steps:
                    buffer.end_early(done)
            successors = self._successors(obs, finals, final_index, final_states, value_reads)
        buffer.rewards[...] = rewards
        self._refuse_strange_rewards()
        if buffer.heads is None:
            illegal = buffer.illegal()
        else:
            self._choices = buffer.choices()
            illegal = None if self._choices is None else self._choices.illegal
        if illegal is not None:
            self.illegal_actions += int(illegal.sum())
        return successors.clone()

    def mask_metrics(self) -> dict[str, float]:
        """Shares of this rollout: choices allowed, forced moves, idle rows.

        Of actions with several heads as `maskrl.masks.heads.Choices` defines them.
        """
        if (seen := self._choices) is not None:
            return {
                "allowed_share": float(seen.allowed_share.mean()),
                "forced_share": float(seen.forced.mean()),
                "idle_share": float(seen.idle.mean()),
            }
        counts = None if self.buffer.heads is not None else self.buffer.allowed_counts()
        if counts is None:
            return {"allowed_share": 1.0, "forced_share": 0.0, "idle_share": 0.0}
        n_actions = self.buffer.mask_shapes["action_mask"][-1]
        return {
            "allowed_share": float(counts.mean() / n_actions),
            "forced_share": float((counts == 1).mean()),
            "idle_share": float((counts == 0).mean()),
        }

    def get_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """As of `Collector`, with what the policy remembers."""
        arrays, counters = super().get_state()
        if self.memory is not None:
            arrays |= self.memory.get_state()
        return arrays, counters

    def set_state(self, arrays: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Go on from `get_state`, with the environment where it was then.

        Raises:
            RunFolderError: The state belongs to other environments.
        """
        super().set_state(arrays, state)
        if self.memory is not None:
            self.memory.set_state(arrays)

    def _decide(self, t: int, obs: dict[str, Tensor], *, with_value: bool) -> ActionDistribution:
        """The distribution at step `t`; its values are written too, or left for later."""
        seen = self._on_device(obs)
        if self.memory is not None:
            distribution, value = self.memory.act(t, seen)
        elif with_value:
            distribution, value = distribution_and_value(self.policy, seen)
        else:
            distribution = self.policy.distribution(seen)  # type: ignore[operator]
        if not self._answered:
            if not with_value:
                value = self.policy.value(seen)  # type: ignore[operator]
            event = self.buffer.actions.shape[2:]
            require_answer(self.policy, distribution, value, seen, event)
            self._answered = True
        if with_value:
            self._value_rows[t].copy_(value)
        return distribution

    def _sample(self, distribution: ActionDistribution) -> tuple[Tensor, Tensor]:
        """Actions and their log-probabilities per head; of a tree on one way through it."""
        if isinstance(distribution, ConditionalCategorical):
            return distribution.sample_with_log_prob(generator=self.generator)
        action = distribution.sample(generator=self.generator)
        return action, distribution.log_prob(action, reduce="none")

    def _mark_idle(self, t: int) -> None:
        some = self.buffer.allows_something(t)
        if some is None:
            self.buffer.idle[t] = False
            return
        if self.empty == "raise":
            self._refuse(t, np.argwhere(~some)[0].tolist(), "action_mask is all False")
        idle = ~some if some.ndim == 1 else ~some.any(axis=-1)
        self.buffer.idle[t] = idle

    def _look_at_tree(self, t: int) -> None:
        """Find heads that count after the choices just made and may choose nothing."""
        buffer, tree = self.buffer, self.buffer.heads
        assert isinstance(tree, ActionTree)
        masks = {key: buffer.masks[key] for key in buffer.action_masks}
        seen = choices_of(buffer.actions[t], masks, tree)
        stuck = np.argwhere(seen.empty)
        if stuck.size and self.empty == "raise":
            env, head = stuck[0].tolist()
            action = buffer.actions[t, env]
            before = [f"{tree.names[p]} = {action[p]}" for p in tree.parents[head]]
            after = f" after {', '.join(before)}" if before else ""
            self._refuse(t, [env, head], f"what action_mask leaves of it{after} is all False")
        buffer.idle[t] = seen.idle

    def _refuse(self, t: int, place: list[int], what: str) -> NoReturn:
        """Raise NoAllowedActionError for an environment, or for one head of its action."""
        env, heads = place[0], self.buffer.heads
        subject = "allows no action"
        if len(place) > 1:
            name = repr(heads.names[place[1]]) if isinstance(heads, ActionTree) else place[1]
            subject = f"allows no choice in head {name}"
        raise NoAllowedActionError(
            f"{self.name}: environment {env} of {self.env.num_envs} {subject} "
            f"{self._where_empty(t, env)}: {what}. If the mask marks "
            "what is forbidden, it must be inverted: True = allowed. If the episode is over "
            "there, the environment must say terminated. If nothing is to be decided there, "
            "set empty='idle' (on the command line: --ppo.empty idle)."
        )

    def _suspects(self, t: int) -> dict[str, np.ndarray]:
        """All features but scenes and sets, whose padding may hold anything."""
        features = super()._suspects(t).items()
        return {key: x for key, x in features if key not in ("entities", CANDIDATES)}

    def _successors(
        self,
        last: dict[str, Tensor],
        finals: list[dict[str, np.ndarray]],
        final_index: list[np.ndarray],
        final_states: list[Tensor],
        value_reads: tuple[str, ...] | None,
    ) -> Tensor:
        """Values `[T, B]` of what followed; before that, what the policy answered is stored."""
        buffer = self.buffer
        if value_reads is not None:
            flat = self._values.view(-1)
            for start in range(0, len(flat), ROWS_AT_ONCE):
                stop = min(start + ROWS_AT_ONCE, len(flat))
                rows = self._on_device(buffer.observations_between(start, stop, value_reads))
                flat[start:stop] = self.policy.value(rows)  # type: ignore[operator]
        if not self._on_cpu:
            torch.from_numpy(buffer.values).copy_(self._values)
            torch.from_numpy(buffer.log_probs).view(self._log_probs.shape).copy_(self._log_probs)
        seen, memory = self._on_device(last), self.memory
        ask = self.policy.value if memory is None else memory.last_values
        return successor_values(
            torch.from_numpy(buffer.values),
            ask(seen).cpu(),  # type: ignore[operator]
            final_index=torch.from_numpy(np.concatenate(final_index)) if finals else None,
            final_values=self._final_values(finals, final_states),
        )

    def _final_values(
        self, finals: list[dict[str, np.ndarray]], states: list[Tensor]
    ) -> Tensor | None:
        if not finals:
            return None
        joined = {
            key: np.concatenate([obs[key] for obs in finals]) for key in self.buffer.observation(0)
        }
        rows = len(next(iter(joined.values())))
        parts = []
        for start in range(0, rows, ROWS_AT_ONCE):
            part = {key: array[start : start + ROWS_AT_ONCE] for key, array in joined.items()}
            seen = obs_to_tensors(part, self.device)
            if self.memory is None:
                values = self.policy.value(seen)  # type: ignore[operator]
            else:
                remembered = torch.cat(states)[start : start + ROWS_AT_ONCE]
                values = self.memory.final_values(seen, remembered)
            parts.append(values.cpu())
        return torch.cat(parts)
