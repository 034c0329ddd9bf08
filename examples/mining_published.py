r"""Our runs of mining beside the published ones, fifth by fifth: tables, and a picture.

    maskrl compare mining-4x4 mining-10x10 --preset as_published --seeds 4 --episodes 100 \
        --regimes masked naive penalty:0.01 penalty:0.1 penalty:1 none --out runs/published
    python examples/mining_published.py runs/published [--picture FILE]

Published: means over four or five runs of the returns of training episodes in parts of 20,000
steps. Ours are of the same parts, as means over seeds too, with every seed in the last one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from maskrl.reports.comparison.naming import with_plain_names
from maskrl.runs.comparison import Comparison, Variant, read_comparison
from maskrl.runs.comparison_figures import trained_steps
from maskrl.runs.curves import bin_ends, binned_means
from maskrl.runs.json_file import write_bytes_atomic
from maskrl.runs.published import MASK_REMOVED, PublishedCurve, published_curve

PART, LAST = 20_000, 500_000
REMOVED_METRIC = "mask_removed_return"
PANEL, GAP, COLUMNS, TOP = (196, 118), (26, 50), 4, 34


@dataclass(frozen=True)
class Beside:
    """One regime on one map.

    Attributes:
        env: The map.
        name: Of the regime.
        ours: `[seeds, K]`, mean return in each part of 20,000 steps.
        fine: `[seeds, 25]`, the same in smaller parts, for the picture.
        until: Steps of the training.
        published: Of the same regime, as far as it goes.
    """

    env: str
    name: str
    ours: np.ndarray
    fine: np.ndarray
    until: int
    published: PublishedCurve | None

    @property
    def theirs(self) -> np.ndarray:
        """Published means of the same parts; NaN where there are none."""
        found = np.full(self.ours.shape[1], np.nan)
        if self.published is not None:
            known = self.published.mean[: found.size]
            found[: known.size] = known
        return found


def parts_of(variant: Variant, until: int, bins: int, metric: str | None = None) -> np.ndarray:
    """Mean returns `[seeds, bins]` of training episodes, or means of a metric."""
    ends = bin_ends(until, bins)
    rows = []
    for run in variant.runs:
        step, value = run.episodes.step, run.episodes.returned
        if metric is not None:
            step, value = run.metrics["step"], run.metrics[metric]
        row = binned_means(step, value, ends)
        rows.append(np.where(ends - ends[0] < trained_steps(run), row, np.nan))
    return np.stack(rows)


def beside(comparison: Comparison) -> Iterator[Beside]:
    """Every finished regime of the comparison, and what masked agents earn without the mask."""
    for variant in comparison.variants:
        until = min(variant.total_steps // PART * PART, LAST)
        why = "" if until else f"trained for less than {PART:,} steps"
        if len(variant.finished) < len(variant.runs):
            why = "not finished"
        if why:
            print(f"{variant.label}: {why}, left out", file=sys.stderr)
            continue
        asked: list[tuple[str, str, str | None]] = [(variant.name, variant.regime, None)]
        if all(REMOVED_METRIC in run.metrics for run in variant.runs):
            asked.append((f"{variant.name}, {MASK_REMOVED}", MASK_REMOVED, REMOVED_METRIC))
        for name, regime, metric in asked:
            yield Beside(
                variant.env,
                name,
                parts_of(variant, until, until // PART, metric),
                parts_of(variant, until, 25, metric),
                until,
                published_curve(variant.env, regime),
            )


def table(rows: Sequence[Beside]) -> str:
    """Fifth by fifth, ours above the published means, and their mean over all parts."""
    count = max(one.ours.shape[1] for one in rows)
    head = ["map", "regime", ""]
    head += [f"{PART * (k + 1) // 1000}k" for k in range(count)]
    head += ["last, every run", "mean of all"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for one in rows:
        cells = [f"{value:.1f}" for value in one.ours.mean(0)]
        seeds = " ".join(f"{value:.1f}" for value in one.ours[:, -1])
        area = f"{one.ours.mean():.2f}"
        cells += [""] * (count - len(cells))
        lines.append("| " + " | ".join([one.env, one.name, "ours", *cells, seeds, area]) + " |")
        if one.published is None:
            continue
        cells = [f"{value:.1f}" for value in one.theirs]
        last = len(cells) - 1
        cells += [""] * (count - len(cells))
        ends = f"{one.published.low[last]:.1f} to {one.published.high[last]:.1f}"
        area = f"{np.nanmean(one.theirs):.2f}"
        lines.append("| " + " | ".join(["", "", "published", *cells, ends, area]) + " |")
    return "\n".join(lines)


def tests(comparison: Comparison) -> str:
    """What every seed did in its test: likeliest actions, sampled ones, and its speed."""
    head = ["map", "regime", "test, likeliest actions", "test, sampled", "steps a second"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for variant in comparison.variants:
        runs = variant.finished
        if not runs:
            continue
        sampled = [run.evaluation.get("sampled", {}).get("mean", float("nan")) for run in runs]
        cells = [
            " ".join(f"{float(run.evaluation['mean']):.1f}" for run in runs),
            " ".join(f"{float(value):.1f}" for value in sampled),
            " ".join(f"{run.speed[0] / max(run.speed[1], 1e-9):,.0f}" for run in runs),
        ]
        lines.append("| " + " | ".join([variant.env, variant.name, *cells]) + " |")
    return "\n".join(lines)


def picture(rows: Sequence[Beside]) -> str:
    """A panel for every regime: seeds thin, their mean bold, published dashed; SVG."""
    style = (
        "text{font:13px system-ui,sans-serif;fill:#1c2430}.m{fill:#5a6574;font-size:11px}"
        ".q{font-weight:600;font-size:15px}.g{stroke:#d5dae1}.s{stroke:#2a78d0;stroke-opacity:.4}"
        ".b{stroke:#2a78d0;stroke-width:2.5}.p{stroke:#d4602a;stroke-width:2;stroke-dasharray:5 4}"
        ".r{fill:#8a94a3;fill-opacity:.22}path{fill:none}"
        "@media(prefers-color-scheme:dark){text{fill:#e6eaf0}.m{fill:#a3adba}.g{stroke:#3a434e}"
        ".b,.s{stroke:#6cabf0}.p{stroke:#f0905c}}"
    )
    parts: list[str] = []
    y = TOP
    for env in dict.fromkeys(one.env for one in rows):
        own = [one for one in rows if one.env == env]
        top = max(float(np.nanmax(one.fine)) for one in own)
        parts.append(f'<text class="q" x="30" y="{y - 4}">{escape(env)}</text>')
        y += 24
        for place, one in enumerate(own):
            row, column = divmod(place, COLUMNS)
            x = 30 + column * (PANEL[0] + GAP[0])
            parts += _panel(one, x, y + row * (PANEL[1] + GAP[1]), top)
        y += -(-len(own) // COLUMNS) * (PANEL[1] + GAP[1]) + 16
    width = 30 + COLUMNS * (PANEL[0] + GAP[0])
    x, y = 30, y - 12
    for name, kind, words in (
        ("s", "M0 0h26", "one seed"),
        ("b", "M0 0h26", "mean of our seeds"),
        ("p", "M0 0h26", "mean of the published runs"),
        ("r", "", "their range"),
    ):
        mark = (
            f'<path class="{name}" d="{kind}"/>'
            if kind
            else '<rect class="r" y="-6" width="26" height="12"/>'
        )
        parts.append(f'<g transform="translate({x} {y - 4})">{mark}</g>')
        parts.append(f'<text class="m" x="{x + 34}" y="{y}">{words}</text>')
        x += 70 + 7 * len(words)
    size = f'width="{width}" height="{y + 14}" viewBox="0 0 {width} {y + 14}"'
    label = "training returns by regime, ours and published"
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}">'
        f"<style>{style}</style>\n{body}\n</svg>\n"
    )


def _panel(one: Beside, left: float, top: float, most: float) -> Iterator[str]:
    width, height = PANEL
    most = 10.0 * max(1.0, np.ceil((most - 1.0) / 10.0))  # 40.04 is 40 for an axis

    def at(step: float, value: float) -> str:
        value = min(max(value, 0.0), most)
        x, y = left + width * step / one.until, top + height * (1.0 - value / most)
        return f"{x:.1f} {y:.1f}"

    def line(steps: np.ndarray, values: np.ndarray) -> str:
        known = np.isfinite(values)
        return "M" + "L".join(at(*pair) for pair in zip(steps[known], values[known], strict=True))

    yield f'<text x="{left}" y="{top - 8}">{escape(one.name)}</text>'
    for value in (0.0, most / 2, most):
        y = float(at(0, value).split()[1]) + 4
        yield f'<path class="g" d="M{at(0, value)}L{at(one.until, value)}"/>'
        yield (f'<text class="m" x="{left - 5}" y="{y:.1f}" text-anchor="end">{value:g}</text>')
    for step in (0, one.until):
        anchor = "start" if step == 0 else "end"
        x = at(step, 0).split()[0]
        name = f"{step // 1000}k steps" if step else "0"
        place = f'x="{x}" y="{top + height + 15}" text-anchor="{anchor}"'
        yield f'<text class="m" {place}>{name}</text>'
    theirs = one.published
    if theirs is not None:
        keep = theirs.step <= one.until
        middles = (theirs.step - PART / 2)[keep]
        there = [at(*pair) for pair in zip(middles, theirs.high[keep], strict=True)]
        back = [at(*pair) for pair in zip(middles[::-1], theirs.low[keep][::-1], strict=True)]
        yield f'<polygon class="r" points="{" ".join(p.replace(" ", ",") for p in there + back)}"/>'
    ends = bin_ends(one.until, one.fine.shape[1])
    middles = ends - ends[0] / 2
    for seed in one.fine:
        yield f'<path class="s" d="{line(middles, seed)}"/>'
    known = np.isfinite(one.fine).all(axis=0)  # before an episode has ended there is no mean
    yield f'<path class="b" d="{line(middles[known], one.fine[:, known].mean(axis=0))}"/>'
    if theirs is not None:
        keep = theirs.step <= one.until
        yield f'<path class="p" d="{line((theirs.step - PART / 2)[keep], theirs.mean[keep])}"/>'


def main(arguments: Sequence[str] | None = None) -> None:
    """Read a comparison's folder and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="of `maskrl compare`")
    parser.add_argument("--picture", type=Path, help="and draw them into this SVG file")
    options = parser.parse_args(arguments)
    comparison = with_plain_names(read_comparison(options.folder))
    rows = list(beside(comparison))
    if not rows:
        raise SystemExit(f"{options.folder}: no regime is finished yet")
    print(table(rows), tests(comparison), sep="\n\n")
    if options.picture is not None:
        write_bytes_atomic(options.picture, picture(rows).encode())


if __name__ == "__main__":
    main()
