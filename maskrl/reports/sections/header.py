"""The head of the page: what was trained, how well it does, and whether it kept the rules.

The score is drawn as a track from random valid play to the planner, with the
agent's place on it, because three returns in a row of tiles say less.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any

import numpy as np

from maskrl.envs.adapters.mask_regime import MASK_REGIME, MASKED
from maskrl.figures.png import png_data_uri, with_few_colours
from maskrl.reports import wording
from maskrl.reports.run_data import RunData
from maskrl.reports.section import paragraph, tiles

_ALGORITHMS = {"ppo": "PPO", "dqn": "DQN", "sac": "discrete SAC"}


def header_html(run: RunData, picture: np.ndarray | None = None) -> str:
    """The page's header: title, what was trained, a verdict, the main figures.

    Args:
        run: what the run left behind.
        picture: uint8 [H, W, 3], the environment, to the right of the title.

    Returns:
        HTML for the inside of `header`.
    """
    env_id, env_kwargs = _named(run)
    settings = "".join(
        f'<span class="chip">{escape(str(name))} = {escape(str(value))}</span>'
        for name, value in env_kwargs.items()
    )
    image = ""
    if picture is not None:
        uri = png_data_uri(with_few_colours(picture))
        image = f'<img class="portrait" src="{uri}" alt="The environment">'
    return "".join(
        (
            '<div class="banner"><div>',
            '<p class="eyebrow">maskrl training report</p>',
            f"<h1>{escape(env_id)}</h1>",
            f'<p class="chips">{settings}</p>' if settings else "",
            paragraph(_what_was_trained(run), kind="lead"),
            _verdict(run),
            f"</div>{image}</div>",
            tiles(_entries(run)),
        )
    )


def _named(run: RunData) -> tuple[str, dict[str, Any]]:
    """The environment's id without its query, and all its settings."""
    base_id, query, rest = run.env_id.partition("?")
    if not query:
        return base_id, run.env_kwargs
    pairs = (part.partition("=") for part in rest.split("&"))
    return base_id, {**{name: value for name, _, value in pairs}, **run.env_kwargs}


def _what_was_trained(run: RunData) -> str:
    """One sentence: algorithm, steps, time, seed, and what it was judged on."""
    name = _ALGORITHMS.get(run.algorithm, run.algorithm.upper())
    who = f"A team trained by {name}" if run.is_team else f"A {name} agent"
    parts = [f"{who} {_how_masked(run)}"]
    network = run.settings.get("network") or {}
    memory = network.get("memory", "none")
    if memory != "none":
        parts.append(f" that remembers by {'an' if memory == 'lstm' else 'a'} {memory.upper()}")
    if run.steps:
        trained = "" if run.is_team else "trained "
        parts.append(f", {trained}for {wording.large(run.steps)} steps")
    if math.isfinite(run.seconds):
        parts.append(f" in {wording.duration(run.seconds)}")
    if run.seed is not None:
        parts.append(f" with seed {run.seed}")
    if math.isfinite(run.episodes):
        episodes = wording.plural(run.episodes, "episode")
        unseen = " on layouts that it never saw in training" if run.has_reference else ""
        agent = ""
        if math.isfinite(run.evaluated("step")) and run.evaluated("step") < run.steps:
            steps = wording.large(run.evaluated("step"))
            agent = f"its best checkpoint, after {steps} steps, "
        opponent = (run.evaluation.get("env_kwargs") or {}).get("opponent")
        against = f" against {opponent}" if opponent else ""
        parts.append(f"; {agent}judged in {episodes}{unseen}{against}")
    return "".join(parts) + "."


def _how_masked(run: RunData) -> str:
    """Whether masks were obeyed, in acting and in learning."""
    regime = str(_named(run)[1].get(MASK_REGIME, MASKED))
    if regime != MASKED:
        return f"without masks (regime {regime})"
    return "under masks" if run.masked_targets else "under masks in acting, not in its targets"


