"""An episode of every variant, to be stepped through side by side in one viewer.

Of each variant the best seed's agent is loaded and plays the same episode; the masked one
once more without its mask. What cannot be loaded or played becomes a note, and the page
is worth having all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from maskrl.errors import MaskrlError
from maskrl.policies.episode import EpisodeRecord, record_episode
from maskrl.policies.load import load_policy
from maskrl.reports import wording
from maskrl.reports.section import Section, paragraph
from maskrl.reports.sections.episode import episode_section
from maskrl.runs.comparison import ComparedRun, Variant

MAX_STEPS = 200
"""Steps of each episode; with a picture per step, more would make the page heavy."""
MOST_VARIANTS = 8
"""Episodes on a page."""

Named = tuple[str, EpisodeRecord]


def viewer_section(variants: Sequence[Variant]) -> tuple[Section | None, list[str]]:
    """The section with an episode of every variant, and what could not be shown.

    Args:
        variants: On one environment.
    """
    played, notes = play_variants(variants)
    if not played:
        return None, notes
    names = [name for name, _ in played]
    section = episode_section([episode for _, episode in played], names=names)
    if section is None:
        return None, notes
    shown = [variant for variant in variants if variant.name in names]
    # The episodes are not selected, but who plays them is.
    who = [f"seed {_best(variant).seed} of “{variant.name}”" for variant in shown]
    choice = f"Of every variant its best seed in the test plays, {wording.listing(who)}."
    return replace(section, html=paragraph(choice, kind="intro") + section.html), notes


def play_variants(variants: Sequence[Variant]) -> tuple[list[Named], list[str]]:
    """An episode with seed 0 of the best run of every variant that has a finished one."""
    played: list[Named] = []
    notes: list[str] = []
    missing: dict[str, list[str]] = {}
    for variant in variants:
        if not variant.finished or len(played) >= MOST_VARIANTS:
            continue
        run = _best(variant)
        ways: list[tuple[str, Mapping[str, Any]]] = [(variant.name, {})]
        if run.removed:
            ways.append((f"{variant.name}, mask removed", run.removed["env_kwargs"]))
        for name, more in ways:
            try:
                episode = _play(variant, run, more)
            except Exception as error:  # an environment is foreign code and may raise anything
                missing.setdefault(_reason(error), []).append(name)
                continue
            if episode is None:
                notes.append(
                    f"There is no episode of {name}: episodes of teams are in its run's own report."
                )
            else:
                played.append((name, episode))
    reasons = list(missing)
    if reasons:  # the first says enough: where one run is broken, others mostly are likewise
        names = wording.listing([name for names in missing.values() for name in names])
        notes.append(f"No episode of {names} could be played: {reasons[0]}")
    return played, notes


def _best(variant: Variant) -> ComparedRun:
    """The finished run with the best test, the first of equals."""
    return max(variant.finished, key=lambda one: float(one.evaluation["mean"]))


def _play(variant: Variant, run: ComparedRun, more: Mapping[str, Any]) -> EpisodeRecord | None:
    """An episode, or None of a team."""
    assert run.path is not None
    policy = load_policy(run.path, "best")
    settings = {**variant.settings.get("env_kwargs", {}), **more}
    if isinstance(settings.get("layout_seeds"), list):
        del settings["layout_seeds"]  # those of the training
    env = str(variant.settings["env"])
    episode = record_episode(policy, env, settings, seed=0, max_steps=MAX_STEPS)
    return episode if isinstance(episode, EpisodeRecord) else None


def _reason(error: BaseException) -> str:
    text = str(error) or "no message"
    return text if isinstance(error, MaskrlError) else f"{type(error).__name__}: {text}"
