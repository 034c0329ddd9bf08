"""Fused rows on random and hostile batches, forward and backward, beside a float64 reference.

Every dtype, masks as bool and as bits. Bounds (X12), on values v:

- float32, float16, bfloat16, all computed in float32: 1e-5 * max(1, |v|) and 4 ulp of the result.
  Rounding a logit's distance d to the largest costs d * 6e-8 of its probability, which is what
  is left of 1e-5 where an entry may still matter (d < 88); gradients come in the dtype of the
  logits, of which 4 ulp are 3 % in bfloat16.
- float64: 1e-11 * max(1, |v|), because both sides sum up to 5,000 terms of 1e-16 each.
- The largest error of all rows is at most 3 times that of the reference in float32, plus 4e-7.
- A draw is the float64 reference's, or its uniform lies within 1e-6 of the step between.

Where rows are multiplied by an upstream gradient of 1e3 or 1e-3 the bound is, too.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from maskrl.kernels.fused.backend import FusedBackend
from maskrl.kernels.fused.rows import FusedRows
from maskrl.kernels.reference import ReferenceBackend

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
SCALE = {"large": 1e3, "small": 1e-3}
JUNK = torch.tensor([math.nan, math.inf, -math.inf, 1e30, 0.0])
CASES, EXAMPLES = 100_000, 700


class Errors:
    """The largest error of each statistic so far, of fused rows and of the reference in float32."""

    def __init__(self):
        self.segments = 0
        self.ours = {}
        self.theirs = {}

    def add(self, name, ours, theirs):
        self.ours[name] = max(self.ours.get(name, 0.0), ours)
        self.theirs[name] = max(self.theirs.get(name, 0.0), theirs)

    def check(self):
        for name, worst in self.ours.items():
            assert worst <= 3 * self.theirs[name] + 4e-7, (name, worst, self.theirs[name])


def error(got, want):
    """The largest error, where it may differ at all, in units of max(1, |want|)."""
    got, want = got.double(), want.double()
    same = (got == want) | (got.isnan() & want.isnan())
    off = torch.where(same, 0.0, (got - want).abs() / want.abs().clamp(min=1))
    return off.nan_to_num(math.inf, math.inf).amax().item() if off.numel() else 0.0


def assert_close(name, got, want, scale=1.0):
    """The bound of the module's docstring; NaN and infinities have to agree."""
    kind = torch.finfo(got.dtype)
    ulp = torch.from_numpy(np.spacing(want.abs().numpy())) * 2.0**52 * kind.eps
    ulp = ulp.clamp(min=kind.tiny * kind.eps)
    small = 1e-11 if got.dtype == torch.float64 else 1e-5
    bound = small * want.abs().clamp(min=scale) + 4 * ulp
    got = got.double()
    wrong = ~((got == want) | (got.isnan() & want.isnan()) | ((got - want).abs() <= bound))
    if wrong.any():
        at = tuple(wrong.nonzero()[0].tolist())
        raise AssertionError(f"{name} at {at}: got {got[at].item()!r}, want {want[at].item()!r}")


def same_bits(a, b):
    """Whether two results are the same, NaN included."""
    return torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))


def flags(rows, shape):
    """Which segments are empty and which unsound."""
    none = torch.zeros(shape, dtype=torch.bool)
    return tuple(none if flag is None else flag for flag in (rows.empty, rows.unsound))


def statistics(rows, actions):
    """Everything differentiable, by name."""
    return {
        "chosen": rows.chosen(actions),
        "entropy": rows.entropy(),
        "log_probs": rows.log_probs(),
        "probs": rows.probs(),
    }


def gradients(rows, leaf, actions, upstream):
    """Gradients of scores with entropies, and of all log-probabilities with probabilities."""
    found = statistics(rows, actions)
    of = {}
    for names in (("chosen", "entropy"), ("chosen",), ("entropy",), ("log_probs", "probs")):
        outputs = [found[name] for name in names]
        inputs = [upstream[name].to(found[name].dtype) for name in names]
        of[" + ".join(names)] = torch.autograd.grad(outputs, leaf, inputs, retain_graph=True)[0]
    return found, of


def upstreams(hostile, rng, draw, batch):
    """Upstream gradients by statistic, those of entries with anything where nothing is allowed."""
    dtype = torch.float64 if draw.dtype == torch.float64 else torch.float32
    first, second = draw.upstream
    of = {
        "chosen": hostile.upstream_of(first, rng, batch.shape, dtype),
        "entropy": hostile.upstream_of(second, rng, batch.shape, dtype),
        "log_probs": hostile.upstream_of(first, rng, batch.logits.shape, dtype),
        "probs": hostile.upstream_of(second, rng, batch.logits.shape, dtype),
    }
    dead = ~batch.allowed | (batch.logits.detach() == -math.inf)
    for name in ("log_probs", "probs"):
        junk = JUNK.to(dtype)[torch.from_numpy(rng.integers(len(JUNK), size=dead.shape))]
        of[name] = torch.where(dead, junk, of[name])
    return of


def check_draws(batch, truth, log_probs, rows, uniforms, usable):
    """Draws are possible, and those of the reference but beside a step of the CDF."""
    drawn, wanted = rows.sample(uniforms), truth.sample(uniforms)
    one = batch.sizes is None
    for k, log_p in enumerate(batch.heads(log_probs)):
        mine, theirs, u, sound = (
            t if one else t[..., k] for t in (drawn, wanted, uniforms, usable.expand(drawn.shape))
        )
        assert ((mine >= 0) & (mine < log_p.shape[-1])).all()
        log_p = log_p.expand(*mine.shape, log_p.shape[-1])[sound]
        mine, theirs, u = mine[sound][:, None], theirs[sound][:, None], u[sound][:, None]
        assert (log_p.gather(-1, mine) > -math.inf).all()
        cdf = torch.nn.functional.pad(log_p.exp().cumsum(-1), (1, 0))
        cdf = cdf / cdf[:, -1:]
        near = (u >= cdf.gather(-1, mine) - 1e-6) & (u <= cdf.gather(-1, mine + 1) + 1e-6)
        assert ((mine == theirs) | near).all()


