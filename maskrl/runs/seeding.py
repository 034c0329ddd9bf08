"""All randomness of a run from one seed, in streams that have names.

A stream depends on the seed and its own name alone: asking for a new one never
moves another, so adding an evaluation leaves the training as it was. The state
of every stream that was used goes into the checkpoint as plain JSON.
"""

from __future__ import annotations

import base64
import hashlib
import random
from typing import Any

import numpy as np
import torch

from maskrl.errors import ConfigError

LARGEST_SEED = 2**63 - 1


class Seeds:
    """Named random streams grown from one seed.

    Args:
        seed: 0 to 2**63 - 1.

    Raises:
        ConfigError: the seed is not such a whole number.

    >>> a, b = Seeds(1), Seeds(1)
    >>> a.numpy("x").random() == b.numpy("x").random()
    True
    """

    def __init__(self, seed: int) -> None:
        whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
        if not whole or not 0 <= seed <= LARGEST_SEED:
            raise ConfigError(f"seed: expected a whole number from 0 to 2**63 - 1, got {seed!r}")
        self.seed = int(seed)
        self._numpy: dict[str, np.random.Generator] = {}
        self._torch: dict[str, torch.Generator] = {}

    def integer(self, name: str) -> int:
        """Return this name's own seed, 0 to 2**63 - 1: always the same one."""
        return int(self._sequence(name).generate_state(1, np.uint64)[0]) & LARGEST_SEED

    def numpy(self, name: str) -> np.random.Generator:
        """Return the numpy stream of this name; the same object at every call."""
        if name not in self._numpy:
            self._numpy[name] = np.random.Generator(np.random.PCG64(self._sequence(name)))
        return self._numpy[name]

    def torch(self, name: str, device: str | torch.device = "cpu") -> torch.Generator:
        """Return the torch stream of this name; the same object at every call."""
        if name not in self._torch:
            self._torch[name] = torch.Generator(device).manual_seed(self.integer(name))
        return self._torch[name]

    def get_state(self) -> dict[str, Any]:
        """Return the state of every stream used so far, as plain JSON."""
        return {
            "seed": self.seed,
            "numpy": {name: g.bit_generator.state for name, g in self._numpy.items()},
            "torch": {name: _pack(g.get_state()) for name, g in self._torch.items()},
            "global_python": list(random.getstate()),
            "global_numpy": _global_numpy_state(),
            "global_torch": _pack(torch.get_rng_state()),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue every stream where `get_state` saw it.

        Streams handed out before keep their identity, and streams that the state
        does not know start anew at their next request.

        Raises:
            ConfigError: the state belongs to another seed.
        """
        if state["seed"] != self.seed:
            raise ConfigError(
                f"Seeds.set_state: the state is of seed {state['seed']}, not {self.seed}"
            )
        for name, numpy_state in state["numpy"].items():
            self.numpy(name).bit_generator.state = numpy_state
        for name, torch_state in state["torch"].items():
            self.torch(name).set_state(_unpack(torch_state))
        if "global_python" in state:
            version, numbers, gauss = state["global_python"]
            random.setstate((version, tuple(numbers), gauss))
        kind, packed, position, has_gauss, cached = state["global_numpy"]
        keys = np.frombuffer(base64.b64decode(packed), dtype=np.uint32)
        np.random.set_state((kind, keys, position, has_gauss, cached))  # noqa: NPY002
        torch.set_rng_state(_unpack(state["global_torch"]))

    def _sequence(self, name: str) -> np.random.SeedSequence:
        digest = hashlib.sha256(name.encode()).digest()
        return np.random.SeedSequence(
            self.seed, spawn_key=tuple(np.frombuffer(digest[:16], dtype=np.uint32).tolist())
        )


def seed_everything(seed: int) -> Seeds:
    """Return the streams of `seed`, and seed the global generators from them too.

    The global ones (`random`, `numpy.random`, torch) are seeded because a user's own
    network or environment may draw from them; maskrl itself draws from named streams.

    Raises:
        ConfigError: the seed is not a whole number from 0 to 2**63 - 1.
    """
    seeds = Seeds(seed)
    random.seed(seeds.integer("global.python"))
    np.random.seed(seeds.integer("global.numpy") & 0xFFFFFFFF)  # noqa: NPY002
    torch.manual_seed(seeds.integer("global.torch"))
    return seeds


def _pack(state: torch.Tensor) -> str:
    return base64.b64encode(state.cpu().numpy().tobytes()).decode()


def _unpack(text: str) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype=np.uint8).copy())


def _global_numpy_state() -> list[Any]:
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    packed = base64.b64encode(np.asarray(keys, dtype=np.uint32).tobytes()).decode()
    return [kind, packed, int(position), int(has_gauss), float(cached)]
