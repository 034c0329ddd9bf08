"""What an observer may not see cannot move its output by a bit: influence and gradient.

Every entity of a random directed graph is moved in turn, and every output that
has no permission on it must stay bit for bit the same, through one to four
layers, with padding, for every pooling. Each claim has its counterpart without
the cure, where the same measure finds the leak: so the tests can fail.
"""

import pytest
import torch

from maskrl.attention import EntityEncoder, observer_view
from maskrl.attention.permission import permission_for

ENTITIES = 7
GRAPHS = 12
POOLS = [None, "self", "mean", "max", "attention"]
DEPTHS = [1, 2, 3, 4]
LARGEST = torch.finfo(torch.float32).max


def scenes():
    """Random features, padding and directed graphs from sparse to dense."""
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(GRAPHS, ENTITIES, 3, generator=generator)
    present = torch.rand(GRAPHS, ENTITIES, generator=generator) < 0.85
    density = torch.linspace(0.1, 0.9, GRAPHS).view(-1, 1, 1)
    visibility = torch.rand(GRAPHS, ENTITIES, ENTITIES, generator=generator) < density
    return x, present, visibility


def permitted(x, present, visibility):
    permission, _ = permission_for("test", x, present, visibility)
    return permission.effective(x)


def encoder_for(pool, depth, depth_safe=True, **options):
    torch.manual_seed(7)
    return EntityEncoder(
        3, 8, depth=depth, heads=2, pool=pool, depth_safe=depth_safe, feed_forward=4, **options
    )


def outputs(encoder, x, present, visibility, cure):
    """One row per observer: [..., E, dim]."""
    observers = torch.arange(ENTITIES)
    name = "queries" if encoder.pool is None else "observer"
    if cure != "observer_view":
        everybody = observers.view((1,) * (x.ndim - 2) + (-1,))
        return encoder(x, present, visibility, **{name: everybody})
    views = observer_view(visibility)
    rows = encoder(x.unsqueeze(-3), present.unsqueeze(-2), views, **{name: observers.unsqueeze(-1)})
    return rows.squeeze(-2)


def influence(encoder, cure, moved_to=None):
    """How much output i moves when entity j does: [graphs, i, j]."""
    x, present, visibility = scenes()
    # One copy of the scene per entity that moves; the first copy of each is moved by nothing.
    copies = x.unsqueeze(1).repeat(1, ENTITIES, 1, 1)
    moved = copies.clone()
    for j in range(ENTITIES):
        moved[:, j, j] = moved[:, j, j] + 1.0 if moved_to is None else moved_to
    masks = (
        present.unsqueeze(1).expand(-1, ENTITIES, -1),
        visibility.unsqueeze(1).expand(-1, ENTITIES, -1, -1),
    )
    with torch.no_grad():
        still = outputs(encoder, copies, *masks, cure)
        change = (outputs(encoder, moved, *masks, cure) - still).abs().amax(-1)
    return change.transpose(1, 2), permitted(x, present, visibility)


def gradients(encoder, cure):
    """How much output i would move with entity j, to first order: [graphs, i, j]."""
    x, present, visibility = scenes()
    x.requires_grad_()
    out = outputs(encoder, x, present, visibility, cure)
    weights = torch.randn(out.shape[-1], generator=torch.Generator().manual_seed(8))
    rows = []
    for i in range(ENTITIES):
        (grad,) = torch.autograd.grad((out[:, i] @ weights).sum(), x, retain_graph=True)
        rows.append(grad.abs().amax(-1))
    return torch.stack(rows, 1), permitted(x, present, visibility)


@pytest.mark.parametrize("cure", ["depth_safe", "observer_view"])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_nothing_unseen_moves_an_output(cure, pool, depth):
    encoder = encoder_for(pool, depth, depth_safe=cure == "depth_safe")
    for train in (True, False):
        change, allowed = influence(encoder.train(train), cure)
        assert (change[~allowed] == 0).all()
    assert (change[allowed] > 0).any()
    slope, _ = gradients(encoder, cure)
    assert (slope[~allowed] == 0).all()
    assert (slope[allowed] > 0).any()


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_without_a_cure_it_does(pool, depth):
    """A single unpooled layer leaks nothing; everything else does, and is measured doing it."""
    encoder = encoder_for(pool, depth, depth_safe=False)
    change, allowed = influence(encoder, None)
    slope, _ = gradients(encoder, None)
    leaks = depth > 1 or pool not in (None, "self")
    assert bool((change[~allowed] > 0).any()) == leaks
    assert bool((slope[~allowed] > 0).any()) == leaks


@pytest.mark.parametrize("cure", ["depth_safe", "observer_view"])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("far", [1e30, -LARGEST])
def test_nor_does_it_from_very_far_away(cure, pool, far):
    """Any finite value: inside, it must not turn into a NaN that survives a weight of 0."""
    change, allowed = influence(encoder_for(pool, 3), cure, moved_to=far)
    assert (change[~allowed] == 0).all()
    assert change.isfinite().all()


def test_depth_safe_changes_nothing_under_a_view():
    x, present, visibility = scenes()
    for observer in range(ENTITIES):
        view = observer_view(visibility, observer)
        safe, plain = (
            encoder_for("mean", 3, depth_safe=flag)(x, present, view, observer=observer)
            for flag in (True, False)
        )
        assert torch.equal(safe, plain)


def test_a_view_reads_no_other_row_of_visibility():
    """In a world the graph moves too: who sees whom out of sight must not matter either."""
    x, present, visibility = scenes()
    encoder = encoder_for("attention", 3)
    other = torch.rand(visibility.shape, generator=torch.Generator().manual_seed(9)) < 0.5
    other[:, 2] = visibility[:, 2]
    before, after = (
        encoder(x, present, observer_view(graph, 2), observer=2) for graph in (visibility, other)
    )
    assert torch.equal(before, after)
    before, after = (encoder(x, present, graph, observer=2) for graph in (visibility, other))
    assert not torch.equal(before, after), "depth_safe reveals that somebody sees more"
