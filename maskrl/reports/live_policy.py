"""The trained policy at work: episodes played and attention read from live weights.

A report shows what the checkpoint does, not what training logged. Whatever
stands in the way (no checkpoint, a network of its author's own, an environment
that is not installed here) becomes a note on the page, and the sections that
need the policy leave themselves out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from maskrl.envs.teams import TeamDescription
from maskrl.errors import MaskrlError
from maskrl.policies.episode import EpisodeRecord, record_episode
from maskrl.policies.load import load_policy
from maskrl.policies.team_episode import TeamEpisode
from maskrl.reports.attention_scenes import SceneMaps, scene_maps
from maskrl.reports.run_data import RunData

EPISODES = 4
"""Episodes on a page; beyond a few, nobody steps through them."""
MAX_STEPS = 200
"""Steps of each: with a picture per step, more would make the page heavy."""
MAX_PICTURE_BYTES = 80_000_000
"""Once the pictures so far take this much, before compression, no further episode is played."""

MAX_DECISIONS = 12_000
"""Once agents of a team have decided so often, no further episode is played."""


@dataclass(frozen=True)
class LivePolicy:
    """What a loaded policy did.

    Attributes:
        episodes: played on evaluation layouts.
        team_episodes: the same of a team.
        scenes: attention in fixed scenes, or in moments of the episodes; empty without entities.
        notes: what could not be done and why, one sentence each, plain text.
    """

    episodes: tuple[EpisodeRecord, ...] = ()
    scenes: tuple[SceneMaps, ...] = ()
    notes: tuple[str, ...] = ()
    team_episodes: tuple[TeamEpisode, ...] = ()

    @classmethod
    def watch(cls, run: RunData, *, episodes: int = EPISODES) -> LivePolicy:
        """Load the best checkpoint of a run and watch it act.

        Args:
            run: what the run left behind; without a folder nothing is watched.
            episodes: how many to play.
        """
        if run.path is None:
            return cls()
        try:
            policy = load_policy(run.path, "best")
        except MaskrlError as error:
            return cls(
                notes=(
                    "There is no episode, decision or attention map on this page, because the "
                    f"policy could not be loaded: {error}",
                )
            )
        notes: list[str] = []
        played: tuple[EpisodeRecord | TeamEpisode, ...] = ()
        # An environment is foreign code and may raise anything; the rest of the page is
        # worth having all the same, with the reason on it.
        try:
            played = tuple(_play(policy, run, episodes))
        except Exception as error:
            notes.append(f"No episode could be played: {_reason(error)}")
        alone = tuple(episode for episode in played if isinstance(episode, EpisodeRecord))
        teams = tuple(episode for episode in played if isinstance(episode, TeamEpisode))
        scenes: tuple[SceneMaps, ...] = ()
        if not isinstance(getattr(policy, "team", None), TeamDescription):
            try:
                scenes = scene_maps(policy, run.env_id, run.env_kwargs, alone)
            except MaskrlError as error:
                notes.append(f"There are no attention maps: {_reason(error)}")
        return cls(alone, scenes, tuple(notes), teams)


def _play(policy: nn.Module, run: RunData, episodes: int) -> Iterator[EpisodeRecord | TeamEpisode]:
    """Episodes with the seeds 0, 1, ..., fewer where pictures or teams are large."""
    size = decisions = 0
    env_kwargs = dict(run.env_kwargs or {})
    if isinstance(env_kwargs.get("layout_seeds"), list):
        del env_kwargs["layout_seeds"]  # those of the training
    for seed in range(episodes):
        if size > MAX_PICTURE_BYTES or decisions > MAX_DECISIONS:
            return
        episode = record_episode(policy, run.env_id, env_kwargs, seed=seed, max_steps=MAX_STEPS)
        size += sum(step.frame.nbytes for step in episode.steps if step.frame is not None)
        decisions += episode.agent_steps if isinstance(episode, TeamEpisode) else 0
        yield episode


def _reason(error: BaseException) -> str:
    """What went wrong; the type of a stranger's error is part of it."""
    text = str(error) or "no message"
    return text if isinstance(error, MaskrlError) else f"{type(error).__name__}: {text}"
