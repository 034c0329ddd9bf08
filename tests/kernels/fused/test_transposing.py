"""Eight by eight: every number at its place, masks applied, nothing touched beside it."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from maskrl.kernels.fused import transposing
from maskrl.kernels.fused.memory import as_float32, as_float64, as_uint8

STEP = 32


@njit(error_model="numpy")
def load32(tile, logits, stride, last, mask, mask_stride, kind):
    to, of, allowed = as_float32(tile), as_float32(logits), as_uint8(mask)
    if kind == 0:
        transposing.load_unmasked(to, STEP, of, stride, last, allowed, mask_stride)
    elif kind == 1:
        transposing.load_by_bytes(to, STEP, of, stride, last, allowed, mask_stride)
    else:
        transposing.load_by_bits(to, STEP, of, stride, last, allowed, mask_stride, 0)


@njit(error_model="numpy")
def load_bits32(tile, logits, stride, last, mask, mask_stride, skip):
    to, of, allowed = as_float32(tile), as_float32(logits), as_uint8(mask)
    transposing.load_by_bits(to, STEP, of, stride, last, allowed, mask_stride, skip)


@njit(error_model="numpy")
def load64(tile, logits, stride, last, mask, mask_stride):
    transposing.load_by_bytes(
        as_float64(tile), STEP, as_float64(logits), stride, last, as_uint8(mask), mask_stride
    )


@njit(error_model="numpy")
def store32(tile, out, stride, last):
    transposing.store_eight(as_float32(tile), STEP, as_float32(out), stride, last)


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("last", [0, 3, 7])
def test_rows_become_columns(kind, last):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(last + 1, 11)).astype(np.float32)
    mask = rng.random((last + 1, 8)) < 0.5
    read = np.packbits(mask, axis=-1, bitorder="little") if kind == 2 else mask
    tile = np.full((8, STEP), 7, np.float32)
    places = tile.ctypes.data, logits.ctypes.data, 11, last, read.ctypes.data, read.shape[1]
    load32(*places, kind)
    want = np.where(mask | (kind == 0), logits[:, :8], -np.inf).T
    assert (tile[:, : last + 1] == want).all()
    assert (tile[:, 8:] == 7).all()


@pytest.mark.parametrize("skip", range(8))
def test_bits_that_begin_within_a_byte(skip):
    rng = np.random.default_rng(skip)
    logits = rng.normal(size=(8, 8)).astype(np.float32)
    mask = rng.random((8, 16)) < 0.5
    read = np.packbits(mask, axis=-1, bitorder="little")
    tile = np.full((8, STEP), 7, np.float32)
    load_bits32(tile.ctypes.data, logits.ctypes.data, 8, 7, read.ctypes.data, 2, skip)
    assert (tile[:, :8] == np.where(mask[:, skip : skip + 8], logits, -np.inf).T).all()


def test_doubles_too():
    rng = np.random.default_rng(1)
    logits, mask = rng.normal(size=(8, 9)), rng.random((8, 8)) < 0.5
    tile = np.zeros((8, STEP))
    load64(tile.ctypes.data, logits.ctypes.data, 9, 7, mask.ctypes.data, 8)
    assert (tile[:, :8] == np.where(mask, logits[:, :8], -np.inf).T).all()


@pytest.mark.parametrize("last", [0, 2, 7])
def test_columns_become_rows_and_no_more_than_there_are(last):
    tile = np.random.default_rng(2).normal(size=(8, STEP)).astype(np.float32)
    out = np.full((10, 9), 7, np.float32)
    store32(tile.ctypes.data, out.ctypes.data, 9, last)
    assert (out[: last + 1, :8] == tile[:, : last + 1].T).all()
    assert (out[last + 1 :] == 7).all()
    assert (out[:, 8] == 7).all()
