"""Draws from 1,837,080 actions: chi-square over blocks, in flat rows, peaked ones and tails.

Both ways of drawing are tested: many draws that share one cumulative sum, and one draw a row in
the pass that also scores it. Observed counts are compared with float64 probabilities over 256
blocks of equal mass and over what the kernel is made of: tiles, steps in a tile, lanes. A
test fails for one seed in 10^4 in all, so that each of its chi-squares may at 1e-4 over their
number (Bonferroni); the seed is fixed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from maskrl import MaskedCategorical
from maskrl.kernels.fused.rows import FusedRows
from maskrl.kernels.fused.tiles import LANES, LINE
from maskrl.masks import pack_mask

ACTIONS = 1_837_080
BLOCKS = 256
DRAWS = 100_000
FAILURE_RATE = 1e-4
FRACTIONS = [0.02, 0.3, 1.0]
PLACES = torch.arange(ACTIONS)
STRUCTURE = [PLACES // LINE, PLACES % LINE // LANES, PLACES % LANES]


def flat(mask):
    return torch.zeros(ACTIONS)


def normal(mask):
    return torch.randn(ACTIONS) * 3


def geometric(mask):
    return -PLACES.float() / 30_000


def one_and_a_tail(tail, place):
    """One action beside a tail that together is drawn with probability `tail`."""

    def fill(mask):
        logits = torch.randn(ACTIONS) * 0.5
        mask[place] = False
        others = logits[mask].double().exp().sum().item()
        mask[place] = True
        logits[place] = math.log(others * (1 - tail) / tail)
        return logits

    return fill


# In the last three a float32 sum would stand still behind the one action: 1 % of 1.8 million
# shares is 5e-9 each, and less than 3e-8 added to 1 is lost.
ROWS = {
    "flat": flat,
    "normal": normal,
    "geometric": geometric,
    "1 % behind the first": one_and_a_tail(1e-2, 0),
    "1 % around the middle": one_and_a_tail(1e-2, ACTIONS // 2),
    "0.01 % behind the first": one_and_a_tail(1e-4, 0),
}
TAILS = [name for name in ROWS if "%" in name]


def make(name, fraction):
    """Logits, mask, and the float64 CDF with a 0 in front."""
    mask = torch.rand(ACTIONS) < fraction
    logits = ROWS[name](mask)
    probs = torch.where(mask, logits.double(), -math.inf).softmax(-1)
    cdf = torch.nn.functional.pad(probs.cumsum(-1), (1, 0))
    return logits, mask, cdf / cdf[-1]


def blocks_of_equal_mass(cdf):
    """The block of each action: by its place in the CDF."""
    middles = (cdf[1:] + cdf[:-1]) / 2
    return (middles * BLOCKS).long().clamp(max=BLOCKS - 1)


def p_value(drawn, mass, blocks):
    """Chi-square of draws over blocks, of which those with little mass are judged together."""
    expected = torch.bincount(blocks, weights=mass) * len(drawn)
    observed = torch.bincount(blocks[drawn], minlength=len(expected)).double()
    order = expected.argsort(descending=True)
    expected, observed = expected[order], observed[order]
    common = int((expected >= 20).sum())
    rest = [t[common:].sum()[None] for t in (expected, observed)]
    expected, observed = (
        torch.cat([expected[:common], rest[0]]),
        torch.cat([observed[:common], rest[1]]),
    )
    if expected[-1] < 20:
        # What is left joins the smallest block that can be judged.
        expected[-2], observed[-2] = expected[-2:].sum(), observed[-2:].sum()
        expected, observed = expected[:-1], observed[:-1]
    if len(expected) < 2:
        return 1.0
    return chisquare(observed.numpy(), (expected * observed.sum() / expected.sum()).numpy()).pvalue


def assert_drawn_as_expected(drawn, mask, cdf, tests, low=0.0):
    """Hold draws whose uniforms were spread over [low, 1) to the CDF there."""
    assert mask[drawn].all()
    mass = (cdf[1:].clamp(min=low) - cdf[:-1].clamp(min=low)) / (1 - low)
    for blocks in (blocks_of_equal_mass(cdf), *STRUCTURE):
        assert p_value(drawn, mass, blocks) > FAILURE_RATE / tests


def fewest_actions(mass):
    """How many different actions are drawn at least: six deviations below what is expected."""
    expected = -torch.expm1(-DRAWS * mass).sum()
    return expected - 6 * expected.sqrt()


def assert_inverse(drawn, uniforms, mask, cdf):
    """Each draw is where the float64 CDF has its uniform, but for 1e-6."""
    assert mask[drawn].all()
    assert (uniforms >= cdf[drawn] - 1e-6).all()
    assert (uniforms <= cdf[drawn + 1] + 1e-6).all()


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("name", ROWS)
def test_many_draws_from_one_row(name, fraction):
    logits, mask, cdf = make(name, fraction)
    drawn = MaskedCategorical(logits, pack_mask(mask)).sample((DRAWS,))
    assert_drawn_as_expected(drawn, mask, cdf, tests=4 * len(ROWS) * len(FRACTIONS))


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("name", TAILS)
def test_tails_are_drawn_at_their_rate(name, fraction):
    # Uniforms near 1 only: in the middle row the half of the tail behind the one action.
    logits, mask, cdf = make(name, fraction)
    low = cdf[logits.argmax() + 1].item()
    tail = 1 - low
    assert 0.9e-4 < tail < 1.1e-2
    strata = (torch.arange(DRAWS) + torch.rand(DRAWS, dtype=torch.float64)) / DRAWS
    uniforms = (low + tail * strata).clamp(max=1 - 2**-53)
    rows = FusedRows(logits, mask, None)
    drawn = rows.sample(uniforms)
    assert_inverse(drawn, uniforms, mask, cdf)
    assert_drawn_as_expected(drawn, mask, cdf, tests=4 * len(TAILS) * len(FRACTIONS), low=low)
    assert len(drawn.unique()) > fewest_actions((cdf.clamp(min=low) / tail).diff())
    edges = torch.tensor([0.001, 0.25, 0.5, 0.75, 0.999])
    single = (low + tail * edges.double()).reshape(-1)
    each = FusedRows(logits.expand(len(edges), -1), mask, None).sample(single)
    assert_inverse(each, single, mask, cdf)
    assert (each != logits.argmax()).sum() >= 4


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("name", ROWS)
def test_one_draw_a_row_inverts_the_cdf(name, fraction):
    logits, mask, cdf = make(name, fraction)
    uniforms = (torch.arange(16) + torch.rand(16, dtype=torch.float64)) / 16
    uniforms[0], uniforms[-1] = 0.0, 1 - 2**-53
    for m in (mask, pack_mask(mask)):
        drawn = FusedRows(logits.expand(16, -1), m, None).sample(uniforms)
        assert_inverse(drawn, uniforms, mask, cdf)


@pytest.mark.slow
@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("name", ROWS)
def test_one_draw_a_row(name, fraction):
    logits, mask, cdf = make(name, fraction)
    drawn = MaskedCategorical(logits.expand(2000, -1), mask).sample()
    assert_drawn_as_expected(drawn, mask, cdf, tests=4 * len(ROWS) * len(FRACTIONS))


def test_sums_in_float32_would_be_found_out():
    logits, mask, cdf = make("1 % behind the first", 1.0)
    probs = cdf.diff()
    uniforms = torch.rand(DRAWS, dtype=torch.float64)
    # Added one by one the tail is lost; rounded to float32 it has a tenth of its actions.
    lost = torch.from_numpy(np.cumsum(probs.numpy(), dtype=np.float32))
    drawn = torch.searchsorted(lost / lost[-1], uniforms.float(), right=True)
    drawn = drawn.clamp(max=ACTIONS - 1)
    assert p_value(drawn, probs, blocks_of_equal_mass(cdf)) < 1e-12
    rounded = (0.99 + 0.01 * uniforms).float()
    drawn = torch.searchsorted(cdf[1:].float(), rounded, right=True)
    assert len(drawn.unique()) < 0.9 * fewest_actions(probs[1:] / probs[1:].sum())
