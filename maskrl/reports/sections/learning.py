"""Learning curves: score and return against ceiling and floor, entropy or values, losses.

Each quantity has a small figure with a scale of its own. The caption says what
the quantity means and what it did in this run, in numbers of this run.
"""

from __future__ import annotations

import math
from html import escape

import numpy as np
import plotly.graph_objects as go

from maskrl.figures import PALETTE, ReferenceLine, learning_curve
from maskrl.reports import wording
from maskrl.reports.run_data import RunData
from maskrl.reports.section import Section, figure_place
from maskrl.reports.sections.memory_curves import (
    ALPHA,
    OFF_POLICY,
    TEMPERATURE,
    exploration,
    q_values,
)
from maskrl.reports.sections.team_curves import team_curves

AVERAGED = 100
"""Episodes over which training averages its return."""

_OPTIMISER = (
    ("policy_loss", "Policy loss", "clipped surrogate; its sign and size say little", 4),
    ("value_loss", "Value loss", "squared error of predicted returns", 4),
    (
        "explained_variance",
        "Explained variance",
        "of returns by the value network; 1 is perfect",
        3,
    ),
    ("approx_kl", "Approximate KL", "how far one update moves the policy, in nats", 4),
    ("clip_fraction", "Clip fraction", "share of samples at the edge of the trust region", 3),
    ("grad_norm", "Gradient norm", "before clipping", 3),
    ("learning_rate", "Learning rate", "as annealed", 6),
    ("ratio_drift", "Ratio drift", "of the first minibatch, before its step; must be near 0", 7),
    (
        "mask_removed_return",
        "Return without the mask",
        "of the rollouts between updates, sampled; nothing is learned from them",
        2,
    ),
    ("length_mean", "Episode length", "mean of the last 100 episodes, in steps", 1),
)


def learning_section(run: RunData) -> Section | None:
    """Learning curves of a run.

    Args:
        run: what the run left behind.

    Returns:
        The section, or None where no metric was written.
    """
    if not run.metrics or not run.step.size:
        return None
    figures: dict[str, go.Figure] = {}
    large: list[str] = []
    for build in (_score, _evaluation_return, _training_return, _entropy, q_values, exploration):
        made = build(run)
        if made is not None:
            name, title, figure, caption = made
            figures[f"curve-{name}"] = figure
            large.append(
                figure_place(f"curve-{name}", figure, title=title, caption=escape(caption))
            )
    small: list[str] = []
    for name, title, caption, digits in (
        *_OPTIMISER,
        *OFF_POLICY,
        TEMPERATURE if run.by_value else ALPHA,
    ):
        values = run.column(name)
        if not np.isfinite(values).any():
            continue
        if name == "policy_loss" and run.is_off_policy:
            caption = "of the soft policy against the values; its sign and size say little"
        figure = learning_curve(
            run.step, values, label=title.lower(), colour=PALETTE.neutral, digits=digits, height=150
        )
        figure.update_xaxes(title=None, nticks=4)
        figure.update_yaxes(nticks=4)
        if name == "replay_size":
            figure.update_yaxes(tickformat="~s")  # 150k, as steps are written
        figures[f"curve-{name}"] = figure
        small.append(figure_place(f"curve-{name}", figure, title=title, caption=escape(caption)))
    columns = "three" if len(large) == 3 and not run.is_off_policy else "two"
    html = f'<div class="grid {columns}">{"".join(large)}</div>'
    of_team, team_figures = team_curves(run)
    if of_team:
        figures |= team_figures
        html += f'<h3 class="sub">The team</h3><div class="grid two">{"".join(of_team)}</div>'
    if small:
        html += '<h3 class="sub">Losses and the optimiser</h3>'
        html += f'<div class="card grid many">{"".join(small)}</div>'
    return Section("learning", "How it learned", html, figures)


_Made = tuple[str, str, go.Figure, str]


def _score(run: RunData) -> _Made | None:
    """Score over training, with the planner's ceiling and the floor of random play."""
    score = run.column("eval_score")
    if not np.isfinite(score).any():
        return None
    name = run.reference_name
    lines = (ReferenceLine(1.0, name), ReferenceLine(0.0, "random valid play", "floor"))
    figure = learning_curve(run.step, score, label="score", lines=lines, markers=True, height=280)
    best = int(np.nanargmax(score))
    last = score[np.isfinite(score)][-1]
    caption = (
        "Evaluations during training, on layouts kept apart from it. The best was "
        f"{wording.number(score[best])} after {wording.large(run.step[best])} steps, "
        f"the last {wording.number(last)}; 1 is the {name}, 0 random valid play."
    )
    return "score", "Score", figure, caption


def _evaluation_return(run: RunData) -> _Made | None:
    """Return of evaluations, for environments that have no score."""
    values = run.column("eval_return")
    if np.isfinite(run.column("eval_score")).any() or not np.isfinite(values).any():
        return None
    figure = learning_curve(
        run.step, values, label="return", lines=_floor(run), markers=True, digits=2, height=280
    )
    best = int(np.nanargmax(values))
    which = "best allowed" if run.by_value else "likeliest"
    caption = (
        f"Evaluations during training, with the {which} action at every step. The best was "
        f"{wording.number(values[best])} after {wording.large(run.step[best])} steps."
    )
    return "eval_return", "Return in evaluation", figure, caption


def _training_return(run: RunData) -> _Made | None:
    """Return of the sampling policy while it trains."""
    values = run.column("return_mean")
    if not np.isfinite(values).any():
        return None
    lines = list(_floor(run))
    if math.isfinite(run.planner_return):
        lines.insert(0, ReferenceLine(run.planner_return, run.reference_name))
    figure = learning_curve(run.step, values, label="return", lines=lines, height=280)
    finite = values[np.isfinite(values)]
    first, start = finite[0], "at the start"
    full = np.isfinite(values) & (run.column("episodes") >= AVERAGED)
    if full.any() and not full[np.isfinite(values)][0]:
        # Of the first few, the short ones end first, and these are good or bad for a reason.
        first, start = values[full][0], f"after the first {AVERAGED}"
    how = "also tried at random" if run.by_value else "sampled"
    caption = (
        f"Mean of the last {AVERAGED} training episodes, in which actions are {how}: from "
        f"{wording.number(first)} {start} to {wording.number(finite[-1])} at the end."
    )
    return "return", "Return in training", figure, caption


def _entropy(run: RunData) -> _Made | None:
    """Entropy of the policy over allowed actions."""
    values = run.column("entropy")
    if not np.isfinite(values).any() or np.isfinite(run.column("entropy_share")).any():
        return None  # the share of what masks leave, beside its aim, says more
    figure = learning_curve(run.step, values, label="entropy", colour=PALETTE.accent, height=280)
    figure.update_yaxes(rangemode="tozero", autorange=True)
    finite = values[np.isfinite(values)]
    share = run.column("entropy_normalized")
    share = share[np.isfinite(share)]
    whose = "an agent that acts is" if run.is_team else "the policy is"
    caption = (
        f"How undecided {whose} among the allowed actions, in nats: from "
        f"{wording.number(finite[0])} to {wording.number(finite[-1])}."
    )
    if share.size:
        caption += f" The end is {wording.percent(share[-1])} of what full indecision would give."
    return "entropy", "Entropy", figure, caption


def _floor(run: RunData) -> tuple[ReferenceLine, ...]:
    """The line of random valid play, where it is known."""
    if not math.isfinite(run.random_return):
        return ()
    return (ReferenceLine(run.random_return, "random valid play", "floor"),)
