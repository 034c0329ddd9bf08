"""Sentences that follow the numbers: other numbers, other sentences."""

from __future__ import annotations

import pytest

from maskrl.reports.comparison.beside_published import beside_published
from maskrl.reports.comparison.findings import (
    findings_of,
    group_text,
    number_text,
    overall_findings,
    published_findings,
    range_text,
    waste_findings,
)
from maskrl.runs.comparison import read_comparison
from maskrl.runs.comparison_figures import comparison_figures
from maskrl.runs.comparison_overall import overall_figures


def results(*means, **more):
    return [{"mean": mean, **more} for mean in means]


@pytest.fixture
def found(tmp_path, write_comparison):
    """Findings of variants on one environment."""

    def find(variants, **settings):
        folder = write_comparison(
            tmp_path / f"c{len(list(tmp_path.iterdir()))}", variants, **settings
        )
        comparison = read_comparison(folder)
        figures = comparison_figures(comparison)
        beside = published_findings(beside_published(comparison.variants))
        return [*findings_of(figures), *waste_findings(figures), *beside]

    return find


MASKED = {"label": "toy", "env": "toy", "tests": results(8.0, 9.0, 10.0, 11.0)}
BAD = {"label": "toy, none", "env": "toy", "regime": "none", "tests": results(0.0, 0.5, 0.2, 0.1)}


def text_of(sentences):
    return " ".join(sentences).replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def test_the_best_and_the_last_are_those_of_the_numbers(found):
    text = text_of(found([MASKED, BAD]))
    assert (
        "“masked” did best in the test: a return of 9.50 (8.00 to 11.00) over 4 seeds. Last came "
        "“none” with 0.150 (0 to 0.500)." in text
    )
    assert "Every run of “none” is worse than every run of “masked”." in text
    swapped = [{**MASKED, "tests": BAD["tests"]}, {**BAD, "tests": MASKED["tests"]}]
    text = text_of(found(swapped))
    assert "“none” did best in the test: a return of 9.50" in text and "came “masked”" in text
    assert "Every run of “none” is better than every run of “masked”." in text


def test_of_equals_none_is_called_best_or_last(found):
    naive = {**BAD, "label": "toy, naive", "regime": "naive", "tests": results(*[40.0] * 4)}
    masked = {**MASKED, "tests": results(*[40.0] * 4)}
    text = text_of(found([masked, naive]))
    assert (
        "“masked” and “naive” have the same interquartile mean in the test, a return of 40.00. "
        in text
    )
    assert "best" not in text and "Last" not in text
    text = text_of(found([masked, naive, BAD]))
    assert "a return of 40.00, the best of all. Last came “none” with 0.150" in text


def test_seeds_that_do_not_decide_are_said_to(found):
    near = {**BAD, "tests": results(8.5, 8.8, 10.2, 10.4)}
    text = text_of(found([MASKED, near]))
    assert (
        "These seeds do not decide between “masked” and “none” (better in 50 % of the pairs of "
        "runs, 95% interval" in text
    )
    assert "every run of" not in text


def test_a_separation_that_chance_makes_is_called_so(found):
    three = {"label": "toy", "env": "toy", "tests": results(8.0, 9.0, 10.0)}
    worse = {**BAD, "tests": results(0.0, 0.5, 0.2)}
    text = text_of(found([three, worse], seeds=(0, 1, 2)))
    # Two of the 20 ways to choose 3 of 6 part them like this.
    assert "“masked”; with so few seeds chance alone does that in 10 % of all cases." in text
    assert "chance alone" not in text_of(found([MASKED, BAD]))  # 2 of 70


def test_what_is_mostly_worse_is_behind(found):
    behind = {**BAD, "tests": results(0.0, 0.1, 0.2, 11.0)}
    text = text_of(found([MASKED, behind]))
    # Of 16 pairs one tie and three wins.
    assert "“none” is behind “masked”: better in 22 % of the pairs of runs" in text or (
        "do not decide between “masked” and “none” (better in 22 %" in text
    )


