"""Agents on a grid: one distribution for every cell, or rows for those who are there.

64 grids of 16 by 16 cells, 10 agents on each, seven heads with 78 logits in a cell. Who
computes all cells multiplies by the agent mask at the end; `GridwiseCategorical`
gathers the agents first, or gets their rows right away from a network that knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from maskrl.bench.contenders.contract import Way
from maskrl.bench.correctness import Check, check_learning
from maskrl.bench.groups.rows import NVEC
from maskrl.bench.inputs import Inputs, make_inputs
from maskrl.bench.tasks import Entrant, Run, Task
from maskrl.bench.timing import timed
from maskrl.distributions.gridwise_categorical import GridwiseCategorical

PACKED = "maskrl, packed"
GRIDS, SIDE, AGENTS, SLOTS = 64, 16, 10, 16
ALLOWED = 0.3

Learn = Callable[[], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Scene:
    """Agents at cells, and what they and the empty cells around them compute.

    Attributes:
        agents: Packed rows of all agents: logits `[M, 78]`, masks, actions; the weights are
            those of the grids `[B]`.
        places: int64 `[M]`: the flat cell `b * H * W + y * W + x` of each agent, rising.
        grids: B.
        side: H and W.
    """

    agents: Inputs
    places: Tensor
    grids: int
    side: int

    @property
    def cells(self) -> int:
        """Cells of a grid."""
        return self.side**2

    def spread(self, rows: Tensor, fill: Tensor) -> Tensor:
        """Put the agents' rows at their cells `[B * H * W, ...]`, over a copy of `fill`."""
        return fill.detach().clone().index_copy_(0, self.places, rows.detach())


