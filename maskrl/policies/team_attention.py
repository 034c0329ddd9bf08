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

from maskrl.networks.team_scene import SceneTeam
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
    seen = actor.read(policy.normalized(obs))
    return actor.attended(seen, acting.members).float().cpu().numpy()
