"""Holds the mining worlds against the engine of their task, step by step, by recorded traces.

    python examples/mining_against_engine.py record 10x10 --behaviour mixed --out trace.npz
    python examples/mining_against_engine.py compare trace.npz [...]

`record` runs in an environment of its own, with gym-microrts 0.1.2 and Java (docs/mining.md has
the recipe), and imports nothing of maskrl: it plays, and writes down what was done, seen and
allowed. `compare` needs maskrl alone: it plays the same in `mining-*` and reports the first
difference in each quantity.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from mining_engine import ATTACK, HARVEST, MOVE, NONE, PRODUCE, RETURN, Engine, Order, Player

MAPS = ("4x4", "10x10", "16x16", "24x24")
PLANES = 27
START_STOCK = 5


def record(
    size: str, behaviour: str, episodes: int, seed: int, limit: int = 200, stock: int = START_STOCK
) -> dict[str, Any]:
    """Play on the engine, each episode with so much in store at its start.

    Returns:
        The trace. Per step: `actions` `[T, 8]`, `rewards`, `terminated`, `truncated` `[T]` and
        `invalid` `[T, 3]`. Per frame, which are the steps and one more at the start of each of
        the episodes of `lengths` steps: `planes` (bits, each frame xor the one before), `masks`
        (bits of source and target) and `stock`; `units` `[K, 8]` are frame, cell, owner, type,
        hit points, carried, current action and ticks left. `rows` `[M, 2]` are frame and cell
        of own units whose bits over types and parameters are in `listed`, and `refused`
        `[L, 5]` are frame, cell, type, where and what of listed orders that are not carried out.
    """
    engine = Engine(size)
    player = Player(engine, behaviour, seed)
    names = ("lengths", "actions", "rewards", "terminated", "truncated", "invalid")
    names += ("planes", "masks", "stock", "units", "rows", "listed", "refused")
    trace: dict[str, list[Any]] = {name: [] for name in names}

    def look() -> None:
        frame = len(trace["stock"])
        trace["planes"].append(np.packbits(engine.planes))
        trace["masks"].append(np.packbits(np.concatenate(engine.masks())))
        trace["stock"].append(engine.stock)
        for unit in engine.units():
            trace["units"].append([frame, *unit])
            if unit[1] == 0:
                trace["rows"].append([frame, unit[0]])
                trace["listed"].append(np.packbits(engine.listed(unit[0])))
                if unit[6] == 0:
                    trace["refused"] += [[frame, *order] for order in engine.refused(unit[0])]

    for _ in range(episodes):
        engine.reset()
        engine.stock = stock
        look()
        terminated = truncated = False
        steps = 0
        while not (terminated or truncated) and steps < limit:
            action = player.act()
            reward, terminated, truncated, invalid = engine.step(action)
            steps += 1
            for name, value in zip(
                names[1:6], (action, reward, terminated, truncated, invalid), strict=True
            ):
                trace[name].append(value)
            look()
        trace["lengths"].append(steps)
    return _packed(trace, size, behaviour, seed)


def _packed(trace: dict[str, list[Any]], size: str, behaviour: str, seed: int) -> dict[str, Any]:
    types = {"rewards": np.float32, "terminated": bool, "truncated": bool, "invalid": np.uint8}
    widths = {"units": 8, "rows": 2, "refused": 5}
    arrays: dict[str, Any] = {"size": size, "behaviour": behaviour, "seed": seed}
    for name, rows in trace.items():
        if name in ("planes", "masks", "listed"):
            arrays[name] = np.stack(rows)
        else:
            array = np.array(rows, types.get(name, np.int16))
            arrays[name] = array.reshape(-1, widths[name]) if name in widths else array
    for name in ("planes", "masks", "listed"):
        arrays[name][1:] ^= arrays[name][:-1].copy()
    return arrays


Difference = tuple[str, int, int, str]
"""What differs first in a quantity: its name, episode, step (0: the start), and how."""


def compare(trace: dict[str, Any]) -> tuple[list[Difference], int]:
    """Play a trace again in maskrl, in worlds with masks of all three strengths.

    Args:
        trace: As `record` makes it.

    Returns:
        The first difference in each quantity, and the frames compared.
    """
    from maskrl.envs.games.mining.single_env import MiningEnv

    size = str(trace["size"])
    worlds = {masks: MiningEnv(board=size, masks=masks) for masks in ("published", "heads")}
    worlds["conditional"] = MiningEnv(board=size, masks="conditional")
    truth = _Frames(trace, worlds["published"].settings.size)
    found: dict[str, Difference] = {}

    def check(name: str, expected: Any, got: Any) -> None:
        if name not in found and not np.array_equal(expected, got):
            found[name] = (name, *where, _how(expected, got))

    frame = action = 0
    where = (0, 0)
    for episode, steps in enumerate(np.atleast_1d(trace["lengths"])):
        for step in range(int(steps) + 1):
            where = (episode, step)
            for masks, world in worlds.items():
                if step == 0:
                    observation, _ = world.reset()
                    if int(trace["stock"][frame]) != START_STOCK:
                        _fill_store(world, int(trace["stock"][frame]))
                        continue  # the observation is that of a poorer start
                else:
                    order = trace["actions"][action].astype(np.int64)
                    if masks == "published":
                        counted = bool(trace["invalid"][action].any())
                        check("invalid", counted, world.counts_as_invalid(order))
                    observation, reward, terminated, truncated, _ = world.step(order)
                    check("reward", float(trace["rewards"][action]), reward)
                    check("terminated", bool(trace["terminated"][action]), terminated)
                    check("truncated", bool(trace["truncated"][action]), truncated)
                check("planes", truth.planes(frame), observation["observation"])
                check(f"masks {masks}", *truth.masks(frame, masks, observation))
            board, stock = _board(worlds["conditional"])
            check("units", truth.units(frame), board)
            check("stock", int(trace["stock"][frame]), stock)
            frame += 1
            action += step > 0
    return list(found.values()), frame


class _Frames:
    """A trace, frame by frame, in the form in which maskrl tells the same.

    Args:
        trace: As `record` makes it.
        side: Cells along one side.
    """

    def __init__(self, trace: dict[str, Any], side: int) -> None:
        self._side, self._cells = side, side * side
        unpacked = {
            name: np.unpackbits(np.bitwise_xor.accumulate(trace[name]), axis=1)
            for name in ("planes", "masks", "listed")
        }
        self._planes = unpacked["planes"][:, : self._cells * PLANES]
        self._masks = unpacked["masks"][:, : 2 * self._cells].astype(bool)
        listed = unpacked["listed"].astype(bool)
        self._units: dict[int, list[list[int]]] = {}
        for row in trace["units"].tolist():
            self._units.setdefault(row[0], []).append(row[1:])
        self._listed: dict[int, dict[int, np.ndarray]] = {}
        for (frame, cell), row in zip(trace["rows"].tolist(), listed, strict=True):
            self._listed.setdefault(frame, {})[cell] = row
        self._refused: dict[int, set[Order]] = {}
        for frame, *order in trace["refused"].tolist():
            self._refused.setdefault(frame, set()).add(tuple(order))

    def planes(self, frame: int) -> np.ndarray:
        """What the agent sees, `[H, W, 27]`."""
        return self._planes[frame].reshape(self._side, self._side, PLANES)

    def units(self, frame: int) -> list[list[int]]:
        """As `Engine.units`."""
        return self._units[frame]

    def masks(self, frame: int, masks: str, observation: dict[str, Any]) -> tuple[Any, Any]:
        """What the engine allows and what an observation does, in the same form."""
        flat, cells = observation["action_mask"], self._cells
        if masks == "published":
            between = np.ones(29, bool)
            expected = np.concatenate(
                [self._masks[frame][:cells], between, self._masks[frame][cells:]]
            )
            return expected, flat
        free = [u[0] for u in self._units[frame] if u[1] == 0 and u[6] == 0]
        kept = {cell: self._kept(frame, cell) for cell in free}
        if masks == "heads":
            expected = np.zeros(2 * cells + 29, bool)
            for cell, orders in kept.items():
                expected[cell] = True
                for order in orders:
                    for bit in _bits(order):
                        expected[cells + bit] = True
            return expected, flat
        tables = [observation[name] for name in observation if name.startswith("action_mask:")]
        offered = {
            int(cell): _orders(int(cell), np.concatenate([table[cell] for table in tables]))
            for cell in np.flatnonzero(flat[:cells])
        }
        return kept, offered

    def _kept(self, frame: int, cell: int) -> set[Order]:
        """Orders that the engine lists for a unit, and carries out."""
        return _orders(cell, self._listed[frame][cell]) - self._refused.get(frame, set())


def _orders(cell: int, row: np.ndarray) -> set[Order]:
    """The orders of a mask over types and parameters."""
    types, targets = row[:6], np.flatnonzero(row[29:])
    orders: set[Order] = {(cell, NONE, 0, 0)} if types[NONE] else set()
    for kind in (MOVE, HARVEST, RETURN, PRODUCE):
        if types[kind]:
            start = 2 + 4 * kind
            made = np.flatnonzero(row[22:29]).tolist() if kind == PRODUCE else [0]
            ways = np.flatnonzero(row[start : start + 4]).tolist()
            orders |= {(cell, kind, way, what) for way in ways for what in made}
    if types[ATTACK]:
        orders |= {(cell, ATTACK, int(target), 0) for target in targets}
    return orders


def _bits(order: Order) -> list[int]:
    """Positions in a mask over types and parameters that an order needs."""
    _, kind, where, made = order
    if kind == NONE:
        return [NONE]
    if kind == ATTACK:
        return [ATTACK, 29 + where]
    return [kind, 2 + 4 * kind + where] + ([22 + made] if kind == PRODUCE else [])


def _board(world: Any) -> tuple[list[list[int]], int]:
    """Units and stock of a world, as `Engine.units` and `Engine.stock` tell them."""
    state = world.get_state()["worlds"]
    kind, owner, health, load, order, left = state["board"][0][:6].tolist()
    mine = {0: -1, 1: 0, 2: 1}
    units = [
        [cell, mine[owner[cell]], kind[cell] - 1, health[cell], load[cell], order[cell], left[cell]]
        for cell in range(len(kind))
        if kind[cell]
    ]
    return units, int(state["counts"][0][0])


def _fill_store(world: Any, stock: int) -> None:
    """Give a world another stock than episodes begin with."""
    state = world.get_state()
    state["worlds"]["counts"][0][0] = stock
    world.set_state(state)


def _how(expected: Any, got: Any) -> str:
    """A difference in a few words."""
    if isinstance(expected, np.ndarray) and np.shape(expected) == np.shape(got):
        where = np.argwhere(expected != got)
        first = tuple(int(i) for i in where[0])
        return f"{len(where)} entries, first at {first}: the engine has {expected[first]:g}"
    if isinstance(expected, dict):
        for cell in sorted(expected.keys() | got.keys()):
            theirs, ours = expected.get(cell, set()), got.get(cell, set())
            if theirs != ours:
                return f"cell {cell}: only the engine {theirs - ours}, only maskrl {ours - theirs}"
    if isinstance(expected, list):
        theirs = [row for row in expected if row not in got]
        return (
            f"only the engine {theirs}, only maskrl {[row for row in got if row not in expected]}"
        )
    return f"the engine has {expected}, maskrl {got}"


def read_trace(path: Path) -> dict[str, Any]:
    """A trace from its file."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def main() -> int:
    """Record a trace, or compare traces; 1 if a difference was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    modes = parser.add_subparsers(dest="mode", required=True)
    recording = modes.add_parser("record", help="play on the engine and write a trace")
    recording.add_argument("size", choices=MAPS)
    recording.add_argument("--behaviour", choices=Player.behaviours, default="mixed")
    recording.add_argument("--episodes", type=int, default=1)
    recording.add_argument("--seed", type=int, default=0)
    recording.add_argument("--steps", type=int, default=200, help="at most, of an episode")
    recording.add_argument(
        "--stock", type=int, default=START_STOCK, help="at the start; up to 45 can be compared"
    )
    recording.add_argument("--out", type=Path, required=True)
    comparing = modes.add_parser("compare", help="play traces again in maskrl")
    comparing.add_argument("traces", nargs="+", type=Path)
    args = parser.parse_args()
    if args.mode == "record":
        trace = record(args.size, args.behaviour, args.episodes, args.seed, args.steps, args.stock)
        np.savez_compressed(args.out, **trace)
        print(
            f"{args.size} {args.behaviour}: episodes of {trace['lengths'].tolist()} steps, "
            f"return {trace['rewards'].sum():g}, {len(trace['refused'])} refusals, "
            f"{args.out.stat().st_size / 1024:.1f} KiB"
        )
        return 0
    different = 0
    for path in args.traces:
        trace = read_trace(path)
        differences, frames = compare(trace)
        different += bool(differences)
        print(f"{path.name}: {frames} frames of {trace['size']}, {trace['behaviour']}")
        for name, episode, step, how in differences:
            print(f"  {name} first differs in episode {episode} at step {step}: {how}")
        if not differences:
            print("  no difference")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
