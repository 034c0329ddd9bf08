"""How good a policy is: whole episodes, each counted once, none preferred for being short.

Every sub-environment plays a quota of episodes fixed beforehand; taking the first
episodes to finish would favour short ones. Where an environment has a reference, every
layout of a fixed list is played exactly once and the score puts the agent between
random valid play (0) and the planner (1). Actions against the mask are counted. Actions
may have any shape: one number, several heads, bits, the parts of a tree. A policy with
memory remembers the episode that it plays, and nothing of the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv
from torch import nn

from maskrl.envs.contract import EnvDescription, action_tree_of, describe
from maskrl.envs.registry import EnvEntry, Phase, find_entry, make_vec, refuse_reserved
from maskrl.errors import ConfigError, NoReferenceError
from maskrl.masks.heads import random_actions
from maskrl.policies.playing import Player, in_evaluation_mode
from maskrl.policies.predict import obs_to_tensors
from maskrl.runs.seeding import Seeds
from maskrl.trainers.mask_count import MaskCount

MOST_STEPS = 10_000
"""Steps after which an episode is cut off, for environments without a time limit."""
MOST_ENVS = 64
_CHUNK = 20

Observation = dict[str, np.ndarray]
Choose = Callable[[Observation, np.ndarray], np.ndarray]
"""Actions for observations `[B, ...]`, told which of them begin an episode: bool `[B]`."""
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """What came out of a fixed number of episodes.

    Attributes:
        env: The environment's id.
        env_kwargs: Its arguments, split included.
        seed: Of the environments and of sampled actions.
        deterministic: Whether the most probable action was taken at every step.
        returns: Undiscounted return per episode: `[episodes]` float64.
        lengths: Steps per episode: `[episodes]` int64.
        layout_ids: The layout of each episode, or None where there are none: int64.
        planner: The planner's expected return per episode's layout, or None: float64.
        random: Random valid play's expected return per episode's layout, or None: float64.
        illegal_actions: Actions executed against the mask handed out: a head that counts
            chose what its mask disallows.
        allowed_share: Mean share of choices that were allowed, of the heads that counted; 1
            without action mask.
        forced_share: Share of steps with exactly one allowed action.
        cut_episodes: Episodes ended by `MOST_STEPS`, not by the environment.
        no_reference: Why the environment's planner cannot plan these layouts; empty where it
            can, and where there is none.
    """

    env: str
    env_kwargs: dict[str, Any]
    seed: int
    deterministic: bool
    returns: np.ndarray
    lengths: np.ndarray
    layout_ids: np.ndarray | None = None
    planner: np.ndarray | None = None
    random: np.ndarray | None = None
    illegal_actions: int = 0
    allowed_share: float = 1.0
    forced_share: float = 0.0
    cut_episodes: int = 0
    no_reference: str = ""

    @property
    def episodes(self) -> int:
        """How many episodes were played."""
        return int(self.returns.size)

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of the mean return; NaN of a single episode."""
        if self.episodes < 2:
            return float("nan")
        return float(self.returns.std(ddof=1) / np.sqrt(self.episodes))

    @property
    def planner_mean(self) -> float | None:
        """The planner's mean return over the same layouts."""
        return None if self.planner is None else float(self.planner.mean())

    @property
    def random_mean(self) -> float | None:
        """Random valid play's mean return over the same layouts."""
        return None if self.random is None else float(self.random.mean())

    @property
    def score(self) -> float | None:
        """(agent - random) / (planner - random), each a mean over layouts; None without them."""
        return score(self.mean, self.planner_mean, self.random_mean)

    def summary(self) -> dict[str, Any]:
        """The figures without the arrays, ready for JSON; absent ones are left out."""
        figures: dict[str, Any] = {
            "env": self.env,
            "env_kwargs": {k: v for k, v in self.env_kwargs.items() if k != "layout_seeds"},
            "seed": self.seed,
            "deterministic": self.deterministic,
            "episodes": self.episodes,
            "mean": self.mean,
            "standard_error": self.standard_error,
            "length_mean": float(self.lengths.mean()),
            "planner_mean": self.planner_mean,
            "random_mean": self.random_mean,
            "score": self.score,
            "illegal_actions": self.illegal_actions,
            "allowed_share": self.allowed_share,
            "forced_share": self.forced_share,
            "cut_episodes": self.cut_episodes,
            "no_reference": self.no_reference or None,
        }
        return {k: v for k, v in figures.items() if v is not None and v == v}

    def to_json(self) -> dict[str, Any]:
        """`summary()` with returns, lengths and layouts of every episode."""
        arrays = {
            "returns": self.returns,
            "lengths": self.lengths,
            "layout_ids": self.layout_ids,
            "planner": self.planner,
            "random": self.random,
        }
        lists = {k: v.tolist() for k, v in arrays.items() if v is not None}
        return {**self.summary(), "per_episode": lists}


