"""The mining task's own engine, and players of it: for examples/mining_against_engine.py.

Needs gym-microrts 0.1.2 and Java, and nothing of maskrl: its environment is one of its own
(docs/mining.md has the recipe). Nothing of the engine is imported before an `Engine` is made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

OFFSETS = ((0, -1), (1, 0), (0, 1), (-1, 0))
"""What the four directions add to column and row: up, right, down, left."""
NONE, MOVE, HARVEST, RETURN, PRODUCE, ATTACK = range(6)
RESOURCE, BASE, BARRACKS, WORKER = range(4)

Order = tuple[int, int, int, int]
"""Cell of the unit, type, direction or target cell, and type of the unit to produce."""


class Engine:
    """The true task, and a look into its state.

    Args:
        size: "4x4", "10x10", "16x16" or "24x24".

    Attributes:
        planes: What the agent sees, bool `[H, W, 27]`.
        nvec: Choices of the eight heads.
    """

    def __init__(self, size: str) -> None:
        vars(np)["int"] = int  # the engine's wrapper asks numpy for it
        import gym
        import gym_microrts  # noqa: F401

        self._env = gym.make(f"MicrortsMining{size}F9-v0", disable_env_checker=True)
        self._inner = self._env.unwrapped
        self.height, self.width = self._inner.config.height, self._inner.config.width
        self.nvec = [int(n) for n in self._env.action_space.nvec]
        client = self._inner.client
        self._state_of = client.getClass().getDeclaredField("gs")
        self._state_of.setAccessible(True)
        from java.io import OutputStream, PrintStream
        from java.lang import System

        System.setErr(PrintStream(OutputStream.nullOutputStream()))  # it prints each refusal

    def reset(self) -> None:
        """Begin the next episode."""
        self.planes = self._env.reset().astype(bool)

    def step(self, action: list[int]) -> tuple[float, bool, bool, list[int]]:
        """Reward, whether all is gathered, whether time is up, and what it counts as invalid."""
        planes, reward, over, info = self._env.step(np.array(action))
        self.planes = planes.astype(bool)
        late = bool(info.get("TimeLimit.truncated", False))
        counted = info["invalid_action_stats"]
        names = ("null", "ownership", "busy_unit")
        return (
            float(reward),
            over and not late,
            late,
            [int(counted[f"num_invalid_action_{name}"]) for name in names],
        )

    @property
    def _state(self) -> Any:
        return self._state_of.get(self._inner.client)

    @property
    def stock(self) -> int:
        """What the agent owns."""
        return int(self._state.getPlayer(0).getResources())

    @stock.setter
    def stock(self, units: int) -> None:
        self._state.getPlayer(0).setResources(units)

    def masks(self) -> tuple[np.ndarray, np.ndarray]:
        """Source and target cells that the task's own mask allows, bool `[H * W]` each."""
        mask = np.asarray(self._inner.action_mask).astype(bool)
        cells = self.height * self.width
        if not mask[cells:-cells].all():
            raise RuntimeError("the task's mask forbids something between source and target")
        return mask[:cells], mask[-cells:]

    def units(self) -> list[list[int]]:
        """Cell, owner, type, hit points, carried, current action, ticks left of every unit."""
        state, found = self._state, []
        for unit in state.getUnits():
            running = state.getActionAssignment(unit)
            shown = left = 0
            if running is not None:
                shown = int(running.action.getType())
                left = int(running.time) + int(running.action.ETA(unit)) - int(state.getTime())
            cell = int(unit.getX()) + self.width * int(unit.getY())
            kind = [int(unit.getPlayer()), int(unit.getType().ID)]
            health = [int(unit.getHitPoints()), int(unit.getResources())]
            found.append([cell, *kind, *health, shown, left])
        return sorted(found)

    def orders(self, cell: int) -> list[Order]:
        """The orders that the engine lists for the unit in a cell."""
        found = self._unit(self._state, cell).getUnitActions(self._state)
        return sorted(self._order(cell, action) for action in found)

    def refused(self, cell: int) -> list[Order]:
        """Orders that it lists, but replaces when they are given."""
        from rts import PlayerAction

        state, found = self._state, []
        for action in self._unit(state, cell).getUnitActions(state):
            copy = state.clone()
            unit = self._unit(copy, cell)
            order = self._order(cell, action)
            given = PlayerAction()
            given.addUnitAction(unit, action)
            copy.issueSafe(given)
            if int(copy.getActionAssignment(unit).action.getType()) != order[1]:
                found.append(order)
        return sorted(found)

    def listed(self, cell: int) -> np.ndarray:
        """The mask over types and parameters of the unit in a cell, bool `[29 + H * W]`."""
        return np.array(self._inner.client.getUnitActionMasks([[int(cell)]]))[0].astype(bool)

    def _unit(self, state: Any, cell: int) -> Any:
        return state.getPhysicalGameState().getUnitAt(cell % self.width, cell // self.width)

    def _order(self, cell: int, action: Any) -> Order:
        kind = int(action.getType())
        if kind == ATTACK:
            return (
                cell,
                kind,
                int(action.getLocationX()) + self.width * int(action.getLocationY()),
                0,
            )
        made = action.getUnitType()
        direction = 0 if kind == NONE else int(action.getDirection())
        return cell, kind, direction, 0 if made is None or kind != PRODUCE else int(made.ID)


class Player:
    """Chooses what to do on the engine: from random actions to skilled work.

    Args:
        engine: Where it plays.
        behaviour: Out of `Player.behaviours`.
        seed: Of its choices.
    """

    skilled = {
        "miner": (1, 0),
        "settlers": (5, 0),
        "army": (3, 1),
        "spenders": (9, 2),
        "debtors": (2, 2),
    }
    """Workers and barracks that a skilled player wants; with barracks it builds fighters.

    Debtors wait with what else they produce until two barracks can make fighters for all that is
    in store, and a base a worker besides: more than can be paid, as no two of them are.
    """
    behaviours = ("random", "masked", "legal", "mixed", *skilled)

    def __init__(self, engine: Engine, behaviour: str, seed: int) -> None:
        self._engine, self._behaviour = engine, behaviour
        self._rng = np.random.default_rng(seed)
        self._spends = False

    def act(self) -> list[int]:
        """The next action, one choice of each head."""
        action = [int(self._rng.integers(n)) for n in self._engine.nvec]
        behaviour = self._behaviour
        if behaviour == "mixed":
            behaviour = self._rng.choice(["legal", "masked", "random"], p=[0.8, 0.17, 0.03])
        if behaviour == "random":
            return action
        for head, mask in zip((0, 7), self._engine.masks(), strict=True):
            if mask.any():
                action[head] = int(self._rng.choice(np.flatnonzero(mask)))
        if behaviour == "masked":
            return action
        orders = self._free_orders()
        if not orders:
            return action
        if behaviour in self.skilled:
            order = self._skilled(orders, *self.skilled[behaviour])
        else:
            kinds = sorted({order[1] for order in orders})
            weights = np.array([(0.2, 1, 4, 4, 1.5, 2)[kind] for kind in kinds])
            kind = self._rng.choice(kinds, p=weights / weights.sum())
            order = self._any([order for order in orders if order[1] == kind])
        return self._as_action(action, order)

    def _free_orders(self) -> list[Order]:
        """All orders listed for own units that are truly free, by unit in random order."""
        free = [u[0] for u in self._engine.units() if u[1] == 0 and u[6] == 0]
        self._rng.shuffle(free)
        return [order for cell in free for order in self._engine.orders(cell)]

    def _any(self, orders: list[Order]) -> Order:
        return orders[int(self._rng.integers(len(orders)))]

    @staticmethod
    def _as_action(action: list[int], order: Order) -> list[int]:
        cell, kind, where, made = order
        action = list(action)
        action[0], action[1] = cell, kind
        if kind == ATTACK:
            action[7] = where
        elif kind != NONE:
            action[1 + kind] = where
        if kind == PRODUCE:
            action[6] = made
        return action

    def _skilled(self, orders: list[Order], workers: int, barracks: int) -> Order:
        """Mine, attack what comes near, build so many workers and barracks, then fighters."""
        units = self._engine.units()
        own = [u for u in units if u[1] == 0]
        of_kind = [sum(u[2] == kind for u in own) for kind in range(7)]
        wishes: list[Callable[[Order], bool]] = [
            lambda o: o[1] in (HARVEST, RETURN) and self._rng.random() < 0.97,
            lambda o: o[1] == ATTACK,
            lambda o: o[1] == PRODUCE and o[3] == WORKER and of_kind[WORKER] < workers,
        ]
        if self._behaviour == "debtors":
            self._spends |= of_kind[BARRACKS] == barracks and self._engine.stock == 4
            wishes[2:] = []
            if self._spends:
                wishes.insert(0, lambda o: o[1] == PRODUCE and o[3] >= WORKER)
        if barracks:
            few = of_kind[BARRACKS] < barracks
            wishes.append(lambda o: o[1] == PRODUCE and o[3] == BARRACKS and few)
            if self._behaviour != "debtors":
                wishes.append(lambda o: o[1] == PRODUCE and o[3] > WORKER)
        for wish in wishes:
            chosen = [order for order in orders if wish(order)]
            if chosen:
                return self._any(chosen)
        moves = [o for o in orders if o[1] == MOVE]
        carrying = {u[0]: u[4] for u in own}
        kinds = {u[0]: u[2] for u in own}
        for cell in dict.fromkeys(order[0] for order in moves):
            goals = {u[0] for u in units if u[1] == 1}
            if kinds[cell] == WORKER:
                goals = {u[0] for u in own if u[2] == BASE}
                if not carrying[cell]:
                    goals = {u[0] for u in units if u[2] == RESOURCE}
            direction = self._way(cell, goals, {u[0] for u in units})
            for order in moves:
                if order[0] == cell and order[2] == direction and self._rng.random() < 0.97:
                    return order
        return self._any(orders)

    def _way(self, start: int, goals: set[int], taken: set[int]) -> int:
        """First direction of a shortest way to a cell beside a goal; -1 if there is none."""
        width, height = self._engine.width, self._engine.height
        waiting, seen = deque([(start, -1)]), {start}
        while waiting:
            cell, first = waiting.popleft()
            for direction, (dx, dy) in enumerate(OFFSETS):
                x, y = cell % width + dx, cell // width + dy
                there = x + width * y
                if not (0 <= x < width and 0 <= y < height) or there in seen:
                    continue
                if there in goals:
                    return first
                if there not in taken:
                    seen.add(there)
                    waiting.append((there, direction if first < 0 else first))
        return -1
