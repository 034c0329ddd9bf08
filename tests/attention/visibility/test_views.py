"""Views and safe edges against arrays written by hand, and their properties."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrl.attention.visibility import depth_safe, observer_view, self_visible
from maskrl.errors import MaskDtypeError, MaskShapeError

graphs = st.integers(1, 6).flatmap(
    lambda n: st.lists(st.booleans(), min_size=n * n, max_size=n * n).map(
        lambda bits: torch.tensor(bits).view(n, n)
    )
)


def rows(*lines):
    """Read a visibility from words such as "TTF"."""
    return torch.tensor([[letter == "T" for letter in line] for line in lines])


CHAIN = rows("TTF", "FTT", "FFT")  # 0 sees 1, 1 sees 2


def test_a_view_holds_what_its_observer_sees_and_no_other_row():
    assert torch.equal(observer_view(CHAIN, 0), rows("TTF", "TTF", "FFF"))
    assert torch.equal(observer_view(CHAIN, 2), rows("FFF", "FFF", "FFT"))
    blind = rows("FFF", "TTT", "TTT")  # an observer sees itself whatever the graph says
    assert torch.equal(observer_view(blind, 0), rows("TFF", "FFF", "FFF"))


def test_views_of_several_observers():
    batch = torch.stack([CHAIN, CHAIN.T])
    everybody = observer_view(batch)
    assert everybody.shape == (2, 3, 3, 3)
    for i in range(3):
        assert torch.equal(everybody[:, i], observer_view(batch, i))
    assert torch.equal(observer_view(batch, torch.tensor([[2, 0]])), everybody[:, [2, 0]])
    each = observer_view(batch, torch.tensor([[1], [2]]))
    assert torch.equal(each[:, 0], torch.stack([everybody[0, 1], everybody[1, 2]]))
    assert torch.equal(observer_view(batch, torch.tensor(1)), everybody[:, 1])


def test_depth_safe_cuts_what_leaks():
    assert torch.equal(depth_safe(CHAIN), rows("TFF", "FTT", "FFT"))
    # The row of an ambusher sees more than anybody: nobody may read it, and it may read all.
    ambush = rows("TTFT", "TTFT", "TTTT", "TTFT")
    assert torch.equal(depth_safe(ambush), ambush)
    seen_ambush = rows("TTTF", "TTTF", "TTTT", "TTTT")  # 0 and 1 see 2, which sees 3
    assert torch.equal(depth_safe(seen_ambush), rows("TTFF", "TTFF", "TTTT", "TTTT"))


def test_depth_safe_takes_a_missing_diagonal_as_seeing_oneself():
    assert torch.equal(depth_safe(rows("FT", "TF")), rows("FT", "TF"))


@given(graphs)
def test_depth_safe_edges_hold_their_promise(graph):
    safe = depth_safe(graph)
    sees = self_visible(graph)
    assert not (safe & ~graph).any()
    size = len(graph)
    for i in range(size):
        for j in range(size):
            contained = not (sees[j] & ~sees[i]).any()
            assert bool(safe[i, j]) == (bool(graph[i, j]) and contained)


@given(graphs)
def test_a_view_is_depth_safe_already(graph):
    for view in observer_view(graph):
        assert torch.equal(depth_safe(view), view)


@given(graphs, st.randoms(use_true_random=False))
def test_builders_commute_with_permuting_entities(graph, random):
    order = list(range(len(graph)))
    random.shuffle(order)
    turned = graph[order][:, order]
    assert torch.equal(depth_safe(turned), depth_safe(graph)[order][:, order])
    views = observer_view(graph)[order][:, order][:, :, order]
    assert torch.equal(observer_view(turned), views)


def test_nothing_is_changed_in_place():
    graph = CHAIN.clone()
    for build in (self_visible, observer_view, depth_safe):
        build(graph)
    assert torch.equal(graph, CHAIN)


@pytest.mark.parametrize("build", [observer_view, depth_safe])
def test_builders_insist_on_bool(build):
    for bad in (torch.ones(3, 3), torch.ones(3, 3, dtype=torch.uint8), [[True]], None):
        with pytest.raises(MaskDtypeError, match=rf"{build.__name__}: visibility has"):
            build(bad)


def test_messages_name_shapes():
    with pytest.raises(MaskShapeError, match=r"observer_view: visibility has shape \(2, 3\)"):
        observer_view(torch.ones(2, 3, dtype=torch.bool), 0)
    with pytest.raises(MaskShapeError, match=r"depth_safe: visibility has shape \(3,\)"):
        depth_safe(torch.ones(3, dtype=torch.bool))
    with pytest.raises(MaskShapeError, match="observer is 3; expected an index from 0 to 2"):
        observer_view(CHAIN, 3)
