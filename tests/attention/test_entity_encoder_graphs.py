"""Random directed graphs: a hidden entity moves nothing, whatever the encoder is made of.

Each graph comes with 2 to 12 entities, padding, 1 to 4 layers and one of all poolings, some
with types, positions, a count and feed-forward parts. Every entity is moved in turn, by a
step and to 1e30, its position with it; every observer's output, and its gradient, must not
notice unless it sees the entity. The same measure without a cure finds the leaks.
"""

import contextlib
import shutil
from dataclasses import dataclass

import pytest
import torch

from maskrl.attention import EntityEncoder, observer_view, record_attention

POOLS = [None, "self", "mean", "max", "attention"]
CASES = 4 * len(POOLS)  # depths and poolings; one block of graphs has each of them
CURES = ["observer_view", "depth_safe"]
WIDTH = 8


@dataclass
class Graph:
    """One scene, who may look at whom in it, and an encoder for it."""

    x: torch.Tensor  # [E, 4]
    present: torch.Tensor  # bool [E]
    visibility: torch.Tensor  # bool [E, E]
    positions: torch.Tensor  # int64 [E, 2]
    depth: int
    pool: str | None
    options: dict
    split: int  # entities of the first of two types; 0 for one type

    def encoder(self, depth_safe, dtype):
        torch.manual_seed(self.depth)
        features = {"near": 4, "far": 3} if self.split else 4
        encoder = EntityEncoder(
            features, WIDTH, self.depth, 2, pool=self.pool, depth_safe=depth_safe, **self.options
        )
        with torch.no_grad():  # tables of biases start at 0, where no test would see them
            for name, parameter in encoder.named_parameters():
                if name.endswith("table"):
                    parameter.normal_(std=2.0)
        return encoder.to(dtype)

    def scene(self, x):
        """The entities x [..., E, 4] by type, not in the order of the encoder."""
        near, far = x[..., : self.split, :], x[..., self.split :, :3]
        return {"far": far, "near": near} if self.split else {"all": x}

    def reads(self):
        """Who may attend to whom: bool [E, E]."""
        sees = self.visibility | torch.eye(len(self.x), dtype=torch.bool)
        return sees & self.present & self.present.unsqueeze(-1)

    def reaches(self):
        """Who moves whom without a cure: along paths, one step per layer and pooling."""
        steps = self.depth + (self.pool in ("mean", "max", "attention"))
        reads = self.reads()
        reached = reads
        for _ in range(steps - 1):
            reached = (reached.double() @ reads.double()) > 0
        return reached


