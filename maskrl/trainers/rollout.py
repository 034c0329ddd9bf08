"""Acting: fills a rollout buffer, step by step, and keeps count of the episodes.

One forward pass per step gives distribution and value of all environments together;
everything is written in place. A head that may choose nothing is caught here, where
environment and step are known: before the policy acts, or for the heads of a tree, which
may not count at all, right after. The values of final observations are computed in one go
after the rollout, under the same weights.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Literal, NoReturn

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor, nn

from maskrl.buffers.rollout import RolloutBuffer
from maskrl.distributions import ConditionalCategorical
from maskrl.envs.contract import CANDIDATES, final_observations
from maskrl.errors import (
    ConfigError,
    NoAllowedActionError,
    NonFiniteLogitsError,
    RunFolderError,
)
from maskrl.masks.heads import Choices, choices_of
from maskrl.masks.tree import ActionTree
from maskrl.objectives.advantages import successor_values
from maskrl.policies.action_heads import ActionDistribution
from maskrl.policies.predict import env_actions, obs_to_tensors
from maskrl.policies.protocol import distribution_and_value, require_answer

RECENT = 100
"""Episodes over which the logged return and length are averaged."""

ROWS_AT_ONCE = 4096
"""Final observations whose values are computed in one pass."""


class RolloutCollector:
    """Steps a vector environment under a policy.

    Args:
        env: Resets in SAME_STEP mode.
        buffer: Filled by `collect`.
        policy: As `maskrl.policies.Policy`.
        generator: Of the sampled actions, on the policy's device.
        device: Of the policy.
        empty: What a row that allows nothing means.
        seed: Of the first reset.
        name: What messages call the environment.

    Attributes:
        episodes: Finished ones.
        recent_returns, recent_lengths: Of the last `RECENT` of them.
        illegal_actions: Actions executed though the mask disallowed them.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        buffer: RolloutBuffer,
        policy: nn.Module,
        *,
        generator: torch.Generator,
        device: torch.device,
        empty: Literal["raise", "idle"] = "raise",
        seed: int = 0,
        name: str = "the environment",
    ) -> None:
        self.env = env
        self.buffer = buffer
        self.policy = policy
        self.generator = generator
        self.device = device
        self.empty = empty
        self.seed = seed
        self.name = name
        self.started = False
        self._answered = False
        self._choices: Choices | None = None
        self.episodes = 0
        self.illegal_actions = 0
        self.recent_returns: deque[float] = deque(maxlen=RECENT)
        self.recent_lengths: deque[int] = deque(maxlen=RECENT)
        self._running_return = np.zeros(env.num_envs, np.float64)
        self._running_length = np.zeros(env.num_envs, np.int64)

    def begin(self) -> None:
        """Reset the environments, once; later calls do nothing."""
        if not self.started:
            obs, _ = self.env.reset(seed=self.seed)
            self.buffer.write_observation(self.buffer.steps, obs)
            self.started = True

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
        buffer = self.buffer
        buffer.carry_over()
        obs = buffer.observation(0)
        finals: list[dict[str, np.ndarray]] = []
        final_index: list[np.ndarray] = []
        with torch.inference_mode():
            for t in range(buffer.steps):
                self._mark_idle(t)
                distribution, value = distribution_and_value(self.policy, self._on_device(obs))
                if not self._answered:
                    seen, event = self._on_device(obs), buffer.actions.shape[2:]
                    require_answer(self.policy, distribution, value, seen, event)
                    self._answered = True
                try:
                    action, log_prob = self._sample(distribution)
                except NonFiniteLogitsError as error:
                    raise NonFiniteLogitsError(self._diagnosis(t, error)) from error
                buffer.actions[t] = action.cpu().numpy()
                self._look_at_tree(t)
                buffer.log_probs[t] = log_prob.reshape(len(value), -1).cpu().numpy()
                buffer.values[t] = value.cpu().numpy()
                # A copy, because some environments write into the actions they are given.
                given, reward, terminated, truncated, infos = self.env.step(
                    env_actions(buffer.actions[t], self.env.single_action_space)
                )
                obs = buffer.write_observation(t + 1, given)
                buffer.rewards[t] = reward
                buffer.terminated[t] = terminated
                buffer.truncated[t] = truncated
                self._running_return += reward
                self._running_length += 1
                if terminated.any() or truncated.any():
                    self._finish(terminated | truncated)
                    cut = np.flatnonzero(truncated & ~terminated)
                    if cut.size:
                        finals.append(final_observations(infos, cut))
                        final_index.append(t * buffer.num_envs + cut)
            last_values = self.policy.value(self._on_device(obs)).cpu()  # type: ignore[operator]
            final_values = self._values(finals)
            successors = successor_values(
                torch.from_numpy(buffer.values),
                last_values,
                final_index=torch.from_numpy(np.concatenate(final_index)) if finals else None,
                final_values=final_values,
            )
        strange = np.argwhere(~np.isfinite(buffer.rewards))
        if strange.size:
            t, env = strange[0].tolist()
            raise ConfigError(
                f"environment {env} of {self.env.num_envs} gave the reward "
                f"{buffer.rewards[t, env]} at step {t} of this rollout; expected a finite number"
            )
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

    def episode_metrics(self) -> dict[str, float]:
        """Means over the recent episodes; NaN before the first has ended."""
        known = len(self.recent_returns) > 0
        return {
            "return_mean": float(np.mean(self.recent_returns)) if known else float("nan"),
            "length_mean": float(np.mean(self.recent_lengths)) if known else float("nan"),
            "episodes": float(self.episodes),
        }

    def get_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything that the next rollout depends on beside policy and environment."""
        arrays = {
            f"observation.{key}": array[self.buffer.steps]
            for key, array in self.buffer.features.items()
        }
        arrays |= {f"observation.{key}": array for key, array in self.buffer.masks.items()}
        arrays["running_return"] = self._running_return
        arrays["running_length"] = self._running_length
        return arrays, {
            **self._counters(),
            "started": self.started,
        }

    def set_state(self, arrays: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Go on from `get_state`, with the environment where it was then.

        Raises:
            RunFolderError: The state belongs to other environments.
        """
        self._set_counters(state)
        for key, target in {
            **{key: array[self.buffer.steps] for key, array in self.buffer.features.items()},
            **self.buffer.masks,
        }.items():
            saved = np.asarray(arrays[f"observation.{key}"])
            if saved.shape != target.shape:
                raise RunFolderError(
                    f"the checkpoint holds {key} of shape {saved.shape}, the environment gives "
                    f"{target.shape}: it was made with other settings"
                )
            target[...] = saved
        self._running_return[...] = arrays["running_return"]
        self._running_length[...] = arrays["running_length"]
        self.started = bool(state["started"])

    def set_counters(self, state: Mapping[str, Any]) -> None:
        """Take over counts and recent episodes only: the environments begin new episodes."""
        self._set_counters(state)

    def _counters(self) -> dict[str, Any]:
        return {
            "episodes": self.episodes,
            "illegal_actions": self.illegal_actions,
            "recent_returns": list(self.recent_returns),
            "recent_lengths": list(self.recent_lengths),
        }

    def _set_counters(self, state: Mapping[str, Any]) -> None:
        self.episodes = int(state["episodes"])
        self.illegal_actions = int(state["illegal_actions"])
        self.recent_returns = deque(state["recent_returns"], maxlen=RECENT)
        self.recent_lengths = deque(state["recent_lengths"], maxlen=RECENT)

    def _on_device(self, obs: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.device.type == "cpu":
            return obs
        return {key: tensor.to(self.device) for key, tensor in obs.items()}

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
            self._refuse(np.argwhere(~some)[0].tolist(), "action_mask is all False")
        idle = ~some if some.ndim == 1 else ~some.any(axis=-1)
        self.buffer.idle[t] = idle

    def _look_at_tree(self, t: int) -> None:
        """Find heads that count after the choices just made and may choose nothing."""
        buffer, tree = self.buffer, self.buffer.heads
        if not isinstance(tree, ActionTree) or not buffer.action_masks:
            return
        masks = {key: buffer.masks[key] for key in buffer.action_masks}
        seen = choices_of(buffer.actions[t], masks, tree)
        stuck = np.argwhere(seen.empty)
        if stuck.size and self.empty == "raise":
            env, head = stuck[0].tolist()
            action = buffer.actions[t, env]
            before = [f"{tree.names[p]} = {action[p]}" for p in tree.parents[head]]
            after = f" after {', '.join(before)}" if before else ""
            self._refuse([env, head], f"what action_mask leaves of it{after} is all False")
        buffer.idle[t] = seen.idle

    def _refuse(self, place: list[int], what: str) -> NoReturn:
        """Raise NoAllowedActionError for an environment, or for one head of its action."""
        env, heads = place[0], self.buffer.heads
        subject = "allows no action"
        if len(place) > 1:
            name = repr(heads.names[place[1]]) if isinstance(heads, ActionTree) else place[1]
            subject = f"allows no choice in head {name}"
        raise NoAllowedActionError(
            f"{self.name}: environment {env} of {self.env.num_envs} {subject} at step "
            f"{int(self._running_length[env])} of its episode (episode return so far "
            f"{self._running_return[env]:g}): {what}. If the mask marks "
            "what is forbidden, it must be inverted: True = allowed. If the episode is over "
            "there, the environment must say terminated. If nothing is to be decided there, "
            "set empty='idle' (on the command line: --ppo.empty idle)."
        )

    def _diagnosis(self, t: int, error: NonFiniteLogitsError) -> str:
        """Whether the environment or the training is to blame for logits that are no numbers."""
        for key, array in self.buffer.features.items():
            row = array[t].reshape(self.env.num_envs, -1)
            # Padding of a scene or of a set may hold anything, so it proves nothing.
            if (
                key not in ("entities", CANDIDATES)
                and array.dtype.kind == "f"
                and not np.isfinite(row).all()
            ):
                env = int(np.flatnonzero(~np.isfinite(row).all(axis=-1))[0])
                return (
                    f"environment {env} of {self.env.num_envs} gave an observation {key!r} with "
                    f"values that are not finite at step {int(self._running_length[env])} of its "
                    f"episode, and so the logits are not: {error}"
                )
        return (
            f"the policy's logits are not finite any more; training has diverged. Lower "
            f"learning_rate, or max_grad_norm, or normalise observations and rewards: {error}"
        )

    def _finish(self, ended: np.ndarray) -> None:
        index = np.flatnonzero(ended)
        self.episodes += len(index)
        self.recent_returns.extend(self._running_return[index].tolist())
        self.recent_lengths.extend(self._running_length[index].tolist())
        self._running_return[index] = 0.0
        self._running_length[index] = 0

    def _values(self, finals: list[dict[str, np.ndarray]]) -> Tensor | None:
        if not finals:
            return None
        joined = {
            key: np.concatenate([obs[key] for obs in finals]) for key in self.buffer.observation(0)
        }
        rows = len(next(iter(joined.values())))
        parts = []
        for start in range(0, rows, ROWS_AT_ONCE):
            part = {key: array[start : start + ROWS_AT_ONCE] for key, array in joined.items()}
            values = self.policy.value(obs_to_tensors(part, self.device))  # type: ignore[operator]
            parts.append(values.cpu())
        return torch.cat(parts)
