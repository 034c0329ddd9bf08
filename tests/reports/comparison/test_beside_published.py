"""Ours beside the published runs: the same steps, every seed, and where ranges meet."""

from __future__ import annotations

import dataclasses

import pytest

from maskrl.reports.comparison.beside_published import beside_published
from maskrl.runs.comparison import read_comparison


@pytest.fixture
def beside(tmp_path, write_comparison):
    """What stands beside published runs; an episode every tenth of the steps."""

    def look(total, *tests, env="mining-4x4", regime="masked"):
        variants = [{"label": env, "env": env, "regime": regime, "tests": list(tests)}]
        name = f"c{len(list(tmp_path.iterdir()))}"
        folder = write_comparison(
            tmp_path / name, variants, seeds=tuple(range(len(tests))), total=total
        )
        return beside_published(read_comparison(folder).variants)

    return look


def test_the_last_steps_that_both_have_are_compared(beside):
    returns = [float(k) for k in range(1, 11)]
    (one,) = beside(
        100_000, {"mean": 9.0, "returns": returns}, {"mean": 5.0, "returns": [5.0] * 10}
    )
    # Episodes that ended after 80,000 and until 100,000 steps: the last two.
    assert (one.begin, one.end, one.ours) == (80_000, 100_000, (9.5, 5.0))
    assert (one.mean, one.low, one.high) == pytest.approx((39.882, 39.727, 39.958))
    (one,) = beside(125_000, {"mean": 9.0, "returns": returns})
    # An episode every 12,500 steps: only the one at 112,500 ended from 100,000 to 120,000.
    assert (one.begin, one.end, one.ours) == (100_000, 120_000, (9.0,))


def test_what_has_no_partner_is_left_out(beside):
    assert beside(100_000, {"mean": 9.0}, env="toy") == []
    assert beside(100_000, {"mean": 9.0}, regime="penalty:7") == []
    assert beside(10_000, {"mean": 9.0}) == []  # the first published part ends at 20,000
    assert beside(100_000, None) == []  # nothing is finished


def test_ranges_meet_or_lie_apart(beside):
    (one,) = beside(100_000, {"mean": 9.0})
    at = dataclasses.replace(one, low=10.0, high=20.0)

    def place(*ours):
        return dataclasses.replace(at, ours=ours).place_of(1.0)

    assert place(5.0, 30.0) == place(12.0) == place(20.5, 25.0) == place(9.5) == "meet"
    assert place(21.5, 25.0) == "above" and place(0.0, 8.5) == "below"
