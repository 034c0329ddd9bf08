"""One step of an episode beside the world: what the agent may do, would do, sees and expects.

`StepView` is everything that a step shows, as plain arrays; `render_step` turns it
into something that rich can print or keep alive. Both know nothing of environments
or policies, so what `maskrl watch` shows can be tested without either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from maskrl.policies.head_view import HeadView

MOST_ACTIONS = 12
LEAST_ACTIONS = 3
MOST_ENTITIES = 12
BAR_CELLS = 16
GAP, TABLE_WIDTH = 2, 52
HEAD_ROWS = 2
EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True)
class StepView:
    """One moment before an action, and the action taken.

    Attributes:
        world: The environment as text, colour codes allowed, or as a picture
            uint8 [h, w, 3], which is shown in half blocks.
        title: Which episode and step this is.
        action_names: A name per action.
        action_mask: bool [A], True where the action is allowed; None where all are.
        probabilities: float [A] under the mask; None after an episode's end.
        q_values: float [A], what each action is worth; None where the policy does not know.
        by_value: Whether the largest of them decides, so that probabilities say nothing.
        action: The action taken; None after an episode's end.
        heads: The heads of an action that is more than one number, instead of the four above.
        binary: Whether these heads are bits.
        value: The value that the critic gives this moment, None without a critic.
        gained: Return so far.
        entity_names: A name per entity slot, None for slots that hold nothing.
        attention: float [E], what the agent pays to each slot; None without entities.
        visible: bool [E], what the agent may look at; None without entities.
    """

    world: str | NDArray[np.uint8]
    title: str
    action_names: tuple[str, ...] = ()
    action_mask: NDArray[np.bool_] | None = None
    probabilities: NDArray[np.floating] | None = None
    action: int | None = None
    heads: tuple[HeadView, ...] = ()
    binary: bool = False
    value: float | None = None
    gained: float = 0.0
    entity_names: tuple[str | None, ...] = ()
    attention: NDArray[np.floating] | None = None
    visible: NDArray[np.bool_] | None = None
    q_values: NDArray[np.floating] | None = None
    by_value: bool = False

    @property
    def is_end(self) -> bool:
        """Whether nothing is decided any more."""
        return self.action is None and not self.heads


def bar(share: float, cells: int = BAR_CELLS) -> str:
    """A bar of up to `cells` blocks, in steps of an eighth of one.

    >>> bar(0.5, 4)
    '██  '
    """
    eighths = round(min(1.0, max(0.0, share)) * cells * 8)
    text = "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
    return text.ljust(cells)


def half_blocks(picture: NDArray[np.uint8], columns: int = 44) -> Text:
    """A picture in a terminal: two pixels to a character, one in its colour, one behind it.

    Args:
        picture: uint8 [h, w, 3].
        columns: Characters in a row; the height follows.
    """
    height, width = picture.shape[:2]
    columns = max(1, min(columns, width))
    rows = max(1, round(height / width * columns / 2)) * 2
    down, across = np.arange(rows) * height // rows, np.arange(columns) * width // columns
    total = np.add.reduceat(np.add.reduceat(picture.astype(np.int64), down), across, axis=1)
    pixels = np.diff(down, append=height)[:, None] * np.diff(across, append=width)
    small = total // np.maximum(1, pixels)[..., None]
    text = Text(no_wrap=True)
    for upper, lower in zip(small[::2].tolist(), small[1::2].tolist(), strict=True):
        if text:
            text.append("\n")
        for (r, g, b), (u, v, w) in zip(upper, lower, strict=True):
            text.append("▀", style=f"rgb({r},{g},{b}) on rgb({u},{v},{w})")
    return text


def render_step(view: StepView, width: int = 100, height: int = 40) -> RenderableType:
    """Lay out one step: the world to the left, what the agent thinks to the right.

    Args:
        view: What to show.
        width: Columns of the terminal; narrow ones get the parts one below the other.
        height: Rows of the terminal; low ones get fewer entities.
    """
    if isinstance(view.world, str):
        world = Text.from_ansi(view.world.rstrip(), no_wrap=True)
    else:
        world = half_blocks(view.world)
    lines = world.plain.split("\n")
    beside = width >= max(len(line) for line in lines) + 2 * GAP + TABLE_WIDTH
    used = 1 if beside else len(lines) + 3  # the title, and two lines of numbers
    thoughts: list[RenderableType] = []
    if view.heads or view.probabilities is not None:
        actions = _choices(view, height - used - HEAD_ROWS)
        thoughts.append(actions)
        used += actions.row_count + HEAD_ROWS
    if view.attention is not None and height - used > HEAD_ROWS + 1:
        thoughts += [Text()] if thoughts else []
        thoughts.append(_attention_table(view, height - used - HEAD_ROWS - 1))
    numbers = Text(f"return so far {view.gained:+.2f}", style="dim")
    if view.value is not None:
        numbers.append(f"\nexpects {view.value:+.2f} from here")
    title = Text(view.title, style="bold", no_wrap=True)
    if not beside:
        return Group(title, world, numbers, *thoughts)
    grid = Table.grid(padding=(0, GAP))
    grid.add_row(Group(world, Text(), numbers), Group(*thoughts))
    return Group(title, grid)


def _choices(view: StepView, rows: int) -> Table:
    """The table of actions: one group of rows, or one for each head; bits in one group."""
    if view.binary:
        table = _table("", "bit", "", "on", "")
        _add_bits(table, view.heads, MOST_ACTIONS if len(view.heads) <= rows else rows - 1)
        return table
    if not view.heads:
        probabilities = np.asarray(view.probabilities, dtype=np.float64)
        every = np.ones(len(probabilities), bool)
        allowed = every if view.action_mask is None else np.asarray(view.action_mask)
        if view.by_value and view.q_values is not None:
            return _value_table(view, allowed)
        table = _table("", "action", "", "probability", "", *_value_header(view))
        _add_actions(
            table,
            view.action_names,
            allowed,
            probabilities,
            view.action,
            MOST_ACTIONS,
            q_values=view.q_values,
        )
        return table
    table = _table("", "action", "", "probability", "")
    counting = [head for head in view.heads if head.relevant]
    # Every head has a line for its name, and one that counts perhaps one for the rest.
    room = (rows - len(view.heads)) // max(1, len(counting)) - 1
    for head in view.heads:
        name = head.name.replace("_", " ")
        if not head.relevant:
            table.add_row("", name, "not relevant", style="dim")
            continue
        table.add_row("", Text(name, style="bold"))
        most = min(MOST_ACTIONS, max(LEAST_ACTIONS, room))
        _add_actions(table, head.choices, head.allowed, head.probs, head.action, most, indent="  ")
    return table


def _add_actions(
    table: Table,
    names: Sequence[str],
    allowed: NDArray[np.bool_],
    probabilities: NDArray[np.floating],
    action: int | None,
    most: int,
    *,
    indent: str = "",
    q_values: NDArray[np.floating] | None = None,
) -> None:
    """Every choice with its mask and probability, the likeliest only where there are many."""
    count = len(probabilities)
    shown = np.arange(count)
    if count > most:
        order = np.lexsort((shown, -probabilities, ~allowed))
        shown = order[:most]
        if action is not None and action not in shown:
            shown = np.append(order[: most - 1], action)
    for index in shown.tolist():
        share, taken = float(probabilities[index]), index == action
        name = names[index] if index < len(names) else str(index)
        style = "bold green" if taken else "" if allowed[index] else "dim"
        table.add_row(
            ">" if taken else "",
            indent + name.replace("_", " "),
            "" if allowed[index] else "masked",
            Text(bar(share), style="green" if taken else "cyan"),
            f"{share:6.1%}" if allowed[index] else "",
            *([] if q_values is None else [f"{float(q_values[index]):+8.2f}"]),
            style=style,
        )
    if count > len(shown):
        rest = np.setdiff1d(np.arange(count), shown)
        masked = int((~allowed[rest]).sum())
        table.add_row(
            "",
            f"{indent}{len(rest)} more",
            f"{masked} masked",
            Text(bar(float(probabilities[rest].sum())), style="dim"),
            f"{float(probabilities[rest].sum()):6.1%}",
            style="dim",
        )


def _value_header(view: StepView) -> tuple[str, ...]:
    return () if view.q_values is None else ("Q-value",)


def _value_table(view: StepView, allowed: NDArray[np.bool_]) -> Table:
    """Every action with its mask and Q-value, the best only where there are many.

    Bars go from the worst allowed action shown to the best; what is masked has none, however
    large its value is.
    """
    values = np.asarray(view.q_values, dtype=np.float64)
    table = _table("", "action", "", "Q-value", "")
    order = np.lexsort((-values, ~allowed))
    shown = np.sort(order[:MOST_ACTIONS])
    if view.action is not None and view.action not in shown:
        shown = np.sort(np.append(order[: MOST_ACTIONS - 1], view.action))
    choices = values[allowed & np.isin(np.arange(len(values)), shown)]
    low, high = (float(choices.min()), float(choices.max())) if choices.size else (0.0, 0.0)
    for index in shown.tolist():
        value, taken = float(values[index]), index == view.action
        share = (value - low) / (high - low) if high > low else 1.0
        name = view.action_names[index] if index < len(view.action_names) else str(index)
        table.add_row(
            ">" if taken else "",
            name.replace("_", " "),
            "" if allowed[index] else "masked",
            Text(bar(max(share, 0.5 / BAR_CELLS)) if allowed[index] else " " * BAR_CELLS,
                 style="green" if taken else "cyan"),
            f"{value:+8.2f}",
            style="bold green" if taken else "" if allowed[index] else "dim",
        )  # fmt: skip
    rest = np.setdiff1d(np.arange(len(values)), shown)
    if rest.size:
        masked = int((~allowed[rest]).sum())
        table.add_row("", f"{len(rest)} more", f"{masked} masked", "", "", style="dim")
    return table


def _add_bits(table: Table, bits: Sequence[HeadView], most: int) -> None:
    """A row per bit: whether it is on, whether that was a choice, how likely it was."""
    order = sorted(range(len(bits)), key=lambda k: (-bits[k].action, -bits[k].probs[1], k))
    for k in sorted(order[: max(LEAST_ACTIONS, most)]):
        bit = bits[k]
        share, on = float(bit.probs[1]), bit.action == 1
        may_be = bit.allowed.tolist()
        forced = {(True, False): "must be off", (False, True): "must be on"}
        word = forced.get((may_be[0], may_be[1]), "" if may_be[0] else "idle")
        style = "bold green" if on else "dim" if not all(may_be) else ""
        table.add_row(
            ">" if on else "",
            bit.name.replace("_", " "),
            word,
            Text(bar(share), style="green" if on else "cyan"),
            f"{share:6.1%}" if any(may_be) else "",
            style=style,
        )
    rest = [bits[k] for k in order[max(LEAST_ACTIONS, most) :]]
    if rest:
        lit = sum(bit.action == 1 for bit in rest)
        table.add_row("", f"{len(rest)} more", f"{lit} on", style="dim")


def _attention_table(view: StepView, rows: int) -> Table:
    """What the agent pays attention to, and what the feature mask keeps from it."""
    attention = np.asarray(view.attention, dtype=np.float64)
    seen = np.ones(len(attention), bool) if view.visible is None else np.asarray(view.visible)
    table = _table("", "entity", "", "attention", "")
    slots = [slot for slot, name in enumerate(view.entity_names) if name is not None]
    for slot in slots[: min(rows, MOST_ENTITIES)]:
        share = float(attention[slot])
        table.add_row(
            "",
            str(view.entity_names[slot]),
            "" if seen[slot] else "unseen",
            Text(bar(share), style="magenta"),
            f"{share:6.1%}" if seen[slot] else "",
            style="" if seen[slot] else "dim",
        )
    return table


def _table(*headers: str) -> Table:
    """A plain table with a line below its head."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), show_edge=False, header_style="dim")
    for header, least in zip(headers, (1, 10, 6, BAR_CELLS, 6, 8), strict=False):
        table.add_column(header, min_width=least, no_wrap=True)
    return table
