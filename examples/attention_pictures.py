"""Attention in the founding article's scene `trees`, in one picture: without mask and with it.

    python examples/attention_pictures.py [RUN] [--out docs/images/attention-trees.svg]

RUN is a run folder of a panda, whose weights are read. Without one a network of the article's
three features is trained first, for a minute, on the scene itself. Needs no browser.
"""

from __future__ import annotations

import argparse
import math
from html import escape
from pathlib import Path

import numpy as np
from torch import nn

from maskrl import PPO
from maskrl.figures.arrow_shapes import arrow_outline, ring_outline, spread, unit_length
from maskrl.figures.attention_map import cell_text
from maskrl.figures.png import png_data_uri, with_few_colours
from maskrl.figures.theme import LIGHT, PALETTE
from maskrl.policies.load import load_policy
from maskrl.reports.attention_scenes import AttentionView, SceneMaps, scene_maps
from maskrl.runs import RunDir

WIDTH, GAP, CELL, LABELS, TOP = 250, 26, 40, 84, 84
ARROW = "#163f8f"


def trained(steps: int, seed: int) -> nn.Module:
    """A policy of the article's features, trained on the scene."""
    trainer = PPO("panda-trees?features=xyt", seed=seed)
    trainer.learn(steps)
    return trainer.policy.eval()


def path(points: np.ndarray, scale: float) -> str:
    """An outline as the data of a path."""
    return "M" + "L".join(f"{x * scale:.1f} {y * scale:.1f}" for x, y in points) + "Z"


def picture(scene: SceneMaps, view: AttentionView | None) -> str:
    """The world, and the panda's arrows in the first layer (mean of heads)."""
    if view is None:
        uri = png_data_uri(with_few_colours(scene.picture))
        height = WIDTH * scene.picture.shape[0] / scene.picture.shape[1]
        parts = [f'<image id="world" href="{uri}" width="{WIDTH}" height="{height:.1f}"/>']
    else:
        parts = ['<use href="#world"/>']
        weights, permitted = view.weights[0].mean(axis=0)[0], view.permitted[0, 0]
        unit = unit_length(scene.places, 1.0)
        places = spread(scene.places, unit)
        for j in np.flatnonzero(permitted & (weights > 0)):
            outline = (
                arrow_outline(places[0], places[j], weights[j], unit)
                if j
                else ring_outline(places[0], weights[j], unit)
            )
            parts.append(
                f'<path d="{path(outline, WIDTH)}" fill="{ARROW}" stroke="#fff" stroke-width=".8">'
                f"<title>{escape(scene.names[j])}: {weights[j]:.1%}</title></path>"
            )
    return "".join(parts)


def ink(weight: float) -> str:
    """The colour of a weight, between those of the report's heat maps."""
    at = weight * (len(LIGHT.heat) - 1)
    low, high = LIGHT.heat[math.floor(at)], LIGHT.heat[math.ceil(at)]
    share = at - math.floor(at)
    mixed = [
        round(int(low[k : k + 2], 16) * (1 - share) + int(high[k : k + 2], 16) * share)
        for k in (1, 3, 5)
    ]
    return "#" + "".join(f"{value:02x}" for value in mixed)


def matrix(scene: SceneMaps, view: AttentionView, *, numbers: bool) -> str:
    """Who sees whom, or who attends to whom in the first layer (mean of heads)."""
    weights, permitted = view.weights[0].mean(axis=0), view.permitted[0]
    parts = []
    for i, name in enumerate(scene.names):
        middle = (i + 0.5) * CELL
        parts.append(
            f'<text x="{LABELS - 6}" y="{TOP + middle + 4}" text-anchor="end">{escape(name)}</text>'
            f'<text transform="translate({LABELS + middle} {TOP - 6}) rotate(-45)">'
            f"{escape(name)}</text>"
        )
        for j, ok in enumerate(permitted[i]):
            x, y = LABELS + j * CELL, TOP + i * CELL
            centre = f'x="{x + CELL / 2}" y="{y + CELL / 2 + 4}" text-anchor="middle"'
            if not ok:
                parts.append(f'<text {centre} fill="{PALETTE.disallowed}" class="cross">×</text>')
                continue
            weight = float(weights[i, j])
            fill = ink(weight) if numbers else "#afb5bd"
            parts.append(
                f'<rect x="{x + 1}" y="{y + 1}" width="{CELL - 2}" height="{CELL - 2}" '
                f'fill="{fill}"/>'
            )
            if numbers:
                light = "#fff" if weight > 0.5 else LIGHT.text
                parts.append(f'<text {centre} fill="{light}">{cell_text(weight, True)}</text>')
    return "".join(parts)


def svg(scene: SceneMaps) -> str:
    """The whole picture on a white card, so that it reads on light and on dark pages."""
    high = WIDTH * scene.picture.shape[0] / scene.picture.shape[1]
    columns = (
        ("Who sees whom", None, matrix(scene, scene.sight, numbers=False)),
        ("Attention without mask", scene.unmasked, matrix(scene, scene.unmasked, numbers=True)),
        ("Attention with mask", scene.sight, matrix(scene, scene.sight, numbers=True)),
    )
    parts = []
    for k, (title, view, cells) in enumerate(columns):
        parts.append(
            f'<g transform="translate({GAP + k * (WIDTH + GAP)} {GAP})">'
            f'<text class="title" y="8">{title}</text>'
            f'<g transform="translate(0 22)">{picture(scene, view)}</g>'
            f'<g transform="translate(0 {high + 26:.1f})">{cells}</g></g>'
        )
    width = 3 * WIDTH + 4 * GAP
    height = round(GAP * 2 + 26 + high + TOP + len(scene.names) * CELL)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="12" '
        f'fill="{LIGHT.muted}"><style>.title{{font-size:15px;font-weight:600;fill:{LIGHT.text}}}'
        ".cross{font-weight:700;font-size:14px}</style>"
        f'<rect width="{width}" height="{height}" rx="12" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def main() -> None:
    """Read or train weights, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path, help="a run folder of a panda")
    parser.add_argument("--out", type=Path, default=Path("docs/images/attention-trees.svg"))
    parser.add_argument("--steps", type=int, default=60_000, help="of training, without a run")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.run is None:
        env_id, env_kwargs = "panda-trees?features=xyt", {}
        policy = trained(given.steps, given.seed)
    else:
        config = RunDir.open(given.run).read_config()
        env_id, env_kwargs = config["env"], config["env_kwargs"]
        policy = load_policy(given.run)
    scenes = [s for s in scene_maps(policy, env_id, env_kwargs) if s.scene == "trees"]
    if not scenes:
        raise SystemExit(f"{given.run}: this network attends to no scene of the panda's world")
    given.out.write_text(svg(scenes[0]), "utf-8")
    print(given.out, f"{given.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
