"""One step of a team beside its world: a row for every agent, what it does and how surely.

`TeamView` is everything that a step shows, as plain values; `render_team` turns it into
something that rich can print or keep alive. A team of 64 has more agents than a terminal has
rows, so that those who act come first and the rest is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from maskrl.cli.step_view import GAP, bar, half_blocks
from maskrl.policies.head_view import action_text, readable

if TYPE_CHECKING:
    from maskrl.policies.team_episode import TeamEpisode, TeamStep

WIDTH = 66
"""Columns of the table of agents."""
BAR = 8
WORDS = ("does", "or")
"""Columns that may be cut short."""
FEWEST = 3
"""Agents that are shown however low the terminal is."""


@dataclass(frozen=True)
class AgentRow:
    """One agent at one step.

    Attributes:
        name: What it is called.
        state: "acts", "waits" or "dead".
        does: What it does, in words; empty where it does not act.
        share: Probability of that.
        likeliest: The next likeliest choices of its first head, in words.
        masked: How many choices of its first head are disallowed, of how many.
        value: What the critic expects for it; None where the value is the team's.
    """

    name: str
    state: str
    does: str = ""
    share: float = 0.0
    likeliest: str = ""
    masked: str = ""
    value: float | None = None


@dataclass(frozen=True)
class TeamView:
    """One moment of a team.

    Attributes:
        world: The environment as text, colour codes allowed, or as a picture uint8 [h, w, 3].
        title: Which episode and step this is.
        rows: The agents, those that act first.
        gained: The team's return so far.
        value: What the critic expects for the team; None without a team value.
        is_end: Whether nothing is decided any more.
    """

    world: str | NDArray[np.uint8]
    title: str
    rows: tuple[AgentRow, ...] = ()
    gained: float = 0.0
    value: float | None = None
    is_end: bool = False


def team_views(record: TeamEpisode, name: str, no_picture: str) -> Iterator[TeamView]:
    """Every moment of a team's episode as something to show, the end included.

    Args:
        record: The episode.
        name: What to call it.
        no_picture: What stands where the environment draws nothing.
    """
    gained, count = 0.0, len(record.steps)
    for index, step in enumerate(record.steps):
        yield TeamView(
            world=_world(step.text, step.frame, no_picture),
            title=f"{record.env}, {name}, step {index + 1} of {count}",
            rows=agent_rows(record, step),
            gained=gained,
            value=step.value if isinstance(step.value, float) else None,
        )
        gained += step.reward
    yield TeamView(
        world=_world(record.final_text, record.final_frame, no_picture),
        title=f"{record.env}, {name}, {'the end' if record.terminated else 'cut off'}",
        gained=gained,
        is_end=True,
    )


def agent_rows(record: TeamEpisode, step: TeamStep) -> tuple[AgentRow, ...]:
    """The agents of a step: those that act, then those that wait, then the dead."""
    rows = [_acting(record, step, m) for m in range(len(step))]
    names = record.agent_names
    if names:
        rows += [AgentRow(names[n], "waits") for n in step.waiting.tolist()]
        there = {*step.slot.tolist(), *step.waiting.tolist()}
        rows += [AgentRow(name, "dead") for n, name in enumerate(names) if n not in there]
    return tuple(rows)


def _acting(record: TeamEpisode, step: TeamStep, m: int) -> AgentRow:
    views = record.head_views(step, m)
    first = views[0]
    share = float(np.prod([view.probs[view.action] for view in views if view.relevant]))
    order = [k for k in np.argsort(-first.probs, kind="stable") if k != first.action]
    likely = [
        f"{readable(first.choices[k])} {first.probs[k]:.0%}" for k in order if first.probs[k] > 0
    ]
    closed = int((~first.allowed).sum())
    return AgentRow(
        name=record.name_of(step, m).replace("unit at row ", "").replace(", column ", ", "),
        state="acts",
        does=action_text(views),
        share=share,
        likeliest=", ".join(likely[:2]),
        masked=f"{closed}/{len(first.probs)}" if closed else "",
        value=None if isinstance(step.value, float) else step.value_of(m),
    )


def render_team(view: TeamView, width: int = 100, height: int = 40) -> RenderableType:
    """Lay out one step: the world to the left, a row per agent to the right.

    Args:
        view: What to show.
        width: Columns of the terminal; narrow ones get the parts one below the other.
        height: Rows of the terminal; low ones get fewer agents.
    """
    if isinstance(view.world, str):
        world = Text.from_ansi(view.world.rstrip(), no_wrap=True)
    else:
        world = half_blocks(view.world)
    lines = world.plain.split("\n")
    beside = width >= max(len(line) for line in lines) + 2 * GAP + WIDTH
    used = 6 if beside else len(lines) + 7
    numbers = Text(f"return so far {view.gained:+.2f}", style="dim")
    if view.value is not None:
        numbers.append(f"\nthe team expects {view.value:+.2f} from here")
    title = Text(view.title, style="bold", no_wrap=True)
    agents: list[RenderableType] = []
    if not view.is_end:
        agents = [_count(view.rows), _table(view.rows, max(FEWEST, height - used))]
    if not beside:
        return Group(title, world, numbers, *agents)
    grid = Table.grid(padding=(0, GAP))
    grid.add_row(Group(world, Text(), numbers), Group(*agents))
    return Group(title, grid)


def _count(rows: tuple[AgentRow, ...]) -> Text:
    """How many act, wait and are dead."""
    parts = []
    for state, words in (("acts", "act"), ("waits", "wait"), ("dead", "dead")):
        number = sum(row.state == state for row in rows)
        if number or state == "acts":
            parts.append(f"{number} {words}")
    return Text(", ".join(parts), style="dim")


def _table(rows: tuple[AgentRow, ...], most: int) -> Table:
    """The table of agents, the first of them, and how many more there are."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), show_edge=False, header_style="dim")
    has_values = any(row.value is not None for row in rows)
    for header in ("agent", "does", "", "", "or", "masked", *(["value"] if has_values else [])):
        # What is too wide is taken from words, and never from names and numbers.
        table.add_column(header, no_wrap=header not in WORDS, overflow="ellipsis")
    shown = rows if len(rows) <= most else rows[: most - 1]
    for row in shown:
        if row.state != "acts":
            table.add_row(row.name, row.state, style="dim")
            continue
        value = [f"{row.value:+.2f}" if row.value is not None else ""] if has_values else []
        table.add_row(
            row.name,
            Text(row.does, style="bold green", no_wrap=True, overflow="ellipsis"),
            Text(bar(row.share, BAR), style="green"),
            f"{row.share:4.0%}",
            Text(row.likeliest, style="cyan", no_wrap=True, overflow="ellipsis"),
            row.masked,
            *value,
        )
    if len(shown) < len(rows):
        table.add_row(f"{len(rows) - len(shown)} more", style="dim")
    return table


def _world(
    text: str | None, frame: NDArray[np.uint8] | None, no_picture: str
) -> str | NDArray[np.uint8]:
    """The text of a step, else its picture, else a remark."""
    if text is not None:
        return text
    return no_picture if frame is None else frame
