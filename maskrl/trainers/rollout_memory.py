"""What a policy remembers while it fills a rollout: carried on, kept, and cleared.

The state goes from step to step and from rollout to rollout. It is cleared where an episode
begins, by telling the policy so, and kept before the first step of every sequence. A step
counts once the environments have taken it: if a rollout is broken off in between, the same
observation comes again, and so must the state before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.buffers.rollout import RolloutBuffer
from maskrl.errors import RunFolderError
from maskrl.masks.heads import sizes_of
from maskrl.masks.tree import FLAT_MASK
from maskrl.policies.action_heads import ActionDistribution
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.protocol import require_state


class RolloutMemory:
    """The memory of a policy in B environments.

    Args:
        policy: As `maskrl.policies.RecurrentPolicy`.
        buffer: Where states and episode starts are kept.
        device: Of the policy.

    Attributes:
        state: `[B, S]`, before the next step.
        start: bool `[B]`: whether the next step is the first of an episode.
    """

    def __init__(self, policy: nn.Module, buffer: RolloutBuffer, device: torch.device) -> None:
        self._policy: Any = policy
        self._buffer = buffer
        self._device = device
        self._sequence_at = {int(t): k for k, t in enumerate(buffer.sequence_starts)}
        self._following: Tensor | None = None
        self.begin_anew()

    def begin_anew(self) -> None:
        """Remember nothing: new episodes begin everywhere."""
        batch = self._buffer.num_envs
        state = self._policy.initial_state(batch)
        require_state(self._policy, state, batch)
        self.state: Tensor = state.detach()  # it may be one that is learned
        self.start = np.ones(batch, np.bool_)

    def act(self, t: int, obs: dict[str, Tensor]) -> tuple[ActionDistribution, Tensor]:
        """Distribution and values `[B]` at step `t`; what they go by is kept."""
        buffer = self._buffer
        buffer.episode_starts[t] = self.start
        part = self._sequence_at.get(t)
        if part is not None:
            torch.from_numpy(buffer.states[part]).copy_(self.state)
        distribution, value, following = self._policy.act(obs, self._before(), self._starts())
        if self._following is None or following.shape != self.state.shape:
            require_state(self._policy, following, buffer.num_envs)
        self._following = following
        return distribution, value

    def go_on(self, t: int) -> None:
        """The environments have taken step `t`, and the buffer knows which episodes ended."""
        assert self._following is not None
        self.state = self._following
        self.start = self._buffer.terminated[t] | self._buffer.truncated[t]

    def last_values(self, obs: dict[str, Tensor]) -> Tensor:
        """Values `[B]` of the observation after the last step."""
        return self._values(obs, self._before(), self._starts())

    def final_values(self, obs: dict[str, Tensor], state: Tensor) -> Tensor:
        """Values `[M]` of observations that episodes were cut off at.

        Args:
            obs: `[M, ...]` each.
            state: `[M, S]`: what was remembered there, before anything was cleared.
        """
        going_on = torch.zeros(len(state), dtype=torch.bool, device=self._device)
        return self._values(obs, state, going_on)

    def get_state(self) -> dict[str, np.ndarray]:
        """What the next rollout depends on."""
        return {"memory.state": self.state.cpu().numpy(), "memory.start": self.start}

    def set_state(self, arrays: Mapping[str, Any]) -> None:
        """Go on from `get_state`.

        Raises:
            RunFolderError: It is of another memory, or of none.
        """
        shape = tuple(self.state.shape)
        saved = arrays.get("memory.state")
        if saved is None or np.shape(saved) != shape:
            got = "none" if saved is None else f"one of shape {np.shape(saved)}"
            raise RunFolderError(
                f"the checkpoint holds {got} of what this policy remembers, {shape}: it was made "
                "with other settings"
            )
        self.state = torch.as_tensor(np.array(saved)).to(self.state)
        self.start = np.array(arrays["memory.start"], np.bool_)

    def _before(self) -> Tensor:
        """The state for the policy: of one's own, which may write into it, a copy."""
        return self.state if type(self._policy) is ActorCritic else self.state.clone()

    def _starts(self) -> Tensor:
        return torch.from_numpy(self.start).to(self._device)

    def _values(self, obs: dict[str, Tensor], state: Tensor, start: Tensor) -> Tensor:
        if type(self._policy) is ActorCritic:
            return self._policy.recall(obs, state, start)[1]
        value: Tensor = self._policy.act(self._with_choices(obs), state, start)[1]
        return value

    def _with_choices(self, obs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The observations, with all allowed in rows whose masks leave some head nothing.

        Over the last observation of an episode nothing is decided, and its mask may say so.
        """
        flat = obs.get(FLAT_MASK)
        if flat is None:
            return obs
        heads, rows = self._buffer.heads, flat.flatten(1)
        sizes = sizes_of(heads) if heads is not None else (rows.shape[1],)
        some = torch.stack([part.any(-1) for part in rows.split(list(sizes), -1)]).all(0)
        if bool(some.all()):
            return obs
        return {
            key: x | ~some.view(-1, *[1] * (x.ndim - 1))
            if key.partition(":")[0] == FLAT_MASK
            else x
            for key, x in obs.items()
        }
