"""Room for arrays: zeros, in memory or in files, that grow and keep what they hold."""

from __future__ import annotations

import os

import numpy as np
import pytest

from maskrl.buffers.array_room import ArrayRoom


@pytest.mark.parametrize("in_files", [False, True])
def test_an_array_begins_as_zeros_and_grows(in_files, tmp_path):
    room = ArrayRoom(tmp_path / "new" if in_files else None)
    array = room.new("number", (3, 2), np.dtype(np.int64))
    assert isinstance(array, np.memmap) == in_files
    assert not array.any()
    array[...] = [[1, 2], [3, 4], [5, 6]]
    longer = room.grown("number", array, 5)
    assert longer.tolist() == [[1, 2], [3, 4], [5, 6], [0, 0], [0, 0]]
    assert longer.dtype == np.int64


@pytest.mark.parametrize("in_files", [False, True])
def test_an_array_may_be_empty(in_files, tmp_path):
    room = ArrayRoom(tmp_path if in_files else None)
    array = room.new("nothing", (4, 0), np.dtype(np.uint8))
    assert room.grown("nothing", array, 9).shape == (9, 0)


def test_names_that_differ_have_files_that_differ(tmp_path):
    room = ArrayRoom(tmp_path)
    names = ["a/b", "a:b", "a-b", "../a", "a b"]
    arrays = [room.new(name, (1,), np.dtype(np.uint8)) for name in names]
    for number, array in enumerate(arrays, 1):
        array[0] = number
    assert [int(array[0]) for array in arrays] == [1, 2, 3, 4, 5]
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.skipif(os.name == "nt", reason="files that are in use cannot be replaced there")
def test_an_array_that_lives_keeps_its_file(tmp_path):
    first = ArrayRoom(tmp_path).new("x", (2,), np.dtype(np.uint8))
    first[...] = 7
    second = ArrayRoom(tmp_path).new("x", (2,), np.dtype(np.uint8))
    assert second.tolist() == [0, 0] and first.tolist() == [7, 7]
