"""Whom the agents of a team attend to, read from their policy as it acts.

Each agent has a view of its own, a small scene of what it sees. The weights of the last
layer are put back where the entities stand in the scene that all share: what an agent does
not see gets exactly 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskrl.attention.record import record_attention
from maskrl.networks.team_scene import SceneTeam
from maskrl.networks.team_views import views_of
from maskrl.policies.acting import Acting


@torch.no_grad()
def agents_attention(policy: Any, obs: Mapping[str, Tensor], acting: Acting) -> np.ndarray | None:
    """Attention of the M agents that act over the E entities of their scenes.

    In a pass of its own: layers that write down their maps compute in another order, and the
    actions are those of the policy as it plays, to the bit.

    Args:
        policy: Whose `actor` is a `SceneTeam`; of others nothing is read.
        obs: Per key `[B, ...]`.
        acting: Who acts in it.

    Returns:
        float32 `[heads, M, E]`, the last layer's; each row sums to 1. None without attention.
    """
    actor = getattr(policy, "actor", None)
    if not isinstance(actor, SceneTeam):
        return None
    entity_mask = obs["entity_mask"]
    rows, entities = len(acting), entity_mask.shape[-1]
    heads = actor.encoder.blocks[-1].attention.heads
    out = torch.zeros(heads, rows, entities, device=entity_mask.device)
    if not rows:
        return out.cpu().numpy()
    with record_attention(actor.encoder.blocks[-1]) as maps:
        policy.logits(obs, acting)
    if "visibility" not in actor.reads:
        (weights,) = maps  # [B, heads, N, E], every agent a query of the scene that all see
        return weights[acting.row, :, acting.slot].transpose(0, 1).float().cpu().numpy()
    seen = obs["visibility"][acting.row, acting.slot] & entity_mask[acting.row]
    everyone = torch.arange(rows, device=entity_mask.device)
    for weights, views in zip(maps, views_of(seen, acting.slot), strict=True):
        which = everyone if views.which is None else views.which
        own = torch.where(views.present, weights[:, :, 0].transpose(0, 1), 0.0).float()
        # Padding repeats the observer with weight 0, so that sums leave everybody's as it is.
        index = views.index.expand(heads, -1, -1)
        out[:, which] = out[:, which].scatter_add(2, index, own)
    return out.cpu().numpy()
