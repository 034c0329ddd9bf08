"""One episode of a team, recorded for people who want to look at it.

Each step keeps the picture, who acted, who was alive, and for every agent that acted: where
it stands, what it could do, what the network preferred before and after its mask, what it
did and what it expected; in scenes also what it saw and whom it attended to. Observations
are not kept, so that an episode of 64 agents fits into a few megabytes beside its pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from maskrl.distributions import GridwiseCategorical
from maskrl.distributions.gridwise.choices import log_legal_actions
from maskrl.envs.acting_rows import ActingRows, alive_agents
from maskrl.envs.contract import EnvDescription
from maskrl.envs.entries import AGENT_CELLS
from maskrl.envs.outcomes import OUTCOME
from maskrl.envs.teams import TeamDescription
from maskrl.errors import ConfigError, MaskError
from maskrl.masks.heads import choices_of, masks_along
from maskrl.policies.acting import Acting
from maskrl.policies.decision_rows import as_rows, decision_rows
from maskrl.policies.episode_pictures import (
    PictureKind,
    entity_names,
    entity_places,
    env_attribute,
    picture,
)
from maskrl.policies.head_view import HeadLabels, HeadView, label_heads, split_heads
from maskrl.policies.playing import Player
from maskrl.policies.predict import obs_to_tensors
from maskrl.policies.team_attention import agents_attention

HEADS_TOGETHER = 16_384
"""Numbers of attention at a step beyond which only the mean over its heads is kept."""


@dataclass(frozen=True)
class TeamStep:
    """One moment of a team: M agents act, each by a decision of its own.

    Attributes:
        frame: Picture before the actions: uint8 `[h, w, 3]`, or None.
        text: Picture as terminal text before the actions, or None.
        agent_mask: bool `[N]` or `[H, W]`, who acts.
        alive: bool `[N]`; None where agents have no identity.
        slot: int64 `[M]`, which agents act; -1 where they have no identity.
        place: int64 `[M]`, their slots, or cells row * W + column.
        at: float32 `[M, 2]`, where they stand in the picture, x and y in its widths from its top
            left corner; None where the environment does not tell.
        waiting: int64 `[W]`, slots of agents that are alive and do not act.
        waiting_at: float32 `[W, 2]`, where those stand, or None.
        actions: int64 `[M, K]`.
        action_mask: bool `[M, A]`, what each could do, head after head, each as it was after
            the choices before it; None where the environment has no action mask.
        logits: float32 `[M, A]`, before the mask.
        probs: float32 `[M, A]`, after it: exactly 0 where disallowed.
        entropy: float32 `[M]`, in nats; NaN where it is too large a sum.
        undecided: float32 `[M]`, entropy by the log of the number of allowed actions, in [0, 1].
        value: Of the team a number, or of each agent float64 `[N]`, NaN where it is not there.
        reward: Of the team.
        agent_rewards: float64 `[N]`, or None where agents have none of their own.
        relevant: bool `[M, K]`, which heads of a tree count; None: all do.
        illegal: bool `[M]`, which actions their masks disallowed.
        entity_names: What is in each entity slot of a scene (None: nothing), or None.
        entity_mask: bool `[E]`, or None.
        entity_places: Where the entities stand, as `at`; None for nowhere, and where nobody tells.
        sees: bool `[M, E]`, what each agent that acts may look at; None where it is all there is.
        attention: float16 `[heads, M, E]`, of the last layer, what each agent that acts pays to
            each entity; one head, their mean, for large teams; None without attention.
    """

    frame: np.ndarray | None
    text: str | None
    agent_mask: np.ndarray
    alive: np.ndarray | None
    slot: np.ndarray
    place: np.ndarray
    at: np.ndarray | None
    waiting: np.ndarray
    waiting_at: np.ndarray | None
    actions: np.ndarray
    action_mask: np.ndarray | None
    logits: np.ndarray
    probs: np.ndarray
    entropy: np.ndarray
    undecided: np.ndarray
    value: float | np.ndarray
    reward: float
    agent_rewards: np.ndarray | None = None
    relevant: np.ndarray | None = None
    illegal: np.ndarray | None = None
    entity_names: tuple[str | None, ...] | None = None
    entity_mask: np.ndarray | None = None
    entity_places: tuple[tuple[float, float] | None, ...] | None = None
    sees: np.ndarray | None = None
    attention: np.ndarray | None = None

    def __len__(self) -> int:
        """How many agents act: M."""
        return len(self.place)

    def value_of(self, agent: int) -> float:
        """What one of the M agents expects, or its team where the value is the team's."""
        if isinstance(self.value, float):
            return self.value
        return float(self.value[self.slot[agent]])


