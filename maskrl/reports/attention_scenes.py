"""Attention in fixed scenes and in moments of episodes, from live weights.

The encoder of the acting network reads each scene three times: with no mask but
padding, under everybody's own sight, and under the observer's view, which is what
the policy acts on. All rows are computed, not the observer's alone, so that a map
shows who attends to whom. An encoder reads a scene by itself: what a policy with
memory remembers comes after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskrl.attention import EntityEncoder, depth_safe, record_attention
from maskrl.attention.visibility import observer_view
from maskrl.envs.contract import OBSERVER_INDEX
from maskrl.envs.registry import find_entry, make, parse_env_id
from maskrl.errors import ConfigError
from maskrl.policies.episode import EpisodeRecord, EpisodeStep
from maskrl.policies.predict import obs_to_tensors

SCENES = ("open", "trees")
FIXED = {"preset", "sight", "split", "width", "height"} | {
    f"{end}_{kind}"
    for end in ("min", "max")
    for kind in ("trees", "bananas", "scorpions", "dragons")
}
"""Settings of the panda's world that a fixed scene decides itself."""


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
        scene: Its id on a page.
        title: Its heading.
        names: Of the E entities, the observer first.
        picture: uint8 [h, w, 3], or None.
        places: float64 [E, 2], where they stand in widths of the picture from its top left
            corner, or None where the environment does not tell.
        unmasked: Everybody attends to everybody.
        sight: Everybody attends to whom it sees; None where nobody tells who sees whom.
        observer: The scene as the observer knows it, which is what its policy acts on; None
            likewise.
    """

    scene: str
    title: str
    names: tuple[str, ...]
    picture: np.ndarray | None
    places: np.ndarray | None
    unmasked: AttentionView
    sight: AttentionView | None
    observer: AttentionView | None


def scene_maps(
    policy: nn.Module,
    env_id: str,
    env_kwargs: Mapping[str, Any],
    episodes: Sequence[EpisodeRecord] = (),
) -> tuple[SceneMaps, ...]:
    """Attention maps of the panda's fixed scenes, or of moments of episodes in other worlds.

    Args:
        policy: a trained policy.
        env_id: what it was trained on.
        env_kwargs: with these arguments.
        episodes: that it played.

    Returns:
        One per scene; empty unless the network attends and reads one kind of entities, and
        where no episode has entities.

    Raises:
        MaskrlError: a scene cannot be read.
    """
    encoder = entity_encoder(policy)
    if encoder is None or encoder.relative_position is not None:
        return ()
    if not isinstance(encoder.in_features, int):
        return ()
    made: list[SceneMaps] = []
    if parse_env_id(env_id)[0].startswith("panda"):
        for scene in SCENES:
            step = _fixed_scene(env_id, env_kwargs, scene, encoder.in_features)
            if step is not None:
                made.append(step_maps(policy, encoder, step, scene, f"Scene {scene}"))
    if not made:
        for k, (number, step) in enumerate(_moments(episodes)):
            episode = episodes[number]
            place = next(i for i, other in enumerate(episode.steps) if other is step)
            title = f"Episode {number + 1}, step {place}"
            made.append(step_maps(policy, encoder, step, f"moment-{k + 1}", title))
    return tuple(made)


def entity_encoder(policy: nn.Module) -> EntityEncoder | None:
    """The encoder of entities that the policy acts by, None if it has none."""
    acting = getattr(policy, "actor", policy)
    return next((part for part in acting.modules() if isinstance(part, EntityEncoder)), None)


def _fixed_scene(
    env_id: str, env_kwargs: Mapping[str, Any], scene: str, features: int
) -> EpisodeStep | None:
    """The first moment of a fixed scene, None where this network could not read it.

    None too where its world has no scorpion or no dragon: the network never met one, and what it
    makes of them says nothing.
    """
    from maskrl.envs.games.panda.settings import PandaSettings

    known = {field.name for field in fields(PandaSettings)}
    kwargs = find_entry(env_id).kwargs_for("evaluation", **env_kwargs)
    if kwargs.get("max_scorpions", 1) == 0 or kwargs.get("max_dragons", 1) == 0:
        return None
    kept: dict[str, Any] = {name: kwargs[name] for name in (known - FIXED) & set(kwargs)}
    try:
        env: Any = make("panda", **kept, preset=scene, sight="trees", render_mode="rgb_array")
    except ConfigError:
        return None  # a setting of its world has no place in a fixed scene
    try:
        if env.observation_space["entities"].shape[-1] != features:
            return None
        obs, _ = env.reset(seed=0)
        return EpisodeStep(
            frame=np.asarray(env.render(), dtype=np.uint8),
            text=None,
            observation={key: np.asarray(value) for key, value in obs.items()},
            action=0,
            action_mask=None,
            logits=np.zeros(0, np.float32),
            probs=np.zeros(0, np.float32),
            value=0.0,
            reward=0.0,
            entity_names=tuple(env.get_wrapper_attr("entity_names")),
            entity_places=tuple(env.get_wrapper_attr("entity_places")),
            entity_mask=np.asarray(obs["entity_mask"]),
            visibility=np.asarray(obs["visibility"]),
        )
    finally:
        env.close()


def _moments(episodes: Sequence[EpisodeRecord]) -> Iterator[tuple[int, EpisodeStep]]:
    """The number of the episode, and the steps in which most is in sight and most is hidden."""
    steps = [
        (number, step)
        for number, episode in enumerate(episodes)
        for step in episode.steps
        if step.entity_mask is not None and step.entity_mask[OBSERVER_INDEX]
    ]
    if not steps:
        return

    def hidden(step: EpisodeStep) -> int:
        if step.visibility is None or step.entity_mask is None:
            return 0
        return int((step.entity_mask & ~step.visibility[OBSERVER_INDEX]).sum())

    def seen(step: EpisodeStep) -> int:
        return (
            -hidden(step)
            if step.entity_mask is None
            else int(step.entity_mask.sum()) - hidden(step)
        )

    clear = max(steps, key=lambda moment: seen(moment[1]))
    dark = max(steps, key=lambda moment: hidden(moment[1]))
    yield clear
    if dark[1] is not clear[1] and hidden(dark[1]) > hidden(clear[1]):
        yield dark


@torch.no_grad()
def step_maps(
    policy: nn.Module, encoder: EntityEncoder, step: EpisodeStep, scene: str, title: str
) -> SceneMaps:
    """Read the moment before a decision three times.

    Args:
        policy: For the statistics that it normalises observations with.
        encoder: Its encoder.
        step: With entities.
        scene: The id to give.
        title: The heading to give.
    """
    if step.entity_mask is None or step.entity_names is None:
        raise ConfigError("step_maps: the step has no entities; expected entity_mask and names")
    used = np.flatnonzero(step.entity_mask)
    device = next(encoder.parameters()).device
    batch: Mapping[str, Tensor] = obs_to_tensors(
        {key: np.asarray(value)[None] for key, value in step.observation.items()}, device
    )
    normalizer = getattr(policy, "normalizer", None)
    if normalizer is not None:
        batch = normalizer(batch)
    entities = batch["entities"][:, used]
    sight = observer = None
    if step.visibility is not None:
        sees = batch["visibility"][:, used][:, :, used]
        sight = attention_view(encoder, entities, sees)
        observer = attention_view(encoder, entities, observer_view(sees, OBSERVER_INDEX))
    places = None
    if step.entity_places is not None:
        found = [step.entity_places[k] for k in used]
        if all(place is not None for place in found):
            places = np.array(found, dtype=np.float64).reshape(-1, 2)
    return SceneMaps(
        scene=scene,
        title=title,
        names=tuple(step.entity_names[k] or f"entity {k}" for k in used),
        picture=step.frame,
        places=places,
        unmasked=attention_view(encoder, entities, None),
        sight=sight,
        observer=observer,
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
    size = entities.shape[-2]
    everybody = torch.arange(size, device=entities.device)[None]
    asked = {"queries" if encoder.pool is None else "observer": everybody}
    was_training = encoder.training
    encoder.eval()
    try:
        with record_attention(encoder.blocks) as maps:
            encoder(entities, None, visibility, **asked)
    finally:
        encoder.train(was_training)
    first = torch.ones(1, size, size, dtype=torch.bool)
    if visibility is not None:
        first = visibility.cpu() | torch.eye(size, dtype=torch.bool)
    later = depth_safe(first) if encoder.depth_safe else first
    return AttentionView(
        weights=np.stack([m[0].double().cpu().numpy() for m in maps]),
        permitted=np.stack([(later if layer else first)[0].numpy() for layer in range(len(maps))]),
    )