def _verdict(run: RunData) -> str:
    """The score on its track, where there is one."""
    if not math.isfinite(run.score):
        return ""
    place = 100 * min(max(run.score, 0.0), 1.0)
    who, name = "team" if run.is_team else "agent", run.reference_name
    knows = ", which knows the whole world" if name == "planner" else ""
    sentence = (
        f"The {who} goes {wording.percent(run.score)} of the way from random valid play "
        f"to the {name}{knows}."
    )
    if run.score > 1:
        sentence = f"The {who}'s mean return lies above the {name}'s."
    elif run.score < 0:
        sentence = f"The {who} does worse than random valid play."
    label = (
        f"score {wording.number(run.score)}: return {wording.number(run.mean_return)} between "
        f"random valid play {wording.number(run.random_return)} and {name} "
        f"{wording.number(run.planner_return)}"
    )
    return (
        f'<div class="score" role="img" aria-label="{escape(label)}">'
        '<div class="score-agent" style="'
        f'left:{place:.2f}%;transform:translateX(-{place:.2f}%)">'
        f"<strong>{wording.number(run.score)}</strong> score, return "
        f"{wording.number(run.mean_return)}</div>"
        f'<div class="score-track"><div class="score-fill" style="width:{place:.2f}%"></div>'
        f'<div class="score-mark" style="left:{place:.2f}%"></div></div>'
        '<div class="score-ends">'
        f"<span>random valid play<br><b>{wording.number(run.random_return)}</b></span>"
        f"<span>{escape(name)}<br><b>{wording.number(run.planner_return)}</b></span></div></div>"
        + paragraph(sentence, kind="verdict")
    )


def _entries(run: RunData) -> list[tuple[str, str, str]]:
    """The tiles that apply to this run; what the score's track says is not said again."""
    entries = []
    if math.isfinite(run.mean_return):
        which = "best" if run.by_value else "likeliest"
        remark = f"mean, {which} action at every step"
        error = run.evaluated("standard_error")
        if math.isfinite(error):
            remark = f"± {wording.number(error)} standard error, {which} actions"
        entries.append(("Return", wording.number(run.mean_return), remark))
    elif math.isfinite(run.training_return):
        entries.append(
            ("Return", wording.number(run.training_return), "last 100 episodes of training")
        )
    if not math.isfinite(run.score) and math.isfinite(run.random_return):
        entries.append(("Random valid play", wording.number(run.random_return), "mean return"))
    if math.isfinite(run.untrained_return):
        remark = "return of the same network before training"
        entries.append(("Untrained", wording.number(run.untrained_return), remark))
    starts = run.evaluation.get("all_starts")
    if isinstance(starts, dict):
        below = f", {starts['unsolved']} unsolved" if starts["unsolved"] else ", none unsolved"
        remark = f"mean return, optimum {wording.number(starts['optimum'])}{below}"
        entries.append(
            (f"From all {starts['starts']} starts", wording.number(starts["mean"]), remark)
        )
    length = run.evaluated("length_mean")
    if math.isfinite(length):
        entries.append(("Episode length", wording.number(length, 1), "steps on average"))
    entries += _team_entries(run)
    if math.isfinite(run.illegal_actions):
        remark = "executed in training and evaluation"
        entries.append(("Illegal actions", wording.count(run.illegal_actions), remark))
    return entries


def _team_entries(run: RunData) -> list[tuple[str, str, str]]:
    """Tiles of games that are won or lost, and of a team."""
    entries = []
    if math.isfinite(won := run.evaluated("win_rate")):
        drawn = run.evaluated("draw_rate")
        remark = f"of the episodes, {wording.percent(drawn)} drawn" if drawn else "of the episodes"
        entries.append(("Won", wording.percent(won), remark))
    team = run.evaluation.get("team")
    if isinstance(team, dict):
        agents, acting = int(team["agents"]), float(team["agents_acting"])
        # Units of a map come and go: that there could be so many says nothing.
        of_all = f", of {agents}" if "agents_alive" in team else ""
        entries.append(("Agents acting", wording.number(acting, 1), f"at a step{of_all}"))
        if "deaths_mean" in team:
            alive = wording.number(float(team["alive_at_end_mean"]), 1)
            last = float(team.get("last_deaths_mean", 0.0))
            among = f", {wording.number(last, 1)} of them as it ended" if last else ""
            remark = f"in an episode{among}; {alive} alive at its end"
            entries.append(("Deaths", wording.number(float(team["deaths_mean"]), 1), remark))
    return entries
