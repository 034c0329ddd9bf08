"""Views of lists of entities: equal to the definition, and a row depends on its list alone."""

import math

import pytest
import torch

from maskrl.kernels.scenes.views import Views, views_attention, views_by_definition

OFFSETS = 9


def draw_views(counts, scenes=3, entities=7, *, biased=False, seed=0):
    """Views [scenes][...] of so many entities each, drawn from those of their own scene."""
    generator = torch.Generator().manual_seed(seed)
    keys = [
        scene * entities + torch.randperm(entities, generator=generator)[:count]
        for scene in range(scenes)
        for count in counts
    ]
    sizes = torch.tensor([len(key) for key in keys])
    key = torch.cat(keys).long()
    pair = torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
    offset = torch.randint(0, OFFSETS, key.shape, generator=generator) if biased else None
    return Views(torch.arange(scenes + 1) * len(counts), pair, key, offset)


def draw_rows(views, heads, width, rows=21, dtype=torch.float32, seed=1):
    """Query, memory and table for views."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (len(views.pair) - 1, heads * width), (rows, 2 * heads * width), (heads, OFFSETS)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


def dense(query, memory, views, heads, scale, table=None):
    """View by view with torch's softmax, in the plainest form."""
    rows = []
    for r in range(len(query)):
        listed = slice(int(views.pair[r]), int(views.pair[r + 1]))
        key, value = memory[views.key[listed]].unflatten(-1, (2, heads, -1)).unbind(1)
        scores = (query[r].view(heads, 1, -1) * key.transpose(0, 1)).sum(-1) * scale
        if table is not None:
            scores = scores + table[:, views.offset[listed]]
        rows.append(torch.einsum("hk,khw->hw", scores.softmax(-1), value).flatten())
    return torch.stack(rows)


CASES = [
    (heads, width, counts, biased)
    for heads, width in ((1, 8), (4, 16), (2, 5), (3, 13))
    for counts in ((1, 4, 0, 7), (7,), (3, 6))
    for biased in (False, True)
]


@pytest.mark.parametrize(("heads", "width", "counts", "biased"), CASES)
def test_equal_to_every_view_by_itself_there_and_back(heads, width, counts, biased):
    views = draw_views(counts, biased=biased)
    wide = [t.requires_grad_() for t in draw_rows(views, heads, width, dtype=torch.float64)]
    given = [t.detach().float().requires_grad_() for t in wide]
    upstream = torch.randn(len(wide[0]), heads * width, dtype=torch.float64)
    scale = width**-0.5

    def found(function, tensors):
        inputs = tensors if biased else tensors[:2]
        out = function(*tensors[:2], views, heads, scale, *inputs[2:])
        return [out, *torch.autograd.grad((out * upstream.to(out.dtype)).sum(), inputs)]

    expected = found(dense, wide)
    for function, tensors in ((views_by_definition, wide), (views_attention, given)):
        for mine, theirs in zip(found(function, tensors), expected, strict=True):
            torch.testing.assert_close(mine.double(), theirs, atol=3e-5, rtol=3e-5)
    for r, count in enumerate(views.pair.diff()):
        if count == 0:
            assert not found(views_attention, given)[0][r].any()


def test_only_what_is_listed_is_read():
    views = draw_views((1, 3, 0), biased=True)
    listed = torch.zeros(21, dtype=torch.bool)
    listed[views.key] = True
    query, memory, table = draw_rows(views, 2, 16)
    results = []
    for other in (0.0, math.nan):
        held = torch.where(listed.unsqueeze(1), memory, other).requires_grad_()
        asked = query.clone().requires_grad_()
        out = views_attention(asked, held, views, 2, 0.25, table)
        results.append([out, *torch.autograd.grad(out.sum(), (asked, held))])
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)
    assert not results[0][2][~listed].any()


def test_no_bit_depends_on_the_views_of_others():
    together = draw_views((5, 1, 6, 0, 2), scenes=4, biased=True)
    query, memory, table = draw_rows(together, 4, 16, rows=28)
    whole = views_attention(query, memory, together, 4, 0.25, table)
    for r in range(len(query)):
        listed = slice(int(together.pair[r]), int(together.pair[r + 1]))
        own = Views(
            torch.tensor([0, 1]),
            torch.tensor([0, listed.stop - listed.start]),
            together.key[listed],
            together.offset[listed],
        )
        alone = views_attention(query[r : r + 1], memory, own, 4, 0.25, table)
        assert torch.equal(alone[0], whole[r])


def test_any_number_of_threads_gives_the_same_bits():
    counts = tuple(range(1, 30)) * 2
    views = draw_views(counts, scenes=40, entities=29, biased=True)
    tensors = [t.requires_grad_() for t in draw_rows(views, 4, 16, rows=40 * 29)]
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            out = views_attention(*tensors[:2], views, 4, 0.25, tensors[2])
            found.append([out, *torch.autograd.grad(out.square().sum(), tensors)])
    finally:
        torch.set_num_threads(before)
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(others, found[0], strict=True))


def test_second_derivatives_are_those_of_the_definition():
    views = draw_views((2, 0, 5), biased=True)
    found = []
    for function, dtype in (
        (views_attention, torch.float32),
        (views_by_definition, torch.float64),
    ):
        leaves = [t.to(dtype).requires_grad_() for t in draw_rows(views, 2, 8)]
        out = function(*leaves[:2], views, 2, 0.35, leaves[2])
        first = torch.autograd.grad(out.square().sum(), leaves, create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in first), leaves))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-3, atol=1e-3)


def test_only_what_is_wanted_gets_a_gradient():
    views = draw_views((2, 4), biased=True)
    query, memory, table = draw_rows(views, 2, 8)
    table.requires_grad_()
    views_attention(query, memory, views, 2, 0.35, table).square().sum().backward()
    assert query.grad is None
    assert table.grad is not None
    with torch.inference_mode():
        assert not views_attention(query, memory, views, 2, 0.35, table).requires_grad


def test_several_gradients_at_once():
    views = draw_views((2, 4))
    query, memory, _ = draw_rows(views, 2, 8)
    query.requires_grad_()
    out = views_attention(query, memory, views, 2, 0.35)
    upstream = torch.randn(3, *out.shape)
    (batched,) = torch.autograd.grad(out, query, upstream, is_grads_batched=True, retain_graph=True)
    for one, g in zip(batched, upstream, strict=True):
        torch.testing.assert_close(one, torch.autograd.grad(out, query, g, retain_graph=True)[0])


def test_what_overflows_shows():
    views = draw_views((3,), scenes=1)
    query, memory, _ = draw_rows(views, 1, 8)
    assert views_attention(query * math.nan, memory, views, 1, 1.0).isnan().all()
    assert views_attention(query * math.inf, memory.abs(), views, 1, 1.0).isnan().any()


def test_nobody_at_all():
    views = draw_views((0, 0), scenes=1, biased=True)
    query, memory, table = (t.requires_grad_() for t in draw_rows(views, 2, 8))
    out = views_attention(query, memory, views, 2, 0.35, table)
    assert not out.any()
    for g in torch.autograd.grad(out.sum(), (query, memory, table)):
        assert not g.any()
