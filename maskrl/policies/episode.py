"""One episode of a policy, recorded for people who want to look at it.

Each step keeps what was seen (a picture or text), what was allowed, what the network
preferred before and after the mask, what was done, and who attended to whom; for actions
with several heads, head by head. Reports and the terminal viewer draw from this and play
nothing themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from maskrl.envs.contract import EnvDescription, describe_env
from maskrl.envs.registry import find_entry
from maskrl.errors import ConfigError
from maskrl.masks.heads import choices_of, masks_along
from maskrl.masks.tree import FLAT_MASK
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.decision_rows import as_rows, decision_rows
from maskrl.policies.episode_pictures import (
    PictureKind,
    action_names,
    entity_names,
    entity_places,
    env_attribute,
    make_drawing,
    picture,
)
from maskrl.policies.head_view import HeadLabels, HeadView, label_heads, split_heads
from maskrl.policies.playing import Player, in_evaluation_mode
from maskrl.policies.predict import obs_to_tensors
from maskrl.policies.q_policy import QPolicy
from maskrl.policies.team_episode import TeamEpisode, play_team
from maskrl.runs.seeding import Seeds


@dataclass(frozen=True)
class EpisodeStep:
    """One decision: the state it was taken in, and what followed.

    Attributes:
        frame: Picture before the action: uint8 `[h, w, 3]`, or None.
        text: Picture as terminal text before the action, or None.
        observation: What the policy was given, unbatched.
        action: What was done: a number, or int64 `[K]` for several heads.
        action_mask: bool `[A]`, None where the environment has no action mask. Of several
            heads one row after the other (A = sum of their sizes), each as it was after the
            choices before it; of a bit "may be 0", "may be 1".
        logits: float32 `[A]`, before the mask, laid out likewise. Of a policy of one's own with
            memory, which has no other way to tell them, after it.
        probs: float32 `[A]`, after it: exactly 0 where disallowed.
        value: What the value network expected.
        reward: What the action brought.
        entity_names: What is in each entity slot (None: nothing), or None without entities.
        entity_mask: bool `[E]`, or None.
        entity_places: Where each entity slot stands in the picture, x and y in widths of the
            picture from its top left corner (None: nowhere), or None where the environment has
            no attribute `entity_places`.
        visibility: bool `[E, E]`, or None.
        attention: Per layer of the acting network `[heads, Q, E]`; the last layer may have
            the observer's row only. Empty without attention.
        relevant: bool `[K]`, which heads of a tree count in the action; None: all do.
        illegal: Whether a head that counts chose what its mask disallowed.
        q_values: float32 `[A]`, what each action is worth, of a policy that knows; None of others.
            Of disallowed actions it says nothing that was ever learned.
    """

    frame: np.ndarray | None
    text: str | None
    observation: dict[str, np.ndarray]
    action: int | np.ndarray
    action_mask: np.ndarray | None
    logits: np.ndarray
    probs: np.ndarray
    value: float
    reward: float
    entity_names: tuple[str | None, ...] | None = None
    entity_mask: np.ndarray | None = None
    visibility: np.ndarray | None = None
    attention: tuple[np.ndarray, ...] = ()
    relevant: np.ndarray | None = None
    illegal: bool = False
    entity_places: tuple[tuple[float, float] | None, ...] | None = None
    q_values: np.ndarray | None = None


@dataclass(frozen=True)
class EpisodeRecord:
    """A whole episode.

    Attributes:
        env: The environment's id.
        env_kwargs: Its arguments.
        seed: Of the environment's reset and of sampled actions.
        steps: The decisions, in order.
        final_frame: Picture after the last action, or None.
        final_text: Text after the last action, or None.
        terminated: It ended by its rules.
        truncated: It was cut off, by the environment or by `max_steps`.
        action_names: Name of each choice of all heads; "0", "1", ... where the environment
            has none.
        layout_id: Its layout, where the environment has such.
        action_kind: As in `maskrl.envs.contract.EnvDescription`.
        heads: Names of all heads and their choices; empty where an action is one number.
        stopped: It was not over: `max_steps` ended the record, and nothing else.
        by_value: The policy takes the allowed action of the largest Q-value; its probabilities
            are only a way to draw others.
    """

    env: str
    env_kwargs: dict[str, Any]
    seed: int
    steps: tuple[EpisodeStep, ...]
    final_frame: np.ndarray | None
    final_text: str | None
    terminated: bool
    truncated: bool
    action_names: tuple[str, ...]
    layout_id: int | None = None
    action_kind: str = "discrete"
    heads: tuple[HeadLabels, ...] = ()
    stopped: bool = False
    by_value: bool = False

    @property
    def total_reward(self) -> float:
        """Undiscounted return."""
        return float(sum(step.reward for step in self.steps))

    @property
    def illegal_actions(self) -> int:
        """Actions that their mask disallowed, where it allowed another."""
        return sum(step.illegal for step in self.steps)

    def head_views(self, step: EpisodeStep) -> tuple[HeadView, ...]:
        """The heads of one of the steps, one by one; one alone where an action is a number."""
        labels = self.heads or (HeadLabels("", self.action_names),)
        views = split_heads(
            labels, step.action, step.action_mask, step.logits, step.probs, step.relevant
        )
        if step.q_values is None or len(views) > 1:
            return views
        return (replace(views[0], q_values=step.q_values),)


def record_episode(
    policy: nn.Module,
    env_id: str,
    env_kwargs: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    deterministic: bool = True,
    max_steps: int = 500,
    pictures: PictureKind | None = "rgb_array",
) -> EpisodeRecord | TeamEpisode:
    """Let a policy play one episode and keep everything worth seeing.

    Args:
        policy: As `maskrl.policies.Policy`, `maskrl.policies.RecurrentPolicy` or, for a team,
            `maskrl.policies.TeamPolicy`; left as it was.
        env_id: In any form that `maskrl.make` takes.
        env_kwargs: Arguments of the environment, over those of its evaluation.
        seed: Of the environment and of sampled actions.
        deterministic: The most probable action, or a sample.
        max_steps: The episode is cut off after so many.
        pictures: What to draw: frames, or terminal text; the other where the environment
            cannot, and nothing where it can neither, or for None.

    Returns:
        An `EpisodeRecord`; of an environment with an `agent_mask` a `TeamEpisode`.

    Raises:
        ConfigError: `max_steps` is below 1, the environment cannot be made so, a policy with
            memory lacks what that takes, or a team's policy is for another team.
        NoAllowedActionError: A state allows no action.
    """
    if max_steps < 1:
        raise ConfigError(f"record_episode: max_steps must be at least 1, got {max_steps}")
    player = Player(policy, 1)
    entry = find_entry(env_id)
    kwargs = entry.kwargs_for("evaluation", **(env_kwargs or {}))
    env, drawn = make_drawing(env_id, kwargs, pictures)
    description = describe_env(env)
    device = next((p.device for p in policy.parameters()), torch.device("cpu"))
    generator = torch.Generator(device).manual_seed(Seeds(seed).integer("episode.actions"))
    if description.team is not None:
        with contextlib.closing(env), in_evaluation_mode(policy):
            return play_team(
                player,
                policy,
                env,
                description,
                env_id=env_id,
                env_kwargs=kwargs,
                drawn=drawn,
                seed=seed,
                deterministic=deterministic,
                max_steps=max_steps,
                generator=generator,
                action_names=action_names(env, entry.action_names),
            )
    player.require_team(None)
    steps: list[EpisodeStep] = []
    terminated = truncated = stopped = False
    with contextlib.closing(env), in_evaluation_mode(policy):
        obs, info = env.reset(seed=seed)
        layout_id = info.get("layout_id")
        while not (terminated or truncated):
            frame, text = picture(env, drawn)
            names, places = entity_names(env, obs), entity_places(env, obs)
            seen = {key: np.array(value) for key, value in obs.items()}
            choice = _decide(policy, player, description, seen, device, deterministic, generator)
            done = choice["action"]
            given = done if isinstance(done, int) else done.reshape(env.action_space.shape)
            obs, reward, terminated, truncated, info = env.step(given)
            steps.append(
                EpisodeStep(
                    frame=frame,
                    text=text,
                    observation=seen,
                    reward=float(reward),
                    entity_names=names,
                    entity_places=places,
                    entity_mask=seen.get("entity_mask"),
                    visibility=seen.get("visibility"),
                    **choice,
                )
            )
            stopped = not (terminated or truncated) and len(steps) >= max_steps
            truncated = bool(truncated) or stopped
        final_frame, final_text = picture(env, drawn)
        heads = label_heads(
            description,
            action_names(env, entry.action_names),
            env_attribute(env, "action_head_names"),
        )
    return EpisodeRecord(
        env=env_id,
        env_kwargs=kwargs,
        seed=seed,
        steps=tuple(steps),
        final_frame=final_frame,
        final_text=final_text,
        terminated=bool(terminated),
        truncated=bool(truncated),
        action_names=tuple(name for head in heads for name in head.choices),
        layout_id=None if layout_id is None else int(layout_id),
        action_kind=description.action_kind,
        heads=heads if description.action_kind != "discrete" else (),
        stopped=stopped,
        by_value=isinstance(policy, QPolicy),
    )


@torch.no_grad()
def _decide(
    policy: nn.Module,
    player: Player,
    description: EnvDescription,
    seen: dict[str, np.ndarray],
    device: torch.device,
    deterministic: bool,
    generator: torch.Generator,
) -> dict[str, Any]:
    """Action, masks, logits, probs, value and attention for one observation."""
    batch = obs_to_tensors({key: value[None] for key, value in seen.items()}, device)
    maps = _attention(policy, player, batch)
    with _outputs(policy) as outputs:
        distribution, value = player.distribution_and_value(batch)
    chosen = distribution.mode if deterministic else distribution.sample(generator=generator)
    if not player.remembers and hasattr(policy, "logits"):
        raw = policy.logits(batch)  # type: ignore[operator]
    else:
        raw = outputs[0] if player.remembers and outputs else distribution.logits
    action = chosen[0].cpu().numpy()
    row = action.reshape(-1)
    masks = {key: seen[key] for key in seen if key.partition(":")[0] == FLAT_MASK}
    along = masks_along(row, masks, description.heads)
    judged = choices_of(row, masks, description.heads)
    logits, probs = decision_rows(
        description.heads,
        distribution,
        as_rows(raw),
        along[None],
        chosen,
        binary=description.action_kind == "multi_binary",
    )
    return {
        "action": int(action) if action.ndim == 0 else action,
        "action_mask": along.copy() if masks else None,
        "logits": logits[0].astype(np.float32),
        "probs": probs[0].astype(np.float32),
        "value": float(value()[0]),
        "attention": maps,
        "relevant": None if description.action_tree is None else judged.relevant,
        "illegal": bool(judged.illegal) and bool(masks),
        "q_values": _q_values(policy, batch),
    }


def _q_values(policy: nn.Module, batch: dict[str, torch.Tensor]) -> np.ndarray | None:
    """What each action is worth, float32 `[A]`; None of a policy that does not know.

    One of one's own tells by a method `values(obs)` to `[B, A]`, as `QPolicy` does.
    """
    tell = getattr(policy, "values", None)
    if not callable(tell):
        return None
    values: torch.Tensor = tell(batch)
    return values[0].float().cpu().numpy()


@contextlib.contextmanager
def _outputs(policy: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect what the policy's head gives inside the block: logits `[1, A]` before any mask."""
    heard: list[torch.Tensor] = []
    head = policy.policy_head if isinstance(policy, ActorCritic) else None
    if head is None:
        yield heard
        return
    handle = head.register_forward_hook(lambda _, __, output: heard.append(output))
    try:
        yield heard
    finally:
        handle.remove()


def _attention(
    policy: nn.Module, player: Player, batch: dict[str, torch.Tensor]
) -> tuple[np.ndarray, ...]:
    """`[heads, Q, E]` of every attention layer that the action comes from.

    In a pass of its own: layers that write down their maps compute in another order, and the
    action, its probabilities and the value are those of the policy as it plays, to the bit.
    Of who decides and judges in one call the actor's first pass alone is taken: the same layers
    may run again for the value, which sees other things.
    """
    from maskrl.attention.entity_attention import EntityAttention
    from maskrl.attention.record import record_attention

    actor = getattr(policy, "actor", None) if player.remembers else None
    acting = actor if isinstance(actor, nn.Module) else policy
    if not any(isinstance(layer, EntityAttention) for layer in acting.modules()):
        return ()
    ends: list[int] = []
    with record_attention(acting) as maps:
        handle = acting.register_forward_hook(lambda *_: ends.append(len(maps)))
        try:
            player.look(batch)
        finally:
            handle.remove()
    taken = maps[: ends[0]] if player.remembers and ends else maps
    return tuple(weights[0].float().cpu().numpy() for weights in taken)
