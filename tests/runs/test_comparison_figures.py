"""What a comparison comes to, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maskrl.runs.comparison import read_comparison
from maskrl.runs.comparison_figures import (
    chance_of,
    comparison_figures,
    curves_of,
    illegal_actions,
    in_measure,
    measure_of,
)


def results(*means, **more):
    return [{"mean": mean, **more} for mean in means]


@pytest.fixture
def folder(tmp_path, write_comparison):
    removed = {"mask_removed": {"greedy": {"mean": 3.0}, "sampled": {"mean": 2.0}}}
    return write_comparison(
        tmp_path / "out",
        [
            {"label": "toy", "env": "toy", "tests": results(8.0, 9.0, 10.0, 11.0, **removed)},
            {
                "label": "toy, penalty:0.5",
                "env": "toy",
                "regime": "penalty:0.5",
                "tests": results(0.0, 10.0, 0.5, 9.5, training_illegal_actions=250),
            },
            {"label": "far", "env": "far", "tests": results(1.0, 1.0, 1.0, 1.0)},
        ],
    )


def test_every_seed_and_what_stands_for_them(folder):
    masked, punished, far = comparison_figures(read_comparison(folder))
    assert masked.final.values == (8.0, 9.0, 10.0, 11.0) and masked.seeds == (0, 1, 2, 3)
    assert masked.final.middle == 9.5 and not masked.final.is_split
    assert 8.0 <= masked.final.interval[0] < 9.5 < masked.final.interval[1] <= 11.0
    assert masked.sampled.middle == pytest.approx(9.4)
    assert masked.removed.values == (3.0,) * 4 and masked.removed_sampled.middle == 2.0
    assert masked.improvement is None and far.improvement is None
    # A mean of 5 that no seed is near.
    assert punished.final.groups == ((0.0, 0.5), (9.5, 10.0)) and punished.final.is_split
    assert punished.final.mean == 5.0 and punished.removed is None
    # Of 16 pairs 10 > 8, 10 > 9, 10 = 10, 9.5 > 8, 9.5 > 9 are won: 4.5 / 16.
    assert punished.improvement[0] == pytest.approx(4.5 / 16)
    low, high = punished.improvement[1:]
    assert 0.0 <= low < 4.5 / 16 < high <= 1.0
    assert (masked.random, masked.untrained, masked.figure) == (-1.0, -0.5, "return")
    assert masked.ratio is None and far.ratio is None


def test_training_is_summed_up_without_penalties(folder):
    masked, punished, _ = comparison_figures(read_comparison(folder))
    # Ten episodes from 0 to the test's mean, each in its tenth of the steps.
    assert masked.trained.values == (8.0, 9.0, 10.0, 11.0)
    curves = curves_of(read_comparison(folder).variants[0])
    assert curves.runs.shape == (4, 25) and curves.ends[-1] == 1000.0
    # Episode k ends at 100 k; bins are 40 wide: the bin that ends at 120 holds the first.
    assert np.isnan(curves.runs[0, :2]).all() and curves.runs[0, 2] == 0.0
    assert curves.runs[3, -1] == 11.0
    assert masked.area.values[0] == pytest.approx(np.nanmean(np.r_[0, 0, curves.runs[0, 2:]]))
    # 90% of the way from -1 to the best interquartile mean, 9.5: 8.45, to a tenth.
    assert masked.threshold == 8.5
    # Of two episodes: seed 0 ends with (7.11 + 8) / 2, seed 1 with (8 + 9) / 2 = 8.5, seed 3 has
    # (8.56 + 9.78) / 2 = 9.17 already before its last.
    assert masked.steps_to == (math.inf, 1000.0, 1000.0, 900.0)
    assert masked.median_steps == 1000.0 and punished.median_steps == math.inf


def test_a_threshold_of_ones_own(tmp_path, write_comparison):
    variants = [{"label": "toy", "env": "toy", "tests": results(9.0, 9.0, 9.0)}]
    folder = write_comparison(tmp_path / "a", variants, seeds=(0, 1, 2), threshold=2.5)
    (one,) = comparison_figures(read_comparison(folder))
    assert one.threshold == 2.5
    assert one.steps_to == (400.0,) * 3 and one.median_steps == 400.0  # (2 + 3) / 2


def test_who_is_not_better_than_chance_reaches_nothing(tmp_path, write_comparison):
    # The best, -4, is worse than chance, 0: most of the way down from chance is no goal.
    tests = results(-5.0, -5.0, returns=[-4.6, -4.0, *[-5.0] * 8], random_mean=0.0)
    variants = [{"label": "toy", "env": "toy", "tests": tests}]
    (one,) = comparison_figures(
        read_comparison(write_comparison(tmp_path / "a", variants, seeds=(0, 1)))
    )
    assert one.threshold == math.inf and one.steps_to == (math.inf, math.inf)


def test_scores_are_compared_where_all_have_one(tmp_path, write_comparison):
    scored = {"score": 0.8, "planner_mean": 1.0}
    variants = [
        {"label": "a", "env": "a", "tests": results(0.6, 0.6, **scored)},
        {"label": "a?b=1", "env": "a?b=1", "tests": results(0.2, 0.2, **{**scored, "score": 0.6})},
        {"label": "plain", "env": "plain", "tests": results(3.0, 3.0)},
    ]
    folder = write_comparison(tmp_path / "a", variants, seeds=(0, 1))
    full, hidden, plain = comparison_figures(read_comparison(folder))
    assert (full.figure, full.final.middle, full.ratio) == ("score", 0.8, None)
    assert hidden.ratio == pytest.approx(0.75) and plain.ratio is None
    assert full.untrained == pytest.approx(0.25)  # (-0.5 + 1) / (1 + 1)
    assert full.planner == 1.0 and plain.planner is None


def test_what_impossible_actions_cost(folder):
    comparison = read_comparison(folder)
    masked, punished, _ = comparison_figures(comparison)
    assert masked.waste.illegal_actions == 0 and masked.waste.illegal_share == 0.0
    assert punished.waste.illegal_actions == 1000 and punished.waste.illegal_share == 0.25
    assert masked.waste.disallowed_mass == 0.25 and masked.waste.allowed_share == 0.5
    # Without a mask nobody knows what was allowed.
    assert math.isnan(punished.waste.disallowed_mass) and math.isnan(punished.waste.forced_share)
    assert masked.waste.kl_published == pytest.approx(0.02)
    assert illegal_actions(comparison.variants[1].runs[0]) == 250


def test_the_share_spent_is_of_the_whole_training_whichever_checkpoint_was_tested(
    tmp_path, write_comparison
):
    # The best checkpoint is of step 250 of 1000; the actions were counted in all of them.
    tests = results(1.0, 1.0, step=250, training_illegal_actions=500)
    variants = [{"label": "toy, none", "env": "toy", "regime": "none", "tests": tests}]
    folder = write_comparison(tmp_path / "a", variants, seeds=(0, 1))
    (one,) = comparison_figures(read_comparison(folder))
    assert one.waste.illegal_share == 0.5


def test_returns_of_training_are_of_finished_runs_seed_by_seed(tmp_path, write_comparison):
    tests = [None, {"mean": 9.0}, {"mean": 6.0, "returns": []}]
    variants = [{"label": "toy", "env": "toy", "tests": tests[:2]}]
    folder = write_comparison(tmp_path / "a", variants, seeds=(0, 1))
    (one,) = comparison_figures(read_comparison(folder))
    assert one.seeds == (1,) and one.trained.values == (9.0,)
    assert one.area.values == pytest.approx((3.88,))  # 0, 1, ..., 9 in 2 or 3 of 25 bins each
    variants = [{"label": "toy", "env": "toy", "tests": tests[1:]}]
    folder = write_comparison(tmp_path / "b", variants, seeds=(0, 1))
    (one,) = comparison_figures(read_comparison(folder))
    assert one.trained is None and one.area is None  # one of them has ended no episode


def test_a_run_whose_minutes_were_over_ends_where_it_was(tmp_path, write_comparison):
    tests = [{"mean": 4.0, "returns": [0.0, 1.0, 2.0, 3.0, 4.0], "step": 500}, {"mean": 9.0}]
    variants = [{"label": "toy", "env": "toy", "tests": tests}]
    folder = write_comparison(tmp_path / "a", variants, seeds=(0, 1))
    path = folder / "compare.json"
    path.write_text(path.read_text().replace('"ppo": {}', '"ppo": {}, "max_minutes": 2.0'))
    comparison = read_comparison(folder)
    curves = curves_of(comparison.variants[0])
    assert curves.runs[0, 12] == 4.0 and np.isnan(curves.runs[0, 13:]).all()
    (one,) = comparison_figures(comparison)
    assert one.trained.values == (4.0, 9.0)
    assert one.area.values[0] == pytest.approx(np.nanmean(np.r_[0, 0, curves.runs[0, 2:]]))


def test_the_gap_between_returns_is_measured_by_all_variants_where_scores_are_compared(
    tmp_path, write_comparison
):
    good = [{"mean": m, "score": m, "planner_mean": 1.0} for m in (0.9, 0.91, 0.92, 0.93)]
    poor = [{"mean": m, "score": m, "planner_mean": 1.0} for m in (-0.999, -0.998, -0.95, -0.949)]
    variants = [
        {"label": "toy", "env": "toy", "tests": good},
        {"label": "toy, none", "env": "toy", "regime": "none", "tests": poor},
    ]
    _, none = comparison_figures(read_comparison(write_comparison(tmp_path / "a", variants)))
    assert not none.final.is_split  # 0.05 apart where all results lie 1.9 apart
    assert not none.trained.is_split and not none.sampled.is_split


def test_runs_under_way_have_curves_that_end_and_nothing_else(tmp_path, write_comparison):
    variants = [
        {"label": "toy", "env": "toy", "tests": [{"mean": 9.0}, None]},
        {"label": "toy, naive", "env": "toy", "regime": "naive", "tests": [None, None]},
    ]
    comparison = read_comparison(write_comparison(tmp_path / "a", variants, seeds=(0, 1)))
    (one,) = comparison_figures(comparison)
    assert one.seeds == (0,) and one.final.interval == (9.0, 9.0)
    curves = curves_of(comparison.variants[0])
    assert np.isfinite(curves.runs[0, 3:]).all()
    assert np.isfinite(curves.runs[1]).sum() == 11 and np.isnan(curves.runs[1, 13:]).all()
    assert np.isnan(curves.band.middle[13:]).all()
    assert (
        comparison_figures(
            read_comparison(write_comparison(tmp_path / "b", variants[1:], seeds=(0, 1)))
        )
        == []
    )


def test_tests_are_compared_in_returns_where_scores_have_one_scale(tmp_path, write_comparison):
    def scored(*means, random=0.0, planner=2.0):
        ends = {"random_mean": random, "planner_mean": planner}
        return [{"mean": m, "score": (m - random) / (planner - random), **ends} for m in means]

    def figures_of(name, other):
        one = {"label": "w", "env": "w", "tests": scored(1.0, 1.5)}
        two = {"label": "w, x=2", "env": "w", "varied": {"x": "2"}, "tests": other}
        folder = write_comparison(tmp_path / name, [one, two], seeds=(0, 1))
        return comparison_figures(read_comparison(folder))

    alike = figures_of("a", scored(0.5, 1.0))
    assert measure_of(alike) == "return" and alike[0].figure == "score"
    assert in_measure(alike[0], "return").values == (1.0, 1.5)
    assert in_measure(alike[0], "score").values == (0.5, 0.75)
    assert measure_of(figures_of("b", scored(5.0, 5.0, planner=10.0))) == "score"
    assert measure_of(figures_of("c", [{"mean": 1.0}, {"mean": 1.0}])) == "return"


def test_chance_is_that_of_the_mask_where_it_allows_more_than_the_rules(tmp_path, write_comparison):
    def chance(name, played):
        test = {"mean": 9.0, "random_mean": 5.0, "random_played": played}
        variants = [{"label": "w", "env": "w", "tests": [test]}]
        folder = write_comparison(tmp_path / name, variants, seeds=(0,))
        return chance_of(comparison_figures(read_comparison(folder)))

    assert chance("a", {"mean": 0.5, "standard_error": 0.1}) == 0.5
    assert chance("b", {"mean": 4.9, "standard_error": 0.1}) == 5.0
    assert chance("c", {"mean": 5.2, "standard_error": 0.0}) == 5.0
    assert chance("d", {}) == 5.0