def make_scene(grids: int, side: int, agents: int, *, seed: int = 0) -> Scene:
    """Draw agents' places, logits, masks and actions."""
    rows = make_inputs(grids * agents, NVEC, ALLOWED, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(grids, side**2, generator=generator).argsort(-1)[:, :agents]
    places = (order.sort(-1).values + side**2 * torch.arange(grids)[:, None]).flatten()
    weights = (rows.weights[0][:grids], rows.weights[1][:grids])
    per_grid = Inputs(rows.logits, rows.action_mask, rows.actions, weights, rows.nvec)
    return Scene(per_grid, places, grids, side)


def grid(entrants: Sequence[Entrant], *, quick: bool) -> Iterator[Task]:
    """Learning from the joint action of all agents, the gradient included."""
    grids, side, agents = (2, 4, 3) if quick else (GRIDS, SIDE, AGENTS)
    scene = make_scene(grids, side, agents)
    runs = []
    for entrant in entrants:
        if entrant.name == "maskrl":
            runs += _ours(entrant, scene)
        way = entrant.way(NVEC, "learning")
        if way is not None:
            runs.append(_all_cells(entrant, way, scene))
    if runs:
        case = f"{grids} grids {side}x{side}, {agents} agents"
        yield Task("grid", case, "learning", ALLOWED, runs, ours=PACKED)


def _ours(entrant: Entrant, scene: Scene) -> list[Run]:
    """The three layouts of `GridwiseCategorical`."""
    agents, cells, side = scene.agents, scene.cells, scene.side
    per_grid = len(scene.places) // scene.grids
    offsets = torch.arange(scene.grids + 1) * per_grid

    def packed() -> tuple[Tensor, Tensor]:
        joint = GridwiseCategorical.from_packed(
            agents.logits, offsets, agents.action_mask, nvec=NVEC
        )
        return joint.log_prob(agents.actions), joint.entropy()

    slots = max(SLOTS, per_grid)
    at_slots = (slots * torch.arange(scene.grids)[:, None] + torch.arange(per_grid)).flatten()
    total = scene.grids * slots
    there = torch.zeros(total, dtype=torch.bool).index_fill_(0, at_slots, True)
    slot_logits = (
        torch.randn(total, sum(NVEC)).index_copy_(0, at_slots, agents.logits.detach())
    ).view(scene.grids, slots, -1)
    slot_logits.requires_grad_()
    slot_mask = torch.zeros(total, sum(NVEC), dtype=torch.bool)
    slot_mask = slot_mask.index_copy_(0, at_slots, agents.action_mask).view(scene.grids, slots, -1)
    slot_actions = torch.zeros(total, len(NVEC), dtype=torch.int64)
    slot_actions = slot_actions.index_copy_(0, at_slots, agents.actions)
    slot_actions = slot_actions.view(scene.grids, slots, -1)
    slot_there = there.view(scene.grids, slots)

    def in_slots() -> tuple[Tensor, Tensor]:
        joint = GridwiseCategorical.from_slots(slot_logits, slot_there, slot_mask, nvec=NVEC)
        return joint.log_prob(slot_actions), joint.entropy()

    def as_map(rows: Tensor) -> Tensor:
        """`[B * H * W, C]` to `[B, C, H, W]`, laid out as a convolution gives it."""
        return rows.view(scene.grids, side, side, -1).permute(0, 3, 1, 2).contiguous()

    everywhere = scene.grids * cells
    map_logits = as_map(scene.spread(agents.logits, torch.randn(everywhere, sum(NVEC))))
    map_logits.requires_grad_()
    nothing = torch.zeros(everywhere, sum(NVEC), dtype=torch.bool)
    map_mask = as_map(scene.spread(agents.action_mask, nothing))
    no_action = torch.zeros(everywhere, len(NVEC), dtype=torch.int64)
    map_actions = as_map(scene.spread(agents.actions, no_action))
    on_map = torch.zeros(everywhere, dtype=torch.bool).index_fill_(0, scene.places, True)
    map_there = on_map.view(scene.grids, side, side)

    def in_cells() -> tuple[Tensor, Tensor]:
        joint = GridwiseCategorical(map_logits, map_there, map_mask, nvec=NVEC)
        return joint.log_prob(map_actions), joint.entropy()

    def slot_rows(gradient: Tensor) -> Tensor:
        return gradient.reshape(total, -1)[at_slots]

    def map_rows(gradient: Tensor) -> Tensor:
        return gradient.permute(0, 2, 3, 1).reshape(everywhere, -1)[scene.places]

    return [
        run_on_scene(PACKED, entrant, scene, packed, agents.logits, lambda gradient: gradient),
        run_on_scene("maskrl, slots", entrant, scene, in_slots, slot_logits, slot_rows),
        run_on_scene("maskrl, cells", entrant, scene, in_cells, map_logits, map_rows),
    ]


def _all_cells(entrant: Entrant, way: Way, scene: Scene) -> Run:
    """A distribution in every cell; what is there counts by multiplying."""
    agents = scene.agents
    everywhere = scene.grids * scene.cells
    logits = scene.spread(agents.logits, torch.randn(everywhere, sum(NVEC))).requires_grad_()
    # Empty cells allow everything: there is no class here that an empty row would not upset.
    everything = torch.ones(everywhere, sum(NVEC), dtype=torch.bool)
    mask = way.prepare_mask(scene.spread(agents.action_mask, everything))
    no_action = torch.zeros(everywhere, len(NVEC), dtype=torch.int64)
    actions = scene.spread(agents.actions, no_action)
    there = torch.zeros(everywhere).index_fill_(0, scene.places, 1.0)

    def learn() -> tuple[Tensor, Tensor]:
        log_prob, entropy = way.learn(logits, mask, actions)
        return (
            (log_prob * there).view(scene.grids, -1).sum(-1),
            (entropy * there).view(scene.grids, -1).sum(-1),
        )

    name = f"{entrant.name}, all cells"
    return run_on_scene(
        name, entrant, scene, learn, logits, lambda gradient: gradient[scene.places]
    )


def run_on_scene(
    name: str,
    entrant: Entrant,
    scene: Scene,
    learn: Learn,
    logits: Tensor,
    agents_rows: Callable[[Tensor], Tensor],
) -> Run:
    """Time forward and backward; compare with float64, agent by agent summed to grids."""
    surroundings = partial(entrant.surroundings, grad=True)

    def gradient() -> Tensor:
        (result,) = torch.autograd.grad(learn(), logits, scene.agents.weights)
        return result

    def check() -> Check:
        with surroundings():
            return check_learning(
                scene.agents, learn, lambda: agents_rows(gradient()), groups=scene.grids
            )

    return Run(name, timed(gradient, surroundings), check)
