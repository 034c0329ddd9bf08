"""Arrays in a folder: they come back as they were, or somebody hears why not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from maskrl.errors import RunFolderError
from maskrl.runs import array_folder
from maskrl.runs.array_folder import LIST, arrays_exist, load_arrays, save_arrays

RNG = np.random.default_rng(0)
ARRAYS = {
    "numbers": RNG.normal(size=(100, 7)),
    "flags": RNG.random((5, 4)) < 0.5,
    "every other": np.arange(40, dtype=np.int32).reshape(10, 4)[::2],
    "turned": np.arange(12, dtype=np.uint16).reshape(3, 4).T,
    "one": np.array(3.5, np.float32),
    "none": np.zeros((0, 3), np.int64),
    "Case": np.array([1], np.uint8),
    "case": np.array([2], np.uint8),
    "../outside": np.array([3], np.uint8),
}


@pytest.mark.parametrize("chunk", [64, 1 << 22])
def test_arrays_come_back(tmp_path, chunk, monkeypatch):
    monkeypatch.setattr(array_folder, "CHUNK", chunk)
    folder = tmp_path / "saved"
    assert not arrays_exist(folder)
    save_arrays(folder, ARRAYS, {"n": np.int64(3)})
    assert arrays_exist(folder)
    arrays, state = load_arrays(folder)
    assert state == {"n": 3}
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"], "nothing lies outside"


def test_what_is_read_is_a_map_of_the_file_and_cannot_be_changed(tmp_path):
    save_arrays(tmp_path / "x", ARRAYS, {})
    arrays, _ = load_arrays(tmp_path / "x")
    assert isinstance(arrays["numbers"], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        arrays["numbers"][0, 0] = 1.0


def test_a_memory_mapped_array_is_saved(tmp_path):
    source = np.memmap(tmp_path / "source", np.int16, "w+", shape=(30, 2))
    source[...] = 5
    save_arrays(tmp_path / "x", {"a": source[:20]}, {})
    assert load_arrays(tmp_path / "x")[0]["a"].tolist() == [[5, 5]] * 20


def file_of(folder, name):
    return folder / json.loads((folder / LIST).read_text())["arrays"][name]["file"]


@pytest.mark.parametrize("damage", ["shorter", "changed", "gone"])
def test_damaged_files_are_named(tmp_path, damage):
    folder = tmp_path / "x"
    save_arrays(folder, ARRAYS, {})
    path = file_of(folder, "numbers")
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "shorter":
        path.write_bytes(data[:-8])
    else:
        data[100] ^= 1
        path.write_bytes(data)
    with pytest.raises(RunFolderError, match="numbers.bin (is damaged|cannot be read)"):
        load_arrays(folder)


@pytest.mark.parametrize(
    "change", [{"arrays": 3}, {"state": None}, {"arrays": {"x": {}}}, {"format": 99}]
)
def test_a_damaged_list_is_named(tmp_path, change):
    folder = tmp_path / "x"
    save_arrays(folder, ARRAYS, {})
    listed = json.loads((folder / LIST).read_text())
    (folder / LIST).write_text(json.dumps({**listed, **change}))
    with pytest.raises(RunFolderError, match=r"arrays\.json"):
        load_arrays(folder)


def test_objects_are_never_read_or_written(tmp_path):
    folder = tmp_path / "x"
    with pytest.raises(TypeError, match="objects"):
        save_arrays(folder, {"a": np.array([{}], object)}, {})
    assert not folder.exists()
    save_arrays(folder, {"a": np.zeros(1)}, {})
    listed = json.loads((folder / LIST).read_text())
    listed["arrays"]["a"]["dtype"] = "|O"
    (folder / LIST).write_text(json.dumps(listed))
    with pytest.raises(RunFolderError, match="objects"):
        load_arrays(folder)


def test_a_file_outside_the_folder_is_not_read(tmp_path):
    folder = tmp_path / "x"
    save_arrays(folder, {"a": np.zeros(1)}, {})
    listed = json.loads((folder / LIST).read_text())
    (tmp_path / "secret.bin").write_bytes(np.zeros(1).tobytes())
    listed["arrays"]["a"]["file"] = "../secret.bin"
    (folder / LIST).write_text(json.dumps(listed))
    with pytest.raises(RunFolderError, match="cannot be read"):
        load_arrays(folder)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot write"):
        save_arrays(tmp_path / "file" / "x", ARRAYS, {})