def test_one_failed_seed_of_four_is_not_as_good_as_none(found):
    # The interquartile mean of the middle two is 40 in both, and one run in four learned nothing.
    masked = {**MASKED, "tests": results(*[40.0] * 4)}
    split = {**BAD, "regime": "penalty:1", "tests": results(0.0, 40.0, 40.0, 40.0)}
    text = text_of(found([masked, split]))
    assert "“masked” did best in the test: a return of 40.00 over 4 seeds." in text
    assert "Last came “penalty:1” with 0 in one and 40.00 in 3 seeds." in text
    assert "two groups, for which no mean stands, in “penalty:1” (0 in one and 40.00 in 3" in text


def test_who_learned_nothing_is_named(found):
    masked = {**MASKED, "tests": results(*[40.0] * 4, random_mean=1.0)}
    idle = {**BAD, "tests": results(0.0, 0.5, 1.0, 0.2, random_mean=1.0)}
    text = text_of(found([masked, idle]))
    assert "No seed of “none” returns more than random valid play, which returns 1.00." in text
    played = {"random_mean": 9.0, "random_played": {"mean": 0.6, "standard_error": 0.1}}
    masked = {**MASKED, "tests": results(*[40.0] * 4, **played)}
    idle = {**BAD, "tests": results(0.0, 0.5, 0.0, 0.2, **played)}
    text = text_of(found([masked, idle]))
    assert "more than random play under the mask of “masked”, which returns 0.600." in text


def test_two_groups_get_no_mean(found):
    split = {**BAD, "tests": results(0.2, 0.4, 9.6, 9.8)}
    text = text_of(found([MASKED, split]))
    assert (
        "Seeds fall into two groups, for which no mean stands, in “none” (about 0.300 in 2 seeds "
        "and about 9.70 in 2)." in text
    )
    assert "Last came “none” with about 0.300 in 2 seeds and about 9.70 in 2." in text
    assert "5.00" not in text
    assert "two groups" not in text_of(found([MASKED, BAD]))


def test_an_agent_that_samples_better_than_it_plays_is_told(found):
    stuck = results(*[4.0] * 4, sampled={"mean": 7.0})
    text = text_of(found([{**MASKED, "tests": stuck}, BAD]))
    assert (
        "“masked” returns 7.00 with sampled actions, as in training, and 4.00 with the most "
        "probable ones." in text
    )
    assert "sampled actions" not in text_of(found([MASKED, BAD]))
    # Differences that cancel out over seeds are differences.
    tests = [{"mean": m, "sampled": {"mean": 8.0 - m}} for m in (0.0, 8.0, 0.0, 8.0)]
    assert "with sampled actions" in text_of(found([{**MASKED, "tests": tests}, BAD]))


def test_how_soon_a_threshold_was_reached(found):
    text = text_of(found([MASKED, BAD], threshold=4.0))
    assert "a return of 4 was reached first by “masked”, after a median of" in text
    assert "Of the others no seed of “none” reached it." in text
    some = {**BAD, "tests": results(0.0, 0.0, 0.0, 9.0)}
    text = text_of(found([MASKED, some], threshold=4.0))
    assert "Of the others 1 of 4 seeds of “none” reached it." in text
    slow = {**BAD, "tests": results(*[6.0] * 4)}
    fast = {**MASKED, "tests": results(*[18.0] * 4)}
    # Two episodes of 2 k each reach 4 at 400 steps; of 2/3 k at 800.
    text = text_of(found([fast, slow], threshold=4.0))
    assert "after a median of 400 steps; “none” took 800 (2.0 times as many)." in text