@dataclass(frozen=True)
class TeamEpisode:
    """A whole episode of a team.

    Attributes:
        env: The environment's id.
        env_kwargs: Its arguments.
        seed: Of the environment's reset and of sampled actions.
        team: What its spaces say.
        steps: The moments, in order.
        final_frame: Picture after the last actions, or None.
        final_text: Text after the last actions, or None.
        final_alive: bool `[N]` after the last actions, or None.
        terminated: It ended by its rules.
        truncated: It was cut off, by the environment or by `max_steps`.
        heads: Names of the heads of one agent's action and their choices.
        agent_names: N names; empty where agents have no identity.
        critic: Whose value is recorded: "team" or "agent".
        layout_id: Its layout, where the environment has such.
        outcome: 1 won, 0 drawn, -1 lost; None where it was not told.
        stopped: It was not over: `max_steps` ended the record, and nothing else.
    """

    env: str
    env_kwargs: dict[str, Any]
    seed: int
    team: TeamDescription
    steps: tuple[TeamStep, ...]
    final_frame: np.ndarray | None
    final_text: str | None
    final_alive: np.ndarray | None
    terminated: bool
    truncated: bool
    heads: tuple[HeadLabels, ...]
    agent_names: tuple[str, ...]
    critic: str
    layout_id: int | None = None
    outcome: float | None = None
    stopped: bool = False

    @property
    def total_reward(self) -> float:
        """Undiscounted return of the team."""
        return float(sum(step.reward for step in self.steps))

    @property
    def illegal_actions(self) -> int:
        """Actions of agents that their mask disallowed, where it allowed another."""
        return sum(int(step.illegal.sum()) for step in self.steps if step.illegal is not None)

    @property
    def last_deaths(self) -> int:
        """Agents that were alive before the last actions and not after them.

        An environment whose game is over may take everybody out.
        """
        before = self.steps[-1].alive if self.steps else None
        if before is None or self.final_alive is None:
            return 0
        return int((before & ~self.final_alive).sum())

    @property
    def agent_steps(self) -> int:
        """Decisions of agents."""
        return sum(len(step) for step in self.steps)

    def name_of(self, step: TeamStep, agent: int) -> str:
        """What to call one of the M agents of a step: by its name, or by its cell."""
        slot = int(step.slot[agent])
        if slot >= 0 and self.agent_names:
            return self.agent_names[slot]
        width = (self.team.grid_shape or (1, 1))[1]
        row, column = divmod(int(step.place[agent]), width)
        return f"unit at row {row}, column {column}"

    def head_views(self, step: TeamStep, agent: int) -> tuple[HeadView, ...]:
        """The heads of the decision of one of the M agents of a step, one by one."""
        return split_heads(
            self.heads,
            step.actions[agent],
            None if step.action_mask is None else step.action_mask[agent],
            step.logits[agent],
            step.probs[agent],
            None if step.relevant is None else step.relevant[agent],
        )


