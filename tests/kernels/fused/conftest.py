"""Random and hostile segments for the kernels, and what they come to in float64.

A case holds logits, a mask, and sizes of heads, drawn from a seed: any mask kind, stride and
mixture of lengths, with numbers under the mask and some in the open that an implementation may
trip over. `truth` computes the log-probabilities with plain float64 torch.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from maskrl.kernels.fused.choices import draws32, draws64, modes32, modes64
from maskrl.kernels.fused.dense import dense32, dense64, dense_gradient32, dense_gradient64
from maskrl.kernels.fused.divergence import divergence32, divergence64
from maskrl.kernels.fused.forward import forward32, forward64
from maskrl.kernels.fused.gradient import gradient32, gradient64
from maskrl.kernels.fused.plan import BITS, NO_MASK, Plan
from maskrl.masks.packed import pack_mask

KERNELS = {
    torch.float32: SimpleNamespace(
        forward=forward32,
        gradient=gradient32,
        dense=dense32,
        dense_gradient=dense_gradient32,
        divergence=divergence32,
        modes=modes32,
        draws=draws32,
    ),
    torch.float64: SimpleNamespace(
        forward=forward64,
        gradient=gradient64,
        dense=dense64,
        dense_gradient=dense_gradient64,
        divergence=divergence64,
        modes=modes64,
        draws=draws64,
    ),
}
EDGES = [1e30, -1e30, -math.inf, 1e-40, -1e-40, 0.0, 88.0, -88.0, -104.0]
UNUSABLE = [math.nan, -math.nan, math.inf]
UNIFORM_EDGES = [0.0, 2**-53, 1 - 2**-53]


def address(tensor):
    return 0 if tensor is None else tensor.data_ptr()


@dataclass
class Case:
    """Logits `[R, A]`, a bool mask `[R, A]`, sizes of heads, and how the mask is handed over."""

    logits: torch.Tensor
    mask: torch.Tensor
    sizes: list[int]
    kind: int

    def __post_init__(self):
        rows = self.logits.shape[0]
        offsets = np.cumsum([0, *self.sizes])
        self.read = None
        if self.kind == BITS:
            self.read = pack_mask(self.mask).bits
        elif self.kind != NO_MASK:
            self.read = self.mask
        stride = 0 if self.read is None else self.read.stride(0)
        self.plan = Plan(rows, offsets, self.logits.stride(0), self.kind, stride)
        self.kernels = KERNELS[self.logits.dtype]

    @property
    def shape(self):
        return self.logits.shape[0], len(self.sizes)

    def empty(self, *more, dtype=None):
        """A result with something in it that a kernel has to overwrite."""
        return torch.full((*self.shape, *more), 777, dtype=dtype or self.logits.dtype)

    def entries(self):
        return torch.full(self.logits.shape, 777.0, dtype=self.logits.dtype)

    def source(self):
        return self.plan.address, address(self.logits), address(self.read)

    def forward(self, uniforms=None, actions=None):
        """Everything that the forward kernel writes."""
        if uniforms is not None:
            actions = self.empty(dtype=torch.int64)
        log_probs, entropy = self.empty(), self.empty()
        normalizer = self.empty(2, dtype=torch.float64)
        status = self.kernels.forward(
            *self.source(),
            address(uniforms),
            address(actions),
            address(log_probs),
            address(normalizer),
            address(entropy),
        )
        return SimpleNamespace(
            status=status,
            actions=actions,
            log_probs=log_probs,
            normalizer=normalizer,
            entropy=entropy,
        )

    def truth(self):
        """Float64 log-probabilities of each head, and which segments are empty or unsound."""
        of_heads, empty, unsound = [], [], []
        pairs = zip(
            self.logits.double().split(self.sizes, -1), self.mask.split(self.sizes, -1), strict=True
        )
        for x, allowed in pairs:
            some = allowed.any(-1)
            bad = (allowed & (x.isnan() | (x == math.inf))).any(-1)
            bad |= some & ~(allowed & x.isfinite()).any(-1)
            z = torch.where(allowed, x, -math.inf)
            usable = some & ~bad
            log_p = torch.where(allowed & bad[:, None], math.nan, -math.inf).double()
            if x.shape[1]:
                d = z[usable] - z[usable].amax(-1, keepdim=True)
                log_p[usable] = d - d.exp().sum(-1, keepdim=True).log()
            of_heads.append(log_p)
            empty.append(~some)
            unsound.append(bad)
        return of_heads, torch.stack(empty, -1), torch.stack(unsound, -1)


def draw_sizes(rng):
    """Rows and sizes of heads: one head, several, ragged sets, long rows."""
    style = rng.integers(6)
    if style == 0:
        return int(rng.integers(1, 81)), [int(rng.integers(1, 140))]
    if style == 1:
        return int(rng.integers(1, 71)), [6, 4, 4, 4, 4, 7, 49]
    if style == 2:
        return 1, [int(n) for n in rng.integers(0, rng.choice([20, 300]), rng.integers(1, 60))]
    if style == 3:
        return int(rng.integers(1, 4)), [int(rng.integers(1, 5001))]
    if style == 4:
        return int(rng.integers(1, 41)), [int(n) for n in rng.integers(1, 200, rng.integers(1, 9))]
    return int(rng.integers(1, 41)), [int(n) for n in rng.integers(1, 9, rng.integers(1, 50))]


def draw_logits(rng, rows, entries, dtype):
    """Logits of any scale and offset, some with edges of floating point or unusable numbers."""
    scale, offset = rng.choice([1e-3, 1, 5, 40, 1e4]), rng.choice([0, 0, 1e4, -1e3])
    x = rng.normal(size=(rows, entries + rng.integers(5))) * scale + offset
    if rng.random() < 0.4:
        edges = rng.choice(EDGES, size=x.shape)
        x = np.where(rng.random(x.shape) < rng.choice([0.05, 0.5, 1]), edges, x)
    if rng.random() < 0.15:
        x = np.where(rng.random(x.shape) < 0.02, rng.choice(UNUSABLE, size=x.shape), x)
    return torch.from_numpy(x).to(dtype)[:, :entries]


def draw_mask(rng, rows, sizes):
    """Masks of any density, half of them with something allowed in every segment."""
    mask = torch.from_numpy(rng.random((rows, sum(sizes))) < rng.choice([0, 0.02, 0.3, 1]))
    if rng.random() < 0.5:
        for at, n in zip(np.cumsum([0, *sizes]), sizes, strict=False):
            if n:
                mask[:, at + rng.integers(n)] = True
    return mask


@pytest.fixture(scope="session")
def make_case():
    """Draw a case from a seed, or a second one beside another."""

    def draw(seed, beside=None, dtype=None):
        rng = np.random.default_rng(seed)
        if beside is None:
            dtype = dtype or (torch.float32 if rng.random() < 0.6 else torch.float64)
            kind = int(rng.integers(3))
            rows, sizes = draw_sizes(rng)
            sizes = sizes if sum(sizes) else [1]
        else:
            dtype, kind, (rows, _), sizes = (
                beside.logits.dtype,
                beside.kind,
                beside.shape,
                beside.sizes,
            )
        logits = draw_logits(rng, rows, sum(sizes), dtype)
        mask = draw_mask(rng, rows, sizes)
        if kind == NO_MASK:
            mask = torch.ones_like(mask)
        # Anything may stand where nothing is allowed.
        wild = torch.tensor([math.nan, 1e30, math.inf, -math.inf], dtype=dtype)
        spoilt = ~mask & torch.from_numpy(rng.random(mask.shape) < 0.5)
        picked = wild[torch.from_numpy(rng.integers(0, 4, mask.shape))]
        logits[spoilt] = picked[spoilt]
        return Case(logits, mask, sizes, kind)

    return draw


@pytest.fixture(scope="session")
def hand_case():
    """A case of given logits and mask, as bytes."""
    return Case


@pytest.fixture(scope="session")
def draw_uniforms():
    """Uniforms `[R, K]` of a case, some at the ends."""

    def draw(case, seed):
        rng = np.random.default_rng(seed)
        u = rng.random(case.shape)
        return torch.from_numpy(
            np.where(rng.random(u.shape) < 0.2, rng.choice(UNIFORM_EDGES, size=u.shape), u)
        )

    return draw


@pytest.fixture(scope="session")
def draw_actions():
    """Choices `[R, K]` of a case, allowed or not."""

    def draw(case, seed):
        rng = np.random.default_rng(seed)
        of_heads = [rng.integers(0, max(n, 1), case.shape[0]) for n in case.sizes]
        return torch.from_numpy(np.stack(of_heads, -1))

    return draw


@pytest.fixture(scope="session")
def assert_close():
    """The bound on every statistic: 1e-5 of the value, at least 1e-5, and 4 ulp."""

    def check(got, want, where=None):
        want = want.double()
        if where is not None:
            got, want = torch.where(where, got, 0), torch.where(where, want, 0.0)
        ulp = np.spacing(want.abs().to(got.dtype).numpy()).astype(np.float64)
        bound = 1e-5 * want.abs().clamp(min=1) + 4 * torch.from_numpy(ulp)
        got = got.double()
        same = (got == want) | (got.isnan() & want.isnan())
        wrong = ~(same | ((got - want).abs() <= bound))
        if wrong.any():
            at = tuple(wrong.nonzero()[0])
            raise AssertionError(f"at {at}: got {got[at]}, want {want[at]}")

    return check


@pytest.fixture(scope="session")
def hostile():
    """The module beside this one that draws hostile batches."""
    name = "maskrl_hostile_batches"
    if name not in sys.modules:
        path = Path(__file__).with_name("hostile.py")
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
