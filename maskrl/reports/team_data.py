"""Episodes of teams as the page's script reads them: everything once, and nothing twice.

A page of 64 agents and 200 steps holds ten thousand decisions, so that they are written
down sparsely: of a decision the choices that were allowed, in whole ten-thousandths, and of
an agent's attention the entities that it sees. What is not there was disallowed, or hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from maskrl.figures.action_glyphs import arrange, target_of
from maskrl.figures.agent_glyph import action_colours
from maskrl.figures.png import png_data_uri, with_few_colours
from maskrl.policies.head_view import HeadLabels
from maskrl.policies.team_episode import TeamEpisode, TeamStep
from maskrl.reports import wording
from maskrl.reports.ansi_html import ansi_to_html
from maskrl.reports.sections.episode import Store, ending

WHOLE = 10_000
"""A probability or weight of 1; what is less than 1 of these and not 0 is 1."""
MOST_SEEN = 40
"""Entities of one agent's attention, the most attended to; beyond those only their number."""
ACTS, WAITS, DEAD = "awd"


def heads_data(heads: Sequence[HeadLabels]) -> list[dict[str, Any]]:
    """Heads of one agent's action: names, colours, and what draws each choice.

    Returns:
        JSON-able, per head `name`, `choices`, `colours`, `spots` [kind, x, y], and `targets`
        [x, y] where a choice is a cell relative to the agent's.
    """
    found = []
    for head in heads:
        spots = arrange(head.choices)
        targets = [target_of(name) for name in head.choices]
        found.append(
            {
                "name": wording.readable(head.name) if head.name else "",
                "choices": [name.replace("_", " ") for name in head.choices]
                if head.name
                else [wording.readable(name) for name in head.choices],
                "colours": list(action_colours(head.choices, spots)),
                "spots": [[s.kind, round(s.x, 4), round(s.y, 4)] for s in spots],
                "targets": [None if t is None else list(t) for t in targets],
            }
        )
    return found


def team_episode_data(episode: TeamEpisode, number: int = 0) -> dict[str, Any]:
    """An episode as the script reads it.

    Args:
        episode: the record.
        number: its place among those on the page, from 0.

    Returns:
        JSON-able: `pictures`, `screens` and `labels` of entities (each different one once),
        `ratio` of a drawing's height to its width, `cell`, the width of a cell in widths of
        the drawing, `names` of agents, `life` (a letter per step for each agent, or how many
        acted), `steps`, the state after the last actions among them, `summary`, `ending`, and
        whether the record `stopped` before the episode did.
    """
    pictures, screens, labels = Store(), Store(), Store()
    steps = [
        {
            "picture": _picture(pictures, step.frame),
            "screen": _screen(screens, step.text),
            **_step(episode, step, labels),
        }
        for step in episode.steps
    ]
    steps.append(
        {
            "picture": _picture(pictures, episode.final_frame),
            "screen": _screen(screens, episode.final_text),
            "reward": None,
            "value": None,
            "agents": [],
            "waiting": [],
            "entities": [],
            "alive": None if episode.final_alive is None else int(episode.final_alive.sum()),
        }
    )
    ratio, cell = _drawing(episode)
    return {
        "pictures": pictures.values,
        "screens": screens.values,
        "labels": labels.values,
        "ratio": ratio,
        "cell": cell,
        "names": list(episode.agent_names),
        "life": _life(episode),
        "steps": steps,
        "summary": _summary(episode, number),
        "ending": _ending(episode),
        "stopped": int(episode.stopped),
    }


def _picture(store: Store, frame: np.ndarray | None) -> int | None:
    if frame is None:
        return None
    return store.place(frame.tobytes(), lambda: png_data_uri(with_few_colours(frame)))


def _screen(store: Store, text: str | None) -> int | None:
    return None if text is None else store.place(text, lambda: ansi_to_html(text))


def _drawing(episode: TeamEpisode) -> tuple[float | None, float]:
    """Height of the drawing in its widths, and width of a cell; None where there is none."""
    shape = episode.team.grid_shape
    frame = episode.final_frame
    ratio = None if frame is None else round(frame.shape[0] / frame.shape[1], 4)
    if shape is not None:
        return ratio or round(shape[0] / shape[1], 4), round(1 / shape[1], 5)
    spots = [step.at for step in episode.steps if step.at is not None and len(step)]
    if not spots:
        return (ratio, 0.1)
    every = np.concatenate(spots)
    every = every[np.isfinite(every).all(axis=1)]
    if ratio is None:
        ratio = round(float(every[:, 1].max()) + 0.06, 4) if len(every) else 1.0
    return ratio, _cell_width(every)


def _cell_width(spots: np.ndarray) -> float:
    """The step between places, as on a grid: the smallest difference between their columns."""
    if not len(spots):
        return 0.1
    gaps = np.diff(np.unique(np.round(spots[:, 0], 4)))
    gaps = gaps[gaps > 0.005]
    return round(float(np.clip(gaps.min() if gaps.size else 0.1, 0.015, 0.2)), 5)