def play_team(
    player: Player,
    policy: nn.Module,
    env: Any,
    description: EnvDescription,
    *,
    env_id: str,
    env_kwargs: dict[str, Any],
    drawn: PictureKind | None,
    seed: int,
    deterministic: bool,
    max_steps: int,
    generator: torch.Generator,
    action_names: Any,
) -> TeamEpisode:
    """Let a team play one episode; `record_episode` is what to call.

    Args:
        player: Of the policy, one row.
        policy: As `maskrl.policies.TeamPolicy`, in evaluation mode.
        env: A single environment.
        description: Of it.
        env_id: What it is called.
        env_kwargs: What it was made with.
        drawn: In which mode it draws.
        seed: Of its reset.
        deterministic: The most probable actions, or samples.
        max_steps: The episode is cut off after so many.
        generator: Of the samples.
        action_names: What the environment calls the actions of one agent, or None.

    Raises:
        ConfigError: The policy is not one for this team.
    """
    team = description.team
    if team is None or player.team is None:
        raise ConfigError(
            f"record_episode: {env_id!r} has an agent_mask, so that a team plays there, and "
            f"{type(policy).__name__} says nothing of a team; expected a policy with the attribute "
            "team and distribution(obs, acting), see maskrl.policies.TeamPolicy"
        )
    player.require_team(team)
    device = next((p.device for p in policy.parameters()), torch.device("cpu"))
    steps: list[TeamStep] = []
    names: list[str | None] = [None] * team.agents
    terminated = truncated = stopped = False
    obs, info = env.reset(seed=seed)
    layout_id = info.get("layout_id")
    while not (terminated or truncated):
        frame, text = picture(env, drawn)
        seen = {key: np.array(value) for key, value in obs.items()}
        shown = _scene(env, seen, team)
        choice, actions = _decide(policy, team, seen, device, deterministic, generator)
        where = _places(env, seen, team, choice["place"], shown.get("entity_places"))
        for slot, name in enumerate((shown.get("entity_names") or ())[: team.agents]):
            names[slot] = names[slot] or name
        obs, reward, terminated, truncated, info = env.step(actions)
        own = info.get("agent_rewards")
        steps.append(
            TeamStep(
                frame=frame,
                text=text,
                reward=float(reward),
                agent_rewards=None if own is None else np.array(own, np.float64),
                **shown,
                **where,
                **choice,
            )
        )
        stopped = not (terminated or truncated) and len(steps) >= max_steps
        truncated = bool(truncated) or stopped
    final_frame, final_text = picture(env, drawn)
    last = alive_agents({key: np.asarray(value)[None] for key, value in obs.items()}, team)
    outcome = info.get(OUTCOME)
    return TeamEpisode(
        env=env_id,
        env_kwargs=env_kwargs,
        seed=seed,
        team=team,
        steps=tuple(steps),
        final_frame=final_frame,
        final_text=final_text,
        final_alive=None if last is None else last[0],
        terminated=bool(terminated),
        truncated=bool(truncated),
        heads=label_heads(_of_one(description, team), action_names),
        agent_names=_agent_names(env, team, names),
        critic=str(getattr(policy, "critic", "team")),
        layout_id=None if layout_id is None else int(layout_id),
        outcome=float(outcome) if isinstance(outcome, float | np.floating) else None,
        stopped=stopped,
    )


@torch.no_grad()
def _decide(
    policy: Any,
    team: TeamDescription,
    seen: dict[str, np.ndarray],
    device: torch.device,
    deterministic: bool,
    generator: torch.Generator,
) -> tuple[dict[str, Any], np.ndarray]:
    """What is kept of a moment's decisions, and the actions as the environment takes them."""
    one = {key: value[None] for key, value in seen.items()}
    obs = obs_to_tensors(one, device)
    acting = Acting.read(obs, team)
    distribution = policy.distribution(obs, acting)
    if not isinstance(distribution, GridwiseCategorical):
        raise ConfigError(
            f"policy: {type(policy).__name__}.distribution(obs, acting) returned a "
            f"{type(distribution).__name__}, expected GridwiseCategorical.from_packed(...)"
        )
    chosen = distribution.mode if deterministic else distribution.sample(generator=generator)
    has_logits = callable(getattr(policy, "logits", None))
    raw = policy.logits(obs, acting) if has_logits else distribution.logits
    rows = ActingRows.read(one, team)
    actions = chosen.cpu().numpy().reshape(len(acting), team.n_heads)
    along = masks_along(actions, rows.masks, team.heads)
    judged = choices_of(actions, rows.masks, team.heads)
    heads = chosen.reshape(len(acting), team.n_heads)
    logits, probs = decision_rows(team.heads, distribution.of_agents, as_rows(raw), along, heads)
    entropy, undecided = _entropy(distribution)
    values = policy.value(obs)[0].double().cpu().numpy()
    alive = alive_agents(one, team)
    if values.ndim:
        there = np.ones(len(values), np.bool_) if alive is None else alive[0]
        values = np.where(there, values, np.nan)
    attention = agents_attention(policy, obs, acting)
    if attention is not None and attention.size > HEADS_TOGETHER:
        attention = attention.mean(axis=0, keepdims=True)
    sees = seen["visibility"][rows.slot] & seen["entity_mask"] if "visibility" in seen else None
    choice = {
        "agent_mask": seen["agent_mask"],
        "alive": None if alive is None else alive[0],
        "slot": rows.slot,
        "place": rows.place,
        "actions": actions,
        "action_mask": along.copy() if rows.masks else None,
        "logits": logits.astype(np.float32),
        "probs": probs.astype(np.float32),
        "entropy": entropy,
        "undecided": undecided,
        "value": values if values.ndim else float(values),
        "relevant": None if team.action_tree is None else judged.relevant,
        "illegal": judged.illegal if rows.masks else np.zeros(len(acting), np.bool_),
        "sees": sees,
        "attention": None if attention is None else attention.astype(np.float16),
    }
    idle_action = getattr(policy, "idle_action", 0)
    return choice, acting.scatter(chosen, team, idle_action)[0].cpu().numpy()


