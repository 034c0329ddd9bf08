"""A layer of attention between entities, whole: projections, masks, softmax, output, gradients.

64 features, 4 heads of 16; a fifth of the slots is padding, and 70 % of the pairs see each other.
*Learning* is forward and backward, the input's gradient included; *acting* the forward pass of a
rollout. maskrl gets `entity_mask` and `visibility` and guards what is padding. The others get one
permission made beforehand, rows of padding opened and their content 0, so that nothing of it can go
wrong or cost them anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maskrl.attention import EntityAttention
from maskrl.bench.contenders.article import ArticleAttention
from maskrl.bench.correctness import TOLERANCE, Check
from maskrl.bench.results import OURS_NAME
from maskrl.bench.tasks import Entrant, Run, Task
from maskrl.bench.timing import timed
from maskrl.kernels.scenes.definition import Sight, layer_by_definition

DIM, HEADS = 64, 4
SHAPES = ((1024, 8), (1024, 32), (128, 128))
ACTING = (256, 12)
QUICK_SHAPES, QUICK_ACTING = ((4, 8),), (4, 6)
PRESENT, SEEN = 0.8, 0.7

ARTICLE, TORCH = "article", "torch"
MULTIHEAD = "nn.MultiheadAttention"


@dataclass(frozen=True)
class Scenes:
    """A batch of scenes.

    Attributes:
        x: float32 `[B, E, 64]`, a leaf; rows of padding are 0.
        entity_mask: bool `[B, E]`.
        visibility: bool `[B, E, E]`.
        upstream: The gradient of the output, 0 in rows of padding.
    """

    x: Tensor
    entity_mask: Tensor
    visibility: Tensor
    upstream: Tensor

    @classmethod
    def draw(cls, batch: int, entities: int, *, seed: int = 0) -> Scenes:
        """Draw scenes of which none is empty."""
        generator = torch.Generator().manual_seed(seed)
        present = torch.rand(batch, entities, generator=generator) < PRESENT
        present[:, 0] = True
        sees = torch.rand(batch, entities, entities, generator=generator) < SEEN
        x, upstream = (
            torch.where(
                present[..., None], torch.randn(batch, entities, DIM, generator=generator), 0.0
            )
            for _ in range(2)
        )
        return cls(x.requires_grad_(), present, sees, upstream)

    def permission(self) -> Tensor:
        """Who may attend to whom `[B, E, E]`, rows of padding opened to themselves."""
        itself = torch.eye(self.x.shape[1], dtype=torch.bool)
        return (self.visibility & self.entity_mask[:, None]) | itself


def attention(entrants: Sequence[Entrant], *, quick: bool) -> Iterator[Task]:
    """Learning from three shapes of scenes, and acting in small ones."""
    names = {entrant.name for entrant in entrants}
    cases = [("learning", shape) for shape in (QUICK_SHAPES if quick else SHAPES)]
    for workload, shape in [*cases, ("acting", QUICK_ACTING if quick else ACTING)]:
        scenes = Scenes.draw(*shape)
        layer = EntityAttention(DIM, HEADS)
        ways = _ways(layer, scenes, names)
        runs = [_run(name, layer, module, call, scenes, workload) for name, module, call in ways]
        yield Task("attention", case_name(*shape), workload, None, runs)


def case_name(batch: int, entities: int) -> str:
    """How tables call a shape."""
    return f"{batch} scenes of {entities} entities"


Way = tuple[str, nn.Module, Callable[[], Tensor]]


def _ways(layer: EntityAttention, scenes: Scenes, names: set[str]) -> list[Way]:
    """Everybody's name, module with the layer's weights, and forward pass."""
    x, permission = scenes.x, scenes.permission()
    ways: list[Way] = [
        (OURS_NAME, layer, lambda: layer(x, scenes.entity_mask, scenes.visibility)),
    ]
    if ARTICLE in names:
        article = ArticleAttention(DIM, HEADS)
        _same(article.qkv.weight, layer.qkv.weight)
        _same(article.out.weight, layer.out.weight)
        _same(article.out.bias, torch.zeros(DIM))
        ways.append((ARTICLE, article, lambda: article(x, permission)))
    if TORCH in names:
        multihead = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
        _same(multihead.in_proj_weight, layer.qkv.weight)
        _same(multihead.in_proj_bias, torch.zeros(3 * DIM))
        _same(multihead.out_proj.weight, layer.out.weight)
        _same(multihead.out_proj.bias, torch.zeros(DIM))
        blocked = (~permission).repeat_interleave(HEADS, 0)
        ways.append(
            (
                MULTIHEAD,
                multihead,
                lambda: multihead(x, x, x, attn_mask=blocked, need_weights=False)[0],
            )
        )
    return ways


def _same(parameter: Tensor, values: Tensor) -> None:
    with torch.no_grad():
        parameter.copy_(values)


def _run(
    name: str,
    layer: EntityAttention,
    module: nn.Module,
    call: Callable[[], Tensor],
    scenes: Scenes,
    workload: str,
) -> Run:
    wanted = (scenes.x, *module.parameters())

    def learn() -> tuple[Tensor, ...]:
        return torch.autograd.grad(call(), wanted, scenes.upstream)

    def check() -> Check:
        x, into, out_of = (
            t.detach().double().requires_grad_()
            for t in (scenes.x, layer.qkv.weight, layer.out.weight)
        )
        sight = Sight(
            HEADS, layer.dim_head**-0.5, scenes.permission(), scenes.entity_mask, scenes.entity_mask
        )
        exact = layer_by_definition(x, into, out_of, sight)
        (exact_gradient,) = torch.autograd.grad(exact, x, scenes.upstream.double())
        there = scenes.entity_mask
        with torch.no_grad():
            errors = {"output": call()[there] - exact[there]}
        if workload == "learning":
            errors["gradient"] = learn()[0][there] - exact_gradient[there]
        sizes = {what: float(error.detach().abs().max()) for what, error in errors.items()}
        off = [f"{what} off by {size:.1e}" for what, size in sizes.items() if not size <= TOLERANCE]
        return Check(max(sizes.values()), ", ".join(off) or None)

    if workload == "learning":
        return Run(name, timed(learn), check)
    return Run(name, timed(call, torch.inference_mode), check)
