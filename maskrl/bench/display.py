"""The results as tables in a terminal: who took part, one table per group, the goals.

A table has maskrl's own median and, for everybody else, how many times as much it took. A
number in brackets is wrong: that contender computed something else.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from maskrl.bench.results import CellResult, Goal, Results, Timing

TITLES = {
    "rows": "rows of actions",
    "heads": "several heads",
    "greedy": "the best allowed action",
    "grid": "agents on grids",
    "teams": "an agent's step in a team",
    "attention": "attention between entities",
    "memory": "peak memory while learning",
    "worlds": "worlds",
    "training": "whole training",
}

FEW = 2
"""Up to so many cells stand side by side."""


def print_results(results: Results, console: Console) -> None:
    """Print everything, in the order in which one reads it."""
    console.print(machine_line(results))
    console.print(participants_table(results))
    for group in results.groups():
        console.print()
        console.print(group_table(group, [c for c in results.cells if c.group == group]))
    wrong = [
        f"  {timing.contender}, {cell.name}: {timing.wrong}"
        for cell in results.cells
        for timing in cell.timings
        if timing.wrong is not None
    ]
    if wrong:
        console.print("\nwrong against float64:")
        console.print("\n".join(wrong), highlight=False, markup=False)
    for note in results.notes:
        console.print(f"\n{note}", markup=False)
    if results.goals:
        console.print()
        console.print(goals_table(results.goals))


def machine_line(results: Results) -> str:
    """One line: processor, threads, versions, repeats."""
    m = results.machine
    return (
        f"{m['processor']}, {m['cores']} cores, {m['threads']} threads, {m['vectors']}; "
        f"Python {m['python']}, torch {m['torch']}, numba {m['numba']}; "
        f"medians over {results.settings['repeats']} interleaved repeats"
    )


def participants_table(results: Results) -> Table:
    """Everybody with the version that ran, or why it is missing."""
    table = _table("who takes part")
    for name in ("contender", "version", "what is called"):
        table.add_column(name)
    for participant in results.participants:
        if participant.missing is None:
            about = participant.about
        else:
            about = f"MISSING, {participant.missing}"
        style = None if participant.missing is None else "yellow"
        version = (
            "" if participant.version is None else f"{participant.package} {participant.version}"
        )
        table.add_row(participant.name, version, about, style=style)
    return table


def group_table(group: str, cells: Sequence[CellResult]) -> Table:
    """Who took how long: many cells become rows, few become columns."""
    return _by_cell(group, cells) if len(cells) > FEW else _by_contender(group, cells)


def _by_cell(group: str, cells: Sequence[CellResult]) -> Table:
    """One row per cell: maskrl's median, then everybody else's ratio to it."""
    ours = cells[0].ours
    table = _table(f"{TITLES[group]}: median, and how many times as much others take")
    table.add_column("case", no_wrap=True)
    with_share = any(cell.allowed is not None for cell in cells)
    if with_share:
        table.add_column("allowed", justify="right", no_wrap=True)
    table.add_column("work", no_wrap=True)
    table.add_column(ours, justify="right", style="bold", no_wrap=True)
    others = [name for name in _contenders(cells) if name != ours]
    for name in others:
        table.add_column(name, justify="right")
    for cell in cells:
        row = [cell.case]
        if with_share:
            row.append("" if cell.allowed is None else f"{100 * cell.allowed:g} %")
        own = cell.timing(ours)
        row += [cell.workload, "" if own is None else amount(cell, own)]
        table.add_row(*row, *(ratio_text(cell, name) for name in others))
    return table


def _by_contender(group: str, cells: Sequence[CellResult]) -> Table:
    """One row per contender: for each cell its median, and its ratio to maskrl's."""
    table = _table(TITLES[group])
    table.add_column("")
    for cell in cells:
        table.add_column(cell.name, justify="right")
        table.add_column(f"times {cell.ours}", justify="right")
    for name in _contenders(cells):
        row = [name]
        for cell in cells:
            timing = cell.timing(name)
            row += ["" if timing is None else amount(cell, timing), ratio_text(cell, name)]
        table.add_row(*row, style="bold" if name == cells[0].ours else None)
    return table


def _contenders(cells: Sequence[CellResult]) -> list[str]:
    return list(dict.fromkeys(t.contender for cell in cells for t in cell.timings))


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)


def amount(cell: CellResult, timing: Timing) -> str:
    """A median with its unit: time, steps per second, or bytes; in brackets if wrong."""
    if cell.unit == "bytes":
        text = f"{timing.median / 1e6:.3g} MB"
    elif cell.steps is not None:
        text = f"{cell.steps / timing.median:,.0f} steps/s"
    else:
        text = duration(timing.median)
    return text if timing.wrong is None else f"({text})"


def ratio_text(cell: CellResult, name: str) -> str:
    """A ratio, in brackets if the contender is wrong; what it took where maskrl is missing."""
    timing, ratio = cell.timing(name), cell.ratio(name)
    if timing is None:
        return ""
    if ratio is None:
        return "-"
    text = f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.1f}" if ratio < 100 else f"{ratio:,.0f}"
    return text if timing.wrong is None else f"({text})"


def duration(seconds: float) -> str:
    """A time with three digits: 12.3 µs, 4.56 ms, 1.23 s."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size * 0.9995:
            return f"{seconds / size:.3g} {unit}" if seconds < 999.5 * size else f"{seconds:.0f} s"
    return f"{seconds / 1e-9:.3g} ns"


def goals_table(goals: Sequence[Goal]) -> Table:
    """The project's own targets, and whether they are reached."""
    table = _table("goals")
    table.add_column("figure")
    for name in ("measured", "goal"):
        table.add_column(name, justify="right")
    table.add_column("")
    table.add_column("decided by")
    for goal in goals:
        sign = "at least" if goal.at_least else "at most"
        verdict = "[green]reached[/]" if goal.reached else "[red]missed[/]"
        table.add_row(
            goal.name, f"{goal.value:,.3g}", f"{sign} {goal.target:,g}", verdict, goal.where
        )
    return table
