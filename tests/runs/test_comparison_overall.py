"""All environments on one scale: seeds drawn within each, and no mean between what lies apart."""

from __future__ import annotations

import pytest

from maskrl.runs.comparison import read_comparison
from maskrl.runs.comparison_figures import comparison_figures
from maskrl.runs.comparison_overall import Overall, overall_figures


def results(*means, **more):
    return [{"mean": mean, **more} for mean in means]


def test_environments_are_pooled_on_one_scale_with_seeds_drawn_within_each(
    tmp_path, write_comparison
):
    variants = [
        {"label": "a", "env": "a", "tests": results(9.0, 9.0)},
        {"label": "a, none", "env": "a", "regime": "none", "tests": results(4.0, 4.0)},
        {"label": "b", "env": "b", "tests": results(1.0, 1.0)},
        {"label": "b, none", "env": "b", "regime": "none", "tests": results(-1.0, 1.0)},
        {"label": "b, naive", "env": "b", "regime": "naive", "tests": results(1.0, 1.0)},
    ]
    folder = write_comparison(tmp_path / "a", variants, seeds=(0, 1))
    figures = comparison_figures(read_comparison(folder))
    masked, none = overall_figures(figures)  # naive is on one environment alone
    assert (masked.name, none.name) == ("masked", "none")
    assert masked.values == ((1.0, 1.0), (1.0, 1.0)) and masked.interval == (1.0, 1.0)
    # On a 4 is half of the way from -1 to 9; on b -1 is chance, and 1 the best.
    assert none.values == ((0.5, 0.5), (0.0, 1.0))
    assert none.middle == 0.5 and none.interval == (0.25, 0.75)  # of 0, 1/2, 1/2, 1
    assert overall_figures(figures[:2]) == []
    # Variants that came later to a folder may be in any order.
    late = [figures[0], figures[2], figures[3], figures[1]]
    assert [one.values for one in overall_figures(late)] == [masked.values, none.values]


def test_what_lies_apart_is_said_to():
    near = Overall("a", ((0.8, 0.9, 0.9, 1.0), (0.7, 0.7, 0.7, 0.7)), 0.8, (0.7, 0.9))
    assert near.middles == pytest.approx((0.9, 0.7)) and not near.is_split
    # Middle halves of 0, 0, 1, 1 on one, and of nothing but 0 on the other.
    apart = Overall("b", ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.0, 0.0)), 0.1, (0.0, 0.5))
    assert apart.middles == (0.5, 0.0) and apart.is_split
