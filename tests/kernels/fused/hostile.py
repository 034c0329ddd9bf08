"""Batches that a kernel may trip over: their memory, their masks and their numbers.

A `Draw` says in a few words what a batch is like; hypothesis chooses them, and `build` fills the
batch from a seed, so that an example holds hundreds of rows and still shrinks to the words that
matter. Everything is handed over as it may come: strided, expanded, broadcast, as bits.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from maskrl.masks import pack_mask
from maskrl.masks.packed import PackedMask

# Around every edge inside the kernels: lanes of a tile, rows of a tile, lines, and several lines.
LENGTHS = [1, 2, 3, 6, 8, 9, 31, 32, 33, 64, 127, 128, 129, 200, 2047, 2048, 2049, 4096, 4097, 5000]
# Heads that begin within a byte of bits, single choices, lengths on either side of a lane.
HEADS = [(6, 4, 4, 4, 4, 7, 49), (3, 5), (1, 1, 1), (7, 130, 2), (33, 31, 129), (2049, 3, 130)]
HEADS += [(5,) * 40, (1, 90, 13) * 14]

LOGIT_LAYOUTS = ["together", "padded", "every other", "transposed", "one row for all", "cut"]
MASK_FORMS = ["none", "full", "one row", "middle", "last batch"]
MASK_FORMS += ["padded", "strided", "transposed"]
NUMBERS = ["normal", "equal", "wide", "far apart", "offset", "denormal", "edges", "-inf", "unsound"]
ALLOWED = ["all", "few", "half", "one", "none in some", "none in most"]
UPSTREAMS = ["random", "zero", "one number", "strided", "large", "small", "rows only"]

LARGEST = {torch.float64: 1e30, torch.float32: 1e30, torch.bfloat16: 1e30, torch.float16: 6e4}
UNDER_THE_MASK = [math.nan, -math.nan, math.inf, -math.inf, 1e30, -1e30, 0.0]
UNIFORM_EDGES = [0.0, 5e-324, 2**-53, 0.5, 1 - 2**-53]
ENTRIES = 30_000


@dataclasses.dataclass(frozen=True)
class Draw:
    """What a batch is like, in words; the seed fills it."""

    seed: int
    dtype: torch.dtype
    heads: tuple[int, ...] | int
    layout: str
    form: str
    numbers: tuple[str, ...]
    allowed: str
    upstream: tuple[str, str]
    rows: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the heads, or of the only one."""
        return (self.heads,) if isinstance(self.heads, int) else self.heads


@dataclasses.dataclass
class Batch:
    """Logits `[..., A]` with gradient, and their mask as bool and as bits.

    Attributes:
        allowed: The mask in the shape of the logits.
        sizes: Of joined heads; None for one head without a dimension.
    """

    logits: Tensor
    mask: Tensor | None
    packed: PackedMask | None
    allowed: Tensor
    sizes: tuple[int, ...] | None

    @property
    def shape(self) -> torch.Size:
        """Shape of a statistic."""
        batch = self.logits.shape[:-1]
        return batch if self.sizes is None else torch.Size((*batch, len(self.sizes)))

    def heads(self, entries: Tensor) -> tuple[Tensor, ...]:
        """Cut `[..., A]` into heads."""
        return (entries,) if self.sizes is None else entries.split(self.sizes, -1)


def draws(dtype: torch.dtype) -> st.SearchStrategy[Draw]:
    """Batches of one dtype."""
    heads = st.one_of(
        st.sampled_from(LENGTHS),
        st.integers(1, 140),
        st.sampled_from(HEADS),
        st.lists(st.integers(1, 150), min_size=1, max_size=12).map(tuple),
    )
    return st.builds(
        Draw,
        heads=heads,
        dtype=st.just(dtype),
        seed=st.integers(0, 2**32 - 1),
        layout=st.sampled_from(LOGIT_LAYOUTS),
        form=st.sampled_from(MASK_FORMS),
        numbers=st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3).map(tuple),
        allowed=st.sampled_from(ALLOWED),
        upstream=st.tuples(st.sampled_from(UPSTREAMS), st.sampled_from(UPSTREAMS)),
        rows=st.sampled_from([1, 7, 33, 150, 400]),
    )


