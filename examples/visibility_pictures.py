"""The pictures of `docs/concepts/feature-masks.md` and its page on leaks, as SVG.

    python examples/visibility_pictures.py [docs/images]

`visibility-builders.svg` shows who sees whom under every builder in one scene;
`feature-leaks.svg` a hidden scorpion on its way to the panda through two layers, and the
cures. Matrices, paths and numbers come from the library, not from the hand that draws.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskrl import EntityEncoder
from maskrl.attention import LeakWarning
from maskrl.attention import visibility as sight

NAMES = ["panda", "watermelon", "scorpion", "dragon", "monkey", "(empty)"]
LETTERS = "PWSDM\u00b7"
PLACES = torch.tensor([[1, 5], [1, 1], [5, 1], [5, 4], [2, 3], [0, 0]])
LOOKS = torch.tensor([[0, -1], [0, 1], [-1, 0], [-1, 0], [-1, 0], [0, 0]])
PRESENT = torch.tensor([True, True, True, True, True, False])
TREES = [(3, 1), (2, 2), (3, 3), (4, 2), (4, 5)]
SIZE = 7

STYLE = """
:root { --paper: #fbfaf7; --ink: #23282e; --soft: #66707a; --line: #c9ced3; --grid: #e7e9ea;
  --sees: #2f6f9f; --self: #a9c6da; --closed: #eceeef; --tree: #7fa37a; --leak: #c2410c; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #1b2026; --ink: #e8eaec; --soft: #a3acb5; --line: #4a535c; --grid: #2b323a;
    --sees: #6cb2e4; --self: #3c5d75; --closed: #262c33; --tree: #4f7a52; --leak: #ff9457; } }
text { font-family: system-ui, "DejaVu Sans", sans-serif; fill: var(--ink); font-size: 13px; }
.soft { fill: var(--soft); font-size: 12px; } .title { font-weight: 600; font-size: 14px; }
.paper { fill: var(--paper); stroke: var(--line); } .tree { fill: var(--tree); }
.cell { fill: none; stroke: var(--grid); } .sees { fill: var(--sees); } .own { fill: var(--self); }
.closed { fill: var(--closed); } .node { fill: var(--paper); stroke: var(--ink);
  stroke-width: 1.5; }
.gone { stroke: var(--line); stroke-dasharray: 3 3; } .edge { stroke: var(--soft); fill: none; }
.leak { stroke: var(--leak); stroke-width: 3.5; fill: none; } .bad { fill: var(--leak); }
.look { stroke: var(--ink); stroke-width: 2; fill: none; } .good { fill: var(--sees); }
.middle { text-anchor: middle; } .strong { font-weight: 600; }
"""


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """A line of text."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(words)}</text>'


def rect(x: float, y: float, width: float, height: float, kind: str, round_by: float = 0) -> str:
    """A rectangle."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{round_by:g}" '
        f'class="{kind}"/>'
    )


def page(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """A whole picture on paper of its own, so that it can be read on any ground."""
    heads = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="{size}" '
        f'markerHeight="{size}" orient="auto-start-reverse" markerUnits="userSpaceOnUse">'
        f'<path d="M0 0 L8 4 L0 8 z" style="fill: var({colour})"/></marker>'
        for name, colour, size in (("to", "--soft", 9), ("leaks", "--leak", 13))
    )
    paper = rect(0.5, 0.5, width - 1, height - 1, "paper", 10)
    lines = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'width="{width}" height="{height}"><title>{escape(title)}</title>',
        f"<style>{STYLE}</style><defs>{heads}</defs>{paper}",
        *parts,
        "</svg>",
    )
    return "\n".join(lines) + "\n"


def builders() -> list[tuple[str, str, Tensor]]:
    """Name, remark and visibility [6, 6] of every builder in the scene."""
    occluders = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    for x, y in TREES:
        occluders[y, x] = True
    hides = torch.tensor([False, False, True, False, False, False])
    line = sight.line_of_sight(PLACES, occluders, entity_mask=PRESENT)
    near = sight.radius(PLACES, 4, entity_mask=PRESENT)
    cone = sight.field_of_view(PLACES, LOOKS, 120, entity_mask=PRESENT)
    teams = torch.tensor([0, 0, 1, 1, 0, 0])
    born = torch.tensor([0, 3, 1, 2, 4, 0])
    joined = line & (near | cone)
    return [
        ("from_padding", "all who are there", sight.from_padding(PRESENT)),
        ("hidden", "S from all but itself", sight.hidden(PRESENT, hides)),
        ("team", "P W M against S D", sight.team(teams, entity_mask=PRESENT)),
        ("causal", "came P S D W M", sight.causal(born, entity_mask=PRESENT)),
        ("radius", "at most 4 cells away", near),
        ("line_of_sight", "no tree in between", line),
        ("field_of_view", "120 degrees", cone),
        ("joined", "line & (radius | field)", joined),
        ("observer_view", "of joined, for P", sight.observer_view(joined, 0)),
        ("depth_safe", "of joined", sight.depth_safe(joined)),
        ("leaks", "of joined, in 2 layers", sight.leaks(joined, 2, entity_mask=PRESENT)),
    ]


def matrix(x: float, y: float, name: str, remark: str, sees: Tensor) -> list[str]:
    """Who (row) sees whom (column)."""
    cell = 19
    parts = [text(x, y, name, "title"), text(x, y + 17, remark, "soft")]
    for i, letter in enumerate(LETTERS):
        parts.append(text(x + 24 + cell * (i + 0.5), y + 37, letter, "soft middle"))
        parts.append(text(x + 12, y + 43 + cell * (i + 0.75), letter, "soft middle"))
        for j, seen in enumerate(sees[i].tolist()):
            kind = "bad" if name == "leaks" else "own" if i == j else "sees"
            kind = kind if seen else "closed"
            place = (x + 24 + cell * j, y + 43 + cell * i)
            parts.append(rect(place[0] + 1, place[1] + 1, cell - 2, cell - 2, kind, 3))
    return parts


def draw_builders() -> str:
    """The scene, and a matrix for every builder."""
    cell, left, top = 36, 24, 66
    parts = [text(24, 36, "The scene", "title")]
    for x in range(SIZE):
        for y in range(SIZE):
            parts.append(rect(left + cell * x, top + cell * y, cell, cell, "cell"))
    for x, y in TREES:
        place = (left + cell * x + 4, top + cell * y + 4)
        parts.append(rect(*place, cell - 8, cell - 8, "tree", 7))
    for number in PRESENT.nonzero().flatten().tolist():
        x, y = (PLACES[number] * cell).tolist()
        middle = (x + left + cell / 2, y + top + cell / 2)
        parts.append(f'<circle cx="{middle[0]:g}" cy="{middle[1]:g}" r="12" class="node"/>')
        ahead, down = LOOKS[number].tolist()
        tip = [
            (middle[0] + 17 * ahead + 4 * side * down, middle[1] + 17 * down + 4 * side * ahead)
            for side in (-1, 1)
        ]
        point = (middle[0] + 21 * ahead, middle[1] + 21 * down)
        joined = " ".join(f"{a:g},{b:g}" for a, b in (tip[0], point, tip[1]))
        parts.append(f'<polyline points="{joined}" class="look"/>')
        parts.append(text(middle[0], middle[1] + 4.5, LETTERS[number], "middle strong"))
    legend = ["P panda, W watermelon, S scorpion,", "D dragon, M monkey, \u00b7 an empty slot."]
    legend += ["Green: trees. Ticks: where each looks.", "", "Row: who looks. Column: at whom."]
    legend += ["Blue: sees. Pale: itself.", "Orange: moves it, though unseen."]
    for number, words in enumerate(legend):
        parts.append(text(24, top + cell * SIZE + 26 + 18 * number, words, "soft"))
    for number, (name, remark, sees) in enumerate(builders()):
        column, row = number % 4, number // 4
        parts += matrix(310 + 170 * column, 36 + 190 * row, name, remark, sees)
    return page(980, 596, "Who sees whom under every builder of visibility", parts)


AT = [(34, 74), (124, 42), (214, 74), (124, 132)]
CALLED = ["panda", "watermelon", "scorpion", "dragon"]
GRAPH = torch.tensor([[1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 1, 1], [1, 1, 0, 1]], dtype=torch.bool)


def row_of_panda(x: Tensor, graph: Tensor, depth: int, **options: Any) -> Tensor:
    """What an encoder computes for the panda, always with the same weights."""
    torch.manual_seed(1)
    encoder = EntityEncoder(3, 16, depth=depth, heads=2, **options)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakWarning)  # it leaks on purpose
        if options.get("pool"):
            return encoder(x, None, graph, observer=0)
        return encoder(x, None, graph)[0]


def scenes() -> tuple[Tensor, Tensor]:
    """The scene of the page on leaks, and the same with the scorpion moved."""
    torch.manual_seed(0)
    still = torch.randn(4, 3)
    moved = still.clone()
    moved[2] += 1.0
    return still, moved


def effect(graph: Tensor, depth: int, **options: Any) -> float:
    """How far the panda's output moves when the scorpion does."""
    still, moved = (row_of_panda(x, graph, depth, **options) for x in scenes())
    return (moved - still).abs().max().item()


def arrow(i: int, j: int, kind: str) -> str:
    """From the one who looks to the one it looks at, a little beside the way back."""
    (x, y), (u, v) = AT[i], AT[j]
    length = ((u - x) ** 2 + (v - y) ** 2) ** 0.5
    dx, dy = (u - x) / length, (v - y) / length
    start = (x + 19 * dx - 5 * dy, y + 19 * dy + 5 * dx)
    end = (u - 20 * dx - 5 * dy, v - 20 * dy + 5 * dx)
    head = "leaks" if kind == "leak" else "to"
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f'class="{kind}" marker-end="url(#{head})"/>'
    )


