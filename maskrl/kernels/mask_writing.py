"""A mask into the bits that a rollout keeps, and whether it leaves anything to choose.

One pass instead of three, with nothing allocated: environments give a mask at every step, and
for a few dozen rows each call into numpy takes longer than reading the mask.
"""

from __future__ import annotations

import numpy as np
from numba import int64, njit

from maskrl.kernels.fused.memory import as_int64, as_uint8, shift, words_of

_LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
_ONES = np.uint64(0x0101010101010101)
# Bit 8 k of a word arrives at bit 56 + k of the product.
_GATHER = np.uint64(0x0102040810204080)


@njit(int64(int64, int64, int64, int64, int64, int64), nogil=True, cache=True)
def write_bits(action_mask, bits, rows, entries, starts, heads):  # type: ignore[no-untyped-def]
    """Pack a mask as `maskrl.masks.arrays.pack_bits` does; count heads that allow nothing.

    Args:
        action_mask: Address of bool `[rows, entries]`, where any byte but 0 is True.
        bits: Address of uint8 `[rows, ceil(entries / 8)]`, overwritten.
        rows: How many there are.
        entries: Of one row.
        starts: Address of int64 `[heads + 1]`: where each head's part of a row begins, and
            `entries`. Not read without heads.
        heads: How many of a row's parts must allow something; 0 counts nothing.

    Returns:
        How many heads of all rows allow nothing.
    """
    source, out, edges = as_uint8(action_mask), as_uint8(bits), as_int64(starts)
    whole = entries >> 3
    bytes_of_row = (entries + 7) >> 3
    empty = 0
    for r in range(rows):
        row = shift(source, r * entries)
        words = words_of(row)
        packed = shift(out, r * bytes_of_row)
        for b in range(whole):
            word = words[b]
            # 1 in every byte that is not 0, so that a byte of 2 does not become a neighbour's 1.
            word = ((((word & _LOW_BITS) + _LOW_BITS) | word) >> np.uint64(7)) & _ONES
            packed[b] = np.uint8((word * _GATHER) >> np.uint64(56))
        if whole < bytes_of_row:
            last = 0
            for k in range(entries - 8 * whole):
                last |= (row[8 * whole + k] != 0) << k
            packed[whole] = np.uint8(last)
        for h in range(heads):
            some = False
            for j in range(edges[h], edges[h + 1]):
                if row[j] != 0:
                    some = True
                    break
            empty += not some
    return empty
