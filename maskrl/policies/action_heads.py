"""From the description of an action space to what a policy needs for it.

How many logits a network must give, how they lie in a row, which distribution they and
the observation's masks make, and how much probability the network would waste without
the masks. A discrete action and a choice of a candidate have one head; the heads of
MultiDiscrete, MultiBinary and trees lie one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from maskrl.distributions import (
    ConditionalCategorical,
    MaskedBernoulli,
    MaskedCategorical,
    MaskedMultiCategorical,
    PointerCategorical,
)
from maskrl.envs.contract import EnvDescription
from maskrl.errors import ConfigError
from maskrl.masks.packed import PackedMask
from maskrl.masks.tree import FLAT_MASK, ActionTree

ActionDistribution = (
    MaskedCategorical
    | MaskedMultiCategorical
    | MaskedBernoulli
    | ConditionalCategorical
    | PointerCategorical
)
"""What a policy may give: any of these, if its actions have the shape of the space's."""


class ActionHeads:
    """The heads of an action: logits in, distribution out.

    Args:
        description: Of the environment.

    Attributes:
        n_logits: Numbers that a network gives for one action: n; sum(nvec); one per bit; or
            `tree.logits_size`, head after head, a table of logits row after row.
        event_shape: Shape of one action: () or (K,).
    """

    def __init__(self, description: EnvDescription) -> None:
        self.kind = description.action_kind
        self.nvec = description.nvec
        self.tree = description.action_tree
        self.n_logits = description.n_actions
        if self.kind == "multi_binary":
            self.n_logits = len(self.nvec)
        if self.tree is not None:
            self.n_logits = self.tree.logits_size
        self.event_shape = () if description.is_single_choice else (len(self.nvec),)

    def require_idle_action(self, idle_action: int) -> None:
        """Refuse an idle action that some head does not have.

        Raises:
            ConfigError: It is out of range.
        """
        if 0 <= idle_action < min(self.nvec):
            return
        if self.event_shape:
            raise ConfigError(
                f"idle_action: {idle_action} is not a choice of every head; they have "
                f"{list(self.nvec)} choices"
            )
        raise ConfigError(f"idle_action: {idle_action} is not one of the {self.nvec[0]} actions")

    def distribution(
        self,
        logits: Tensor,
        obs: Mapping[str, Tensor],
        *,
        empty: Literal["raise", "idle"] = "raise",
        idle_action: int = 0,
        validate_args: bool | None = None,
    ) -> ActionDistribution:
        """The distribution of logits `[B, n_logits]` under the masks of an observation.

        Args:
            logits: As of the network.
            obs: Dict with `action_mask`, which may be packed for actions that are not a tree's,
                and the tables of a tree, where there are such.
            empty: What a head that allows nothing means.
            idle_action: The choice of an idle head.
            validate_args: Whether to look at values; None means where that is possible.
        """
        mask = obs.get(FLAT_MASK)
        if self.tree is not None:
            return ConditionalCategorical(
                self.tree,
                logits,
                mask,
                head_masks=tables(self.tree, obs),
                empty=empty,
                idle_action=idle_action,
                validate_args=validate_args,
            )
        if self.kind == "multi_discrete":
            return MaskedMultiCategorical(
                logits,
                self.nvec,
                mask,
                empty=empty,
                idle_action=idle_action,
                validate_args=validate_args,
            )
        kind = MaskedBernoulli if self.kind == "multi_binary" else MaskedCategorical
        return kind(logits, mask, empty=empty, idle_action=idle_action, validate_args=validate_args)

    def opened(self, obs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The observation as a network that knows of no mask would score it.

        Heads that may choose something may choose anything. One that may choose nothing still
        takes no decision: it was not asked, and has nothing to learn from its answer.

        Args:
            obs: Dict with the masks `[B, ...]`, packed or not, which are left as they are.

        Raises:
            ConfigError: The action is a choice of a candidate, some of which are padding.
        """
        if self.kind == "candidates":
            raise ConfigError(
                "opened: candidates have no answer without their mask, for it also says which "
                "places of the set hold nothing"
            )
        mask = obs.get(FLAT_MASK)
        if mask is None:
            return dict(obs)
        if isinstance(mask, PackedMask):
            mask = mask.unpack()
        rows = list(mask.reshape(len(mask), -1).split(list(self.nvec), -1))
        seen = dict(obs)
        if self.tree is not None:
            for name, table in tables(self.tree, obs).items():
                place = self.tree.position(name)
                # A row of the table and the flat mask allow a choice together.
                together = table & rows[place].unsqueeze(-2)
                seen[f"{FLAT_MASK}:{name}"] = together.any(-1, keepdim=True).expand_as(table)
                rows[place] = torch.ones_like(rows[place])
        rows = [row.any(-1, keepdim=True).expand_as(row) for row in rows]
        seen[FLAT_MASK] = torch.cat(rows, -1).reshape(mask.shape)
        return seen

    def disallowed_mass(self, logits: Tensor, obs: Mapping[str, Tensor], actions: Tensor) -> Tensor:
        """Probability that the network without masks puts on what they disallow: `[B]`.

        The mean over the heads that have a choice; of a tree over those that count in the
        action taken, each after the choices before it.

        Args:
            logits: `[B, n_logits]`.
            obs: Dict with the masks, the flat one packed or not.
            actions: `[B, *event_shape]`, those taken.

        Empty rows:
            A head that allows nothing is left out; 0 where all heads are such.
        """
        mask = obs.get(FLAT_MASK)
        if mask is None:
            return torch.zeros(len(logits), device=logits.device)
        if isinstance(mask, PackedMask):
            mask = mask.unpack()
        if not self.event_shape:
            return mass_outside(logits, mask)
        flat = mask.reshape(len(logits), -1).split(list(self.nvec), -1)
        if self.kind == "multi_binary":
            pairs = torch.stack([torch.zeros_like(logits), logits], -1)
            bits = torch.stack(flat, -2)
            return _mean_of_heads(mass_outside(pairs, bits), bits.any(-1))
        if self.tree is None:
            heads = zip(logits.split(list(self.nvec), -1), flat, strict=True)
            each = torch.stack([mass_outside(own, row) for own, row in heads], -1)
            return _mean_of_heads(each, torch.stack([row.any(-1) for row in flat], -1))
        masses, decides = [], []
        parts = logits.split([math.prod(shape) for shape in self.tree.logits_shapes], -1)
        by_head = tables(self.tree, obs)
        counts = torch.from_numpy(self.tree.relevant(actions.cpu().numpy())).to(logits.device)
        actions = torch.where(counts, actions, 0)  # what tables go by
        for head, shape, own, row in zip(
            self.tree.heads, self.tree.logits_shapes, parts, flat, strict=True
        ):
            if head.logits_by is not None:
                own = _row_of(own.unflatten(-1, shape), self.tree, head.logits_by, actions)
            if head.mask_by is not None:
                row = row & _row_of(by_head[head.name], self.tree, head.mask_by, actions)
            masses.append(mass_outside(own, row))
            decides.append(row.any(-1))
        return _mean_of_heads(torch.stack(masses, -1), counts & torch.stack(decides, -1))


def tables(tree: ActionTree, obs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tables of masks `[B, size of the head it goes by, size]` of a tree, by head."""
    return {
        head.name: obs[f"{FLAT_MASK}:{head.name}"]
        for head in tree.heads
        if head.mask_by is not None
    }


def _row_of(table: Tensor, tree: ActionTree, by: str, actions: Tensor) -> Tensor:
    """The rows `[B, n]` of tables `[B, P, n]` that the choices of an earlier head select."""
    chosen = actions[:, tree.position(by)].view(-1, 1, 1).expand(-1, 1, table.shape[-1])
    return table.gather(-2, chosen).squeeze(-2)


def _mean_of_heads(masses: Tensor, decides: Tensor) -> Tensor:
    """The mean `[B]` of masses `[B, K]` over the heads that decide, 0 where none does."""
    return torch.where(decides, masses, 0.0).sum(-1) / decides.sum(-1).clamp(min=1)


def mass_outside(logits: Tensor, action_mask: Tensor | PackedMask) -> Tensor:
    """Probability that a softmax of logits `[..., A]` puts on what a mask disallows: `[...]`."""
    if isinstance(action_mask, PackedMask):
        action_mask = action_mask.unpack()
    probabilities = logits.to(torch.float32).softmax(-1)
    return torch.where(action_mask, 0.0, probabilities).sum(-1)
