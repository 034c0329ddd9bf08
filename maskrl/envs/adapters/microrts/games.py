"""Games in the engine, stepped together: orders in, the engine's buffers and rewards out.

The engine's own vector client resets a game in the step that ends it and tells neither its
last state nor why it ended. It does so when its first reward says "done" or a step limit is
reached; here the first reward is one that never does, and the limit is out of reach. So
games stay where they ended until they are told to begin again. All randomness of a group of
games, the opponents' included, comes from one generator that can be seeded and saved.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.envs.adapters.microrts.arrays import ENGINE_PLANES, HEAD_SIZES
from maskrl.envs.adapters.microrts.installation import VERSION
from maskrl.envs.adapters.microrts.jvm import LOCK, engine_errors, java, require_own_process
from maskrl.envs.adapters.microrts.maps import GameMap
from maskrl.envs.adapters.microrts.settings import ATTACK_REACH, OPPONENTS, REWARDS, UNIT_TYPES
from maskrl.errors import ConfigError

# In the engine's hands "attacks" comes first, because that reward is never "done".
_ENGINE_REWARDS = (
    ("attacks", "Attack"),
    ("win", "WinLoss"),
    ("resources", "ResourceGather"),
    ("workers", "ProduceWorker"),
    ("buildings", "ProduceBuilding"),
    ("combat units", "ProduceCombatUnit"),
)
_COLUMNS = [[name for name, _ in _ENGINE_REWARDS].index(name) for name in REWARDS]
_WIN = 1
_NEVER = 2**31 - 1  # steps after which the engine would begin a game again
_STATIC_RANDOMNESS = (
    ("util.Sampler", "generator"),
    ("rts.GameState", "r"),
    ("rts.UnitAction", "r"),
)
_SCRAMBLING = 0x5DEECE66D  # Random.setSeed(s) begins at s ^ this (its documentation says so)
_last_user: list[Games] = []  # whose generator the engine's static fields hold


class Games:
    """`count` games on one map, as player 0.

    Args:
        game_map: Where.
        opponents: Name of each game's opponent.
        partial_obs: Whether players see only what their units have in sight.
        seed: Of everything random.

    Attributes:
        planes: int32 [B, H, W, 27], the engine's own memory: the present observation.
        masks: int32 [B, H, W, 78], likewise.
        orders: int32 [B, H * W, 7], what `step` carries out: of each cell.
        sight: int64 [7], how far each type of unit sees; empty where all is seen.

    Raises:
        MicrortsMissingError: Engine, bridge or Java is missing.
        ConfigError: Java cannot be used in this process.
        EngineError: The engine cannot begin.
    """

    def __init__(
        self, game_map: GameMap, opponents: Sequence[str], *, partial_obs: bool, seed: int
    ) -> None:
        self.count = len(opponents)
        self._jpype = jpype = java()
        self._class = jpype.JClass
        height, width = game_map.height, game_map.width
        with LOCK, engine_errors(f"making {self.count} games on {game_map.path}"):
            self._random = self._class("java.util.Random")(seed)
            self._use_own_randomness()
            self._types = self._class("rts.units.UnitTypeTable")()
            self._check_version()
            observations, planes = self._buffer(self.count * height * width * ENGINE_PLANES)
            masks, mask_array = self._buffer(self.count * height * width * int(HEAD_SIZES.sum()))
            orders, order_array = self._buffer(self.count * height * width * HEAD_SIZES.size)
            self.planes = planes.reshape(self.count, height, width, ENGINE_PLANES)
            self.masks = mask_array.reshape(self.count, height, width, -1)
            self.orders = order_array.reshape(self.count, height * width, -1)
            ints = jpype.JArray(jpype.JInt)
            self._players = ints([0] * self.count)
            self._observed = self._class("util.NDBuffer")(
                observations, ints([self.count, height, width, ENGINE_PLANES])
            )
            kind = self._class("ai.rewardfunction.RewardFunctionInterface")
            self._client = self._class("tests.JNIGridnetSharedMemVecClient")(
                0,
                self.count,
                _NEVER,
                jpype.JArray(kind)([self._reward(name) for _, name in _ENGINE_REWARDS]),
                "",
                str(game_map.path),
                jpype.JArray(self._class("ai.core.AI"))([self._opponent(n) for n in opponents]),
                self._types,
                partial_obs,
                observations,
                masks,
                orders,
                0,  # threads of the engine's own: games share their reward objects
            )
            self._clients = list(self._client.clients)
            self._partial = self._class("rts.PartiallyObservableGameState") if partial_obs else None
            types = list(self._types.getUnitTypes()) if partial_obs else []
            self.sight = np.array([int(unit.sightRadius) for unit in types], np.int64)

    def _check_version(self) -> None:
        """Refuse an engine whose numbers are others than those that arrays are laid out for."""
        names = tuple(str(unit.name).lower() for unit in self._types.getUnitTypes())
        planes = int(self._class("rts.GameState").numFeaturePlanes)
        reach = int(self._types.getMaxAttackRange())
        if (names, planes, reach) != (UNIT_TYPES, ENGINE_PLANES, ATTACK_REACH):
            raise ConfigError(
                f"microrts: this engine has the units {names}, {planes} planes and an attack range "
                f"of {reach}; expected {UNIT_TYPES}, {ENGINE_PLANES} and {ATTACK_REACH}, as "
                f"gym-microrts {VERSION} has."
            )

    def _buffer(self, size: int) -> tuple[Any, npt.NDArray[np.int32]]:
        """Memory that Java and numpy share: the Java buffer, and the array int32 [size]."""
        memory = bytearray(4 * size)
        order = self._class("java.nio.ByteOrder").nativeOrder()
        direct = self._jpype.nio.convertToDirectBuffer(memory)
        return direct.order(order).asIntBuffer(), np.frombuffer(memory, np.int32)

    def _reward(self, name: str) -> Any:
        return self._class(f"ai.rewardfunction.{name}RewardFunction")()

    def _opponent(self, name: str) -> Any:
        path, takes_types = OPPONENTS[name]
        return self._class(path)(self._types) if takes_types else self._class(path)()

    def _use_own_randomness(self) -> None:
        """Let the engine draw from this group's generator: its own ones are the process's."""
        if _last_user and _last_user[0] is self:
            return
        for path, name in _STATIC_RANDOMNESS:
            self._set_random(self._class(path).class_.getDeclaredField(name), None)
        _last_user[:] = [self]

    def _set_random(self, field: Any, owner: Any) -> None:
        field.setAccessible(True)
        field.set(owner, self._random)

    def _share_randomness(self, opponent: Any) -> None:
        """Let a new opponent draw from this group's generator, where it keeps one of its own."""
        random = self._class("java.util.Random").class_
        modifier = self._class("java.lang.reflect.Modifier")
        kind = opponent.getClass()
        while kind is not None:
            for field in kind.getDeclaredFields():
                if field.getType().equals(random) and not modifier.isFinal(field.getModifiers()):
                    self._set_random(field, opponent)
            kind = kind.getSuperclass()

    def seed(self, seed: int) -> None:
        """Begin all randomness anew."""
        require_own_process()
        with LOCK:
            self._random.setSeed(seed)

    def begin(self, rows: Iterable[int]) -> None:
        """Begin these games anew: their planes and masks are those of the first state."""
        require_own_process()
        with LOCK, engine_errors("reset"):
            self._use_own_randomness()
            for row in rows:
                client = self._clients[row]
                client.reset(0)
                self._share_randomness(client.ai2)
                client.getMasks(0)
                if self._partial is not None:
                    self._observe(row)

    def step(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Carry out `orders` and the opponents' answers in every game; read planes and masks.

        Returns:
            Rewards float64 [B, 6] in the order of `REWARDS`, not weighted; and which games are
            over, bool [B]. Those stay in their last state until they begin anew.
        """
        require_own_process()
        with LOCK, engine_errors("step"):
            self._use_own_randomness()
            responses = self._client.gameStep(self._players)
            rewards = np.array(responses.reward, np.float64)[:, _COLUMNS]
            over = np.array(responses.done, np.bool_)[:, _WIN]
            self._client.getMasks(0)
            if self._partial is not None:
                for row in range(self.count):
                    self._observe(row)
        return rewards, over

    def _observe(self, row: int) -> None:
        """Write the planes as they are now: in partial games the engine's are a step late."""
        state = self._clients[row].gs
        seen = state if self._partial is None else self._partial(state, 0)
        seen.getBufferObservation(0, row, self._observed)

    def winner(self, row: int) -> int:
        """0 for this side, 1 for the opponent, -1 for nobody (yet)."""
        with engine_errors("winner"):
            return int(self._clients[row].gs.winner())

    def state(self, row: int) -> dict[str, Any]:
        """The whole state of a game as the engine writes it in JSON: units, stocks, actions."""
        require_own_process()
        with engine_errors("state"):
            writer = self._class("java.io.StringWriter")()
            self._clients[row].gs.toJSON(writer)
        state: dict[str, Any] = json.loads(str(writer.toString()))
        return state

    def set_state(self, row: int, state: dict[str, Any]) -> None:
        """Go on in a game from a state that `state` gave."""
        require_own_process()
        with LOCK, engine_errors("set_state"):
            client = self._clients[row]
            client.gs = self._class("rts.GameState").fromJSON(json.dumps(state), self._types)
            client.pgs = client.gs.getPhysicalGameState()
            client.player1gs = client.gs
            self._observe(row)
            client.getMasks(0)

    def random_state(self) -> int:
        """The 48 bits that are the whole state of the generator."""
        require_own_process()
        with LOCK, engine_errors("random_state"):
            out = self._class("java.io.ByteArrayOutputStream")()
            writer = self._class("java.io.ObjectOutputStream")(out)
            writer.writeObject(self._random)
            writer.close()
            # Java ends what it writes of a Random with its seed, eight bytes, and an end mark.
            return int.from_bytes(bytes(out.toByteArray())[-9:-1], "big")

    def set_random_state(self, saved: int) -> None:
        """Go on with the random numbers that followed when `random_state` gave this."""
        self.seed(saved ^ _SCRAMBLING)
