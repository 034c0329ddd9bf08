"""The published curves: all there, named as ours are, with the figures that are cited."""

from __future__ import annotations

import pytest

from maskrl.runs.published import MASK_REMOVED, SOURCE, published_curve, published_curves


def test_every_map_has_every_regime():
    curves = published_curves()
    assert len(curves) == 4 * 7
    assert {c.env for c in curves} == {f"mining-{n}x{n}" for n in (4, 10, 16, 24)}
    assert {c.regime for c in curves} == {
        "masked",
        MASK_REMOVED,
        "naive",
        "none",
        "penalty:0.01",
        "penalty:0.1",
        "penalty:1",
    }
    for curve in curves:
        assert curve.step.tolist() == list(range(20_000, 500_001, 20_000))
        assert (curve.low <= curve.mean + 1e-9).all() and (curve.mean <= curve.high + 1e-9).all()
        assert curve.runs in (4, 5) and "2006.14171" in SOURCE == curve.source


@pytest.mark.parametrize(
    ("env", "regime", "at_100k"),
    [
        ("mining-4x4", "masked", 39.9),
        ("mining-10x10", "masked", 39.5),
        ("mining-4x4", "naive", 39.8),
        ("mining-10x10", "naive", 38.8),
        ("mining-4x4", MASK_REMOVED, 36.1),
        ("mining-10x10?masks=full", MASK_REMOVED, 8.7),
        ("mining-4x4", "penalty:0.01", 39.5),
        ("mining-10x10", "penalty:0.01:native", 0.4),
        ("mining-4x4", "penalty:1.0:native", 0.0),
    ],
)
def test_the_figures_at_100_000_steps(env, regime, at_100k):
    curve = published_curve(env, regime)
    assert curve.mean[4] == pytest.approx(at_100k, abs=0.06)


def test_what_was_not_published_is_none():
    assert published_curve("panda", "masked") is None
    assert published_curve("mining-4x4", "penalty:0.5") is None
    assert published_curve("mining-4x4", "penalty:x") is None
    assert published_curve("mining-4x4", "penalty:0:native").regime == "none"
