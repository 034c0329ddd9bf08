"""What stands at the end of a run: the test, its table, the report and where it lies.

The table puts the agent, or the team, beside an untrained network, a random valid one and
the reference, on the same episodes, and says how many illegal actions were executed; of a
team also who acted, who died and what each agent got.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from maskrl.envs.adapters.mask_regime import MASK_REGIME
from maskrl.runs.run_dir import RunDir
from maskrl.trainers.evaluate import Tell
from maskrl.trainers.evaluation import PLANNER, Evaluation, TeamFigures, score
from maskrl.trainers.final_evaluation import FinalEvaluation, Which, evaluate_run

_A_MOMENT = 1.0


def conclude(folder: RunDir, *, episodes: int | None, report: bool, which: Which = "best") -> None:
    """Evaluate a trained run, print the table, write evaluation and report."""
    result = judge(folder, episodes=episodes, which=which)
    folder.write_evaluation(result.to_json())
    print_table(result)
    if report:
        from maskrl.reports import write_report

        path = write_report(folder.path)
        print(f"report   {path.resolve()}")
    print(f"watch    maskrl watch {folder.path}")


def judge(folder: RunDir, **settings: Any) -> FinalEvaluation:
    """Evaluate a run as `evaluate_run` does, showing what takes time."""
    episodes = settings["episodes"]
    many = "" if episodes is None else f": {episodes} episodes each"
    console = Console(stderr=True)
    with planning("test") as tell, console.status(f"testing{many}"):
        return evaluate_run(folder, tell=tell, **settings)


@contextmanager
def planning(what: str) -> Iterator[Tell]:
    """Show how far the planner is, if it takes longer than a moment and something is left.

    Args:
        what: Which layouts: "validation" or "test".
    """
    console = Console(stderr=True, highlight=False)
    text = f"planning {what} layouts"
    bar = Progress(
        TextColumn(text),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("", total=None, visible=False)
    began: list[float] = []

    def tell(count: int, total: int) -> None:
        began.append(time.monotonic())
        slow = began[-1] - began[0] > _A_MOMENT and count < total
        if slow and not console.is_terminal and not bar.tasks[task].visible:
            console.print(f"{text}: {total}")
        bar.update(task, completed=count, total=total, visible=slow)

    with bar:
        yield tell


def _what_was_played(played: Evaluation) -> str:
    """What the episodes of an evaluation are called."""
    if played.layout_ids is None:
        return "episodes"
    if len(set(played.layout_ids.tolist())) == 1 < played.episodes:
        return "episodes, which all begin alike"
    return "layouts never seen in training"


def print_table(result: FinalEvaluation) -> None:
    """Print agent, untrained agent, random valid agent and planner, one below the other."""
    greedy = result.greedy
    has_score = greedy.score is not None
    wins = any(
        played is not None and played.win_rate is not None
        for played in (greedy, result.sampled, result.untrained, result.random)
    )
    rivals = (greedy, result.sampled, result.untrained, result.random)
    draws = any(played is not None and played.draw_rate for played in rivals)
    who = "agent" if greedy.team is None else "team"
    chance = f"random valid {who}" if not greedy.env_kwargs.get(MASK_REGIME) else f"random {who}"
    what = _what_was_played(greedy)
    agent = f"{result.checkpoint} checkpoint, step {result.step:,}"
    table = Table(
        title=f"{greedy.env}: {agent}, on {greedy.episodes} test {what}",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("")
    columns = ["return", *(["score"] if has_score else []), *(["won"] if wins else [])]
    # Eighty columns hold no more beside draws.
    columns += ["drawn", "steps", "illegal"] if draws else ["steps", "illegal actions"]
    for name in columns:
        table.add_column(name, justify="right")

    def add(name: str, played: Evaluation, *, bold: bool = False) -> None:
        own = score(played.mean, greedy.planner_mean, result.random_mean)
        error = f" ± {played.standard_error:.3f}" if played.episodes > 1 else ""
        cells = [f"{played.mean:.3f}{error}"]
        cells += [f"{own:.3f}"] if has_score and own is not None else []
        cells += [_share(played.win_rate)] if wins else []
        cells += [_share(played.draw_rate)] if draws else []
        cells += [f"{played.lengths.mean():.1f}", f"{played.illegal_actions:,}"]
        table.add_row(name, *cells, style="bold" if bold else None)

    add(who, greedy, bold=True)
    if result.sampled is not None:
        add(f"{who}, sampling actions", result.sampled)
    if result.untrained is not None:
        add(f"untrained {who}", result.untrained)
    if greedy.random_mean is None:
        add(chance, result.random)
    else:
        table.add_row(
            chance,
            f"{greedy.random_mean:.3f}",
            *(["0.000"] if has_score else []),
            *([_share(result.random.win_rate)] if wins else []),
            *([_share(result.random.draw_rate)] if draws else []),
            f"{result.random.lengths.mean():.1f}",
            f"{result.random.illegal_actions:,}",
        )
    if greedy.planner_mean is not None:
        name = greedy.reference_name
        table.add_row(
            "planner's ceiling" if name == PLANNER else name,
            f"{greedy.planner_mean:.3f}",
            *(["1.000"] if has_score else []),
            *([""] if wins else []),
            *([""] if draws else []),
            "",
            "",
        )
    console = Console(highlight=False)
    console.print(table)
    if "opponent" in greedy.env_kwargs:
        console.print(opponent_line(greedy.env_kwargs), soft_wrap=True)
    if greedy.team is not None:
        console.print(team_line(greedy.team))
    if result.starts is not None:
        console.print(result.starts.line(), soft_wrap=True)
    if greedy.no_reference:
        console.print(greedy.no_reference)
    if result.training_illegal_actions is not None:
        count = result.training_illegal_actions
        console.print(f"illegal actions executed in training: {count:,}")
    if greedy.cut_episodes:
        console.print(
            f"{greedy.cut_episodes} episodes were cut off because the environment set no limit"
        )


def opponent_line(env_kwargs: Mapping[str, Any]) -> str:
    """Against whom a game's test was played.

    >>> opponent_line({"opponent": "win_or_block", "opening_moves": 1})
    'played against win_or_block, after 1 random opening move'
    """
    line = f"played against {env_kwargs['opponent']}"
    opening = env_kwargs.get("opening_moves")
    if opening:
        line += f", after {opening} random opening move{'' if opening == 1 else 's'}"
    return line


def team_line(team: TeamFigures) -> str:
    """What the agents of a team did, in a sentence or two.

    Args:
        team: Of an evaluation.
    """
    of_all = "" if team.agents_alive is None else f" of {team.agents}"
    parts = [f"{team.agents_acting:.1f}{of_all} agents acted at a step"]
    if team.agents_alive is not None:
        parts.append(f"{team.agents_alive:.1f} were alive")
    if team.idle_share:
        share = "under 1%" if team.idle_share < 0.01 else f"{team.idle_share:.0%}"
        parts.append(f"nobody acted at {share} of the steps")
    line = ", ".join(parts)
    if team.deaths is not None and team.alive_at_end is not None:
        line += f"; {team.deaths.mean():.2f} deaths in an episode"
        if team.last_deaths is not None and team.last_deaths.any():
            line += f" ({team.last_deaths.mean():.2f} of them as it ended)"
        line += f", {team.alive_at_end.mean():.2f} alive at its end"
    if team.agent_returns is not None:
        means = team.agent_returns.mean(axis=0)
        line += f". An agent's own return: {means.mean():.3f}"
        if len(means) > 1:
            line += f" on average, from {means.min():.3f} to {means.max():.3f} by slot"
    return line


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
