"""Room for arrays: zeros, in memory or in files, that grow and keep what they hold."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from maskrl.buffers.array_room import ArrayRoom
from maskrl.errors import ConfigError


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


@pytest.mark.skipif(os.name == "nt", reason="files that are in use cannot be replaced there")
@pytest.mark.parametrize("gone", [True, False])
def test_an_array_whose_file_is_another_s_by_now_grows_elsewhere(gone, tmp_path):
    folder = tmp_path / "there"
    room = ArrayRoom(folder)
    array = room.new("x", (2,), np.dtype(np.uint8))
    array[...] = 7
    if gone:
        shutil.rmtree(folder)
    else:
        other = ArrayRoom(folder).new("x", (2,), np.dtype(np.uint8))
    for rows in (4, 6):
        array = room.grown("x", array, rows)
        assert array.tolist() == [7, 7] + [0] * (rows - 2)
        array[...] = [7, 7] + [0] * (rows - 2)
    if not gone:
        assert other.tolist() == [0, 0] and room.grown("x", array, 7).tolist()[:2] == [7, 7]
    assert len(list(folder.iterdir())) == (0 if gone else 1), "nothing is left behind"


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "under"):
        with pytest.raises(ConfigError, match="file.*: no files can be made there"):
            ArrayRoom(folder)


def test_what_would_fill_the_disk_is_refused_before_it_is_written(tmp_path, monkeypatch):
    """A write to a mapped file without room behind it ends the process, without a word."""
    free = 5_000_000
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))
    room = ArrayRoom(tmp_path)
    first = room.new("first", (3_000_000,), np.dtype(np.uint8))
    with pytest.raises(ConfigError, match=r"0.0 GB are needed .* and 0.0 GB are free .*replay_si"):
        room.new("second", (3_000_000,), np.dtype(np.uint8))
    other = ArrayRoom(tmp_path / "other")
    first = other.new("first", (3_000_000,), np.dtype(np.uint8))
    first[:] = 1
    first.flush()
    free -= 3_000_000  # which the first has taken, and needs no more
    assert other.new("second", (1_900_000,), np.dtype(np.uint8)).shape == (1_900_000,)
