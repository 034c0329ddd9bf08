"""Episodes of a team to step through: the action map, the agent mask, everybody's masks.

Over the picture every agent that acts shows its probabilities; one of them can be chosen, and
then its mask, its decision, what it sees and whom it attends to stand beside. Below lie the
masks of all agents as a matrix, and above it who acted at which step. Python prepares the
numbers; `templates/team.js` draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from maskrl.figures.theme import PALETTE
from maskrl.policies.team_episode import TeamEpisode
from maskrl.reports.section import Section, paragraph
from maskrl.reports.sections.episode import episode_buttons, transport
from maskrl.reports.team_data import heads_data, team_episode_data


def team_episode_section(episodes: Sequence[TeamEpisode]) -> Section | None:
    """Episodes of a team to step through, agent by agent.

    Args:
        episodes: recorded episodes, the one to show first in front.

    Returns:
        The section, or None without episodes.
    """
    if not episodes:
        return None
    first = episodes[0]
    html = (
        paragraph(_intro(episodes), kind="intro")
        + '<div class="card" id="team">'
        + episode_buttons(len(episodes))
        + '<div class="viewer"><div class="panel">'
        + '<div class="stage team" data-part="stage"><img class="frame" data-part="picture" alt="" '
        + 'hidden><svg role="img" data-part="map"></svg></div>'
        + '<div class="screen" hidden><pre data-part="screen"></pre></div>'
        + _legend(first)
        + transport()
        + "</div>"
        + _agent_panel(first)
        + "</div>"
        + _below(first)
        + "</div>"
    )
    data = {"team": team_data(episodes)}
    return Section("episode", "Step through an episode of the team", html, data=data)


def team_data(episodes: Sequence[TeamEpisode]) -> dict[str, Any]:
    """What the script reads: `agents`, `grid`, `heads`, `critic`, `masked` and `episodes`."""
    first = episodes[0]
    shape = first.team.grid_shape
    return {
        "agents": first.team.agents,
        "grid": None if shape is None else list(shape),
        "heads": heads_data(first.heads),
        "critic": first.critic,
        "masked": int(first.team.has_action_mask),
        "disallowed": PALETTE.disallowed,
        "episodes": [team_episode_data(episode, k) for k, episode in enumerate(episodes)],
    }


def _intro(episodes: Sequence[TeamEpisode]) -> str:
    """What there is to see."""
    first = episodes[0]
    many = len(episodes) > 1
    sentence = "The trained team plays, every agent with its likeliest action at every step"
    if first.layout_id is not None:
        sentence += ", on layouts" if many else ", on a layout"
        sentence += " that it never saw in training"
    if many:
        sentence += f"; {len(episodes)} episodes, played once and not selected"
    if any(step.at is not None for episode in episodes for step in episode.steps):
        sentence += (
            ". Who acts is drawn with its probabilities: the agent mask picks them, and for nobody "
            "else is anything decided. Point at an agent to read its decision, choose it to see "
            "its mask"
        )
    else:
        sentence += (
            ". The agent mask picks who acts, and for nobody else is anything decided. The "
            "environment does not tell where its agents stand, so that nothing is drawn over its "
            "picture; choose an agent to see its decision"
        )
    if any(step.attention is not None for step in first.steps):
        sentence += " and whom it attends to, each by its own view of the scene"
    return sentence + "."


def _legend(episode: TeamEpisode) -> str:
    """What the shapes of the map mean, and switches for its layers."""
    data = heads_data(episode.heads)
    ring = data[0]["spots"][0][0] == "part"
    if ring:
        items = "".join(
            f'<li><i style="background:{escape(colour)}"></i>{escape(name)}</li>'
            for name, colour in list(zip(data[0]["choices"], data[0]["colours"], strict=True))[:8]
        )
        many = len(data[0]["choices"]) - 8
        items += f"<li>{many} more</li>" if many > 0 else ""
        words = "The ring shares out the probabilities; the part that was done is strong."
        if len(data) > 1:
            words += " Inside it, or as an arrow, the parameters of what was done."
    else:
        kinds = {spot[0] for spot in data[0]["spots"]}
        items = (
            '<li><i class="sure"></i>sure</li><li><i class="unsure"></i>undecided</li>'
            '<li><i class="barred"></i>disallowed</li>'
        )
        words = "Triangles point where an action goes"
        words += ", the disc is staying" if "stay" in kinds else ""
        words += ", diamonds are other actions" if "corner" in kinds else ""
        words += "; their area is the probability, and what was done is strong."
    if any(step.waiting.size for step in episode.steps):
        words += " A dashed ring waits."
    return (
        '<div class="legend" data-part="legend">'
        f'<ul class="key">{items}</ul><p class="keys">{escape(words)}</p>'
        '<div class="toggles">'
        '<label class="toggle"><input type="checkbox" data-layer="map" checked> Action map</label>'
        '<label class="toggle"><input type="checkbox" data-layer="masks" checked> Masks</label>'
        '<label class="toggle" data-part="arrows-toggle" hidden><input type="checkbox" '
        'data-layer="arrows"> Attention of the chosen agent</label></div>'
        '<p class="readout" data-part="readout"></p></div>'
    )


def _agent_panel(episode: TeamEpisode) -> str:
    """Facts of the step, and the chosen agent: its decision and what it sees."""
    return (
        '<div class="panel"><dl class="facts" data-part="facts"></dl>'
        '<div class="choice" role="group" aria-label="Agent"><label class="label" '
        'for="team-agent">Agent</label><select id="team-agent" data-part="agent"></select>'
        '<button type="button" data-agent="-1" aria-label="Agent before">←</button>'
        '<button type="button" data-agent="1" aria-label="Next agent">→</button></div>'
        '<dl class="facts" data-part="agent-facts"></dl>'
        '<table class="rows"><caption>What it may do</caption><thead><tr>'
        '<th scope="col">action</th><th scope="col"><span class="visually-hidden">mask</span></th>'
        '<th scope="col">probability</th><th scope="col" class="number"></th>'
        '<th scope="col" class="number">logit</th></tr></thead>'
        '<tbody data-part="actions"></tbody></table>'
        '<p class="caption" data-part="silent" hidden></p>'
        '<div class="attention-block" data-part="attention" hidden>'
        "<h3>What it sees, and attends to</h3>"
        '<table class="rows"><tbody data-part="entities"></tbody></table>'
        '<p class="caption" data-part="unseen"></p></div></div>'
    )


def _below(episode: TeamEpisode) -> str:
    """Who acts when, the agent mask on the grid, and the masks of all agents."""
    life = (
        "Who acts when: dark acts, pale waits, empty is dead"
        if episode.team.has_identity
        else "How many units act at each step"
    )
    grid = ""
    if episode.team.grid_shape is not None:
        grid = (
            '<div><h3>Agent mask</h3><svg class="grid-mask" role="img" '
            'data-part="grid-mask"></svg></div>'
        )
    return (
        f'<h3 class="sub">{life}</h3><svg class="life" role="img" data-part="life"></svg>'
        f'<div class="team-below">{grid}<div class="wide"><h3>Masks and probabilities of all '
        'agents</h3><p class="keys" data-part="matrix-key">A row per agent: the fuller a cell, the '
        "likelier; a cross is disallowed, a frame was done.</p>"
        '<div class="scroll"><svg class="matrix" role="img" data-part="matrix"></svg></div>'
        "</div></div>"
    )