def test_what_was_wasted_and_what_the_mask_was_worth(found):
    removed = {"mask_removed": {"greedy": {"mean": 3.0}}}
    masked = {**MASKED, "tests": results(*[9.0] * 4, **removed)}
    wasteful = {**BAD, "tests": results(*[1.0] * 4, training_illegal_actions=540)}
    text = text_of(found([masked, wasteful]))
    assert "Of the steps of training, impossible actions took 54 % in “none”." in text
    assert "“masked” executed no illegal action" in text and "more than the rules" not in text
    assert "put on disallowed actions a probability of 25 % in “masked”." in text
    assert "With its mask taken away in the test “masked” returns 3.00 instead of 9.00." in text
    leaky = {**masked, "tests": results(*[9.0] * 4, training_illegal_actions=100)}
    text = text_of(found([leaky, wasteful]))
    assert "actions took 54 % in “none” and 10 % in “masked”. The mask of “masked” lets" in text


def test_published_runs_stand_beside_ours(found):
    # An episode every 10,000 steps; theirs are means of 20,000, the last here from 80,000 on.
    returns = [0.0] * 8 + [39.8, 40.0]
    tests = results(39.5, 39.7, 39.8, 40.0, returns=returns)
    ours = {"label": "mining-4x4", "env": "mining-4x4", "tests": tests}
    text = text_of(found([ours], total=100_000))
    assert (
        "From 80,000 to 100,000 steps, the ranges of our seeds and of the published runs meet"
        in text
    )
    # The same episodes, a fifth later: the last bin that both have is from 100,000 to 120,000, and
    # what came after 120,000 is not compared.
    later = text_of(found([ours], total=125_000))
    assert "From 100,000 to 120,000 steps, the ranges" in later and "meet for “masked”." in later
    low = {**ours, "tests": results(*[3.0] * 4)}
    # Episodes from 0 to 3: the last two, in 80,000 to 100,000, return 8/9 and 9/9 of it.
    assert (
        "our seeds lie below the published runs for “masked” (2.83; published 39.73 to 39.96)."
        in text_of(found([low], total=100_000))
    )
    # Two percent of what is best are no difference.
    near = {**ours, "tests": results(39.0, 39.0, 39.0, 39.0, returns=[0.0] * 8 + [39.0, 39.1])}
    assert "meet for “masked”" in text_of(found([near], total=100_000))
    high = {**ours, "label": "mining-4x4, penalty:1", "regime": "penalty:1"}
    assert "lie above the published runs for “penalty:1”" in text_of(found([high], total=100_000))
    assert "published" not in text_of(found([MASKED]))


def test_divergences_are_compared_where_both_regimes_are(found):
    naive = {**BAD, "label": "toy, naive", "regime": "naive"}
    text = text_of(found([MASKED, naive]))
    assert (
        "An update moves the naive policy about as far as the masked one by the published "
        "estimate, and about as far as that one by the exact divergence of what acts." in text
    )
    assert "An update moves" not in text_of(found([MASKED, BAD]))


def test_environments_that_lie_far_apart_get_no_common_mean(tmp_path, write_comparison):
    variants = [
        {"label": "a", "env": "a", "tests": results(9.0, 9.0, 8.0, 9.0)},
        {"label": "a, none", "env": "a", "regime": "none", "tests": results(*[9.0] * 4)},
        {"label": "b", "env": "b", "tests": results(*[9.0] * 4)},
        {"label": "b, none", "env": "b", "regime": "none", "tests": results(*[-1.0] * 4)},
    ]
    comparison = read_comparison(write_comparison(tmp_path / "o", variants))
    overall = overall_figures(comparison_figures(comparison))
    text = text_of(overall_findings(overall, comparison.envs))
    # Four runs at 1 and four at 0 would have an interquartile mean of 0.5 without any doubt.
    assert text == (
        "Over all environments, from 0, chance, to 1, the best run of any, the interquartile means "
        "and their 95% intervals are “masked” 1.00 (0.97 to 1.00). On the same scale, "
        "results differ by environment: “none” 1.00 on a and 0.00 on b."
    )
    assert overall_findings([], comparison.envs) == []


def test_words_for_numbers():
    assert group_text((39.5, 39.7)) == "2 near 39.60" and group_text((0.4,)) == "one at 0.400"
    assert number_text(1234.56) == "1,234.6"
    assert findings_of([]) == []
    assert range_text(0.0, 0.0) == "0" and range_text(1.0, 2.5) == "1.00 to 2.50"
