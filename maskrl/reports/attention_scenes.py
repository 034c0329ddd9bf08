"""Attention in the scenes `open` and `trees`, from live weights, with and without mask.

The encoder of the acting network reads each scene three times: with no mask but
padding, under everybody's own sight, and under the panda's view, which is what
the policy acts on. All rows are computed, not the panda's alone, so that a map
shows who attends to whom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.attention import EntityEncoder, record_attention
from maskrl.attention.permission import permission_for
from maskrl.attention.visibility import observer_view
from maskrl.envs.contract import OBSERVER_INDEX
from maskrl.envs.registry import find_entry, make, parse_env_id
from maskrl.policies.predict import obs_to_tensors

SCENES = ("open", "trees")
PANDAS = ("panda", "panda-open", "panda-trees")


@dataclass(frozen=True)
class AttentionView:
    """Attention of one scene under one mask.

    Attributes:
        weights: float64 [L, K, E, E], layer, head, who looks, who is looked at.
        permitted: bool [L, E, E], True = may attend.
    """

    weights: np.ndarray
    permitted: np.ndarray


@dataclass(frozen=True)
class SceneMaps:
    """Attention of one scene with and without mask; E entities, padding left out.

    Attributes:
        scene: "open" or "trees".
        names: of the E entities, the panda first.
        picture: uint8 [h, w, 3].
        unmasked: everybody attends to everybody.
        sight: everybody attends to whom it sees.
        observer: the scene as the panda knows it, which is what its policy acts on.
    """

    scene: str
    names: tuple[str, ...]
    picture: np.ndarray
    unmasked: AttentionView
    sight: AttentionView
    observer: AttentionView


def scene_maps(
    policy: nn.Module, env_id: str, env_kwargs: Mapping[str, Any]
) -> tuple[SceneMaps, ...]:
    """Attention maps of both scenes.

    Args:
        policy: a trained policy.
        env_id: what it was trained on.
        env_kwargs: with these arguments.

    Returns:
        One per scene; empty unless the run is a panda's and the network attends.

    Raises:
        MaskrlError: the scenes cannot be made as this policy reads them.
    """
    encoder = entity_encoder(policy)
    if parse_env_id(env_id)[0] not in PANDAS or encoder is None:
        return ()
    kwargs = find_entry(env_id).kwargs_for("evaluation", **env_kwargs)
    kept: dict[str, Any] = {
        name: kwargs[name] for name in ("features", "step_limit") if name in kwargs
    }
    return tuple(_scene(policy, encoder, scene, kept) for scene in SCENES)


def entity_encoder(policy: nn.Module) -> EntityEncoder | None:
    """The encoder of entities that the policy acts by, None if it has none."""
    acting = getattr(policy, "actor", policy)
    return next((part for part in acting.modules() if isinstance(part, EntityEncoder)), None)


def _scene(
    policy: nn.Module, encoder: EntityEncoder, scene: str, kwargs: Mapping[str, Any]
) -> SceneMaps:
    """Play one reset of a scene and read it three times."""
    env: Any = make("panda", **kwargs, preset=scene, sight="trees", render_mode="rgb_array")
    try:
        obs, _ = env.reset(seed=0)
        picture = np.asarray(env.render(), dtype=np.uint8)
        names = env.get_wrapper_attr("entity_names")
    finally:
        env.close()
    used = np.flatnonzero(obs["entity_mask"])
    device = next(encoder.parameters()).device
    batch: Mapping[str, Tensor] = obs_to_tensors(
        {key: np.asarray(value)[None] for key, value in obs.items()}, device
    )
    normalizer = getattr(policy, "normalizer", None)
    if normalizer is not None:
        batch = normalizer(batch)
    entities = batch["entities"][:, used]
    sight = batch["visibility"][:, used][:, :, used]
    return SceneMaps(
        scene=scene,
        names=tuple(names[k] or f"entity {k}" for k in used),
        picture=picture,
        unmasked=attention_view(encoder, entities, None),
        sight=attention_view(encoder, entities, sight),
        observer=attention_view(encoder, entities, observer_view(sight, OBSERVER_INDEX)),
    )


@torch.no_grad()
def attention_view(
    encoder: EntityEncoder, entities: Tensor, visibility: Tensor | None
) -> AttentionView:
    """The attention of all entities of one scene.

    Args:
        encoder: any.
        entities: [1, E, F], no padding.
        visibility: bool [1, E, E], True = may attend; None: everybody to everybody.

    Returns:
        Maps of the encoder's layers; a pooling's own attention is left out.
    """
    permission, _ = permission_for("attention_view", entities, None, visibility)
    with record_attention(encoder.blocks) as maps:
        # Without an index every row of every layer is computed, whatever the pooling.
        encoder.encode(entities, permission, None)
    later = permission.depth_safe() if encoder.depth_safe else permission
    size = entities.shape[-2]
    layers = [permission] + [later] * (len(maps) - 1)
    permitted = [layer.effective(entities).expand(1, size, size)[0] for layer in layers]
    return AttentionView(
        weights=np.stack([m[0].double().cpu().numpy() for m in maps]),
        permitted=np.stack([p.cpu().numpy() for p in permitted]),
    )
