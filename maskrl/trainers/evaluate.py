"""How good a policy is: whole episodes, each counted once, none preferred for being short.

Every sub-environment plays a quota of episodes fixed beforehand; taking the first to finish
would favour short ones. Where an environment has a reference, every layout of a fixed list
is played exactly once and the score puts the agent between random valid play (0) and the
reference (1). Actions against the mask are counted, of whatever shape, and of all agents of
a team. A policy with memory remembers the episode that it plays, and nothing before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv
from torch import nn

from maskrl.envs.acting_rows import ActingRows
from maskrl.envs.contract import EnvDescription, describe_env, gives_agent_rewards
from maskrl.envs.outcomes import episode_outcomes
from maskrl.envs.registry import EnvEntry, Phase, find_entry, make_vec, refuse_reserved
from maskrl.errors import ConfigError, NoReferenceError
from maskrl.masks.heads import random_actions
from maskrl.policies.playing import Player, in_evaluation_mode
from maskrl.policies.predict import obs_to_tensors
from maskrl.runs.seeding import Seeds
from maskrl.trainers.agent_count import AgentCount, TeamFollower
from maskrl.trainers.evaluation import PLANNER, Evaluation, Reference, TeamFigures, score
from maskrl.trainers.illegal_count import IllegalCount
from maskrl.trainers.mask_count import MaskCount

__all__ = [
    "Evaluation",
    "TeamFigures",
    "Tell",
    "ask_reference",
    "evaluate",
    "evaluate_random",
    "score",
]

MOST_STEPS = 10_000
"""Steps after which an episode is cut off, for environments without a time limit."""
MOST_ENVS = 64
_CHUNK = 20

Observation = dict[str, np.ndarray]
Choose = Callable[[Observation, np.ndarray], np.ndarray]
"""Actions for observations `[B, ...]`, told which of them begin an episode: bool `[B]`."""
Tell = Callable[[int, int], None]


def evaluate(
    policy: nn.Module,
    env_id: str,
    *,
    episodes: int = 100,
    layouts: int | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    phase: Phase = "evaluation",
    seed: int = 0,
    num_envs: int | None = None,
    deterministic: bool = True,
    with_reference: bool = True,
    max_steps: int = MOST_STEPS,
    tell: Tell | None = None,
) -> Evaluation:
    """Play whole episodes with a policy, without changing it, and sum up.

    Args:
        policy: As `maskrl.policies.Policy`, `maskrl.policies.RecurrentPolicy` or, for a team,
            `maskrl.policies.TeamPolicy`.
        env_id: In any form that `maskrl.make` takes.
        episodes: How many, at least 1.
        layouts: With a reference: play the first so many layouts of the phase's split, all
            equally often; `episodes` is a multiple of it. By default each episode has its own.
        env_kwargs: Arguments of the environment, over those of id and phase.
        phase: Which of the entry's arguments apply: "evaluation" or "validation" layouts.
        seed: Of the environments and, unless deterministic, of the actions.
        num_envs: Environments side by side; by default at most 64.
        deterministic: The most probable action, or a sample.
        with_reference: Ask for planner's and random returns where the entry has them. The
            first time this plans every layout, which takes a while.
        max_steps: An episode that goes on for longer is cut off and counted as such.
        tell: Called with (planned layouts, all layouts) while the reference is computed.

    Returns:
        Returns, lengths and layouts of every episode, and what they come to.

    Raises:
        ConfigError: `policy` is none, or one for another team; `env_id` is no id, a number is
            below 1, `episodes` is no multiple of `layouts`, the environment cannot be made with
            these arguments, or a policy with memory lacks what that takes.
        UnknownEnvError, NoMaskError: No such environment, or it has no mask.
        NoAllowedActionError: A state allows no action and the policy does not take that as
            idling; names environment and step.

    Empty rows:
        With a policy whose `empty` is "idle" they are played as `idle_action`.
    """
    if not isinstance(policy, nn.Module):
        raise ConfigError(
            f"evaluate: policy: expected a torch.nn.Module, got {type(policy).__name__}; of a "
            "trainer pass its policy, as in evaluate(trainer.policy, ...)"
        )
    device = next((p.device for p in policy.parameters()), torch.device("cpu"))
    generator = torch.Generator(device).manual_seed(Seeds(seed).integer("evaluation.actions"))

    plan = _Plan(env_id, episodes, layouts, env_kwargs, phase, seed, num_envs, max_steps)
    player = Player(policy, plan.count)

    def choose(obs: Observation, starts: np.ndarray) -> np.ndarray:
        player.begin(starts)
        seen = obs_to_tensors(obs, device)
        return player.choose(seen, deterministic=deterministic, generator=generator)

    with in_evaluation_mode(policy), torch.inference_mode():
        return _evaluate(
            choose,
            plan,
            deterministic=deterministic,
            idles=getattr(policy, "empty", "raise") == "idle",
            tell=tell,
            with_reference=with_reference,
            player=player,
        )


def evaluate_random(
    env_id: str,
    *,
    episodes: int = 100,
    layouts: int | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    phase: Phase = "evaluation",
    seed: int = 0,
    num_envs: int | None = None,
    with_reference: bool = False,
    max_steps: int = MOST_STEPS,
) -> Evaluation:
    """Play whole episodes with choices drawn uniformly from those allowed.

    Several heads are drawn one after the other: of a tree, each under the masks that follow
    from the choices before it, and 0 for a head that does not count. The agents of a team draw
    independently of each other, those that act.

    Args as in `evaluate`. Heads that may choose nothing get 0.
    """
    rng = Seeds(seed).numpy("evaluation.random")
    plan = _Plan(env_id, episodes, layouts, env_kwargs, phase, seed, num_envs, max_steps)

    def choose(obs: Observation, starts: np.ndarray) -> np.ndarray:
        count = len(starts)
        if (team := plan.description.team) is not None:
            rows = ActingRows.read(obs, team)
            return rows.put(random_actions(rows.masks, team.heads, rng, (len(rows),)), team)
        one = plan.description.action_kind in ("discrete", "candidates")
        if one and "action_mask" not in obs:
            return np.asarray(rng.integers(0, plan.description.n_actions, size=count))
        actions = random_actions(obs, plan.description.heads, rng, (count,))
        return actions[:, 0] if one else actions

    return _evaluate(
        choose, plan, deterministic=False, idles=True, tell=None, with_reference=with_reference
    )


@dataclass
class _Plan:
    """Which episodes are to be played, where, and how many by each sub-environment."""

    env_id: str
    episodes: int
    layouts: int | None
    env_kwargs: Mapping[str, Any] | None
    phase: Phase
    seed: int
    num_envs: int | None
    max_steps: int
    entry: EnvEntry = field(init=False)
    kwargs: dict[str, Any] = field(init=False)
    description: EnvDescription = field(init=False)

    def __post_init__(self) -> None:
        for name in ("episodes", "layouts", "num_envs", "max_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"evaluate: {name} must be at least 1, got {value}")
        if self.layouts is not None and self.episodes % self.layouts:
            raise ConfigError(
                f"evaluate: {self.episodes} episodes cannot play {self.layouts} layouts equally "
                "often; expected a multiple"
            )
        self.entry = find_entry(self.env_id)
        self.kwargs = self.entry.kwargs_for(self.phase, **(self.env_kwargs or {}))
        refuse_reserved(f"evaluate {self.env_id!r}", self.kwargs)
        if self.entry.reference is not None:
            self.kwargs.setdefault("layout_seeds", self.layouts or self.episodes)

    @property
    def count(self) -> int:
        """Environments side by side."""
        return min(self.num_envs or MOST_ENVS, self.episodes)


def _evaluate(
    choose: Choose,
    plan: _Plan,
    *,
    deterministic: bool,
    idles: bool,
    tell: Tell | None,
    with_reference: bool,
    player: Player | None = None,
) -> Evaluation:
    count = plan.count
    venv = make_vec(plan.env_id, count, seed=plan.seed, **plan.kwargs)
    try:
        plan.description = describe_env(venv)
        team = plan.description.team
        if player is not None:
            player.require_team(team)
        masks: MaskCount | AgentCount
        follower: TeamFollower | None = None
        if team is None:
            masks = MaskCount(plan.description, plan.env_id, idles=idles)
        else:
            masks = AgentCount(team, plan.env_id, idles=idles)
            follower = TeamFollower(team, plan.episodes, own_rewards=gives_agent_rewards(venv))
        illegal = IllegalCount(venv)
        tally = _play(venv, choose, plan, count, masks, illegal, follower)
    finally:
        venv.close()
    reference: Reference | None = None
    no_reference = ""
    ask = plan.entry.reference
    if with_reference and ask is not None and tally.layout_ids is not None:
        try:
            reference = ask_reference(ask, plan.kwargs, tally.layout_ids, tell)
        except NoReferenceError as error:
            no_reference = str(error)
    return Evaluation(
        env=plan.env_id,
        env_kwargs=plan.kwargs,
        seed=plan.seed,
        deterministic=deterministic,
        returns=tally.returns,
        lengths=tally.lengths,
        layout_ids=tally.layout_ids,
        planner=None if reference is None else reference.planner,
        random=None if reference is None else reference.random,
        illegal_actions=illegal.total,
        allowed_share=masks.allowed_share,
        forced_share=masks.forced_share,
        cut_episodes=tally.cut,
        no_reference=no_reference,
        reference_name=PLANNER if reference is None else reference.name,
        outcomes=None if np.isnan(tally.outcomes).all() else tally.outcomes,
        team=follower.figures(masks)
        if follower is not None and isinstance(masks, AgentCount)
        else None,
    )


class _Tally:
    """What is counted while episodes run; episode j of sub-environment i is number i + j N."""

    def __init__(self, episodes: int, has_layouts: bool) -> None:
        self.returns = np.zeros(episodes, np.float64)
        self.lengths = np.zeros(episodes, np.int64)
        self.layout_ids = np.zeros(episodes, np.int64) if has_layouts else None
        self.outcomes = np.full(episodes, np.nan)
        self.cut = 0


def _play(
    venv: Any,
    choose: Choose,
    plan: _Plan,
    count: int,
    masks: MaskCount | AgentCount,
    illegal: IllegalCount,
    follower: TeamFollower | None,
) -> _Tally:
    obs, infos = venv.reset(seed=plan.seed)
    quota = plan.episodes // count + (np.arange(count) < plan.episodes % count)
    episode = np.zeros(count, np.int64)
    current = np.zeros(count, np.float64)
    length = np.zeros(count, np.int64)
    layouts = infos.get("layout_id")
    layouts = None if layouts is None else np.array(layouts, dtype=np.int64)
    tally = _Tally(plan.episodes, layouts is not None)
    starts = np.ones(count, np.bool_)
    if follower is not None:
        follower.begin(obs, starts)
    while (active := episode < quota).any():
        masks.require_choice(obs, active, length)
        actions = choose(obs, starts)
        actions = actions.reshape(count, *(venv.single_action_space.shape or ()))
        against = masks.add(obs, actions, active, length)
        illegal.begin(opened=masks.opened)
        obs, rewards, terminated, truncated, infos = venv.step(actions)
        illegal.end(against, active)
        current += rewards
        length += 1
        over = terminated | truncated
        if follower is not None:
            follower.step(obs, infos, over, active)
        cut = active & ~over & (length >= plan.max_steps)
        tally.cut += int(cut.sum())
        ended = np.flatnonzero(active & (over | cut))
        number = ended + episode[ended] * count
        tally.returns[number] = current[ended]
        tally.lengths[number] = length[ended]
        tally.outcomes[number] = episode_outcomes(infos, over)[ended]
        if layouts is not None and tally.layout_ids is not None:
            tally.layout_ids[number] = layouts[ended]
            layouts = np.array(infos["layout_id"], dtype=np.int64)
        episode[ended] += 1
        fresh = over | cut
        current[fresh] = 0.0
        length[fresh] = 0
        # An episode that was cut off where nothing resets is the next one to those who count,
        # and still the same to those who play it.
        starts = over
        again = cut & (episode < quota)
        if again.any() and (begun := _begin_again(venv, again)) is not None:
            obs, infos = begun
            starts = over | again
            if layouts is not None:
                layouts = np.where(again, infos["layout_id"], layouts)
        if follower is not None:
            follower.end(ended, number)
            if fresh.any():
                follower.begin(obs, fresh)
    return tally


def _begin_again(venv: Any, cut: np.ndarray) -> tuple[Observation, Mapping[str, Any]] | None:
    """Reset the sub-environments whose episode was cut off, so that none begins in its middle.

    None where the vector environment cannot reset some alone: there they go on.
    """
    if not (isinstance(venv, SyncVectorEnv) or getattr(venv, "takes_reset_mask", False)):
        return None
    begun: tuple[Observation, Mapping[str, Any]] = venv.reset(options={"reset_mask": cut})
    return begun


def ask_reference(
    reference: Callable[..., Mapping[str, Any]],
    env_kwargs: Mapping[str, Any],
    layout_ids: np.ndarray,
    tell: Tell | None = None,
) -> Reference:
    """Reference returns per layout, asked for in small parts so that waiting can be shown.

    Args:
        reference: Of the environment's entry.
        env_kwargs: Arguments of the environment.
        layout_ids: int64 `[n]`; each distinct one is asked for once.
        tell: Called with (layouts planned, layouts to plan).

    Returns:
        The returns, and what to call the reference: its `"label"`, "planner" without one.
    """
    parts: list[Mapping[str, Any]] = []
    distinct, where = np.unique(layout_ids, return_inverse=True)
    for start in range(0, distinct.size, _CHUNK):
        if tell is not None:
            tell(start, distinct.size)
        parts.append(reference(env_kwargs, distinct[start : start + _CHUNK]))
    if tell is not None:
        tell(distinct.size, distinct.size)
    planner, random = (
        np.concatenate([np.asarray(part[name], np.float64) for part in parts])[where]
        for name in ("planner", "random")
    )
    return Reference(planner, random, str(parts[0].get("label", PLANNER)))