def _life(episode: TeamEpisode) -> list[Any]:
    """For each agent a letter per step: acts, waits or is dead; without identity how many act."""
    if not episode.agent_names:
        return [len(step) for step in episode.steps]
    letters = np.full((episode.team.agents, len(episode.steps)), DEAD)
    for t, step in enumerate(episode.steps):
        letters[step.waiting, t] = WAITS
        letters[step.slot, t] = ACTS
    return ["".join(row) for row in letters]


def _step(episode: TeamEpisode, step: TeamStep, labels: Store) -> dict[str, Any]:
    """One moment: what happened to the team, and every agent that acts."""
    used = np.zeros(0, np.int64)
    entities: list[Any] = []
    if step.entity_mask is not None and step.entity_names is not None:
        used = np.flatnonzero(step.entity_mask)
        for j in used:
            name = step.entity_names[j] or f"entity {j}"
            place = None if step.entity_places is None else step.entity_places[j]
            spot = [-1, -1] if place is None else [_whole(place[0]), _whole(place[1])]
            entities.append([labels.place(name, partial(str, name)), *spot])
    waiting_at = step.waiting_at
    return {
        "reward": round(step.reward, 4),
        "value": _rounded(step.value, 3) if isinstance(step.value, float) else None,
        "alive": None if step.alive is None else int(step.alive.sum()),
        "agents": [_agent(episode, step, m, used) for m in range(len(step))],
        "waiting": [
            [int(slot), *([] if waiting_at is None else _spot(waiting_at[k]))]
            for k, slot in enumerate(step.waiting)
        ],
        "entities": entities,
    }


def _agent(episode: TeamEpisode, step: TeamStep, m: int, used: np.ndarray) -> dict[str, Any]:
    """One agent's decision; keys are short, because there are thousands of them."""
    slot = int(step.slot[m])
    entry: dict[str, Any] = {"n": slot, "p": int(step.place[m])}
    if step.at is not None and (spot := _spot(step.at[m])):
        entry["at"] = spot
    entry["c"] = step.actions[m].tolist()
    if step.relevant is not None:
        entry["r"] = [int(flag) for flag in step.relevant[m]]
    rows: list[float] = []
    start = 0
    for k, view in enumerate(episode.head_views(step, m)):
        if view.relevant:
            shown = view.allowed | (np.arange(len(view.probs)) == step.actions[m, k])
            for j in np.flatnonzero(shown):
                logit = _rounded(view.logits[j], 2)
                rows += [start + int(j), _whole(view.probs[j]), -99 if logit is None else logit]
        start += len(view.probs)
    entry["a"] = rows
    if np.isfinite(step.undecided[m]):
        entry["u"] = round(float(step.undecided[m]), 3)
    if not isinstance(step.value, float):
        entry["v"] = _rounded(step.value_of(m), 3)
    if step.agent_rewards is not None and slot >= 0:
        entry["g"] = round(float(step.agent_rewards[slot]), 4)
    if step.illegal is not None and step.illegal[m]:
        entry["i"] = 1
    if step.attention is not None:
        weights = step.attention[:, m].astype(np.float64).mean(axis=0)[used]
        seen = weights > 0 if step.sees is None else step.sees[m][used]
        order = np.argsort(-weights, kind="stable")
        order = np.sort([j for j in order if seen[j]][:MOST_SEEN]).astype(np.int64)
        entry["s"] = [number for j in order for number in (int(j), _whole(weights[j]))]
        entry["k"] = int(seen.sum())
    return entry


def _whole(share: float) -> int:
    """A share in ten-thousandths, of which none becomes 0 that is not."""
    if not np.isfinite(share):
        return 0
    return max(round(float(share) * WHOLE), 1 if share > 0 else 0)


def _spot(place: np.ndarray) -> list[float]:
    """Where someone stands; nothing of who stands nowhere."""
    return [round(float(value), 4) for value in place] if np.isfinite(place).all() else []


def _rounded(value: float, digits: int) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None


def _ending(episode: TeamEpisode) -> str:
    won = {1.0: "won", 0.0: "drawn", -1.0: "lost"}
    if episode.outcome in won:
        return won[float(episode.outcome)]
    return ending(episode.terminated, episode.stopped)


def _summary(episode: TeamEpisode, number: int) -> str:
    """A few sentences about an episode."""
    end = "ended" if episode.terminated else "was cut off"
    told = {1.0: "It was won.", 0.0: "It was a draw.", -1.0: "It was lost."}
    steps = wording.plural(len(episode.steps), "step")
    parts = [
        (
            f"Of episode {number + 1}, which goes on, {steps} are shown with "
            if episode.stopped
            else f"Episode {number + 1} {end} after {steps} with "
        )
        + f"return {wording.number(episode.total_reward)}, made of "
        f"{wording.plural(episode.agent_steps, 'decision')} of agents."
    ]
    if episode.outcome in told:
        parts.append(told[float(episode.outcome)])
    if episode.final_alive is not None:
        alive = int(episode.final_alive.sum())
        end = "then" if episode.stopped else "at the end"
        before = f", {alive + last} before the last step" if (last := episode.last_deaths) else ""
        parts.append(f"{alive} of {episode.team.agents} agents were alive {end}{before}.")
    nobody = sum(not len(step) for step in episode.steps)
    if nobody:
        parts.append(f"In {wording.plural(nobody, 'step')} nobody acted.")
    return " ".join(parts)
