"""`maskrl watch RUN`: a trained agent plays in the terminal, and shows its reasons.

Beside the world stand the actions with their mask and probabilities or Q-values, in a group for
each head where there are several, what the agent expects, and whom it attends to. Without a
terminal (a pipe, a log) the frames are printed one after another. The agent plays
layouts that it was not trained on. A team has a row for every agent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeGuard, cast

import numpy as np
import tyro
from rich.console import Console, RenderableType
from rich.live import Live

from maskrl.cli.step_view import StepView, render_step
from maskrl.errors import ConfigError
from maskrl.runs.run_dir import RunDir

if TYPE_CHECKING:
    from maskrl.policies.episode import EpisodeRecord, EpisodeStep
    from maskrl.policies.team_episode import TeamEpisode

NO_PICTURE = "(this environment draws nothing)"
LAST_LOOK = 3  # frames' time that an episode's end stays in view


def watch(
    run: tyro.conf.Positional[Path],
    *,
    episodes: Annotated[int, tyro.conf.arg(metavar="N")] = 1,
    speed: Annotated[float, tyro.conf.arg(metavar="STEPS")] = 2.0,
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0,
    sampled: bool = False,
    which: Literal["best", "last"] = "best",
) -> int:
    """Watch a trained agent play in the terminal, step by step.

    Beside the world: each action with its mask and probability, or its Q-value where that
    decides, the return that the agent expects, and the entities that it attends to. Beside a
    team's world: a row for each agent, what it does, how surely, what else it might do and how
    much its mask disallows. Ctrl-C ends it.

    Examples:
      maskrl watch runs/panda-0-1
      maskrl watch runs/panda-0-1 --episodes 5 --speed 8
      maskrl watch runs/panda-0-1 --sampled --seed 7

    Args:
        run: Folder of the run.
        episodes: Episodes to play.
        speed: Steps per second.
        seed: Seed of the first episode; the next ones count up from it.
        sampled: Sample actions, as in training, instead of taking the likeliest; of an agent that
            goes by Q-values in proportion to exp(value / temperature).
        which: The checkpoint that did best in evaluation, or the last one.
    """
    from maskrl.policies import load_policy, record_episode  # torch, not needed for --help

    if episodes < 1:
        raise ConfigError(f"watch: --episodes must be at least 1, got {episodes}")
    if not 0 < speed < float("inf"):
        raise ConfigError(f"watch: --speed must be positive, got {speed}")
    folder = RunDir.open(run)
    config = folder.read_config()
    if config.get("env") is None:
        raise ConfigError(
            f"watch: {folder.path} was trained on {config.get('env_name')}, an environment given "
            "as an object, which a folder cannot hold. Load the policy with "
            "maskrl.policies.load_policy and play it there."
        )
    env_kwargs = dict(config.get("env_kwargs") or {})
    if isinstance(env_kwargs.get("layout_seeds"), list):
        del env_kwargs["layout_seeds"]  # those of the training
    policy = load_policy(folder, which)
    console = Console()
    try:
        for number in range(episodes):
            record = record_episode(
                policy,
                config["env"],
                env_kwargs,
                seed=seed + number,
                deterministic=not sampled,
                pictures="ansi",
            )
            play(record, console, name=f"episode {number + 1} of {episodes}", speed=speed)
    except KeyboardInterrupt:
        console.print("stopped")
    return 0


def play(record: EpisodeRecord | TeamEpisode, console: Console, *, name: str, speed: float) -> None:
    """Show a recorded episode, and end with one line that sums it up.

    Args:
        record: The episode.
        console: Where it is shown: in place on a terminal, one after another elsewhere.
        name: What to call the episode.
        speed: Steps per second on a terminal.
    """
    moments = _moments(record, name)
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            for show, is_end in moments:
                live.update(show(*console.size), refresh=True)
                time.sleep((LAST_LOOK if is_end else 1) / speed)
    else:
        for show, _ in moments:
            console.print(show(console.width, 1000))
            console.print()
    ending = "ended" if record.terminated else "cut off"
    if record.stopped:
        ending = "not over"
    line = (
        f"{name} of {record.env}, seed {record.seed}: return {record.total_reward:+.2f}, "
        f"{ending} after {len(record.steps)} step{'s' if len(record.steps) != 1 else ''}"
    )
    if _is_team(record):
        told = {1.0: ", won", 0.0: ", drawn", -1.0: ", lost"}
        line += told.get(record.outcome, "") if record.outcome is not None else ""
        if record.final_alive is not None:
            alive = int(record.final_alive.sum())
            line += f", {alive} of {record.team.agents} agents alive"
            if record.last_deaths:
                line += f" ({alive + record.last_deaths} before the last step)"
    console.print(line, highlight=False)


def _moments(
    record: EpisodeRecord | TeamEpisode, name: str
) -> Iterator[tuple[Callable[[int, int], RenderableType], bool]]:
    """Every moment as what draws it into columns and rows, and whether it is the end."""
    if _is_team(record):
        from maskrl.cli.team_view import render_team, team_views

        for moment in team_views(record, name, NO_PICTURE):
            yield partial(render_team, moment), moment.is_end
    else:
        for view in step_views(cast("EpisodeRecord", record), name):
            yield partial(render_step, view), view.is_end


def _is_team(record: EpisodeRecord | TeamEpisode) -> TypeGuard[TeamEpisode]:
    """Whether many agents played; torch, which their record needs, is there by then."""
    from maskrl.policies.team_episode import TeamEpisode

    return isinstance(record, TeamEpisode)


def step_views(record: EpisodeRecord, name: str) -> Iterator[StepView]:
    """Every moment of an episode as something to show, the end included."""
    gained, count = 0.0, len(record.steps)
    for index, step in enumerate(record.steps):
        attention, visible = observer_attention(step)
        yield StepView(
            world=_world(step.text, step.frame),
            title=f"{record.env}, {name}, step {index + 1} of {count}",
            **_choices(record, step),
            value=step.value,
            gained=gained,
            entity_names=step.entity_names or (),
            attention=attention,
            visible=visible,
        )
        gained += step.reward
    yield StepView(
        world=_world(record.final_text, record.final_frame),
        title=f"{record.env}, {name}, {'the end' if record.terminated else 'cut off'}",
        gained=gained,
    )


def _choices(record: EpisodeRecord, step: EpisodeStep) -> dict[str, Any]:
    """What a step view shows of the action: one list, or heads; no padding of candidates."""
    heads = record.head_views(step)
    if record.action_kind in ("multi_discrete", "multi_binary", "tree"):
        return {"heads": heads, "binary": record.action_kind == "multi_binary"}
    (head,) = heads
    shown = np.arange(len(head.probs))
    if record.action_kind == "candidates" and head.action_mask is not None:
        shown = np.flatnonzero(head.action_mask | (shown == head.action))
    return {
        "action_names": tuple(head.choices[k] for k in shown),
        "action_mask": None if head.action_mask is None else head.action_mask[shown],
        "probabilities": head.probs[shown],
        "action": int(np.flatnonzero(shown == head.action)[0]),
        "q_values": None if head.q_values is None else head.q_values[shown],
        "by_value": record.by_value,
    }


def observer_attention(step: EpisodeStep) -> tuple[np.ndarray | None, np.ndarray | None]:
    """What the acting entity attends to, and what it may look at.

    Returns:
        The last layer's attention of entity 0, mean over heads, float [E], or None
        without attention; its row of visibility among the slots in use, bool [E], or None.
    """
    if not step.attention or step.entity_names is None:
        return None, None
    attention = step.attention[-1].mean(axis=0)[0]
    visible = step.entity_mask
    if step.visibility is not None:
        visible = step.visibility[0] if visible is None else step.visibility[0] & visible
    return attention, visible


def _world(text: str | None, frame: np.ndarray | None) -> str | np.ndarray:
    """The text of a step, else its picture, else a remark."""
    if text is not None:
        return text
    return NO_PICTURE if frame is None else frame