def make_graph(number):
    generator = torch.Generator().manual_seed(number)

    def whole(low, high):
        return int(torch.randint(low, high + 1, (), generator=generator))

    entities = whole(2, 12)
    density = float(torch.rand((), generator=generator))
    typed, positioned, counting, fed = (whole(0, 1) for _ in range(4))
    pool = POOLS[number // 4 % len(POOLS)]
    options = {"feed_forward": 6 * fed, "count_feature": bool(counting and pool)}
    if positioned:
        options["relative_position"] = whole(1, 3)
    return Graph(
        x=torch.randn(entities, 4, generator=generator, dtype=torch.float64),
        present=torch.rand(entities, generator=generator) < 0.85,
        visibility=torch.rand(entities, entities, generator=generator) < density,
        positions=torch.randint(0, 6, (entities, 2), generator=generator),
        depth=number % 4 + 1,
        pool=pool,
        options=options,
        split=whole(1, entities - 1) if typed else 0,
    )


def outputs(graph, encoder, scene, positions, cure):
    """Observer i's output for copy i of the scene, of entities [..., i, :, :]: [..., E, out]."""
    entities = len(graph.x)
    dimensions = next(iter(scene.values())).ndim
    visibility = graph.visibility
    if cure == "observer_view":
        visibility = observer_view(visibility)  # one view for each observer
    index = torch.arange(entities).view((1,) * (dimensions - 3) + (-1, 1))
    inputs = {"queries" if graph.pool is None else "observer": index}
    if "relative_position" in graph.options:
        inputs["positions"] = positions
    x = scene if graph.split else scene["all"]
    return encoder(x, graph.present, visibility, **inputs).squeeze(-2)


def influence(graph, encoder, cure, far=None):
    """Whether output i changes in any bit when entity j moves: bool [i, j]."""
    entities = len(graph.x)
    dtype = next(encoder.parameters()).dtype
    # One copy of the scene for each entity that moves, and for every observer.
    still = graph.x.to(dtype).repeat(entities, entities, 1, 1)
    still_at = graph.positions.repeat(entities, 1, 1, 1)
    moved, moved_to = still.clone(), still_at.clone()
    for j in range(entities):
        moved[j, :, j] = moved[j, :, j] + 1 if far is None else far
        moved_to[j, :, j] = moved_to[j, :, j] + 2 if far is None else -(2**62)
    with torch.no_grad():  # place by place: elsewhere in a batch a row may be rounded otherwise
        before = outputs(graph, encoder, graph.scene(still), still_at, cure)
        after = outputs(graph, encoder, graph.scene(moved), moved_to, cure)
    assert before.isfinite().all()
    assert after.isfinite().all()
    return (after != before).any(-1).transpose(0, 1)


def slopes(graph, encoder, cure):
    """Whether output i has a gradient with respect to entity j: bool [i, j]."""
    entities = len(graph.x)
    x = graph.x.to(next(encoder.parameters()).dtype).repeat(entities, 1, 1)
    scene = {name: part.clone().requires_grad_() for name, part in graph.scene(x).items()}
    out = outputs(graph, encoder, scene, graph.positions, cure)
    weights = torch.randn(out.shape[-1], generator=torch.Generator().manual_seed(1)).to(out.dtype)
    grads = torch.autograd.grad((out @ weights).sum(), list(scene.values()))
    assert all(grad.isfinite().all() for grad in grads)
    felt = {n: (g != 0).any(-1) for n, g in zip(scene, grads, strict=True)}
    return torch.cat([felt["near"], felt["far"]], -1) if graph.split else felt["all"]


def check_cures(graph, dtype=torch.float64, wrap=lambda encoder: encoder, far=True):
    """Assert that nothing hidden matters; count what is seen and does."""
    hidden, seen = ~graph.reads(), 0
    for cure in CURES:
        encoder = wrap(graph.encoder(cure == "depth_safe", dtype))
        for change in (
            influence(graph, encoder, cure),
            *([influence(graph, encoder, cure, far=1e30)] if far else []),
            slopes(graph, encoder, cure),
        ):
            assert not change[hidden].any()
            seen += int(change[~hidden].sum())
    return seen


def check_leaks(graph):
    """Assert that without a cure exactly what has a path gets through; count it."""
    encoder = graph.encoder(False, torch.float64)
    reached, leaked = graph.reaches(), 0
    for change in (influence(graph, encoder, None), slopes(graph, encoder, None)):
        assert not change[~reached].any()
        leaked += int((change & ~graph.reads()).sum())
    expected = int((reached & ~graph.reads()).sum())
    if graph.pool != "max":  # a maximum that others hold does not move
        assert (leaked > 0) == (expected > 0)
    return leaked


def block(number):
    return [make_graph(CASES * number + k) for k in range(CASES)]


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 25))]
)
def test_what_is_hidden_moves_nothing_and_without_a_cure_it_does(number):
    graphs = block(number)
    assert {(g.depth, g.pool) for g in graphs} == {(d, p) for d in (1, 2, 3, 4) for p in POOLS}
    assert sum(check_cures(graph) for graph in graphs) > 100
    assert sum(check_leaks(graph) for graph in graphs) > 100


def test_five_hundred_graphs_have_every_option_and_size():
    graphs = [make_graph(n) for n in range(500)]
    assert {len(g.x) for g in graphs} == set(range(2, 13))
    assert any(not g.present.all() for g in graphs)
    for pool in POOLS:
        together = [g for g in graphs if g.pool == pool]
        assert any(g.split for g in together)
        assert any(g.options["feed_forward"] for g in together)
        assert any("relative_position" in g.options for g in together)
        assert any(g.options["count_feature"] for g in together) == (pool is not None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_in_every_precision(dtype):
    assert sum(check_cures(graph, dtype, far=dtype != torch.float16) for graph in block(25)) > 100


def test_in_evaluation():
    assert sum(check_cures(graph, wrap=lambda e: e.eval()) for graph in block(26)) > 100


def test_while_maps_are_recorded():
    """The second path, in training and evaluation; and its maps put 0 on what is hidden."""
    for number, graph in enumerate(block(27)):
        with contextlib.ExitStack() as recorders:
            recorded = []

            def watched(encoder, recorders=recorders, recorded=recorded, train=number % 2 == 0):
                recorded.append(recorders.enter_context(record_attention(encoder)))
                return encoder.train(train)

            check_cures(graph, wrap=watched)
            assert all(recorded)
            first = recorded[CURES.index("depth_safe")][0]  # [..., heads, Q, E]
            hidden = ~graph.reads()
            if first.shape[-2] == len(graph.x):
                assert not (first != 0).any(-3)[..., hidden].any()


def compiled(backend):
    def wrap(encoder):
        torch._dynamo.reset()
        return torch.compile(encoder, backend=backend, dynamic=False)

    return wrap


@pytest.mark.parametrize(
    "number", [5, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 10, 15))]
)
def test_compiled(number):
    """Traced forward and backward, with types, positions, count and feed-forward parts."""
    graph = make_graph(number * 20 + 1)
    graph.pool, graph.depth = POOLS[number // 5 + 1], 2
    graph.options = {"feed_forward": 6, "count_feature": True, "relative_position": 2}
    graph.split = 1
    assert check_cures(graph, torch.float32, compiled("aot_eager"), far=False) > 0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch's inductor wants a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit's, from inside inductor
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_to_code(dtype):
    for graph in block(28)[5::7]:
        check_cures(graph, dtype, compiled("inductor"), far=False)
