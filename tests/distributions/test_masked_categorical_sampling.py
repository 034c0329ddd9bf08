"""Sampling from `MaskedCategorical`: every uniform, long rows, many draws, little memory (X3)."""

from __future__ import annotations

import math
import resource

import pytest
import torch

from maskrl.distributions import MaskedCategorical, factored
from maskrl.functional import masked_sample, select

EXTREMES = [0.0, 5e-324, 2**-53, 1 - 2**-52, 1 - 2**-53]


@pytest.fixture
def uniforms(monkeypatch):
    """Lets a test decide the uniforms that `sample` draws."""

    def decide(value):
        def draw(shape, device, generator):
            return torch.full(shape, value, dtype=torch.float64)

        monkeypatch.setattr(factored, "draw_uniforms", draw)

    return decide


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("uniform", EXTREMES)
def test_x3_extreme_uniforms(uniforms, uniform, dtype):
    uniforms(uniform)
    generator = torch.Generator().manual_seed(4)
    logits = (torch.randn(500, 9, generator=generator) * 40).to(dtype)
    m = torch.rand(500, 9, generator=generator) > 0.7
    m[torch.arange(500), torch.randint(9, (500,), generator=generator)] = True
    logits = torch.where(m, logits, math.nan)
    d = MaskedCategorical(logits, m)
    actions = d.sample()
    assert d.support.check(actions).all()
    assert (d.probs.gather(-1, actions.unsqueeze(-1)) > 0).all()


@pytest.mark.parametrize("uniform", EXTREMES)
def test_x3_allowed_but_impossible_ends_of_a_row(uniforms, uniform):
    uniforms(uniform)
    logits = torch.tensor([-math.inf, -200.0, 0.0, 1.0, -200.0, -math.inf])
    assert MaskedCategorical(logits).sample().item() in (2, 3)


def test_uniforms_have_53_bits():
    uniform = select.draw_uniforms(torch.Size([1000]), torch.device("cpu"), None)
    assert uniform.dtype == torch.float64
    scaled = uniform * 2**53
    assert torch.equal(scaled, scaled.floor())
    assert (scaled % 2**29 != 0).all()  # more than the 24 bits of a float32


def test_samples_in_parts_equal_the_distribution(monkeypatch):
    monkeypatch.setattr(factored, "DRAWS", 100)
    d = MaskedCategorical(
        torch.tensor([[0.0, 9.0, 0.0], [1.0, 1.0, 1.0]]),
        torch.tensor([[True, False, True], [True, True, True]]),
    )
    actions = d.sample((3, 700), generator=torch.Generator().manual_seed(0))
    assert actions.shape == (3, 700, 2)
    assert d.support.check(actions).all()
    frequency = torch.nn.functional.one_hot(actions, 3).double().mean((0, 1))
    torch.testing.assert_close(frequency, d.probs.double(), rtol=0, atol=0.05)
    again = d.sample((3, 700), generator=torch.Generator().manual_seed(0))
    assert torch.equal(actions, again)
    assert MaskedCategorical(torch.zeros(0, 3)).sample((500,)).shape == (500, 0)


def test_two_million_draws_take_little_more_memory_than_the_result():
    d = MaskedCategorical(torch.zeros(1000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    actions = d.sample((2_000_000,))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert actions.shape == (2_000_000,)
    assert grown < actions.nbytes + 100e6


def test_an_expanded_row_is_not_copied_to_be_sampled():
    d = MaskedCategorical(torch.zeros(10_000)).expand((20_000,))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    actions = d.sample()
    d.log_prob(actions)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert actions.shape == (20_000,)
    assert grown < 100e6  # the rows themselves would be 800 MB


@pytest.mark.slow
def test_a_row_of_dota_s_length():
    logits = torch.randn(2, 1_837_080, generator=torch.Generator().manual_seed(0))
    m = torch.rand(2, 1_837_080, generator=torch.Generator().manual_seed(1)) < 0.02
    d = MaskedCategorical(logits, m)
    actions = d.sample((1000,))
    assert d.support.check(actions).all()
    exact = logits.double().masked_fill(~m, -math.inf).log_softmax(-1)
    torch.testing.assert_close(d.logits[m].double(), exact[m], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_ten_million_draws():
    d = MaskedCategorical(torch.tensor([0.0, 5.0, 0.0]), torch.tensor([True, False, True]))
    counts = d.sample((10**7,)).bincount(minlength=3)
    assert counts[1] == 0
    assert abs(counts[0].item() - 5e6) < 5 * math.sqrt(2.5e6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_x3_a_hundred_thousand_masks_at_every_boundary_of_their_cdf(dtype):
    # 4 x 25,000 random rows. Each is fed 0, 2^-53, 1 - 2^-53 and both neighbours of every
    # boundary of its CDF: of the exact one, and of the one as it is summed here.
    rows, actions = 25_000, 8
    generator = torch.Generator().manual_seed(torch.finfo(dtype).bits)
    scale = torch.tensor([0.1, 3.0, 30.0, 80.0])[torch.arange(rows) % 4].unsqueeze(-1)
    logits = (torch.randn(rows, actions, generator=generator) * scale).to(dtype)
    m = torch.rand(rows, actions, generator=generator) < 0.4
    m[torch.arange(rows), torch.randint(actions, (rows,), generator=generator)] = True
    edges = []
    for probs in (
        MaskedCategorical(logits, m).probs.double(),
        MaskedCategorical(logits.double(), m).probs,
    ):
        cdf = probs.cumsum(-1)
        edges += [cdf, cdf / cdf[:, -1:]]
    edges = torch.cat(edges, -1)
    below = torch.nextafter(edges, torch.zeros((), dtype=torch.float64))
    above = torch.nextafter(edges, torch.full((), 2.0, dtype=torch.float64))
    ends = torch.tensor([0.0, 2**-53, 1 - 2**-53], dtype=torch.float64).expand(rows, 3)
    uniforms = torch.cat([ends, edges, below, above], -1).clamp(max=1 - 2**-53)
    drawn = masked_sample(logits, m, uniform=uniforms.T.contiguous())
    assert m.gather(-1, drawn.T).all()


@pytest.mark.slow
def test_ten_million_draws_of_the_one_allowed_among_fifty_thousand():
    m = torch.zeros(50_000, dtype=torch.bool)
    m[31_415] = True
    logits = torch.randn(50_000, generator=torch.Generator().manual_seed(0)) * 20
    assert (MaskedCategorical(logits, m).sample((10**7,)) == 31_415).all()


@pytest.mark.slow
def test_a_hundred_million_draws_are_all_allowed():
    # 1,000 draws from each of 100,000 rows of 1 to 64 actions, in all four dtypes.
    generator = torch.Generator().manual_seed(5)
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        for actions in (1, 2, 7, 33, 64):  # 4 x 5 x 5,000 rows
            rows = 5_000
            logits = (torch.randn(rows, actions, generator=generator) * 10).to(dtype)
            m = torch.rand(rows, actions, generator=generator) < 0.3
            m[torch.arange(rows), torch.randint(actions, (rows,), generator=generator)] = True
            d = MaskedCategorical(logits, m)
            for _ in range(10):
                drawn = d.sample((100,), generator=generator)
                assert m.gather(-1, drawn.T).all()
                assert d.log_prob(drawn).isfinite().all()