def _entropy(distribution: GridwiseCategorical) -> tuple[np.ndarray, np.ndarray]:
    """Entropy of each agent `[M]`, and the same by what its masks leave open."""
    try:
        entropy = as_rows(distribution.entropy(reduce="agent"))
        most = as_rows(log_legal_actions(distribution.of_agents))
    except MaskError:  # a tree with more branches than are summed
        nothing = np.full(int(distribution.agent_counts.sum()), np.nan, np.float32)
        return nothing, nothing
    share = np.minimum(entropy / np.where(most == 0, 1.0, most), 1.0)
    return entropy.astype(np.float32), share.astype(np.float32)


def _scene(env: Any, seen: Mapping[str, np.ndarray], team: TeamDescription) -> dict[str, Any]:
    """Names and places of the entities of a scene; nothing elsewhere."""
    if team.source != "scene":
        return {}
    return {
        "entity_names": entity_names(env, seen),
        "entity_places": entity_places(env, seen),
        "entity_mask": seen["entity_mask"],
    }


def _places(
    env: Any,
    seen: Mapping[str, np.ndarray],
    team: TeamDescription,
    place: np.ndarray,
    entities: tuple[tuple[float, float] | None, ...] | None,
) -> dict[str, Any]:
    """Where those stand who act, and those who wait.

    In slots an environment tells it as `agent_places`, or as the `entity_places` of its scene.
    On a grid the cells lie side by side over the whole width of the picture, from its top,
    unless `cell_places`, `[H * W]` pairs, says where they are.
    """
    alive = alive_agents({key: value[None] for key, value in seen.items()}, team)
    acts = seen["agent_mask"].reshape(-1)
    waiting = np.zeros(0, np.int64)
    if team.form == "slots" and alive is not None:
        waiting = np.flatnonzero(alive[0] & ~acts)
        spots = env_attribute(env, "agent_places")
        spots = entities if spots is None else spots
        if spots is None:
            return {"at": None, "waiting": waiting, "waiting_at": None}
        at = np.array([_spot(spots[n]) for n in range(team.agents)], np.float32).reshape(-1, 2)
        return {"at": at[place], "waiting": waiting, "waiting_at": at[waiting]}
    at = _cell_places(env, team)
    waiting_at = at[waiting]
    if AGENT_CELLS in seen and alive is not None:
        cells = np.asarray(seen[AGENT_CELLS])
        waiting = np.flatnonzero(alive[0] & (cells >= 0) & ~acts[np.maximum(cells, 0)])
        waiting_at = at[cells[waiting]]
    return {"at": at[place], "waiting": waiting, "waiting_at": waiting_at}


def _cell_places(env: Any, team: TeamDescription) -> np.ndarray:
    """The middle of every cell in widths of the picture: float32 `[H * W, 2]`."""
    told = env_attribute(env, "cell_places")
    if told is not None:
        return np.asarray(told, np.float32).reshape(-1, 2)
    height, width = team.grid_shape or (1, 1)
    row, column = np.divmod(np.arange(height * width), width)
    return np.stack([(column + 0.5) / width, (row + 0.5) / width], axis=1).astype(np.float32)


def _spot(place: tuple[float, float] | None) -> tuple[float, float]:
    return (np.nan, np.nan) if place is None else (float(place[0]), float(place[1]))


def _agent_names(env: Any, team: TeamDescription, found: list[str | None]) -> tuple[str, ...]:
    """Names of the agents: the environment's, or those of their entities, or numbers."""
    if not team.has_identity:
        return ()
    told = env_attribute(env, "agent_names")
    if told is not None and len(told) == team.agents:
        return tuple(str(name) for name in told)
    return tuple(name or f"agent {slot + 1}" for slot, name in enumerate(found))


def _of_one(description: EnvDescription, team: TeamDescription) -> EnvDescription:
    """The description of one agent's action, for its labels."""
    tree = team.action_tree
    kind = "multi_discrete" if team.n_heads > 1 else "discrete"
    return EnvDescription(
        kind if tree is None else "tree",
        team.n_actions,
        team.nvec,
        description.features,
        description.masks,
        action_tree=tree,
    )
