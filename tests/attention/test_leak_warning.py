"""The warning of a leak: once, by name, with the cures; never where nothing leaks."""

import warnings

import pytest
import torch

from maskrl.attention import EntityEncoder, LeakWarning, leak_warning, observer_view

CHAIN = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=torch.bool)  # 0 sees 1, 1 sees 2
SCENES = torch.randn(2, 3, 4)


@pytest.fixture(autouse=True)
def afresh(monkeypatch):
    monkeypatch.setattr(leak_warning, "_state", {"told": False, "looked_elsewhere": False})


def encoder(pool=None, depth=2, depth_safe=False):
    return EntityEncoder(4, dim=8, depth=depth, heads=2, pool=pool, depth_safe=depth_safe)


def silent(call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call()


def test_it_names_the_path_the_scene_and_both_cures():
    safe = torch.eye(3, dtype=torch.bool)
    with pytest.warns(LeakWarning) as told:
        encoder()(SCENES, visibility=torch.stack([safe, CHAIN]))
    (warning,) = told
    said = str(warning.message)
    assert "entity 0 reads entity 2 through entity 1 at layer 2 in scene 1," in said
    assert "observer_view(visibility, observer)" in said
    assert "depth_safe=True" in said
    assert warning.filename == __file__, "it points at the call"


def test_it_is_said_once():
    with pytest.warns(LeakWarning, match="reads entity 2 through entity 1 at layer 2, which"):
        encoder()(SCENES, visibility=CHAIN)
    silent(lambda: encoder()(SCENES, visibility=CHAIN))


@pytest.mark.parametrize(
    "call",
    [
        lambda: encoder(depth_safe=True)(SCENES, visibility=CHAIN),
        lambda: encoder(depth=1)(SCENES, visibility=CHAIN),
        lambda: encoder("self", depth=1)(SCENES, visibility=CHAIN, observer=0),
        lambda: encoder()(SCENES),
        lambda: encoder()(SCENES, torch.tensor([True, True, False])),
        lambda: encoder("mean")(SCENES, visibility=observer_view(CHAIN, 0), observer=0),
        lambda: encoder()(SCENES, visibility=CHAIN, queries=1),  # sees all that it reads
        lambda: encoder("self")(SCENES, visibility=CHAIN, observer=torch.tensor([[1, 2]])),
        # Padding is on no path, whatever its rows and columns say.
        lambda: encoder()(SCENES, torch.tensor([True, False, True]), CHAIN),
    ],
)
def test_it_is_not_said_where_nothing_leaks(call):
    silent(call)


@pytest.mark.parametrize(
    "call",
    [
        lambda: encoder("self")(SCENES, visibility=CHAIN, observer=0),
        lambda: encoder()(SCENES, visibility=CHAIN, queries=torch.tensor([[2], [0]])),
        lambda: encoder()(SCENES, torch.ones(2, 3, dtype=torch.bool), CHAIN),
        # Pooling is one more layer.
        lambda: encoder("mean", depth=1)(SCENES, visibility=CHAIN, observer=0),
    ],
)
def test_it_is_said_where_somebody_asks_for_such_a_row(call):
    with pytest.warns(LeakWarning, match="entity 0 reads entity 2 through entity 1"):
        call()


def test_it_tells_the_scene_of_the_row_that_was_asked_for():
    with pytest.warns(LeakWarning, match="in scene 1, which"):
        encoder()(SCENES, visibility=CHAIN, queries=torch.tensor([[2], [0]]))


def test_it_tells_the_view_of_the_scene():
    graphs = torch.stack([torch.ones(3, 3, dtype=torch.bool), CHAIN])  # two views of one scene
    with pytest.warns(LeakWarning, match="in scene 0, 1, which"):
        encoder()(SCENES[:1].unsqueeze(1), visibility=graphs.unsqueeze(0), queries=0)


def test_a_traced_graph_is_not_looked_at():
    traced = torch.compile(encoder(), backend="eager")
    silent(lambda: traced(SCENES, visibility=CHAIN))
    module = encoder()  # its weights are drawn outside of the transform
    each = torch.func.vmap(lambda x, graph: module(x, visibility=graph, queries=0), (0, 0))
    silent(lambda: each(SCENES, torch.stack([CHAIN, CHAIN])))
