"""From an environment's observation to an action, for any policy.

Takes what environments give (numpy, one observation or a batch, masks in the
observation or beside it) and gives back what they take. Nothing is learned here: no
gradient, no statistic moves. A masked space without a mask is an error, because an
agent that quietly acts unmasked is the mistake this package exists to prevent. What a policy
with memory remembers goes in and comes out beside the action.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from maskrl.envs.contract import TABLE_PREFIX, is_mask_key
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError, NoMaskError
from maskrl.masks import PackedMask
from maskrl.policies.protocol import has_memory


def obs_to_tensors(obs: Mapping[str, Any], device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """A batched Dict observation as tensors; real numbers become float32, masks stay bool.

    Args:
        obs: Per key `[B, ...]`, numpy arrays or tensors.
        device: Where the tensors go.
    """
    out = {}
    for key, value in obs.items():
        if isinstance(value, PackedMask):
            value = value.unpack()
        if not isinstance(value, Tensor):
            value = torch.from_numpy(np.ascontiguousarray(value))
        out[key] = value.to(device, torch.float32 if value.is_floating_point() else None)
    return out


def predict_action(
    policy: nn.Module,
    observation_space: spaces.Dict,
    obs: Any,
    *,
    action_space: spaces.Space[Any] | None = None,
    action_mask: Any = None,
    deterministic: bool = True,
    generator: torch.Generator | None = None,
) -> np.ndarray:
    """Actions of a policy for one observation or a batch.

    Args:
        policy: As `maskrl.policies.Policy`.
        observation_space: Of one environment.
        obs: A Dict observation, single or batched; the bare array where the space has one
            feature entry.
        action_space: Of one environment: the actions come in its shape and dtype.
        action_mask: Boolean mask that takes the place of the observation's own.
        deterministic: The most probable action; otherwise a sample.
        generator: Of the samples.

    A policy with memory takes these for the first observations of episodes; to go on, see
    `predict_and_remember`.

    Returns:
        int64, `[B]`, or a scalar for a single observation; `[B, K]` and `[K]` for actions of
        several heads, as int8 for a MultiBinary space.

    Raises:
        NoMaskError: The space has an action mask, or a table of one, and none was given.
        MaskDtypeError: A mask is not boolean.
        MaskShapeError: A mask does not fit the observation.
        ConfigError: An entry is missing or its shape fits neither one observation nor a batch.
    """
    return predict_and_remember(
        policy,
        observation_space,
        obs,
        action_space=action_space,
        action_mask=action_mask,
        deterministic=deterministic,
        generator=generator,
    )[0]


@torch.no_grad()
def predict_and_remember(
    policy: nn.Module,
    observation_space: spaces.Dict,
    obs: Any,
    *,
    action_space: spaces.Space[Any] | None = None,
    action_mask: Any = None,
    state: Any = None,
    episode_start: Any = None,
    deterministic: bool = True,
    generator: torch.Generator | None = None,
) -> tuple[np.ndarray, Any]:
    """Actions of a policy with or without memory, and the state for the next step.

    Args:
        policy: As `maskrl.policies.Policy` or `maskrl.policies.RecurrentPolicy`.
        observation_space: Of one environment.
        obs: As of `predict_action`.
        action_space: As of `predict_action`.
        action_mask: As of `predict_action`.
        state: What was handed back after the step before, an array or tensor: `[B, S]`, or
            `[S]` for a single observation. None begins afresh. It is not changed.
        episode_start: bool `[B]`, or one for a single observation: rows that begin afresh
            whatever `state` holds.
        deterministic: The most probable action; otherwise a sample.
        generator: Of the samples.

    Returns:
        Actions as `predict_action` gives them; and the state, as an array unless a tensor came.
        A policy without memory hands `state` back as it came.

    Raises:
        ConfigError: `state` or `episode_start` does not fit policy and observation, beside what
            `predict_action` raises.
    """
    entries, single = batched_entries(observation_space, obs, action_mask)
    device = next((p.device for p in policy.parameters()), torch.device("cpu"))
    tensors = obs_to_tensors(entries, device)
    if not has_memory(policy):
        distribution = policy.distribution(tensors)  # type: ignore[operator]
        after = state
    else:
        batch = len(next(iter(entries.values())))
        before, start = _remembered(policy, state, episode_start, batch, single, device)
        distribution, _, following = policy.act(tensors, before, start)  # type: ignore[operator]
        after = following[0] if single else following
        after = after if isinstance(state, Tensor) else after.cpu().numpy()
    action = distribution.mode if deterministic else distribution.sample(generator=generator)
    chosen = env_actions(action.cpu().numpy(), action_space)
    return (chosen[0] if single else chosen), after


def _remembered(
    policy: Any, state: Any, episode_start: Any, batch: int, single: bool, device: torch.device
) -> tuple[Tensor, Tensor]:
    """State `[B, S]` and episode starts `[B]` as a policy with memory takes them, checked."""
    begin: Tensor = policy.initial_state(batch)
    lead = () if single else (batch,)
    start = torch.ones(batch, dtype=torch.bool, device=device)
    if state is not None:
        # A copy: a policy of one's own may write into what it is given.
        given = state.clone() if isinstance(state, Tensor) else torch.as_tensor(np.array(state))
        shape = (*lead, begin.shape[-1])
        if tuple(given.shape) != shape or not given.is_floating_point():
            kind = given.dtype if tuple(given.shape) == shape else f"shape {tuple(given.shape)}"
            raise ConfigError(
                f"predict: state has {kind}, expected real numbers of shape {shape}: what predict "
                "handed back after the step before. None begins afresh"
            )
        begin = given.to(begin).reshape(begin.shape)
        start.fill_(False)
    if episode_start is not None:
        flags = torch.as_tensor(episode_start)
        if flags.dtype != torch.bool or tuple(flags.shape) not in (lead, (batch,)):
            raise ConfigError(
                f"predict: episode_start has shape {tuple(flags.shape)} and dtype {flags.dtype}, "
                f"expected bool of shape {lead}: True where an episode begins"
            )
        start |= flags.to(device)
    return begin, start


def env_actions(actions: np.ndarray, action_space: spaces.Space[Any] | None) -> np.ndarray:
    """A copy of actions `[B]` or `[B, K]` in the shape and dtype that a space contains."""
    if isinstance(action_space, spaces.MultiBinary | spaces.MultiDiscrete):
        return actions.reshape(len(actions), *action_space.shape).astype(action_space.dtype)
    return actions.copy()


def batched_entries(space: spaces.Dict, obs: Any, action_mask: Any) -> tuple[dict[str, Any], bool]:
    """An observation with a batch dimension, checked; and whether it had none.

    Args:
        space: Of one environment.
        obs: One Dict observation or a batch; the bare array where the space has one feature.
        action_mask: Boolean mask that takes the place of the observation's own.

    Returns:
        Per key `[B, ...]`, arrays and tensors as they came, and True for a single observation.

    Raises:
        NoMaskError, MaskDtypeError, MaskShapeError, ConfigError: As of `predict_action`.
    """
    features = [key for key in space.spaces if not is_mask_key(key)]
    if not isinstance(obs, Mapping):
        if len(features) != 1:
            raise ConfigError(
                f"predict: expected a dict with the entries {list(space.spaces)}, got "
                f"{type(obs).__name__}"
            )
        obs = {features[0]: obs}
    entries = {key: obs[key] for key in space.spaces if key in obs}
    if action_mask is not None:
        entries["action_mask"] = action_mask
    if "action_mask" in space.spaces and "action_mask" not in entries:
        raise NoMaskError(
            "predict: this policy acts under an action mask, and none came: neither an entry "
            "'action_mask' of the observation nor the argument action_mask. Pass the mask of "
            "the present state; to let everything be allowed, pass one of all True."
        )
    missing = [key for key in space.spaces if key not in entries]
    if missing and missing[0].startswith(TABLE_PREFIX):
        raise NoMaskError(
            f"predict: the observation has no entry {missing[0]!r}: a head of this policy acts "
            "under a table of masks, one row for every choice that it goes by"
        )
    if missing:
        raise ConfigError(f"predict: the observation has no entry {missing[0]!r}")
    lead: tuple[int, ...] | None = None
    for key in sorted(entries, key=is_mask_key):  # features say the batch
        value = entries[key]
        if isinstance(value, PackedMask):
            value = value.unpack()
        if not isinstance(value, Tensor):
            value = np.asarray(value)
        if is_mask_key(key) and value.dtype not in (np.bool_, torch.bool):
            raise MaskDtypeError(
                f"predict: {key} has dtype {value.dtype}, expected bool with True = allowed. "
                "Convert it with maskrl.as_mask."
            )
        entry = space.spaces.get(key)
        shape = tuple(entry.shape or ()) if entry is not None else tuple(value.shape[-1:])
        got = tuple(value.shape)
        extra = got[: len(got) - len(shape)]
        if got != (*extra, *shape) or len(extra) > 1 or extra != (extra if lead is None else lead):
            kind = MaskShapeError if is_mask_key(key) else ConfigError
            fits = f"{shape} for one observation or (B, {', '.join(map(str, shape))}) for a batch"
            if lead is not None:
                fits = str((*lead, *shape))
            raise kind(f"predict: {key} has shape {got}, expected {fits}")
        lead = extra
        entries[key] = value
    if lead:
        return entries, False
    return {key: value[None] for key, value in entries.items()}, True
