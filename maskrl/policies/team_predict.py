"""From a team's observation to the actions of all, as the environment takes them.

As `maskrl.policies.predict`, for many agents: who acts is read from the observation, the
distribution has a row for each of them, and what they choose is put where the environment
expects it. Where nobody acts stands the idle action.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from maskrl.envs.entries import mask_space
from maskrl.envs.teams import TeamDescription
from maskrl.masks.tree import FLAT_MASK
from maskrl.policies.acting import Acting
from maskrl.policies.predict import batched_entries, env_actions, obs_to_tensors


@torch.no_grad()
def predict_team(
    policy: nn.Module,
    observation_space: spaces.Dict,
    obs: Any,
    *,
    action_space: spaces.Space[Any],
    action_mask: Any = None,
    deterministic: bool = True,
    generator: torch.Generator | None = None,
) -> np.ndarray:
    """Actions of a team for one observation or a batch.

    Args:
        policy: As `maskrl.policies.TeamPolicy`.
        observation_space: Of one environment.
        obs: A Dict observation, single or batched.
        action_space: Of one environment: the actions come in its shape and dtype.
        action_mask: Boolean mask that takes the place of the observation's own: `[N, A]` or
            `[A, H, W]`, with a leading B for a batch.
        deterministic: The most probable action of each agent; otherwise a sample.
        generator: Of the samples.

    Returns:
        `[N]`, `[N, K]`, `[H, W]` or `[K, H, W]`, with a leading B for a batch.

    Raises:
        NoMaskError: The space has an action mask, or a table of one, and none was given.
        MaskDtypeError: A mask is not boolean.
        MaskShapeError: A mask does not fit the observation.
        ConfigError: An entry is missing or its shape fits neither one observation nor a batch.

    Empty rows:
        Where nobody acts, the policy's `idle_action`, 0 if it has none.
    """
    team: TeamDescription = policy.team  # type: ignore[assignment]
    if action_mask is not None and not team.has_action_mask:
        # A mask where the environment has none is obeyed too.
        slots = team.form == "slots"
        shape = (*team.places, team.n_actions) if slots else (team.n_actions, *team.places)
        observation_space = spaces.Dict({**observation_space.spaces, FLAT_MASK: mask_space(*shape)})
        team = dataclasses.replace(team, has_action_mask=True)
    entries, single = batched_entries(observation_space, obs, action_mask)
    device = next((p.device for p in policy.parameters()), torch.device("cpu"))
    tensors = obs_to_tensors(entries, device)
    acting = Acting.read(tensors, team)
    distribution = policy.distribution(tensors, acting)  # type: ignore[operator]
    chosen = distribution.mode if deterministic else distribution.sample(generator=generator)
    idle: Any = getattr(policy, "idle_action", 0)
    actions = env_actions(acting.scatter(chosen, team, idle).cpu().numpy(), action_space)
    return actions[0] if single else actions