def check_modes(batch, rows, usable):
    """The first of the largest allowed logits."""
    modes = rows.argmax()
    logits = torch.where(batch.allowed, batch.logits.detach(), -math.inf)
    for k, x in enumerate(batch.heads(logits)):
        mode, sound = (t if batch.sizes is None else t[..., k] for t in (modes, usable))
        assert torch.equal(mode[sound], x.argmax(-1)[sound])


def check(hostile, draw, errors):
    """Hold one batch, with its mask as bool and as bits, against the reference in float64."""
    batch = hostile.build(draw)
    rng = np.random.default_rng(draw.seed + 1)
    leaf = batch.logits
    before = leaf.detach().clone(), None if batch.mask is None else batch.mask.clone()
    actions = hostile.pick_actions(rng, batch)
    upstream = upstreams(hostile, rng, draw, batch)
    exact = leaf.detach().double().requires_grad_()
    make = ReferenceBackend().rows
    truth = make(exact, batch.mask, look=True, sizes=batch.sizes)
    of_64 = {name: g.double() for name, g in upstream.items()}
    wanted, wanted_gradients = gradients(truth, exact, actions, of_64)
    plain = make(leaf, batch.mask, look=True, sizes=batch.sizes)
    theirs, their_gradients = gradients(plain, leaf, actions, upstream)
    empty, unsound = flags(truth, batch.shape)
    usable = ~empty & ~unsound
    of_entries = [
        (flag if batch.sizes is None else flag[..., k]).unsqueeze(-1).expand(x.shape)
        for k, x in enumerate(batch.heads(leaf))
        for flag in [~unsound]
    ]
    sound = torch.cat(of_entries, -1)
    uniforms = hostile.pick_uniforms(rng, batch, wanted["log_probs"].detach())
    several = torch.from_numpy(rng.random((3, *batch.shape)))
    several[1] = uniforms
    kept = []
    for mask in (batch.mask, batch.packed) if batch.packed is not None else (None,):
        rows = FusedRows(leaf, mask, batch.sizes)
        for ours, true in zip(flags(rows, batch.shape), (empty, unsound), strict=True):
            assert torch.equal(ours, true)
        ours, our_gradients = gradients(rows, leaf, actions, upstream)
        log_probs = wanted["log_probs"].detach()
        for name, want in wanted.items():
            want, got = want.detach(), ours[name].detach()
            assert_close(name, got, want)
            errors.add(name, error(got, want), error(theirs[name].detach(), want))
        for name, want in wanted_gradients.items():
            scale = max(SCALE.get(kind, 1.0) for kind in draw.upstream)
            got, other = (
                torch.where(sound, g[name], 0.0) for g in (our_gradients, their_gradients)
            )
            want = torch.where(sound, want, 0.0)
            assert_close(f"gradient of {name}", got, want, scale)
            if leaf.dtype in (torch.float64, torch.float32):
                ours_off, theirs_off = (error(g / scale, want / scale) for g in (got, other))
                errors.add(f"gradient of {name}", ours_off, theirs_off)
            assert (our_gradients[name][~batch.allowed] == 0).all()
        assert (ours["probs"][~batch.allowed] == 0).all()
        assert (ours["log_probs"][~batch.allowed] == -math.inf).all()
        single = torch.stack(
            [(log_p > -math.inf).sum(-1) == 1 for log_p in batch.heads(log_probs)], -1
        )
        certain = single.squeeze(-1) if batch.sizes is None else single
        assert (ours["entropy"][certain & usable] == 0).all()
        scored = rows.chosen(actions)
        assert rows.is_possible(scored) == bool(
            (scored > -math.inf).logical_or(scored.isnan()).all()
        )
        acting = FusedRows(leaf.detach(), mask, batch.sizes)
        check_draws(batch, truth, log_probs, acting, uniforms, usable)
        check_draws(batch, truth, log_probs, acting, several, usable)
        drawn = acting.sample(uniforms)
        scores = acting.chosen(drawn)
        want = truth.chosen(drawn).detach()
        assert_close("score of a draw", scores[usable], want[usable])
        check_modes(batch, acting, usable)
        kept.append((*ours.values(), *our_gradients.values(), scores))
    if batch.sizes is None:
        total = FusedBackend().logsumexp(leaf, batch.mask).detach()
        want = ReferenceBackend().logsumexp(exact, batch.mask).detach()
        assert_close("logsumexp", total, want)
    if len(kept) == 2:
        assert all(same_bits(a, b) for a, b in zip(*kept, strict=True))
    assert same_bits(leaf.detach(), before[0])
    assert batch.mask is None or torch.equal(batch.mask, before[1])
    errors.segments += batch.shape.numel()


def hold(hostile, dtype, examples):
    """Check that many batches; return the errors of all."""
    errors = Errors()

    @settings(max_examples=examples)
    @given(hostile.draws(dtype))
    def every(draw):
        check(hostile, draw, errors)

    every()
    return errors


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_few_batches(dtype, hostile):
    assert hold(hostile, dtype, 15).segments > 500


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_hundred_thousand_rows(dtype, hostile):
    errors = hold(hostile, dtype, EXAMPLES)
    assert errors.segments >= CASES
    if dtype != torch.float64:
        errors.check()
