"""The table of tests: every seed, groups in place of a mean, sorted by numbers."""

from __future__ import annotations

import re

from maskrl.reports.comparison.results import results_section
from maskrl.runs.comparison import read_comparison
from maskrl.runs.comparison_figures import comparison_figures


def results(*means, **more):
    return [{"mean": mean, **more} for mean in means]


def cells(html):
    """Rows of the table: texts of the cells, and what they are sorted by."""
    rows = re.findall(r"<tr>(<th scope=\"row\".*?)</tr>", html, re.S)
    found = []
    for row in rows:
        parts = re.findall(r"<t[hd][^>]*data-value=\"([^\"]*)\"[^>]*>(.*?)</t[hd]>", row, re.S)
        found.append([(key, re.sub(r"<[^>]+>", " ", text).split()) for key, text in parts])
    return found


def columns(html):
    return re.findall(r'<button type="button" data-sort="\d+">([^<]+)</button>', html)


def test_the_table_has_every_seed_and_sorts_by_numbers(comparison):
    section = results_section(comparison, comparison_figures(comparison), 0)
    masked, punished, naive = cells(section.html)
    assert masked[0] == ("0", ["masked"]) and naive[0] == ("2", ["naive"])
    assert masked[1] == ("39.5", ["39.50", "39.00", "to", "40.00", "39", "40"])
    # Two groups in place of a mean that no seed is near.
    assert punished[1][1][:6] == ["one", "at", "0.200", "one", "at", "39.00"]
    assert masked[2] == ("3.0", ["3.00"]) and naive[2] == ("", [])  # without the mask
    assert punished[3][0] == "0.125" and punished[3][1][0] == "12"  # one tie of four pairs
    # Ten episodes are too few for ten in a row to be near the best but at the very end.
    assert {row[6][0] for row in (masked, punished, naive)} <= {"inf", "100000.0", "90000.0"}
    assert punished[7] == ("0.5", ["50.0", "%"])
    assert naive[1][1] == ["9.00", "9"] and len(section.figures["seeds-0"].data) >= 5


def test_returns_and_scores_stand_beside_each_other(tmp_path, write_comparison):
    scored = {"score": 0.9, "planner_mean": 2.0, "mask_removed": {"greedy": {"mean": 1.5}}}
    one = {"label": "toy", "env": "toy", "tests": results(1.7, 1.7, **scored)}
    comparison = read_comparison(write_comparison(tmp_path / "a", [one], seeds=(0, 1)))
    section = results_section(comparison, comparison_figures(comparison), 0)
    assert columns(section.html)[:4] == [
        "variant",
        "test return",
        "score",
        "test, mask removed",
    ]
    ((_, returned, score, *_),) = cells(section.html)
    assert returned[1][:1] == ["1.70"] and score == ("0.9", ["0.900"])
    assert "the reference returns 2.00" in section.html


def test_sampled_tests_have_a_column_where_they_differ(tmp_path, write_comparison):
    stuck = {"label": "w", "env": "w", "tests": results(4.0, 4.0, sampled={"mean": 7.0})}
    plain = {"label": "w, naive", "env": "w", "regime": "naive", "tests": results(4.0, 4.0)}
    comparison = read_comparison(write_comparison(tmp_path / "a", [stuck, plain], seeds=(0, 1)))
    html = results_section(comparison, comparison_figures(comparison), 0).html
    assert columns(html)[:3] == ["variant", "test return", "test, sampled"]
    assert [row[2][0] for row in cells(html)] == ["7.0", "3.9"]
    comparison = read_comparison(write_comparison(tmp_path / "b", [plain], seeds=(0, 1)))
    html = results_section(comparison, comparison_figures(comparison), 0).html
    assert "test, sampled" not in columns(html)


def test_where_scores_alone_compare_returns_are_called_so(tmp_path, write_comparison):
    scored = {"score": 0.9, "mask_removed": {"greedy": {"mean": 1.5}}}
    variants = [
        {"label": "w", "env": "w", "tests": results(1.7, planner_mean=2.0, **scored)},
        {
            "label": "w, env.size=9",
            "env": "w",
            "varied": {"env.size": "9"},
            "tests": results(5.0, planner_mean=6.0, **scored),
        },
    ]
    comparison = read_comparison(write_comparison(tmp_path / "a", variants, seeds=(0,)))
    html = results_section(comparison, comparison_figures(comparison), 0).html
    assert columns(html)[:3] == ["variant", "test score", "test, mask removed (return)"]
    assert "end of training (return)" in columns(html)


def test_random_play_under_a_mask_that_allows_too_much_is_told_apart(tmp_path, write_comparison):
    played = {"random_mean": 9.3, "random_played": {"mean": 0.6, "standard_error": 0.1}}
    variants = [{"label": "w", "env": "w", "tests": results(9.0, 9.0, **played)}]
    comparison = read_comparison(write_comparison(tmp_path / "a", variants, seeds=(0, 1)))
    section = results_section(comparison, comparison_figures(comparison), 0)
    assert "Chance, random play under the mask of “masked”, returns 0.600; random valid" in (
        section.html
    )
    line = section.figures["seeds-0"].layout.shapes[0]
    assert line.x0 == 0.6


def test_tests_of_other_lengths_are_told(tmp_path, write_comparison):
    variants = [{"label": "w", "env": "w", "tests": [{"mean": 9.0}, {"mean": 9.0, "episodes": 50}]}]
    comparison = read_comparison(write_comparison(tmp_path / "a", variants, seeds=(0, 1)))
    html = results_section(comparison, comparison_figures(comparison), 0).html
    assert "20 to 50 test episodes per run" in html


def test_nothing_finished_is_no_section(comparison):
    assert results_section(comparison, [], 0) is None