def shape_of(draw: Draw) -> tuple[int, int]:
    """Two batch dimensions, of as many rows as fit."""
    fitting = max(2, min(draw.rows, ENTRIES // sum(draw.sizes)))
    return (1, 1) if draw.rows == 1 else (-(-fitting // 3), 3)


def build(draw: Draw) -> Batch:
    """The batch that a draw describes."""
    rng = np.random.default_rng(draw.seed)
    batch, entries = shape_of(draw), sum(draw.sizes)
    logits = _laid_out(draw.layout, _numbers(rng, draw, (*batch, entries)), rng)
    mask = _mask(rng, draw, batch)
    allowed = torch.ones(logits.shape, dtype=torch.bool) if mask is None else mask
    allowed = allowed.expand(logits.shape).contiguous()
    if draw.layout != "one row for all":
        wild = rng.choice(UNDER_THE_MASK, size=logits.shape)
        spoilt = ~allowed & torch.from_numpy(rng.random(logits.shape) < 0.5)
        logits[spoilt] = torch.from_numpy(wild).to(draw.dtype)[spoilt]
    packed = None if mask is None else _as_bits(draw, mask)
    sizes = None if isinstance(draw.heads, int) else draw.heads
    return Batch(logits.requires_grad_(), mask, packed, allowed, sizes)


def _numbers(rng: np.random.Generator, draw: Draw, shape: tuple[int, ...]) -> Tensor:
    """Logits of which each row is of one of the kinds that the draw names."""
    largest = LARGEST[draw.dtype]
    tiny = torch.finfo(draw.dtype).tiny
    x = rng.normal(size=shape)
    kinds = rng.integers(len(draw.numbers), size=(*shape[:-1], 1))
    for number, kind in enumerate(draw.numbers):
        here = np.broadcast_to(kinds == number, shape)
        some = rng.random(shape) < rng.choice([0.02, 0.3])
        match kind:
            case "equal":
                y = np.full(shape, rng.choice([0.0, 3.0, -largest, largest]))
            case "wide":
                y = x * rng.choice([5, 20, 100])
            case "far apart":
                y = x * 10.0 ** rng.uniform(-30, math.log10(largest / 8), size=shape)
            case "offset":
                y = x * rng.choice([1e-3, 1]) + rng.choice([-1, 1]) * rng.choice([1e2, 3e4])
            case "denormal":
                y = np.where(some, x, x * tiny / 16)
            case "edges":
                ends = [largest, -largest, 0.0, -0.0, 88.0, -88.0, -104.0, -709.0, tiny, -tiny]
                y = np.where(some, rng.choice(ends, size=shape), x)
            case "-inf":
                y = np.where(rng.random(shape) < rng.choice([0.1, 0.97]), -np.inf, x)
            case "unsound":
                bad = rng.choice([np.nan, np.inf, -np.inf], size=shape)
                y = np.where(rng.random(shape) < 1 / shape[-1], bad, x)
            case _:
                y = x
        x = np.where(here, y, x)
    return torch.from_numpy(x).to(draw.dtype)


def _laid_out(layout: str, x: Tensor, rng: np.random.Generator) -> Tensor:
    """The numbers in memory of the kind that a layout names."""
    b, t, n = x.shape
    match layout:
        case "padded":
            memory = x.new_full((b, t, n + int(rng.integers(1, 9))), 777.0)[..., :n]
        case "every other":
            memory = x.new_full((b, t, 2 * n), math.nan)[..., ::2]
        case "transposed":
            memory = x.new_empty((t, n, b)).permute(2, 0, 1)
        case "cut":
            memory = x.new_full((b, t + 2, n), math.nan)[:, 1 : t + 1]
        case "one row for all":
            return x[:1, :1].expand(b, t, n)
        case _:
            return x
    return memory.copy_(x)


def _mask(rng: np.random.Generator, draw: Draw, batch: tuple[int, int]) -> Tensor | None:
    """A mask that broadcasts as its form says, with as much allowed as the draw says."""
    b, t = batch
    n = sum(draw.sizes)
    lead = {"one row": (), "middle": (b, 1), "last batch": (t,)}.get(draw.form, batch)
    if draw.form == "none":
        return None
    share = {"all": 1.0, "few": 0.02, "half": 0.5, "one": 0.0}.get(draw.allowed, 0.3)
    mask = torch.from_numpy(rng.random((*lead, n)) < share)
    for head in mask.split(draw.sizes, -1):
        # Something in every segment, and then nothing in some.
        one = torch.from_numpy(rng.integers(head.shape[-1], size=(*lead, 1)))
        head.scatter_(-1, one, True)
        if draw.allowed.startswith("none"):
            share_empty = 0.2 if draw.allowed == "none in some" else 0.8
            head &= torch.from_numpy(rng.random((*lead, 1)) >= share_empty)
    if draw.form == "padded":
        wide = torch.from_numpy(rng.random((*lead, n + 5)) < 0.5)
        return wide[..., 2 : n + 2].copy_(mask)
    if draw.form == "strided":
        wide = torch.from_numpy(rng.random((*lead, 2 * n + 3)) < 0.5)
        return wide[..., 3:].unflatten(-1, (n, 2))[..., 0].copy_(mask)
    if draw.form == "transposed":
        return torch.empty((t, b, n), dtype=torch.bool).transpose(0, 1).copy_(mask)
    return mask


def _as_bits(draw: Draw, mask: Tensor) -> PackedMask:
    """The mask as bits, whose rows are apart in memory where those of the mask are."""
    if draw.form == "padded":
        return pack_mask(torch.stack([mask, ~mask], 2).flatten(1, 2))[:, ::2]
    if draw.form == "strided":
        return pack_mask(torch.stack([mask, ~mask], 1).flatten(0, 1))[::2]
    return pack_mask(mask)


def pick_uniforms(rng: np.random.Generator, batch: Batch, log_probs: Tensor) -> Tensor:
    """Float64 uniforms `[...]`: random, at both ends, and beside steps of the float64 CDF."""
    u = rng.random(batch.shape)
    edges = rng.choice(UNIFORM_EDGES, size=u.shape)
    steps = []
    for log_p in batch.heads(log_probs):
        cdf = log_p.exp().nan_to_num(0.0).cumsum(-1)
        at = torch.from_numpy(rng.integers(log_p.shape[-1], size=(*log_p.shape[:-1], 1)))
        steps.append(cdf.gather(-1, at).squeeze(-1))
    beside = steps[0] if batch.sizes is None else torch.stack(steps, -1)
    near = np.clip(beside.numpy() * (1 + rng.choice([-1e-7, 0, 1e-12], size=u.shape)), 0, None)
    kind = rng.random(u.shape)
    u = np.where(kind < 0.2, edges, np.where(kind < 0.5, near, u))
    return torch.from_numpy(np.minimum(u, 1 - 2**-53))


def pick_actions(rng: np.random.Generator, batch: Batch) -> Tensor:
    """Actions `[...]` of each head, allowed ones more often than not."""
    picked = []
    for allowed in batch.heads(batch.allowed):
        random = torch.from_numpy(rng.random(allowed.shape))
        weighed = random + allowed * float(rng.choice([0.0, 0.5, 1.0]))
        picked.append(weighed.argmax(-1))
    return picked[0] if batch.sizes is None else torch.stack(picked, -1)


def upstream_of(
    kind: str, rng: np.random.Generator, shape: torch.Size, dtype: torch.dtype
) -> Tensor:
    """An upstream gradient of a shape, as autograd may hand it over."""
    g = torch.from_numpy(rng.normal(size=shape)).to(dtype)
    match kind:
        case "zero":
            return torch.zeros_like(g)
        case "one number":
            return torch.full((), 0.37, dtype=dtype).expand(shape)
        case "strided":
            return g.new_full((*shape, 2), math.nan)[..., 0].copy_(g)
        case "large":
            return g * 1e3
        case "small":
            return g * 1e-3
        case "rows only":
            return g[..., :1].expand(shape) if g.ndim else g
        case _:
            return g