def graph_panel(
    place: tuple[float, float],
    title: str,
    edges: tuple[Tensor, Iterable[tuple[int, int]]],
    told: tuple[str, float],
    remark: str,
) -> list[str]:
    """One graph with its edges, the steps of the leak among them, and what was measured."""
    graph, steps = edges
    steps = set(steps)
    parts = [f'<g transform="translate({place[0]:g} {place[1]:g})">', text(0, 0, title, "title")]
    for i in range(4):
        for j in range(4):
            if i != j:
                kind = "leak" if (i, j) in steps else "edge" if graph[i, j] else ""
                parts += [arrow(i, j, kind)] if kind else []
    for number, (cx, cy) in enumerate(AT):
        parts.append(f'<circle cx="{cx}" cy="{cy}" r="16" class="node"/>')
        parts.append(text(cx, cy + 4.5, CALLED[number][0].upper(), "middle strong"))
    what, moved = told
    amount = f"{what} P by {f'{moved:.2f}' if moved else 'exactly 0'}"
    parts.append(text(0, 180, amount, "strong " + ("bad" if moved else "good")))
    return [*parts, text(0, 199, remark, "soft"), "</g>"]


def draw_leaks() -> str:
    """Ways of a hidden scorpion to the panda, and cures: edges in use, and what it moves."""
    (leak,) = (k for k in sight.explain_leak(GRAPH, 2, observer=0, names=CALLED) if k.hidden == 2)
    steps = list(zip(leak.path, leak.path[1:], strict=False))
    view, safe = sight.observer_view(GRAPH, 0), sight.depth_safe(GRAPH)
    later = GRAPH.clone()
    later[1, 2] = later[2, 1] = False
    still, _ = scenes()
    jump = row_of_panda(still, later, 2) - row_of_panda(still, GRAPH, 2)
    kept = sight.depth_safe(later)
    moving, leaky = "moving S moves", {"depth_safe": False}
    panels = [
        (
            "1 layer: nothing",
            (GRAPH, []),
            (moving, effect(GRAPH, 1)),
            "P does not see S: the mask closes this way",
        ),
        (
            "2 layers: depth leaks",
            (GRAPH, steps),
            (moving, effect(GRAPH, 2, **leaky)),
            f"through the {CALLED[leak.path[1]]}, which sees S",
        ),
        (
            "1 layer and a mean: pooling leaks",
            (GRAPH, steps),
            (moving, effect(GRAPH, 1, pool="mean", **leaky)),
            "what P sees is pooled, and W holds S",
        ),
        (
            "Cure: observer_view",
            (view, []),
            (moving, effect(view, 2)),
            "all layers: only what P sees, by P's own row",
        ),
        (
            "Cure: depth_safe",
            (safe, []),
            (moving, effect(GRAPH, 2)),
            "from layer 2 on: P may not read W",
        ),
        (
            "Its limit: the graph moves",
            (kept, [(i, j) for i, j in (kept & ~safe).nonzero().tolist() if i == 0]),
            ("S leaving W's sight moves", jump.abs().max().item()),
            "W sees no more than P now: the edge appears",
        ),
    ]
    parts = [
        part
        for number, panel in enumerate(panels)
        for part in graph_panel((26 + 310 * (number % 3), 34 + 240 * (number // 3)), *panel)
    ]
    told = f"explain_leak: {leak}. Arrows lead from who looks to whom it looks at."
    parts.append(text(26, 504, told, "soft"))
    return page(940, 524, "How a hidden scorpion reaches the panda, and the cures", parts)


def main() -> None:
    """Write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/images"))
    folder = parser.parse_args().folder
    for name, draw in (("visibility-builders", draw_builders), ("feature-leaks", draw_leaks)):
        path = folder / f"{name}.svg"
        path.write_text(draw(), "utf-8")
        print(path, f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
