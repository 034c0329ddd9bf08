"""The tables at the end: every seed, groups in place of a mean, nothing cut off."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from maskrl.cli.compare_tables import print_figures, shown
from maskrl.runs.comparison import read_comparison
from maskrl.runs.comparison_figures import comparison_figures


def printed(folder):
    out = Console(file=io.StringIO(), width=80, highlight=False)
    comparison = read_comparison(folder)
    print_figures(comparison, comparison_figures(comparison), out)
    return out.file.getvalue()


def rows(text):
    """Per first cell the cells of its first table."""
    found = {}
    for line in text.splitlines():
        if "│" in line:
            first, *cells = (cell.strip() for cell in line.strip("│ ").split("│"))
            found.setdefault(first, cells)
    return found


@pytest.fixture
def text(tmp_path, write_comparison):
    removed = {"mask_removed": {"greedy": {"mean": 3.0}}}
    variants = [
        {"label": "toy", "env": "toy", "tests": [{"mean": m, **removed} for m in (8.0, 9.0)]},
        {"label": "toy, naive", "env": "toy", "regime": "naive", "tests": [{"mean": 7.0}, None]},
        {
            "label": "toy, penalty:1",
            "env": "toy",
            "regime": "penalty:1",
            "tests": [{"mean": 0.0, "training_illegal_actions": 500}, {"mean": 9.0}],
        },
    ]
    return printed(write_comparison(tmp_path / "a", variants, seeds=(0, 1), threshold=4.0))


def test_every_seed_and_what_stands_for_them(text):
    found = rows(text)
    assert found["masked"] == ["8.000", "9.000", "8.500", "8.000 to 9.000", "", "3.000"]
    assert found["naive"][:4] == ["7.000", "not finished", "7.000", ""]
    assert found["penalty 1"][2] == "1 at 0.000, 1 at 9.000"
    assert found["random valid agent"][2] == "-1.000"
    assert "steps to 4" in text and "never 600" in text
    assert "illegal actions" in text and "500" in text and "25.0%" in text
    assert "divergence of an update" in text and "0.01000" in text
    assert "interquartile mean over seeds" in text.replace("\n", " ")
    assert "…" not in text


def test_sampled_tests_are_told_where_they_differ(tmp_path, write_comparison):
    tests = [{"mean": 4.0, "sampled": {"mean": 7.0}}] * 2
    variants = [{"label": "w", "env": "w", "tests": tests}]
    text = printed(write_comparison(tmp_path / "a", variants, seeds=(0, 1)))
    assert "test, sampled" in text and "7.000" in text
    variants = [{"label": "w", "env": "w", "tests": [{"mean": 4.0}] * 2}]
    assert "test, sampled" not in printed(write_comparison(tmp_path / "b", variants, seeds=(0, 1)))


def test_the_price_of_not_seeing_is_between_settings_of_one_environment(tmp_path, write_comparison):
    def scored(score):
        return [{"mean": score, "score": score, "planner_mean": 1.0}] * 2

    variants = [
        {"label": "world?sight=full", "env": "world?sight=full", "tests": scored(0.95)},
        {"label": "world", "env": "world", "tests": scored(0.76)},
        {"label": "elsewhere", "env": "elsewhere", "tests": scored(0.5)},
    ]
    text = " ".join(printed(write_comparison(tmp_path / "a", variants, seeds=(0, 1))).split())
    assert (
        "world reaches 80.0% of the score of world?sight=full: the price of the difference is 20.0%"
        in text
    )
    assert text.count("price") == 1


def test_returns_and_scores_stand_beside_each_other(tmp_path, write_comparison):
    scored = {"score": 0.9, "planner_mean": 2.0, "mask_removed": {"greedy": {"mean": 1.5}}}
    variants = [{"label": "w", "env": "w", "tests": [{"mean": 1.7, **scored}] * 4}]
    text = printed(write_comparison(tmp_path / "a", variants))
    assert "w: return of the test" in text
    assert rows(text)["masked"][4:] == ["1.700", "1.700", "", "0.900", "1.500"]
    assert rows(text)["reference"][4] == "2.000"


def test_where_scores_alone_compare_returns_are_called_so(tmp_path, write_comparison):
    scored = {"score": 0.9, "mask_removed": {"greedy": {"mean": 1.5}}}
    variants = [
        {"label": "w", "env": "w", "tests": [{"mean": 1.7, "planner_mean": 2.0, **scored}]},
        {
            "label": "w, env.size=9",
            "env": "w",
            "varied": {"env.size": "9"},
            "tests": [{"mean": 5.0, "planner_mean": 6.0, **scored}],
        },
    ]
    text = printed(write_comparison(tmp_path / "a", variants, seeds=(0,)))
    assert "w: score of the test" in text and "(return)" in text


def test_environments_far_apart_get_no_common_mean(tmp_path, write_comparison):
    def on(env, regime, mean):
        label = env if regime == "masked" else f"{env}, {regime}"
        return {"label": label, "env": env, "regime": regime, "tests": [{"mean": mean}] * 4}

    variants = [on("a", "masked", 9.0), on("a", "none", 9.0), on("b", "masked", 9.0)]
    variants.append(on("b", "none", -1.0))
    text = printed(write_comparison(tmp_path / "a", variants))
    last = rows(text[text.index("all environments") :])
    assert last["masked"] == ["1.000", "1.000", "1.000", "1.000"]
    assert last["no mask"] == ["1.000", "0.000", "far apart"]


def test_no_price_is_told_of_seeds_that_fall_into_two_groups(tmp_path, write_comparison):
    def scored(*scores):
        return [{"mean": score, "score": score, "planner_mean": 1.0} for score in scores]

    variants = [
        {"label": "w?a=1", "env": "w?a=1", "tests": scored(0.9, 0.9, 0.9, 0.9)},
        {"label": "w", "env": "w", "tests": scored(0.0, 0.0, 0.9, 0.9)},
    ]
    text = printed(write_comparison(tmp_path / "a", variants))
    assert "2 at 0.000, 2 at 0.900" in text and "price" not in text


def test_what_looks_like_markup_is_printed_as_it_is(tmp_path, write_comparison):
    one = {"env": "w?kind=[red]", "varied": {"env.map": "[bold]"}}
    other = {"env": "w?kind=[red]", "varied": {"env.map": "[/x]"}}
    scored = [{"mean": 0.5, "score": 0.5, "planner_mean": 1.0}]
    variants = [
        {"label": "w?kind=[red], [bold]", **one, "tests": scored},
        {"label": "w?kind=[red], [/x]", **other, "tests": scored},
        {"label": "w?kind=[blue]", "env": "w?kind=[blue]", "tests": scored},
    ]
    text = printed(write_comparison(tmp_path / "a", variants, seeds=(0,)))
    assert "w?kind=[red]: return of the test" in text
    # In every table with a row per variant.
    assert text.count("map=[bold]") == text.count("map=[/x]") >= 4
    assert "w?kind=[blue] reaches 100.0% of the score of w?kind=[red], [bold]" in text


def test_nothing_finished_is_said(tmp_path, write_comparison):
    variants = [{"label": "toy", "env": "toy", "tests": [None]}]
    assert "no run is finished yet" in printed(write_comparison(tmp_path, variants, seeds=(0,)))
    assert shown(None) == ""
