"""What masks did while agents were evaluated: shares, forced moves, actions against them.

Works for every shape of action, head by head: a step is forced if no head that counts had
more than one choice, an action is illegal if one of them chose what its mask disallows. A
head with no choice at all idles; unless that was agreed upon, the evaluation ends there
with the place in the message.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from maskrl.envs.contract import EnvDescription
from maskrl.errors import NoAllowedActionError
from maskrl.masks.heads import choices_of, flat_mask, starts_of
from maskrl.masks.tree import FLAT_MASK, ActionTree


class MaskCount:
    """Adds up, step by step, what the masks allowed and what was done.

    Args:
        description: Of one environment.
        env_id: What messages call it.
        idles: Whether a head that may choose nothing idles, instead of being an error.

    Attributes:
        steps: Steps counted, over all sub-environments.
        illegal: Actions against their mask.
        opened: Whether the masks of the last step allowed everything everywhere.
    """

    def __init__(self, description: EnvDescription, env_id: str, *, idles: bool) -> None:
        self.heads = description.heads
        self.names = _head_names(description)
        self.env_id = env_id
        self.idles = idles
        self.steps = self.illegal = 0
        self.opened = True
        self._forced = 0
        self._allowed = 0.0

    @property
    def allowed_share(self) -> float:
        """Mean share of choices that were allowed."""
        return self._allowed / max(self.steps, 1)

    @property
    def forced_share(self) -> float:
        """Share of steps with exactly one possible action."""
        return self._forced / max(self.steps, 1)

    def require_choice(
        self, obs: Mapping[str, np.ndarray], active: np.ndarray, length: np.ndarray
    ) -> None:
        """Refuse states in which a head may choose nothing, before the policy is asked.

        Which heads of a tree count is known only once they have chosen; `add` looks there.

        Args:
            obs: Batched observation.
            active: bool `[B]`, sub-environments that are looked at.
            length: int64 `[B]`, steps taken in the episode.

        Raises:
            NoAllowedActionError: There is such a state, and heads do not idle.
        """
        if self.idles or FLAT_MASK not in obs or isinstance(self.heads, ActionTree):
            return
        keep = flat_mask(obs, self.heads, active.shape)
        empty = ~np.logical_or.reduceat(keep, starts_of(self.heads), axis=-1)
        self._refuse(empty & active[:, None], length)

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
            actions: `[B]` or `[B, ...]`, one number per head.
            active: bool `[B]`, sub-environments that count.
            length: int64 `[B]`, steps taken in the episode before this one.

        Returns:
            Whether each action, active or not, was against its mask: int64 `[B]`.

        Raises:
            NoAllowedActionError: A head of a tree counted and could choose nothing, and heads
                do not idle.
        """
        steps = int(active.sum())
        self.steps += steps
        masks = {key: obs[key] for key in obs if key.partition(":")[0] == FLAT_MASK}
        self.opened = all(bool(mask.all()) for mask in masks.values())
        if not masks:
            self._allowed += steps
            return np.zeros(len(active), np.int64)
        seen = choices_of(actions.reshape(len(actions), -1), masks, self.heads)
        if not self.idles:
            self._refuse(seen.empty & active[:, None], length)
        self._allowed += float(seen.allowed_share[active].sum())
        self._forced += int(seen.forced[active].sum())
        self.illegal += int(seen.illegal[active].sum())
        return seen.illegal.astype(np.int64)

    def _refuse(self, stuck: np.ndarray, length: np.ndarray) -> None:
        if not stuck.any():
            return
        env, head = np.argwhere(stuck)[0].tolist()
        of_head = f" for {self.names[head]}" if self.names else ""
        raise NoAllowedActionError(
            f"evaluate: environment {self.env_id!r} allows no action{of_head} in sub-environment "
            f"{env} at step {int(length[env])} of its episode: action_mask is all False"
            f"{' there' if of_head else ''}. End the episode there, or train with empty='idle' if "
            "such a step means that no decision is taken."
        )


def _head_names(description: EnvDescription) -> tuple[str, ...]:
    """What messages call the heads; nothing where there is only one."""
    if description.action_tree is not None:
        return tuple(f"head {name!r}" for name in description.action_tree.names)
    if description.action_kind == "multi_binary":
        return tuple(f"bit {k}" for k in range(len(description.nvec)))
    if description.action_kind == "multi_discrete":
        return tuple(f"head {k}" for k in range(len(description.nvec)))
    return ()
