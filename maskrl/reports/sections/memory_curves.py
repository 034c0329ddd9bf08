"""Curves of what learns values from a memory of transitions: DQN and soft actor-critic.

Q-values beside the returns that are really got, how much is tried at random, how far
the policy's entropy is from its aim, and the errors that learning goes by. Each
function returns None where its column was not written.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from maskrl.figures import PALETTE, learning_curve
from maskrl.reports import wording
from maskrl.reports.run_data import RunData

OFF_POLICY = (
    (
        "beyond_atoms",
        "Targets beyond the atoms",
        "share that lies outside the distribution's lowest and highest atom; should be 0",
        3,
    ),
    (
        "td_error",
        "TD error",
        "mean distance of a value from its target; its size is that of rewards",
        4,
    ),
    ("loss", "Loss", "of the values, as it is minimised", 4),
    ("critic_loss", "Critics' loss", "of both critics together", 4),
    (
        "target_mean",
        "Mean target",
        "what values are drawn towards; compare with the mean Q-value",
        3,
    ),
    ("replay_size", "Memory", "transitions that are remembered", 0),
)
"""Small figures: column, title, caption, decimals."""

ALPHA = ("temperature", "Alpha", "what a nat of entropy is worth, in units of return", 4)
TEMPERATURE = (
    "temperature",
    "Temperature",
    "a difference of values by this much makes the better action 2.7 times as likely",
    4,
)
"""What the temperature is to soft actor-critic, and to DQN that explores by it."""

Made = tuple[str, str, go.Figure, str]


def q_values(run: RunData) -> Made | None:
    """The mean Q-value of the actions that were taken, over the batches learned from."""
    values = run.column("q_mean")
    if not np.isfinite(values).any():
        return None
    figure = learning_curve(
        run.step, values, label="Q-value", colour=PALETTE.second, digits=2, height=280
    )
    finite = values[np.isfinite(values)]
    error = run.column("td_error")
    error = error[np.isfinite(error)]
    caption = (
        "What the network expects, discounted, of the actions in the batches that it learns from: "
        f"from {wording.number(finite[0])} to {wording.number(finite[-1])} at the end"
    )
    if error.size:
        caption += f", {wording.number(error[-1])} from its targets on average"
    source = (
        "Values of actions that a state disallows are in no target."
        if run.masked_targets
        else "Targets take the largest value of all, also of actions that the next state "
        "disallows: this is the naive regime."
    )
    caption += (
        f". {source} A mean that climbs beyond "
        "every return that was ever got is the sign of a target that believes itself."
    )
    return "q_values", "Q-values", figure, caption


def exploration(run: RunData) -> Made | None:
    """How much is tried at random: epsilon, or the entropy beside its aim."""
    values = run.column("epsilon")
    if np.isfinite(values).any():
        return _epsilon(run, values)
    share = run.column("entropy_share")
    if not np.isfinite(share).any():
        return None
    figure = learning_curve(
        run.step, share, label="share", colour=PALETTE.accent, digits=3, height=280
    )
    caption = (
        "Entropy of the policy as a share of the most that each state's mask allows, log of the "
        "number of allowed actions; states without a choice are left out. It ends at "
        f"{wording.percent(share[np.isfinite(share)][-1])}"
    )
    aim = run.column("entropy_share_target")
    if np.isfinite(aim).any():
        figure.add_trace(
            go.Scatter(
                x=run.step[np.isfinite(aim)].tolist(),
                y=aim[np.isfinite(aim)].tolist(),
                mode="lines",
                line={"color": PALETTE.neutral, "width": 1.5, "dash": "dash"},
                hovertemplate="aim <b>%{y:.3f}</b><extra></extra>",
            )
        )
        caption += (
            f", and was to end at {wording.percent(aim[np.isfinite(aim)][-1])} (dashed): alpha "
            "rises where the policy is less random than that, and falls where it is more"
        )
    figure.update_yaxes(rangemode="tozero", autorange=True)
    return "entropy_share", "Entropy and its aim", figure, caption + "."


def _epsilon(run: RunData, values: np.ndarray) -> Made:
    figure = learning_curve(
        run.step, values, label="epsilon", colour=PALETTE.accent, digits=3, height=280
    )
    figure.update_yaxes(rangemode="tozero", autorange=True)
    finite = values[np.isfinite(values)]
    low = float(finite.min())
    first = run.step[np.isfinite(values)][int(np.argmax(finite <= low * 1.001))]
    caption = (
        "The share of steps at which any allowed action is tried, each as likely, instead of the "
        f"best: from {wording.percent(finite[0])} to {wording.percent(finite[-1])}"
    )
    caption += f", reached after {wording.large(first)} steps." if low < finite[0] else "."
    return "epsilon", "Exploration", figure, caption
