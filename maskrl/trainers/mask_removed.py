"""Rollouts without the mask, played between updates by an agent that is trained under it.

They show during training what becomes of the agent when its mask is taken away. Nothing is
learned from them, but what was seen in them moves the statistics that observations are
normalised by, as in published runs whose test and training shared a wrapper.
"""

from __future__ import annotations

import logging
import math

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.envs.adapters.mask_regime import MASK_REGIME, MASKED
from maskrl.envs.contract import CANDIDATES
from maskrl.envs.registry import make_vec, parse_env_id
from maskrl.errors import ConfigError
from maskrl.masks.tree import FLAT_MASK
from maskrl.policies.playing import Player, in_evaluation_mode
from maskrl.policies.predict import obs_to_tensors
from maskrl.trainers.episodes import EpisodeRecord
from maskrl.trainers.parts import Ground
from maskrl.trainers.ppo_config import PPOConfig

logger = logging.getLogger("maskrl")

REGIMES = {"native": "penalty:0:native", "withheld": "none"}
"""The regime of each way to take the mask away."""

RETURN = "mask_removed_return"
"""The metric: mean return of the episodes that ended in a rollout, NaN where none did."""


class MaskRemovedRollouts:
    """As many steps as a rollout of the training, in environments of its own, without the mask.

    Each begins with new episodes, so that nothing of one is needed for the next.

    Args:
        config: Of the training, with `mask_removed_rollouts` set.
        ground: Environments, seeds and device of the training.
        policy: Samples its actions, and is not changed.

    Raises:
        ConfigError: The environment was given as an object, its mask is taken away in training
            already, or it cannot be.
    """

    def __init__(self, config: PPOConfig, ground: Ground, policy: nn.Module) -> None:
        opened, way = ground.opened, config.mask_removed_rollouts
        assert way is not None
        if opened.id is None:
            raise ConfigError(
                "mask_removed_rollouts: they need environments of their own, and "
                f"{opened.name} was given as an object; give an id"
            )
        env_id, from_id = parse_env_id(opened.id)
        settings = {**from_id, **opened.kwargs}
        regime = settings.get(MASK_REGIME, MASKED)
        if regime != MASKED or not config.masked_scores:
            trained = "scored without the mask" if regime == MASKED else f"trained under {regime}"
            raise ConfigError(
                "mask_removed_rollouts: they are for agents that are trained under the mask, and "
                f"this one is {trained}; set it to None"
            )
        if CANDIDATES in opened.observation_space.spaces:
            raise ConfigError(
                f"mask_removed_rollouts: in {opened.name} the mask also says which places of the "
                "set hold no candidate; set it to None"
            )
        self.steps = config.rollout_steps
        self._seeds = ground.seeds
        self._device = ground.device
        self._policy = policy
        self._told = False
        try:
            self.env = make_vec(
                env_id,
                config.num_envs,
                seed=ground.env_seed,
                **{**settings, MASK_REGIME: REGIMES[way]},
            )
        except ConfigError as error:
            raise ConfigError(f"mask_removed_rollouts: {way}: {error}") from error

    def play(self, number: int) -> tuple[dict[str, float], dict[str, Tensor]]:
        """One rollout, the same for the same number, policy and stream of actions.

        Args:
            number: Which one; episodes are drawn by it.

        Returns:
            Metrics, and the features that were seen, `[steps * B, ...]` each.
        """
        env, generator = self.env, self._seeds.torch("mask_removed", self._device)
        player = Player(self._policy, env.num_envs)
        episodes = EpisodeRecord(env.num_envs)
        episodes.keep()
        rewards = np.zeros((self.steps, env.num_envs))
        ended = np.zeros(rewards.shape, np.bool_)
        shape = (env.num_envs, *(env.single_action_space.shape or ()))
        seen: list[dict[str, Tensor]] = []
        obs, _ = env.reset(seed=self._seeds.integer(f"mask_removed.{number}") & 0x7FFFFFFF)
        with in_evaluation_mode(self._policy), torch.inference_mode():
            for t in range(self.steps):
                now = obs_to_tensors(obs, self._device)
                # Copies, because some environments write the next observation into this one.
                seen.append({k: now[k].clone() for k in now if not k.startswith(FLAT_MASK)})
                actions = player.choose(now, deterministic=False, generator=generator)
                obs, rewards[t], terminated, truncated, _ = env.step(actions.reshape(shape))
                ended[t] = terminated | truncated
                player.begin(ended[t])
        episodes.add(rewards, ended)
        returns = [episode.returned for episode in episodes.kept or ()]
        if not returns and not self._told:
            self._told = True
            logger.warning(
                "mask_removed_rollouts: no episode ended within %d steps without the mask, and the "
                "next rollout begins anew: %s is unknown. With a larger rollout_steps some end",
                self.steps,
                RETURN,
            )
        features = {key: torch.cat([each[key] for each in seen]) for key in seen[0]}
        return {RETURN: float(np.mean(returns)) if returns else math.nan}, features
