"""The figures of a comparison's page: what is drawn, what is said instead, what is left out."""

from __future__ import annotations

import re

import pytest

from maskrl.reports.comparison.sections import curves_section, waste_section
from maskrl.runs.comparison import read_comparison
from maskrl.runs.comparison_figures import comparison_figures

NBSP = "\N{NO-BREAK SPACE}"


def results(*means, **more):
    return [{"mean": mean, **more} for mean in means]


def test_every_variant_has_its_seeds_and_what_was_published_beside_them(comparison):
    section = curves_section(comparison, "mining-4x4", 0)
    together = section.figures["curves-0"]
    shown = [trace for trace in together.data if trace.showlegend is not False]
    # Together robust means alone: no seeds, no published runs.
    assert [trace.name for trace in shown] == ["masked", "penalty:0.01:native", "naive"]
    assert sum(trace.fill is None for trace in together.data) == 3
    assert set(section.figures) == {"curves-0", "curves-0-0", "curves-0-1", "curves-0-2"}
    masked = section.figures["curves-0-0"]
    ours = next(trace for trace in masked.data if trace.name == "masked")
    (dashed,) = [trace for trace in masked.data if trace.name == "published"]
    # Each mean stands in the middle of its steps: theirs are of 20,000, ours of 4,000.
    assert ours.x[-1] == 98_000 and ours.x[-1] - ours.x[-2] == 4_000
    assert dashed.x[-1] == 90_000 and dashed.y[-1] == pytest.approx(39.9, abs=0.05)
    seeds = [trace for trace in masked.data if trace.opacity == 0.4]
    assert [trace.y[-1] for trace in seeds] == [39.0, 40.0]
    assert "arXiv 2006.14171" in section.html and section.title == "Learning"
    # Beside each other they have one axis.
    ends = {tuple(section.figures[f"curves-0-{k}"].layout.yaxis.range) for k in range(3)}
    assert len(ends) == 1


def test_what_was_published_is_drawn_once_per_figure(tmp_path, write_comparison):
    env = "mining-4x4"
    variants = [
        {"label": f"{env}, preset={p}", "env": env, "varied": {"preset": p}, "tests": results(1.0)}
        for p in ("as_published", "corrected")
    ]
    folder = write_comparison(tmp_path / "a", variants, seeds=(0,), total=100_000)
    section = curves_section(read_comparison(folder), env, 0)
    counts = {
        name: sum(trace.name == "published" for trace in figure.data)
        for name, figure in section.figures.items()
    }
    assert counts == {"curves-0": 0, "curves-0-0": 1, "curves-0-1": 1}


def test_one_variant_alone_has_one_figure(tmp_path, write_comparison):
    variants = [{"label": "mining-4x4", "env": "mining-4x4", "tests": results(39.0, 40.0)}]
    folder = write_comparison(tmp_path / "a", variants, seeds=(0, 1), total=100_000)
    section = curves_section(read_comparison(folder), "mining-4x4", 0)
    (figure,) = section.figures.values()
    names = [trace.name for trace in figure.data]
    assert "masked" in names and names.count("published") == 2  # the curve and its legend
    assert sum(trace.opacity == 0.4 for trace in figure.data) == 2


def test_ours_and_published_stand_in_a_table(comparison):
    html = curves_section(comparison, "mining-4x4", 0).html
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", html)
    texts = [re.sub(r"<[^>]+>", " ", row).split() for row in rows]
    # Episodes rise evenly to the test's mean: the last two are 8/9 and all of it.
    assert texts[0] == ["masked", "37.31", "36.83", "to", "37.78", "39.88", "39.73", "to", "39.96"]
    assert [row[0] for row in texts] == ["masked", "penalty:0.01:native", "naive"][: len(texts)]


def test_what_was_wasted_is_drawn_where_it_is_known(comparison):
    section = waste_section(comparison, comparison_figures(comparison), 0)
    assert set(section.figures) == {
        "waste-0",
        "illegal-share-0",
        "allowed-share-0",
        "kl-masked-0",
        "kl-published-0",
    }
    assert list(section.figures["waste-0"].data[0].x) == [0.0, 0.5, 0.0]
    spent = {trace.name: trace.y for trace in section.figures["illegal-share-0"].data}
    # 50,000 of 100,000 steps, evenly; counted from the start of the training.
    assert spent["penalty:0.01:native"] == pytest.approx([0.5] * 10)
    assert spent["masked"] == pytest.approx([0.0] * 10)
    # Nobody told the punished ones what was allowed.
    names = {trace.name for trace in section.figures["allowed-share-0"].data}
    assert names == {"masked", "naive"}
    # How masks act on updates is between those two.
    for name in ("kl-masked-0", "kl-published-0"):
        assert {trace.name for trace in section.figures[name].data} == {"masked", "naive"}
    # What hardly moves is said.
    assert "Probability on disallowed actions: 25 % all the time" in section.html.replace(NBSP, " ")
    assert "Forced moves: 10 % all the time." in section.html.replace(NBSP, " ")
    assert "The mask of" not in section.html


def test_without_a_naive_regime_all_updates_are_compared(tmp_path, write_comparison):
    variants = [
        {"label": "toy", "env": "toy", "tests": results(1.0)},
        {"label": "toy, none", "env": "toy", "regime": "none", "tests": results(0.0)},
    ]
    comparison = read_comparison(write_comparison(tmp_path / "a", variants, seeds=(0,)))
    section = waste_section(comparison, comparison_figures(comparison), 0)
    assert {t.name for t in section.figures["kl-masked-0"].data} == {"masked", "none"}
    # No step was spent on what is impossible.
    assert "illegal-share-0" not in section.figures


def test_measures_of_runs_under_way_end_where_they_are(tmp_path, write_comparison):
    variants = [
        {"label": "toy", "env": "toy", "tests": [{"mean": 9.0, "allowed_from": 0.9}, None]},
        {"label": "toy, naive", "env": "toy", "regime": "naive", "tests": [None, None]},
    ]
    comparison = read_comparison(write_comparison(tmp_path / "a", variants, seeds=(0, 1)))
    section = waste_section(comparison, comparison_figures(comparison), 0)
    figure = section.figures["allowed-share-0"]
    drawn = {trace.name: list(trace.x) for trace in figure.data}
    # Ten rows in 1000 steps are ten bins, also of runs that wrote five of them in 500.
    assert drawn["masked"] == [100.0 * k for k in range(1, 11)]
    assert drawn["naive"] == [100.0 * k for k in range(1, 6)]


def test_nothing_to_show_is_no_section(tmp_path, write_comparison):
    import shutil

    variants = [{"label": "toy", "env": "toy", "tests": [None]}]
    folder = write_comparison(tmp_path / "a", variants, seeds=(0,))
    shutil.rmtree(folder / "toy")
    comparison = read_comparison(folder)
    assert curves_section(comparison, "toy", 0) is None
    assert waste_section(comparison, [], 0) is None