def score(mean: float, planner: float | None, random: float | None) -> float | None:
    """Where a mean return lies between random valid play (0) and the planner (1).

    Returns:
        None where there is no reference or the two do not differ.
    """
    if planner is None or random is None or planner == random:
        return None
    return (mean - random) / (planner - random)


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
        policy: As `maskrl.policies.Policy` or `maskrl.policies.RecurrentPolicy`.
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
        ConfigError: `policy` is none or `env_id` no id, a number is below 1, `episodes` is
            no multiple of `layouts`, the environment cannot be made with these arguments, or
            a policy with memory lacks what that takes.
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
        distribution = player.distribution(obs_to_tensors(obs, device))
        actions = distribution.mode if deterministic else distribution.sample(generator=generator)
        chosen: np.ndarray = actions.cpu().numpy()
        return chosen

    with in_evaluation_mode(policy), torch.inference_mode():
        return _evaluate(
            choose,
            plan,
            deterministic=deterministic,
            idles=getattr(policy, "empty", "raise") == "idle",
            tell=tell,
            with_reference=with_reference,
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
    from the choices before it, and 0 for a head that does not count.

    Args as in `evaluate`. Heads that may choose nothing get 0.
    """
    rng = Seeds(seed).numpy("evaluation.random")
    plan = _Plan(env_id, episodes, layouts, env_kwargs, phase, seed, num_envs, max_steps)

    def choose(obs: Observation, starts: np.ndarray) -> np.ndarray:
        count = len(starts)
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
) -> Evaluation:
    count = plan.count
    venv = make_vec(plan.env_id, count, seed=plan.seed, **plan.kwargs)
    try:
        plan.description = describe(
            venv.single_observation_space, venv.single_action_space, action_tree_of(venv)
        )
        masks = MaskCount(plan.description, plan.env_id, idles=idles)
        tally = _play(venv, choose, plan, count, masks)
        illegal = max(masks.illegal, int(getattr(venv, "illegal_actions", 0)))
    finally:
        venv.close()
    references: Mapping[str, np.ndarray] = {}
    no_reference = ""
    ask = plan.entry.reference
    if with_reference and ask is not None and tally.layout_ids is not None:
        try:
            references = ask_reference(ask, plan.kwargs, tally.layout_ids, tell)
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
        planner=references.get("planner"),
        random=references.get("random"),
        illegal_actions=illegal,
        allowed_share=masks.allowed_share,
        forced_share=masks.forced_share,
        cut_episodes=tally.cut,
        no_reference=no_reference,
    )


class _Tally:
    """What is counted while episodes run; episode j of sub-environment i is number i + j N."""

    def __init__(self, episodes: int, has_layouts: bool) -> None:
        self.returns = np.zeros(episodes, np.float64)
        self.lengths = np.zeros(episodes, np.int64)
        self.layout_ids = np.zeros(episodes, np.int64) if has_layouts else None
        self.cut = 0


def _play(venv: Any, choose: Choose, plan: _Plan, count: int, masks: MaskCount) -> _Tally:
    obs, infos = venv.reset(seed=plan.seed)
    quota = plan.episodes // count + (np.arange(count) < plan.episodes % count)
    episode = np.zeros(count, np.int64)
    current = np.zeros(count, np.float64)
    length = np.zeros(count, np.int64)
    layouts = infos.get("layout_id")
    layouts = None if layouts is None else np.array(layouts, dtype=np.int64)
    tally = _Tally(plan.episodes, layouts is not None)
    starts = np.ones(count, np.bool_)
    while (active := episode < quota).any():
        masks.require_choice(obs, active, length)
        actions = choose(obs, starts)
        masks.add(obs, actions, active, length)
        actions = actions.reshape(count, *(venv.single_action_space.shape or ()))
        obs, rewards, terminated, truncated, infos = venv.step(actions)
        current += rewards
        length += 1
        over = terminated | truncated
        cut = active & ~over & (length >= plan.max_steps)
        tally.cut += int(cut.sum())
        ended = np.flatnonzero(active & (over | cut))
        number = ended + episode[ended] * count
        tally.returns[number] = current[ended]
        tally.lengths[number] = length[ended]
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
) -> dict[str, np.ndarray]:
    """Reference returns per layout, asked for in small parts so that waiting can be shown.

    Args:
        reference: Of the environment's entry.
        env_kwargs: Arguments of the environment.
        layout_ids: int64 `[n]`; each distinct one is asked for once.
        tell: Called with (layouts planned, layouts to plan).

    Returns:
        "planner" and "random", float64 `[n]` each.
    """
    parts: list[Mapping[str, Any]] = []
    distinct, where = np.unique(layout_ids, return_inverse=True)
    for start in range(0, distinct.size, _CHUNK):
        if tell is not None:
            tell(start, distinct.size)
        parts.append(reference(env_kwargs, distinct[start : start + _CHUNK]))
    if tell is not None:
        tell(distinct.size, distinct.size)
    return {
        name: np.concatenate([np.asarray(part[name], np.float64) for part in parts])[where]
        for name in ("planner", "random")
    }
