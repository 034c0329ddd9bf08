"""Leaks are told exactly where a real encoder moves, with the path that they take."""

import numpy as np
import pytest
import torch

from maskrl.attention import EntityEncoder, depth_safe, observer_view
from maskrl.attention.leaks import Leak, explain_leak, leaks
from maskrl.attention.permission import permission_for
from maskrl.errors import ConfigError, MaskDtypeError, MaskError, MaskShapeError

POOLS = [None, "self", "mean", "max", "attention"]


def rows(*lines):
    """Read a visibility from words such as "TTF"."""
    return torch.tensor([[letter == "T" for letter in line] for line in lines])


CHAIN = rows("TTFF", "FTTF", "FFTT", "FFFT")  # 0 sees 1, 1 sees 2, 2 sees 3


def graph(seed):
    """A directed graph of 2 to 8 entities, the masks of which some slots are empty."""
    generator = torch.Generator().manual_seed(seed)
    size = int(torch.randint(2, 9, (), generator=generator))
    density = float(torch.rand((), generator=generator)) * 0.6
    visibility = torch.rand(size, size, generator=generator) < density
    return visibility, torch.rand(size, generator=generator) < 0.85


def moved_by(visibility, present, depth, pool, seed):
    """Whose output truly moves with whom: bool [E, E], through a real encoder in float64."""
    torch.manual_seed(seed)
    encoder = EntityEncoder(3, 32, depth, 4, pool=pool, depth_safe=False).double().eval()
    size = len(visibility)
    # Several large steps each: the largest of a feature must change hands for "max" to notice.
    x = torch.randn(size, 3, dtype=torch.float64)
    moves = torch.randn(12, size, 3, dtype=torch.float64) * 3
    copies = x.repeat(size, len(moves), 1, 1)
    moved = copies.clone()
    for j in range(size):
        moved[j, :, j] += moves[:, j]
    name = "queries" if pool is None else "observer"
    everybody = {name: torch.arange(size)[None, None]}
    with torch.no_grad():
        still = encoder(copies, present, visibility, **everybody)
        change = encoder(moved, present, visibility, **everybody) - still
    return (change != 0).any(-1).any(1).T


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_leak_is_told_exactly_where_an_encoder_moves(depth, pool):
    told = 0
    for seed in range(12):
        visibility, present = graph(100 * depth + seed)
        permission, _ = permission_for("test", torch.zeros(len(visibility), 1), present, visibility)
        seen = permission.effective(torch.zeros(len(visibility), 1))
        expected = moved_by(visibility, present, depth, pool, seed) & ~seen
        found = leaks(visibility, depth, entity_mask=present, pool=pool)
        assert torch.equal(found, expected), (seed, visibility, present)
        explained = explain_leak(visibility, depth, entity_mask=present, pool=pool)
        pairs = torch.zeros_like(found)
        for leak in explained:
            pairs[leak.observer, leak.hidden] = True
        assert torch.equal(pairs, expected) and len(explained) == int(expected.sum())
        told += len(explained)
    assert (told > 0) == (depth > 1 or pool not in (None, "self"))


@pytest.mark.parametrize("pool", [None, "mean"])
def test_a_path_is_a_shortest_one_along_what_is_seen(pool):
    """Compared with the powers of the graph, taken one step at a time."""
    for seed in range(40):
        visibility, present = graph(seed)
        sees = (
            (visibility | torch.eye(len(visibility), dtype=torch.bool)) & present & present[:, None]
        )
        reached = [sees]
        for _ in range(4):
            reached.append((reached[-1].int() @ sees.int()) > 0)
        explained = explain_leak(visibility, 4, entity_mask=present, pool=pool)
        assert [k.layer for k in explained] == sorted(k.layer for k in explained)
        for leak in explained:
            assert all(sees[a, b] for a, b in zip(leak.path, leak.path[1:], strict=False))
            i, j, steps = leak.observer, leak.hidden, leak.layer
            assert reached[steps - 1][i, j] and not reached[steps - 2][i, j]
            assert leak.pooled == (steps == 5)


def test_sentences():
    names = ["panda", "watermelon", "scorpion", None]
    assert [str(leak) for leak in explain_leak(CHAIN, 3, names=names)] == [
        "panda 0 reads scorpion 2 through watermelon 1 at layer 2",
        "watermelon 1 reads entity 3 through scorpion 2 at layer 2",
        "panda 0 reads entity 3 through watermelon 1 and scorpion 2 at layer 3",
    ]
    (first,) = explain_leak(CHAIN, 1, pool="mean", observer=0)
    assert str(first) == "entity 0 reads entity 2 through entity 1 in the pooling after layer 1"
    assert (first.observer, first.hidden, first.layer, first.pooled) == (0, 2, 2, True)
    long = rows("TTFFF", "FTTFF", "FFTTF", "FFFTT", "FFFFT")
    assert "through entity 1, entity 2 and entity 3 at layer 4" in str(explain_leak(long, 9)[-1])


def test_of_two_shortest_paths_the_first_is_told():
    diamond = rows("TTTFF", "FTFTF", "FFTTT", "FFFTF", "FFFFT")
    paths = [leak.path for leak in explain_leak(diamond, 5, observer=0)]
    assert paths == [(0, 1, 3), (0, 2, 4)]


