"""The action map of a small team in one picture, without a browser: docs/images/action-map.svg.

    python examples/action_map_pictures.py [RUN] [--out docs/images/action-map.svg]

RUN is a run folder of pandas, whose team is drawn at one step of an episode. Without one a
team is trained first, for about two minutes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
from torch import nn

import maskrl
from maskrl import PPO
from maskrl.cli.settings import preset_of
from maskrl.figures.agent_glyph import agent_shapes, between
from maskrl.figures.png import png_data_uri, with_few_colours
from maskrl.figures.team_actions import BENEATH, ON_PICTURE
from maskrl.figures.theme import LIGHT, PALETTE
from maskrl.policies.episode import record_episode
from maskrl.policies.load import load_policy
from maskrl.policies.team_episode import TeamEpisode, TeamStep
from maskrl.runs import RunDir

WIDTH, GAP, CELL, ROW, LABEL = 360, 28, 44, 22, 84


def trained(steps: int, seed: int) -> tuple[nn.Module, str, dict[str, object]]:
    """A team of pandas, with the world's own settings."""
    env_kwargs: dict[str, object] = {}
    config = replace(preset_of("pandas")[0], evaluate_every=0)
    trainer = PPO("pandas", config, seed=seed, env_kwargs=env_kwargs)
    trainer.learn(steps)
    return trainer.policy.eval(), "pandas", env_kwargs


def outline(points: np.ndarray, at: np.ndarray, cell: float) -> str:
    """A closed outline around a place as the data of a path."""
    moved = WIDTH * (at + cell * points)
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in moved) + "Z"


def world(record: TeamEpisode, step: TeamStep) -> str:
    """The picture, and over it every agent that acts."""
    height = WIDTH * step.frame.shape[0] / step.frame.shape[1]
    uri = png_data_uri(with_few_colours(step.frame))
    parts = [
        f'<image href="{uri}" width="{WIDTH}" height="{height:.1f}" opacity="{BENEATH}"/>',
    ]
    heads = [("", record.heads[0].choices)]
    cell = 1 / maskrl.make(record.env, **record.env_kwargs).unwrapped.settings.width
    for m in range(len(step)):
        tint = between(*ON_PICTURE, float(step.undecided[m]))
        keep = np.ones(step.probs.shape[1], bool)
        keep = keep if step.action_mask is None else step.action_mask[m]
        shapes = agent_shapes(
            heads, step.probs[m], keep, step.actions[m], np.array([True]), tint, "entropy", True
        )
        name = escape(record.name_of(step, m))
        parts.append(f"<g><title>{name}</title>")
        parts += [
            f'<path d="{outline(s.outline, step.at[m], cell)}" fill="{s.colour}" '
            f'fill-opacity="{max(s.opacity, 0.75)}" stroke="#fff" stroke-width=".8"/>'
            for s in shapes
        ]
        parts.append("</g>")
    return "".join(parts)


def matrix(record: TeamEpisode, step: TeamStep) -> str:
    """Masks and probabilities: a row per agent, those that act, wait and are dead."""
    parts = []
    choices = record.heads[0].choices
    for k, name in enumerate(choices):
        parts.append(
            f'<text transform="translate({LABEL + (k + 0.5) * CELL + 4} 50) rotate(-55)">'
            f"{escape(name.replace('_', ' '))}</text>"
        )
    acting = {int(slot): m for m, slot in enumerate(step.slot)}
    for n, name in enumerate(record.agent_names):
        y = 58 + n * ROW
        quiet = "" if n in acting else f' fill="{PALETTE.neutral}"'
        parts.append(
            f'<text x="{LABEL - 8}" y="{y + 15}" text-anchor="end"{quiet}>{escape(name)}</text>'
        )
        if n not in acting:
            word = "waits" if n in step.waiting else "dead"
            parts.append(f'<text x="{LABEL + 4}" y="{y + 15}"{quiet}>{word}</text>')
            continue
        m = acting[n]
        for k in range(len(choices)):
            x = LABEL + k * CELL
            if step.action_mask is not None and not step.action_mask[m, k]:
                parts.append(
                    f'<text x="{x + CELL / 2}" y="{y + 16}" text-anchor="middle" '
                    f'class="cross" fill="{PALETTE.disallowed}">×</text>'
                )
                continue
            done = k == int(step.actions[m, 0])
            frame = f' stroke="{LIGHT.text}" stroke-width="1.5"' if done else ""
            parts.append(
                f'<rect x="{x + 1}" y="{y + 1}" width="{CELL - 2}" height="{ROW - 2}" '
                f'fill="{PALETTE.allowed}" fill-opacity="{0.1 + 0.9 * step.probs[m, k]:.3f}"'
                f"{frame}/>"
            )
    return "".join(parts)


def svg(record: TeamEpisode, step: TeamStep) -> str:
    """The whole picture on a white card, so that it reads on light and on dark pages."""
    high = WIDTH * step.frame.shape[0] / step.frame.shape[1]
    columns = LABEL + len(record.heads[0].choices) * CELL
    width = WIDTH + columns + 3 * GAP
    height = round(max(high, 58 + len(record.agent_names) * ROW) + 2 * GAP + 24)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="12" '
        f'fill="{LIGHT.muted}"><style>.title{{font-size:15px;font-weight:600;fill:{LIGHT.text}}}'
        ".cross{font-weight:700;font-size:14px}</style>"
        f'<rect width="{width}" height="{height}" rx="12" fill="#fff"/>'
        f'<g transform="translate({GAP} {GAP})"><text class="title" y="8">The action map</text>'
        f'<g transform="translate(0 24)">{world(record, step)}</g></g>'
        f'<g transform="translate({WIDTH + 2 * GAP} {GAP})">'
        f'<text class="title" y="8">Masks and probabilities of all agents</text>'
        f'<g transform="translate(0 24)">{matrix(record, step)}</g></g></svg>\n'
    )


def liveliest(record: TeamEpisode) -> TeamStep:
    """The step at which most agents act under masks that disallow most."""

    def told(step: TeamStep) -> int:
        closed = 0 if step.action_mask is None else int((~step.action_mask).sum())
        return 10 * len(step) + closed

    return max(record.steps, key=told)


def main() -> None:
    """Read or train a team, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path, help="a run folder of pandas")
    parser.add_argument("--out", type=Path, default=Path("docs/images/action-map.svg"))
    parser.add_argument("--steps", type=int, default=60_000, help="of training, without a run")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.run is None:
        policy, env_id, env_kwargs = trained(given.steps, given.seed)
    else:
        config = RunDir.open(given.run).read_config()
        env_id, env_kwargs = config["env"], dict(config["env_kwargs"] or {})
        policy = load_policy(given.run)
    record = record_episode(policy, env_id, env_kwargs, seed=given.seed, max_steps=100)
    if not isinstance(record, TeamEpisode) or record.steps[0].frame is None:
        raise SystemExit(f"{given.run}: no team that is drawn; expected a run of pandas")
    given.out.write_text(svg(record, liveliest(record)), "utf-8")
    print(given.out, f"{given.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
