"""Arrays in memory that processes share, found by a path that is soon taken away."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from maskrl.envs import shared_arrays
from maskrl.envs.shared_arrays import ALIGNMENT, SharedArrays

ARRAYS = {
    "numbers": ((3, 2), np.dtype(np.float64)),
    "flags": ((3,), np.dtype(np.bool_)),
    "none": ((3, 0), np.dtype(np.int8)),
    "one": ((), np.dtype(np.int16)),
}


def test_others_see_what_is_written():
    mine = SharedArrays(ARRAYS)
    other = SharedArrays(pickle.loads(pickle.dumps(mine.layout)))
    for name, (shape, dtype) in ARRAYS.items():
        assert other.arrays[name].shape == shape and other.arrays[name].dtype == dtype
        assert not other.arrays[name].any()
    mine.hide()
    mine.arrays["numbers"][...] = [[1, 2], [3, 4], [5, 6]]
    other.arrays["flags"][1] = True
    other.arrays["one"][...] = -7
    assert other.arrays["numbers"].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert mine.arrays["flags"].tolist() == [False, True, False] and mine.arrays["one"] == -7
    offsets = [place[0] for place in mine.layout.places.values()]
    assert all(offset % ALIGNMENT == 0 for offset in offsets)
    mine.close()
    assert other.arrays["numbers"][2, 1] == 6, "until nobody has it open"


@pytest.mark.skipif(os.name == "nt", reason="files that are open keep their names there")
def test_nothing_is_left_behind():
    mine = SharedArrays(ARRAYS)
    path = Path(mine.layout.path)
    assert path.exists()
    mine.hide()
    assert not path.exists()
    mine.close()
    shown = SharedArrays(ARRAYS)
    shown.close()
    assert not Path(shown.layout.path).exists()


def test_without_room_in_memory_it_lies_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_arrays, "IN_MEMORY", tmp_path / "nowhere")
    array = SharedArrays(ARRAYS)
    assert not array.layout.path.startswith("/dev/shm")
    array.close()
    if hasattr(os, "posix_fallocate"):
        monkeypatch.setattr(shared_arrays, "IN_MEMORY", tmp_path)
        reserve = os.posix_fallocate

        def full(handle, offset, size):
            if os.path.realpath(f"/proc/self/fd/{handle}").startswith(str(tmp_path)):
                raise OSError("no space left")
            reserve(handle, offset, size)

        monkeypatch.setattr(os, "posix_fallocate", full)
        array = SharedArrays(ARRAYS)
        assert Path(array.layout.path).parent != tmp_path and not list(tmp_path.iterdir())
        array.close()