def test_padding_is_on_no_path():
    present = torch.tensor([True, False, True, True])
    assert [k.path for k in explain_leak(CHAIN, 4)][-1] == (0, 1, 2, 3)
    assert explain_leak(CHAIN, 4, entity_mask=present) == []
    assert not leaks(CHAIN, 4, entity_mask=present).any()
    assert explain_leak(CHAIN, 4, entity_mask=present, observer=1) == []


def test_graphs_of_a_batch_stand_alone():
    batch = torch.stack([CHAIN, CHAIN.T, torch.eye(4, dtype=torch.bool)])
    found = leaks(batch.view(3, 1, 4, 4), 2)
    assert found.shape == (3, 1, 4, 4)
    for one, alone in zip(found[:, 0], batch, strict=True):
        assert torch.equal(one, leaks(alone, 2))
    present = torch.tensor([[True] * 4, [True, False, True, True]])
    both = leaks(CHAIN, 3, entity_mask=present)
    assert torch.equal(both[1], leaks(CHAIN, 3, entity_mask=present[1]))
    assert leaks(torch.zeros(2, 0, 0, dtype=torch.bool), 2).shape == (2, 0, 0)
    assert not leaks(torch.ones(1, 1, dtype=torch.bool), 5).any()


def test_the_cures_leak_nothing():
    for seed in range(20):
        visibility, present = graph(seed)
        for view in observer_view(visibility):
            assert not leaks(view, 6, entity_mask=present, pool="mean").any()
        # The first layer may use all edges, and every later one the safe ones only.
        sees = visibility | torch.eye(len(visibility), dtype=torch.bool)
        safe = depth_safe(sees)
        later = safe.float().matrix_power(6)
        assert not (((later @ sees.float()) > 0) & ~sees).any()


def test_long_chains_take_a_step_a_layer():
    size = 70
    chain = torch.eye(size, dtype=torch.bool) | torch.eye(size, dtype=torch.bool).roll(1, 1)
    for depth in (1, 2, 3, 7, 40, 69, 1000):
        distance = np.subtract.outer(np.arange(size), np.arange(size)).T % size
        expected = torch.from_numpy((distance > 1) & (distance <= depth))
        assert torch.equal(leaks(chain, depth), expected)
    assert len(explain_leak(chain, 40, observer=3)) == 39


@pytest.mark.parametrize("ask", [leaks, explain_leak])
def test_messages_name_what_is_wrong(ask):
    name = ask.__name__
    with pytest.raises(MaskDtypeError, match=f"{name}: visibility has dtype torch.float32"):
        ask(torch.ones(3, 3), 2)
    with pytest.raises(MaskShapeError, match=rf"{name}: visibility has shape \(2, 3\)"):
        ask(torch.ones(2, 3, dtype=torch.bool), 2)
    with pytest.raises(MaskDtypeError, match=f"{name}: entity_mask has dtype"):
        ask(CHAIN, 2, entity_mask=torch.ones(4))
    with pytest.raises(MaskShapeError, match=f"{name}: entity_mask has .*same number"):
        ask(CHAIN, 2, entity_mask=torch.ones(3, dtype=torch.bool))
    with pytest.raises(MaskError, match=f"{name}: entity_mask is on meta"):
        ask(CHAIN, 2, entity_mask=torch.ones(4, dtype=torch.bool, device="meta"))
    for depth in (0, -1, 2.0, True, None):
        with pytest.raises(ConfigError, match=f"{name}: depth is {depth}"):
            ask(CHAIN, depth)
    with pytest.raises(ConfigError, match=f"{name}: pool is 'sum'; expected None or one of mean"):
        ask(CHAIN, 2, pool="sum")


def test_messages_of_the_one_that_explains_and_of_batches():
    batch = CHAIN.expand(5, 4, 4)
    with pytest.raises(
        MaskShapeError, match=r"leaks: entity_mask has shape \(2, 4\).*that broadcast"
    ):
        leaks(batch, 2, entity_mask=torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(MaskShapeError, match=r"expected one graph \[E, E\]. Index the one"):
        explain_leak(batch, 2)
    with pytest.raises(MaskShapeError, match="entity_mask has more than one row"):
        explain_leak(CHAIN, 2, entity_mask=torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(MaskShapeError, match="observer is 4; expected an index from 0 to 3"):
        explain_leak(CHAIN, 2, observer=4)
    with pytest.raises(MaskShapeError, match="observer has"):
        explain_leak(CHAIN, 2, observer=torch.tensor([0, 1]))
    with pytest.raises(MaskShapeError, match="names has 2 names; expected a list of 4"):
        explain_leak(CHAIN, 2, names=["a", "b"])
    with pytest.raises(MaskShapeError, match="names has 'pwsd'"):
        explain_leak(CHAIN, 2, names="pwsd")


def test_a_leak_is_a_value():
    (one,) = explain_leak(rows("TTF", "FTT", "FFT"), 2)
    assert one == Leak(path=(0, 1, 2), names=("entity",) * 3)
    assert len({one, Leak((0, 1, 2), ("entity",) * 3)}) == 1
