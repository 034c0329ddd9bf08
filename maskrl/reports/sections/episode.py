"""An episode to step through: the picture, the mask, the probabilities, the attention.

Python prepares the data and the empty frame; `templates/episode.js` fills it at
every step. Equal pictures are stored once, and of very many actions only the
likeliest are, so that a page stays small. Actions with several heads are groups of
rows, bits are rows that are on or off, and of candidates padding is left out. Where
a policy knows what actions are worth, Q-values stand beside or in the place of
probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from html import escape
from typing import Any

import numpy as np

from maskrl.figures.action_bits import WORDS
from maskrl.figures.png import png_data_uri, with_few_colours
from maskrl.policies.episode import EpisodeRecord, EpisodeStep
from maskrl.policies.head_view import HeadView, action_text
from maskrl.reports import wording
from maskrl.reports.ansi_html import ansi_to_html
from maskrl.reports.picture_tiles import tile_pictures
from maskrl.reports.section import Section, paragraph
from maskrl.reports.shown_choices import (
    MAX_ACTIONS,
    action_rows,
    bit_rows,
    choice_names,
    value_rows,
)

MAX_ROWS = 40
"""Rows of all heads together; with more choices each head shows fewer."""
TILED_FROM = 24
"""So many different pictures are kept as tiles of one sheet, which takes a tenth of the room."""
_NAMES_OF_KINDS = {"discrete": "action", "candidates": "candidate", "multi_binary": "bit"}

_BACK = (
    ("first", "First step", "M5 4h2.5v16H5zM20 4v16L8.5 12z"),
    ("-1", "Step back", "M17 4v16L6 12z"),
)
_ON = (
    ("1", "Step on", "M7 4v16l11-8z"),
    ("last", "Last step", "M16.5 4H19v16h-2.5zM4 4v16l11.5-8z"),
)
_PLAY = "M6 3.5v17l15-8.5z"
_PAUSE = "M6 4h4v16H6zM14 4h4v16h-4z"


def episode_section(
    episodes: Sequence[EpisodeRecord], *, names: Sequence[str] = ()
) -> Section | None:
    """Episodes to step through, with all that the policy saw, allowed and chose.

    Args:
        episodes: recorded episodes, the one to show first in front.
        names: what each is called on its button; numbers without them.

    Returns:
        The section, or None without episodes.
    """
    if not episodes:
        return None
    first = episodes[0]
    html = (
        paragraph(_intro(episodes), kind="intro")
        + '<div class="card" id="viewer">'
        + episode_buttons(len(episodes), names)
        + '<div class="viewer"><div class="panel">'
        + '<div class="stage"><img class="frame" data-part="picture" alt="" hidden>'
        + '<svg role="img" data-part="arrows"></svg></div>'
        + '<div class="screen" hidden><pre data-part="screen"></pre></div>'
        + transport()
        + _arrows_switch()
        + '</div><div class="panel"><dl class="facts" data-part="facts"></dl>'
        + _tables(first.action_kind, values=_values_shown(first))
        + "</div></div></div>"
    )
    views = first.head_views(first.steps[0])
    data = {
        "kind": first.action_kind,
        "actions": [name for view in views[:1] for name in choice_names(view)],
        "heads": [
            {"name": wording.readable(view.name), "choices": choice_names(view)}
            for view in (views if len(views) > 1 or first.action_kind == "multi_binary" else ())
        ],
        **_played(episodes),
        "values": value_scale(episodes),
    }
    return Section("episode", "Step through an episode", html, data={"episodes": data})


def _played(episodes: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """All episodes as the script reads them, their pictures one by one or as tiles of a sheet."""
    played = [_unpictured_data(episode, k) for k, episode in enumerate(episodes)]
    frames = [one["pictures"] for one in played]
    tiles = tile_pictures(frames) if sum(map(len, frames)) >= TILED_FROM else None
    for one, own in zip(played, frames, strict=True):
        one["pictures"] = [] if tiles is not None else _uris(own)
    return {"episodes": played, "tiles": tiles}


def episode_data(episode: EpisodeRecord, number: int = 0) -> dict[str, Any]:
    """An episode as the script reads it.

    Args:
        episode: the record.
        number: its place among those on the page, from 0.

    Returns:
        JSON-able: `pictures`, `screens` and `places` of entities (each different one once),
        `ratio` of a picture's height to its width, `steps` (the state after the last action among
        them), `summary`, `ending`.
    """
    data = _unpictured_data(episode, number)
    return {**data, "pictures": _uris(data["pictures"])}


def _uris(frames: Sequence[np.ndarray]) -> list[str]:
    return [png_data_uri(with_few_colours(frame)) for frame in frames]


def _unpictured_data(episode: EpisodeRecord, number: int) -> dict[str, Any]:
    """As `episode_data`, with `pictures` as arrays `[H, W, 3]`."""
    pictures, screens, places = Store(), Store(), Store()

    def spots(step: EpisodeStep) -> list[int]:
        """Where the entities of a step stand, as numbers of places; empty if nobody tells."""
        if step.entity_places is None or step.frame is None or step.entity_mask is None:
            return []
        there = [step.entity_places[k] for k in np.flatnonzero(step.entity_mask)]
        found = [tuple(round(float(v), 4) for v in place) for place in there if place is not None]
        if len(found) < len(there):
            return []
        return [places.place(place, partial(list, place)) for place in found]

    def picture(frame: np.ndarray | None) -> int | None:
        if frame is None:
            return None
        return pictures.place(frame.tobytes(), lambda: frame)

    def screen(text: str | None) -> int | None:
        if text is None:
            return None
        return screens.place(text, lambda: ansi_to_html(text))

    steps = [
        {
            "picture": picture(step.frame),
            "screen": screen(step.text),
            **_step_data(episode, step),
            "places": spots(step) if step.attention else [],
        }
        for step in episode.steps
    ]
    steps.append(
        {
            "picture": picture(episode.final_frame),
            "screen": screen(episode.final_text),
            "action": None,
            "reward": None,
            "value": None,
            "allowed": 0,
            "rows": [],
            "entities": [],
            "attention": [],
            "places": [],
        }
    )
    frame = episode.final_frame
    return {
        "pictures": pictures.values,
        "screens": screens.values,
        "places": places.values,
        "ratio": None if frame is None else round(frame.shape[0] / frame.shape[1], 4),
        "steps": steps,
        "summary": _summary(episode, number),
        "ending": ending(episode.terminated, episode.stopped),
    }


def value_scale(episodes: Sequence[EpisodeRecord]) -> dict[str, Any] | None:
    """How Q-values are drawn on the page: one scale for all steps, so that bars compare.

    Args:
        episodes: recorded episodes.

    Returns:
        `shown`, "only" where the values decide and "beside" where probabilities do; `low` and
        `high`, the smallest and largest value of an allowed action. None without Q-values.
    """
    found = [
        view.q_values[view.allowed & np.isfinite(view.q_values)]
        for episode in episodes
        for step in episode.steps
        for view in episode.head_views(step)
        if view.q_values is not None
    ]
    allowed = np.concatenate(found) if found else np.zeros(0)
    if not allowed.size:
        return None
    shown = _values_shown(episodes[0])
    return {
        "shown": shown,
        "low": round(float(allowed.min()), 4),
        "high": round(float(allowed.max()), 4),
    }


def _values_shown(episode: EpisodeRecord) -> str:
    """Where the Q-values of an episode stand: "only", "beside" probabilities, or "" without."""
    if all(step.q_values is None for step in episode.steps):
        return ""
    return "only" if episode.by_value else "beside"


def ending(terminated: bool, stopped: bool) -> str:
    """What stands at the end of an episode, or where its record stops."""
    if stopped:
        return "of what is shown; the episode goes on"
    return "the environment ended the episode" if terminated else "cut off"


class Store:
    """Texts and places that are each kept once, however often they are asked for."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[Hashable, int] = {}

    def place(self, key: Hashable, make: Callable[[], Any]) -> int:
        """The place of a thing in `values`; made only when its key is new."""
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(make())
        return self._places[key]


