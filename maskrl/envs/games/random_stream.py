"""Counter-based random numbers: a key and a counter are the whole state.

Draw n of a stream is a hash of (key, n), so a stream can be saved, resumed and
split without generating what came before it. The hash is the finaliser of
SplitMix64 over a Weyl sequence (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014).
"""

from __future__ import annotations

import numpy as np
from numba import njit

_WEYL = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 1.0 / 9007199254740992.0  # 2**-53


@njit(cache=True, inline="always")
def mix(value):
    """Hash one uint64 to a uint64 whose bits are all well mixed."""
    z = np.uint64(value) + _WEYL
    z = (z ^ (z >> np.uint64(30))) * _MIX_A
    z = (z ^ (z >> np.uint64(27))) * _MIX_B
    return z ^ (z >> np.uint64(31))


@njit(cache=True, inline="always")
def draw(key, counter):
    """Draw number `counter` of stream `key`: uint64."""
    return mix(key ^ mix(np.uint64(counter)))


@njit(cache=True, inline="always")
def uniform(key, counter):
    """Draw number `counter` of stream `key`: float64 in [0, 1), 53 bits."""
    return np.float64(draw(key, counter) >> np.uint64(11)) * _TO_UNIT


@njit(cache=True, inline="always")
def below(key, counter, limit):
    """Draw number `counter` of stream `key`: an integer in [0, limit), limit below 2**31."""
    high = draw(key, counter) >> np.uint64(32)
    return np.int64((high * np.uint64(limit)) >> np.uint64(32))


def stream_keys(seed: int, count: int) -> np.ndarray:
    """Independent stream keys for `count` environments from one seed: uint64 [count]."""
    sequence = np.random.SeedSequence(seed)
    return sequence.generate_state(count, dtype=np.uint64)
