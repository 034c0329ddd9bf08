"""From an action map: the logits of all cells are there, and agents stand in a few of them.

As many grids of 16 by 16 cells as a minibatch of PPO has unless told otherwise, 10 agents on
each, seven heads with 78 logits in a cell. Log-probability and entropy of what all agents do,
and the gradient of the whole map: once by the rows of agents, in slots or packed, with masks and
actions as rollouts store them, and once for every cell, where what is there counts by multiplying.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from maskrl.bench.contenders.contract import Way
from maskrl.bench.groups.grid import AGENTS, ALLOWED, SIDE, Scene, make_scene, run_on_scene
from maskrl.bench.groups.rows import NVEC
from maskrl.bench.results import OURS_NAME
from maskrl.bench.tasks import Entrant, Run, Task
from maskrl.distributions.gridwise_categorical import GridwiseCategorical
from maskrl.kernels.map_rows import rows_at

SLOTS_OF_MAP = "maskrl, slots of the map"
MAPS = 256
OPPONENTS = (OURS_NAME, "torch")
"""Whose way to compute all cells is shown; others take many times as long, as `grid` tells."""


def grid_maps(entrants: Sequence[Entrant], *, quick: bool) -> Iterator[Task]:
    """Learning from action maps."""
    grids, side, agents = (2, 4, 3) if quick else (MAPS, SIDE, AGENTS)
    scene = make_scene(grids, side, agents, seed=1)
    runs = []
    for entrant in entrants:
        if entrant.name not in OPPONENTS:
            continue
        if entrant.name == OURS_NAME:
            runs += _ours(entrant, scene)
        way = entrant.way(NVEC, "learning")
        if way is not None:
            runs.append(_all_cells(entrant, way, scene))
    if runs:
        case = f"{grids} action maps {side}x{side}, {agents} agents"
        yield Task("grid", case, "learning", ALLOWED, runs, ours=SLOTS_OF_MAP)


def _map_of(scene: Scene) -> Tensor:
    """Logits `[B, A, H, W]` of all cells, those of agents as the scene has them; a leaf."""
    everywhere = scene.grids * scene.cells
    rows = scene.spread(scene.agents.logits, torch.randn(everywhere, sum(NVEC)))
    planes = rows.view(scene.grids, scene.side, scene.side, -1).permute(0, 3, 1, 2).contiguous()
    return planes.requires_grad_()


def _rows_of_map(scene: Scene, gradient: Tensor) -> Tensor:
    """The agents' rows of the gradient of a map."""
    return gradient.permute(0, 2, 3, 1).reshape(scene.grids * scene.cells, -1)[scene.places]


def _ours(entrant: Entrant, scene: Scene) -> list[Run]:
    """Slots, packed rows, and the map handed over as it is."""
    agents = scene.agents
    count = len(scene.places) // scene.grids
    entry, place = scene.places // scene.cells, scene.places % scene.cells
    planes = _map_of(scene)
    there = torch.ones(scene.grids, count, dtype=torch.bool)
    slot_mask = agents.action_mask.view(scene.grids, count, -1)
    slot_actions = agents.actions.view(scene.grids, count, -1)
    offsets = torch.arange(scene.grids + 1) * count
    everywhere = scene.grids * scene.cells
    size = (scene.grids, scene.side, scene.side)
    nothing = torch.zeros(everywhere, sum(NVEC), dtype=torch.bool)
    map_mask = scene.spread(agents.action_mask, nothing).view(*size, -1).permute(0, 3, 1, 2)
    no_action = torch.zeros(everywhere, len(NVEC), dtype=torch.int64)
    map_actions = scene.spread(agents.actions, no_action).view(*size, -1).permute(0, 3, 1, 2)
    map_mask, map_actions = map_mask.contiguous(), map_actions.contiguous()
    on_map = torch.zeros(everywhere, dtype=torch.bool).index_fill_(0, scene.places, True).view(size)

    def slots() -> tuple[Tensor, Tensor]:
        logits = rows_at(planes, entry, place).view(scene.grids, count, -1)
        joint = GridwiseCategorical.from_slots(logits, there, slot_mask, nvec=NVEC)
        return joint.log_prob(slot_actions), joint.entropy()

    def packed() -> tuple[Tensor, Tensor]:
        joint = GridwiseCategorical.from_packed(
            rows_at(planes, entry, place), offsets, agents.action_mask, nvec=NVEC
        )
        return joint.log_prob(agents.actions), joint.entropy()

    def cells() -> tuple[Tensor, Tensor]:
        joint = GridwiseCategorical(planes, on_map, map_mask, nvec=NVEC)
        return joint.log_prob(map_actions), joint.entropy()

    ways = {SLOTS_OF_MAP: slots, "maskrl, packed rows of the map": packed, "maskrl, map": cells}
    return [
        run_on_scene(name, entrant, scene, learn, planes, lambda g: _rows_of_map(scene, g))
        for name, learn in ways.items()
    ]


def _all_cells(entrant: Entrant, way: Way, scene: Scene) -> Run:
    """A distribution in every cell of the map."""
    agents = scene.agents
    everywhere = scene.grids * scene.cells
    planes = _map_of(scene)
    everything = torch.ones(everywhere, sum(NVEC), dtype=torch.bool)
    mask = way.prepare_mask(scene.spread(agents.action_mask, everything))
    no_action = torch.zeros(everywhere, len(NVEC), dtype=torch.int64)
    actions = scene.spread(agents.actions, no_action)
    there = torch.zeros(everywhere).index_fill_(0, scene.places, 1.0)

    def learn() -> tuple[Tensor, Tensor]:
        rows = planes.permute(0, 2, 3, 1).reshape(everywhere, -1)
        log_prob, entropy = way.learn(rows, mask, actions)
        return (
            (log_prob * there).view(scene.grids, -1).sum(-1),
            (entropy * there).view(scene.grids, -1).sum(-1),
        )

    name = f"{entrant.name}, all cells"
    return run_on_scene(name, entrant, scene, learn, planes, lambda g: _rows_of_map(scene, g))
