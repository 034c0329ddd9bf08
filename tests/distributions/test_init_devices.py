"""What lies on different devices is refused by name, and a default device changes nothing.

Kernels on the CPU are handed addresses, and an address of another device's memory would end
the process. The device "meta" stands for a GPU here.
"""

from __future__ import annotations

import pytest
import torch
from torch.distributions import kl_divergence

from maskrl.distributions import GridwiseCategorical, MaskedCategorical, PointerCategorical
from maskrl.errors import MaskError
from maskrl.functional import masked_sample
from maskrl.kernels.fused import room
from maskrl.masks import pack_mask


@pytest.mark.parametrize("validate", [True, False])
def test_a_packed_mask_elsewhere_is_refused(example, validate):
    packed = pack_mask(example.action_mask).to("meta")
    with pytest.raises(MaskError, match=r"mask is on meta, (logits|scores) on cpu"):
        example.make(example.logits, packed, validate_args=validate, empty="idle")


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("offsets", [None, [0, 2, 4]])
def test_actions_elsewhere_are_refused(validate, offsets):
    logits = torch.zeros(4) if offsets else torch.zeros(2, 4)
    settings = {"validate_args": validate}
    if offsets:
        d = PointerCategorical(logits, offsets=torch.tensor(offsets), **settings)
    else:
        d = MaskedCategorical(logits, **settings)
    actions = torch.zeros(2, dtype=torch.int64, device="meta")
    with pytest.raises(MaskError, match="value is on meta, .* on cpu"):
        d.log_prob(actions)


def test_uniforms_elsewhere_are_refused():
    uniform = torch.zeros(2, dtype=torch.float64, device="meta")
    with pytest.raises(MaskError, match="uniform is on meta, logits on cpu"):
        masked_sample(torch.zeros(2, 4), None, uniform=uniform)


def statistics(example):
    """Everything that a kernel writes."""
    leaf = example.logits.clone().requires_grad_()
    d, other = example.make(leaf, example.action_mask), example.make(leaf * 0.5, None)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        drawn = d.sample(generator=generator)
        before = d.log_prob(drawn), d.entropy(), kl_divergence(d, d), d.mode, d.probs
    scores, entropy = d.log_prob(drawn), d.entropy()
    more = d.sample((3,), generator=generator)
    (
        scores.sum() + entropy.sum() + kl_divergence(d, other).sum() + d.probs.square().sum()
    ).backward()
    return drawn, more, *before, scores, entropy, leaf.grad


def test_the_default_device_is_not_asked(example, monkeypatch):
    if isinstance(example.build(), GridwiseCategorical):
        pytest.skip("makes its example's agents on the default device")
    want = statistics(example)
    monkeypatch.setattr(room, "_patterns", {})
    monkeypatch.setattr(room, "_rooms", {})
    with torch.device("meta"):
        got = statistics(example)
    for mine, other in zip(got, want, strict=True):
        torch.testing.assert_close(mine, other)


def test_long_rows_are_drawn_under_another_default_device():
    logits = torch.randn(2, 5000)
    with torch.device("meta"):
        d = MaskedCategorical(logits)
        actions = d.sample()
    assert d.log_prob(actions).isfinite().all()