def _step_data(episode: EpisodeRecord, step: EpisodeStep) -> dict[str, Any]:
    """One decision: rows of actions as `_rows` makes them, entities, attention."""
    views = episode.head_views(step)
    kind = episode.action_kind
    heads: dict[str, Any] = {}
    if kind == "multi_binary":
        chosen = action_text(views, binary=True)
        heads = {"chosen": chosen, "bits": [_bit(k, views[k]) for k in bit_rows(views)]}
    elif len(views) > 1:
        counting = sum(view.relevant for view in views)
        limit = min(MAX_ACTIONS, max(4, MAX_ROWS // counting)) if counting else MAX_ACTIONS
        heads = {"chosen": action_text(views), "heads": [_head(view, limit) for view in views]}
    first = views[0]
    rows = []
    if not heads:
        by_value = episode.by_value and first.q_values is not None
        shown = (
            value_rows(first) if by_value else action_rows(first, hide_masked=kind == "candidates")
        )
        rows = _rows(first, shown)
    entities: list[list[Any]] = []
    attention: list[Any] = []
    if step.attention and step.entity_names is not None and step.entity_mask is not None:
        used = np.flatnonzero(step.entity_mask)
        sees = np.ones(len(step.entity_mask), np.bool_)
        if step.visibility is not None:
            sees = step.visibility[0] | (np.arange(len(sees)) == 0)
        entities = [[step.entity_names[j] or f"entity {j}", int(sees[j])] for j in used]
        attention = [np.round(layer[:, 0][:, used], 4).tolist() for layer in step.attention]
    return {
        **heads,
        "action": np.asarray(step.action).tolist(),
        "reward": round(step.reward, 4),
        "value": round(step.value, 3) if np.isfinite(step.value) else None,
        "allowed": int(first.allowed.sum()),
        "rows": rows,
        "entities": entities,
        "attention": attention,
    }


def _rows(view: HeadView, shown: Sequence[int]) -> list[list[Any]]:
    """Rows of [choice, allowed, probability, logit], and the Q-value where it is known."""
    rows: list[list[Any]] = [
        [k, int(view.allowed[k]), _rounded(view.probs[k], 4), _rounded(view.logits[k], 3)]
        for k in shown
    ]
    if view.q_values is not None:
        for k, row in zip(shown, rows, strict=True):
            row.append(_rounded(view.q_values[k], 3))
    return rows


def _head(view: HeadView, limit: int) -> dict[str, Any]:
    """One head of several; without rows where it does not count."""
    if not view.relevant:
        return {"relevant": 0}
    rows = _rows(view, action_rows(view, limit))
    return {"relevant": 1, "choice": view.action, "rows": rows, "of": len(view.probs)}


def _bit(place: int, view: HeadView) -> list[Any]:
    """A row of [bit, what the mask says, whether it is on, probability of on, log-odds]."""
    word = WORDS[(bool(view.allowed[0]), bool(view.allowed[1]))]
    return [place, word, view.action, _rounded(view.probs[1], 4), _rounded(view.logits[1], 3)]


def _rounded(value: float, digits: int) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None


def _is_forced(views: Sequence[HeadView]) -> bool:
    """Whether there was a single action, one choice in each head that counts."""
    counts = [int(view.allowed.sum()) for view in views if view.relevant]
    return max(counts, default=0) == 1


def _summary(episode: EpisodeRecord, number: int) -> str:
    """One sentence about an episode."""
    end = "ended" if episode.terminated else "was cut off"
    steps = wording.plural(len(episode.steps), "step")
    sentence = (
        f"Of episode {number + 1}, which goes on, {steps} are shown with "
        if episode.stopped
        else f"Episode {number + 1} {end} after {steps} with "
    )
    sentence += f"return {wording.number(episode.total_reward)}."
    masked = [step for step in episode.steps if step.action_mask is not None]
    forced = sum(_is_forced(episode.head_views(step)) for step in masked)
    if forced:
        sentence += f" The mask left a single choice in {wording.plural(forced, 'step')}."
    return sentence


def _intro(episodes: Sequence[EpisodeRecord]) -> str:
    """What there is to see."""
    first = episodes[0]
    many = len(episodes) > 1
    by_value = _values_shown(first) == "only"
    how = "the best allowed action" if by_value else "its likeliest action"
    sentence = f"The trained agent plays with {how} at every step"
    if first.layout_id is not None:
        sentence += ", on layouts" if many else ", on a layout"
        sentence += " that it never saw in training"
    if many:
        sentence += f"; {len(episodes)} episodes, played once and not selected"
    shown = ["what the mask allowed there"]
    shown.append("what each action is worth" if by_value else "how the probabilities fell")
    if any(step.attention for step in first.steps):
        shown.append("how the agent spread its attention over the scene")
    sentence += f". Beside each picture: {wording.listing(shown)}"
    sentence += "."
    if first.action_kind == "tree":
        sentence += (
            " An action has several heads, chosen one after the other; a head that means nothing "
            "after the choices before it is marked as not relevant. The likeliest action as a "
            "whole need not begin with the likeliest first choice."
        )
    return sentence


def episode_buttons(count: int, names: Sequence[str] = ()) -> str:
    """Buttons to change the episode, where there are several, and its summary."""
    summary = '<p class="caption" data-part="summary"></p>'
    if count < 2:
        return summary
    buttons = "".join(
        f'<button type="button" data-episode="{k}" aria-pressed="{str(k == 0).lower()}">'
        f"{escape(names[k]) if names else k + 1}</button>"
        for k in range(count)
    )
    return (
        f'<div class="choice" role="group" aria-label="Episode"><span class="label">Episode</span>'
        f"{buttons}</div>{summary}"
    )


def transport() -> str:
    """Buttons, slider and the step's number."""

    def button(move: str, label: str, path: str) -> str:
        return (
            f'<button type="button" data-move="{move}" aria-label="{label}" title="{label}">'
            f'<svg viewBox="0 0 24 24" aria-hidden="true"><path d="{path}"/></svg></button>'
        )

    play = (
        '<button type="button" class="play" data-part="play" aria-label="Play">'
        f'<svg viewBox="0 0 24 24" aria-hidden="true"><path class="on" d="{_PLAY}"/>'
        f'<path class="off" d="{_PAUSE}"/></svg></button>'
    )
    return (
        '<div class="transport">'
        + "".join(button(*entry) for entry in _BACK)
        + play
        + "".join(button(*entry) for entry in _ON)
        + '<output data-part="count"></output></div>'
        + '<input type="range" min="0" value="0" step="1" data-part="slider" aria-label="Step">'
        + '<p class="keys">The arrow keys step too.</p>'
    )


def _arrows_switch() -> str:
    """Whether arrows of attention lie over the picture, and what they say."""
    return (
        '<label class="toggle" data-part="toggle" hidden><input type="checkbox" checked> '
        + "Arrows of the agent's attention</label>"
        + '<p class="readout" data-part="readout" hidden></p>'
    )


def _tables(kind: str = "discrete", *, values: str = "") -> str:
    """Empty tables of actions and of attention."""
    noun = _NAMES_OF_KINDS.get(kind, "choice")
    bits = kind == "multi_binary"
    mask = "mask" if bits else '<span class="visually-hidden">mask</span>'
    title = {"candidates": "Candidates", "multi_binary": "Bits"}.get(kind, "Actions")
    bars = "Q-value" if values == "only" else "on" if bits else "probability"
    last = {"only": "to the best", "beside": "Q-value"}.get(values, "log-odds" if bits else "logit")
    return (
        f'<table class="rows"><caption>{title}</caption><thead><tr><th scope="col">{noun}</th>'
        f'<th scope="col">{mask}</th>'
        f'<th scope="col">{bars}</th>'
        '<th scope="col" class="number"></th>'
        f'<th scope="col" class="number">{last}</th></tr></thead>'
        '<tbody data-part="actions"></tbody></table><p class="caption" data-part="more" hidden></p>'
        '<div class="attention-block" data-part="attention" hidden>'
        f"<h3>{escape('Attention of the agent')}</h3>"
        '<div class="choice" data-choice="layer" role="group" aria-label="Layer"></div>'
        '<div class="choice" data-choice="head" role="group" aria-label="Head"></div>'
        '<table class="rows"><tbody data-part="entities"></tbody></table></div>'
    )
