"""The figures that the project set itself, read from the cells of one run.

A goal appears only where its cells were measured with everybody it needs. Against other
libraries the fastest of their classes as they are counts, cell by cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from maskrl.bench.contenders.contract import CLASS, PLAIN, UNCHECKED
from maskrl.bench.groups.attention import ARTICLE, MULTIHEAD, case_name
from maskrl.bench.groups.grid import PACKED
from maskrl.bench.groups.grid_maps import SLOTS_OF_MAP
from maskrl.bench.groups.memory import GRADIENT
from maskrl.bench.groups.rows import COPY, SHAPES
from maskrl.bench.groups.training_names import CEILING, MASKABLE_PPO, NATIVE, NETWORK_ALONE
from maskrl.bench.results import CellResult, Goal, geometric_mean

LARGE = tuple(f"{rows}x{actions}" for rows, actions in SHAPES if rows * actions >= 2048 * 8)

ATTENTION = {(1024, 8): 1 / 1.05, (1024, 32): 1.3, (128, 128): 2.5}
"""How many times the article's time attention has to be faster, by scenes and entities."""

Rated = list[tuple[float, CellResult]]


def goals(cells: Sequence[CellResult], kinds: Mapping[str, str]) -> list[Goal]:
    """All goals that these cells can tell.

    Args:
        cells: Of one run.
        kinds: Kind of each contender.
    """
    rows = [cell for cell in cells if cell.group == "rows"]
    heads = [cell for cell in cells if cell.group == "heads"]
    classes = fastest(rows, lambda name: kinds.get(name) == CLASS)
    unchecked = fastest(rows, lambda name: kinds.get(name) in (CLASS, UNCHECKED))
    plain = fastest([*rows, *heads], lambda name: kinds.get(name) == PLAIN)
    sb3_heads = fastest(heads, lambda name: name == "sb3-contrib")
    found = [
        *_least("every shape, against the fastest class", classes, 3.0),
        *_least(
            "from 2048x8 up, against the fastest class",
            [(ratio, cell) for ratio, cell in classes if cell.case in LARGE],
            10.0,
        ),
        *_mean("geometric mean, against the fastest class", classes, 10.0),
        *_mean("geometric mean, the others' checks switched off", unchecked, 10.0),
        *_least("every shape and heads, against plain torch", plain, 1.0),
        *_least("seven heads, against sb3-contrib's MultiDiscrete class", sb3_heads, 20.0),
    ]
    for workload, most in (("acting", 3.0), ("learning", 6.0)):
        found += _copies(rows, workload, most)
    found += _grid(cells)
    found += _attention(cells)
    found += _memory(cells)
    found += _worlds(cells)
    found += _training(cells)
    return found


def fastest(cells: Iterable[CellResult], takes_part: Callable[[str], bool]) -> Rated:
    """Per cell the smallest ratio among some contenders; cells without any are left out."""
    rated: Rated = []
    for cell in cells:
        ratios = [cell.ratio(t.contender) for t in cell.timings if takes_part(t.contender)]
        known = [ratio for ratio in ratios if ratio is not None]
        if known:
            rated.append((min(known), cell))
    return rated


def _least(name: str, rated: Rated, target: float) -> list[Goal]:
    if not rated:
        return []
    ratio, cell = min(rated, key=lambda pair: pair[0])
    return [Goal(f"{name}: times as fast", ratio, target, where=cell.name)]


def _mean(name: str, rated: Rated, target: float) -> list[Goal]:
    if not rated:
        return []
    return [Goal(f"{name}: times as fast", geometric_mean([r for r, _ in rated]), target)]


def _copies(rows: Sequence[CellResult], workload: str, most: float) -> list[Goal]:
    """How many plain copies of the logits maskrl takes, the slowest share allowed."""
    rated = []
    for cell in rows:
        copy, ours = cell.timing(COPY), cell.timing(cell.ours)
        if cell.workload == workload and copy is not None and ours is not None:
            rated.append((ours.median / copy.median, cell))
    if not rated:
        return []
    copies, cell = max(rated, key=lambda pair: pair[0])
    return [Goal(f"{workload}, in copies of the logits", copies, most, False, cell.name)]


def _grid(cells: Sequence[CellResult]) -> list[Goal]:
    found = []
    for cell in cells:
        if cell.group == "grid" and cell.ours == PACKED:
            dense = fastest([cell], lambda name: name.endswith("all cells"))
            found += _least("agents on a grid, packed against all cells", dense, 8.0)
        if cell.group == "grid" and cell.ours == SLOTS_OF_MAP:
            dense = fastest([cell], lambda name: name.endswith("all cells"))
            found += _least("from an action map, slots against all cells", dense, 5.0)
    return found


def _attention(cells: Sequence[CellResult]) -> list[Goal]:
    learning = [c for c in cells if c.group == "attention" and c.workload == "learning"]
    least = {case_name(*shape): ratio for shape, ratio in ATTENTION.items()}
    found = []
    for cell in learning:
        if cell.case in least:
            name = f"attention, {cell.case}, against the article"
            found += _least(name, fastest([cell], lambda other: other == ARTICLE), least[cell.case])
    multihead = fastest(learning, lambda name: name == MULTIHEAD)
    return found + _least(f"attention, against {MULTIHEAD}", multihead, 1.0)


def _memory(cells: Sequence[CellResult]) -> list[Goal]:
    for cell in cells:
        gradient, ours = cell.timing(GRADIENT), cell.timing(cell.ours)
        if cell.group == "memory" and gradient is not None and ours is not None:
            share = ours.median / gradient.median
            return [Goal("memory while learning, in gradients", share, 1.1, False, cell.case)]
    return []


def _worlds(cells: Sequence[CellResult]) -> list[Goal]:
    for cell in cells:
        ours = cell.timing(cell.ours)
        if cell.group == "worlds" and cell.steps is not None and ours is not None:
            return [Goal(f"{cell.case}: steps/s", cell.steps / ours.median, 2e6)]
    return []


def _training(cells: Sequence[CellResult]) -> list[Goal]:
    found = []
    for cell in cells:
        if cell.group != "training":
            continue
        theirs = cell.ratio(MASKABLE_PPO)
        if theirs is not None:
            least = 4.0 if cell.case.startswith(NATIVE) else 2.0
            found.append(Goal(f"training, {cell.case}: times MaskablePPO", theirs, least))
        ceiling = cell.ratio(CEILING)
        if ceiling is not None:
            found.append(Goal(f"training, {cell.case}: share of the ceiling", ceiling, 0.75))
        networks = cell.ratio(NETWORK_ALONE)
        if networks is not None and cell.case.startswith(NATIVE):
            name = f"training, {cell.case}: share of time beside the networks"
            found.append(Goal(name, 1.0 - networks, 0.35, False))
    return found
