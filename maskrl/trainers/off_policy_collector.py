"""Acting for a replay buffer: a step of all environments, written down with what followed.

Nothing is learned here, and nothing is known of how actions are chosen but that they come
for a batch of observations. What the masks said about the choices is counted on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from maskrl.buffers.replay import ReplayBuffer
from maskrl.buffers.steps import stored_dtype
from maskrl.envs.adapters.mask_regime import step_charges
from maskrl.envs.contract import final_observations, is_mask_key
from maskrl.errors import ConfigError, NoAllowedActionError, RunFolderError
from maskrl.masks.arrays import check_mask_array
from maskrl.masks.tree import FLAT_MASK
from maskrl.policies.predict import env_actions
from maskrl.trainers.episodes import EpisodeRecord

Act = Callable[[dict[str, Tensor]], Tensor]
"""From observations `[B, ...]` on the policy's device to actions int64 `[B]`, allowed ones."""


class OffPolicyCollector:
    """Steps a vector environment in which one agent acts, and remembers every transition.

    Args:
        env: Resets in SAME_STEP mode; its actions are single choices.
        replay: Written to.
        generator: Of the actions, on the policy's device; whoever acts draws from it.
        device: Of the policy.
        empty: What it means that nothing is allowed.
        seed: Of the first reset.
        name: What messages call the environment.

    Attributes:
        observation: As it is now, own copies in the dtypes that the memory has, so that actions are
            chosen by what is learned from: per key `[B, ...]`, masks bool.
        illegal_actions: Actions executed though the mask disallowed them.
        keeps_observations: Whether all observations are kept for `take_observations`.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        replay: ReplayBuffer,
        *,
        generator: torch.Generator,
        device: torch.device,
        empty: Literal["raise", "idle"] = "raise",
        seed: int = 0,
        name: str = "the environment",
    ) -> None:
        self.env = env
        self.replay = replay
        self.generator = generator
        self.device = device
        self.empty = empty
        self.seed = seed
        self.name = name
        self.started = False
        self.illegal_actions = 0
        self.observation: dict[str, np.ndarray] = {}
        entries = env.single_observation_space.spaces  # type: ignore[attr-defined]
        self._dtypes = {k: stored_dtype(k, x) for k, x in entries.items() if not is_mask_key(k)}
        self.keeps_observations = False
        self._kept: list[dict[str, np.ndarray]] = []
        self._record = EpisodeRecord(env.num_envs)
        self._counts: list[np.ndarray] = []
        self._recorded: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = []

    def begin(self) -> None:
        """Reset the environments, once; later calls do nothing."""
        if not self.started:
            obs, _ = self.env.reset(seed=self.seed)
            self.replay.begin(obs)
            self._keep(obs)
            self.started = True

    def collect(self, steps: int, act: Act) -> None:
        """Take so many steps in every environment.

        Args:
            steps: At least 1.
            act: Chooses.

        Raises:
            NoAllowedActionError: A row allows nothing and `empty` is "raise".
            ConfigError: A reward is no finite number.
        """
        self.begin()
        replay, step = self.replay, self.env.step
        action_space = self.env.single_action_space
        for _ in range(steps):
            self._look_at_masks()
            with torch.inference_mode():
                chosen = act(self.tensors()).cpu().numpy()
            self._count_illegal(chosen)
            obs, rewards, terminated, truncated, infos = step(env_actions(chosen, action_space))
            charges = step_charges(infos, self.env.num_envs)
            self._recorded.append((np.array(rewards, np.float64), terminated | truncated, charges))
            self._refuse_strange(rewards)
            cut = np.flatnonzero(truncated & ~terminated)
            finals = final_observations(infos, cut) if cut.size else None
            if finals is not None:
                self._look_at_ends(finals, cut)
            replay.add(
                chosen,
                rewards,
                terminated,
                truncated,
                obs,
                final_obs=finals,
                final_index=cut if cut.size else None,
            )
            self._keep(obs)

    @property
    def episodes(self) -> int:
        """How many episodes have ended."""
        self._catch_up()
        return self._record.finished

    @property
    def episode_record(self) -> EpisodeRecord:
        """The count of its episodes, up to the last step."""
        self._catch_up()
        return self._record

    def episode_metrics(self) -> dict[str, float]:
        """Means over the recent episodes; NaN before the first has ended."""
        self._catch_up()
        return self._record.means()

    def take_observations(self) -> dict[str, Tensor]:
        """All observations since the last call `[N, ...]`; empty if none were kept."""
        kept, self._kept = self._kept, []
        if not kept:
            return {}
        return {
            key: torch.from_numpy(np.concatenate([obs[key] for obs in kept])) for key in kept[0]
        }

    def mask_metrics(self) -> dict[str, float]:
        """Shares of the steps since the last call: choices allowed, forced moves, idle rows."""
        mask = self.observation.get(FLAT_MASK)
        if mask is None or not self._counts:
            return {"allowed_share": 1.0, "forced_share": 0.0, "idle_share": 0.0}
        counts = np.concatenate(self._counts)
        self._counts.clear()
        return {
            "allowed_share": float(counts.mean() / mask.shape[-1]),
            "forced_share": float((counts == 1).mean()),
            "idle_share": float((counts == 0).mean()),
        }

    def get_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything that the next step depends on beside policy, replay and environment."""
        self._catch_up()
        arrays = {f"observation.{key}": array for key, array in self.observation.items()}
        if self._kept:  # such as the first observations, before the first step
            arrays |= {
                f"kept.{key}": np.stack([obs[key] for obs in self._kept]) for key in self._kept[0]
            }
        arrays |= self._record.running()
        counters = {**self._record.counters(), "illegal_actions": self.illegal_actions}
        return arrays, {**counters, "started": self.started}

    def set_state(self, arrays: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Go on from `get_state`, with the environment where it was then.

        Raises:
            RunFolderError: The state belongs to other environments.
        """
        self.set_counters(state)
        self.started = bool(state["started"])
        if not self.started:
            return
        spaces = self.env.observation_space.spaces  # type: ignore[attr-defined]
        for key, space in spaces.items():
            saved = np.asarray(arrays[f"observation.{key}"])
            if saved.shape != space.shape:
                raise RunFolderError(
                    f"the checkpoint holds {key} of shape {saved.shape}, the environment gives "
                    f"{space.shape}: it was made with other settings"
                )
            self.observation[key] = np.array(saved, self._dtypes.get(key))
        kept = {key: arrays[f"kept.{key}"] for key in spaces if f"kept.{key}" in arrays}
        if kept and self.keeps_observations:
            rows = zip(*kept.values(), strict=True)
            self._kept = [{k: np.array(x) for k, x in zip(kept, row, strict=True)} for row in rows]
        self._record.set_running(arrays)

    def set_counters(self, state: Mapping[str, Any]) -> None:
        """Take over counts and recent episodes only: the environments begin new episodes."""
        self._record.set_counters(state)
        self.illegal_actions = int(state["illegal_actions"])

    def _keep(self, obs: Mapping[str, Any]) -> None:
        """Copy the observation: some environments change theirs in place."""
        self.observation = {key: np.array(x, self._dtypes.get(key)) for key, x in obs.items()}
        if self.keeps_observations:
            self._kept.append(self.observation)

    def tensors(self) -> dict[str, Tensor]:
        """The observation as it is now, on the policy's device."""
        return {
            key: torch.from_numpy(array).to(self.device) for key, array in self.observation.items()
        }

    def _look_at_masks(self) -> None:
        """Count what is allowed, and refuse that nothing is where that means nothing."""
        mask = self.observation.get(FLAT_MASK)
        if mask is None:
            return
        shape = (self.env.num_envs, mask.shape[-1])
        mask = check_mask_array(mask, shape, name=FLAT_MASK, operation=self.name)
        counts = mask.sum(-1)
        self._counts.append(counts)
        if self.empty == "raise" and not counts.all():
            env = int(np.flatnonzero(counts == 0)[0])
            self._catch_up()
            raise NoAllowedActionError(
                f"{self.name}: environment {env} of {self.env.num_envs} allows no action at step "
                f"{int(self._record.running_length[env])} of its episode: action_mask is all "
                "False. If the mask marks what is forbidden, it must be inverted: True = allowed. "
                "If the episode is over there, the environment must say terminated. If nothing is "
                "to be decided there, set empty='idle'."
            )

    def _look_at_ends(self, finals: Mapping[str, np.ndarray], envs: np.ndarray) -> None:
        """Refuse episodes cut off where nothing is allowed, whose future has no value."""
        mask = finals.get(FLAT_MASK)
        if mask is None or self.empty != "raise":
            return
        shape = (len(envs), mask.shape[-1])
        mask = check_mask_array(mask, shape, name=FLAT_MASK, operation=self.name)
        if not mask.any(-1).all():
            env = int(envs[np.flatnonzero(~mask.any(-1))[0]])
            raise NoAllowedActionError(
                f"{self.name}: the episode of environment {env} of {self.env.num_envs} was cut off "
                "(truncated), and the action_mask of its last observation is missing or all False: "
                "what was still to come is the value of the best allowed action there. Give the "
                "mask of that state too. If the episode is over there, the environment must say "
                "terminated. If the mask is behind a method of a vector environment in SAME_STEP "
                "mode, which has gone on by then, build it in another mode or with maskrl.make_vec."
            )

    def _count_illegal(self, chosen: np.ndarray) -> None:
        mask = self.observation.get(FLAT_MASK)
        if mask is not None:
            rows = np.arange(len(chosen))
            self.illegal_actions += int((~mask[rows, chosen] & mask.any(-1)).sum())

    def _catch_up(self) -> None:
        """Count the steps that were taken since the last time."""
        if self._recorded:
            rewards, ended, owed = zip(*self._recorded, strict=True)
            self._recorded.clear()
            charges: np.ndarray | None = None
            if any(charge is not None for charge in owed):
                nothing = np.zeros(self.env.num_envs)
                charges = np.stack([nothing if charge is None else charge for charge in owed])
            self._record.add(np.stack(rewards), np.stack(ended), charges)

    def _refuse_strange(self, rewards: np.ndarray) -> None:
        if not np.isfinite(rewards).all():
            env = int(np.flatnonzero(~np.isfinite(rewards))[0])
            raise ConfigError(
                f"environment {env} of {self.env.num_envs} gave the reward {rewards[env]}; "
                "expected a finite number"
            )
