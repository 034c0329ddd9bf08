"""Checkpoints: what goes in comes out, a kill loses at most one, damage is noticed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from maskrl.errors import RunFolderError
from maskrl.runs.checkpoint import checkpoint_exists, load_checkpoint, save_checkpoint

TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3).t(),
    "half": torch.ones(2, dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "none": torch.zeros(0, 4),
    "world": np.arange(3, dtype=np.uint64),
    "alive": np.array([True, False]),
    "scalar": np.array(2.5, dtype=np.float32),
}


def test_what_is_saved_comes_back_as_its_own_kind(tmp_path):
    state = {"step": 5, "numbers": [np.float64(0.1), np.int64(3)], "big": 2**100}
    save_checkpoint(tmp_path / "c" / "last", TENSORS, state)
    tensors, loaded = load_checkpoint(tmp_path / "c" / "last")
    assert loaded == {"step": 5, "numbers": [0.1, 3], "big": 2**100}
    assert set(tensors) == set(TENSORS)
    for name, expected in TENSORS.items():
        got = tensors[name]
        assert type(got) is type(expected), name
        assert got.dtype == expected.dtype and got.shape == expected.shape, name
        assert (got == expected).all(), name


def test_tensors_that_share_memory_are_saved_apart(tmp_path):
    base = torch.arange(4.0)
    save_checkpoint(tmp_path / "c", {"a": base, "b": base[:2]}, {})
    tensors, _ = load_checkpoint(tmp_path / "c")
    assert tensors["b"].tolist() == [0.0, 1.0]


def test_saving_again_replaces_and_leaves_nothing_beside(tmp_path):
    for step in (1, 2):
        save_checkpoint(tmp_path / "c", {"a": torch.tensor(step)}, {"step": step})
    assert load_checkpoint(tmp_path / "c")[1] == {"step": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_a_kill_between_the_two_renames_leaves_the_one_before(tmp_path):
    save_checkpoint(tmp_path / "last", {"a": torch.tensor(1)}, {"step": 1})
    os.rename(tmp_path / "last", tmp_path / ".last.previous")
    assert checkpoint_exists(tmp_path / "last")
    assert load_checkpoint(tmp_path / "last")[1] == {"step": 1}
    save_checkpoint(tmp_path / "last", {"a": torch.tensor(2)}, {"step": 2})
    assert load_checkpoint(tmp_path / "last")[1] == {"step": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["last"]


def test_a_state_that_cannot_be_stored_leaves_the_old_one(tmp_path):
    save_checkpoint(tmp_path / "c", {}, {"step": 1})
    with pytest.raises(TypeError, match="cannot be stored as JSON"):
        save_checkpoint(tmp_path / "c", {}, {"step": object()})
    assert load_checkpoint(tmp_path / "c")[1] == {"step": 1}


def test_a_missing_one_is_explained(tmp_path):
    assert not checkpoint_exists(tmp_path / "last")
    with pytest.raises(RunFolderError, match="there is no checkpoint .*before its first one"):
        load_checkpoint(tmp_path / "last")


def flip_a_byte(folder):
    path = folder / "tensors.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def truncate(folder):
    path = folder / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (flip_a_byte, r"tensors\.safetensors is damaged: its \d+ bytes do not have the digest"),
        (truncate, r"tensors\.safetensors is damaged"),
        (lambda f: (f / "tensors.safetensors").unlink(), r"tensors\.safetensors cannot be read"),
        (lambda f: (f / "state.json").unlink(), r"state\.json is missing"),
        (lambda f: (f / "state.json").write_text("{"), r"state\.json is damaged: no valid JSON"),
        (lambda f: (f / "state.json").write_text('{"format": 1}'), "no 'digest' in it"),
        (lambda f: (f / "state.json").write_text('{"format": 7}'), "checkpoint format 7"),
    ],
)
def test_damage_is_named_with_what_to_do(tmp_path, damage, complaint):
    save_checkpoint(tmp_path / "last", TENSORS, {"step": 1})
    damage(tmp_path / "last")
    with pytest.raises(RunFolderError, match=complaint):
        load_checkpoint(tmp_path / "last")


def test_the_other_checkpoint_is_offered(tmp_path):
    for name in ("last", "best"):
        save_checkpoint(tmp_path / name, TENSORS, {"step": 1})
    flip_a_byte(tmp_path / "last")
    with pytest.raises(RunFolderError, match=r"best is there too: copy it over .*--which best"):
        load_checkpoint(tmp_path / "last")


def test_a_pickle_is_never_run(tmp_path):
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (ran.touch, ())

    save_checkpoint(tmp_path / "last", {}, {})
    (tmp_path / "last" / "tensors.safetensors").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(RunFolderError, match="damaged"):
        load_checkpoint(tmp_path / "last")
    assert not ran.exists()


def test_an_unwritable_place_is_one_message(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="cannot write the checkpoint"):
        save_checkpoint(tmp_path / "file" / "last", {}, {})


SAVE_FOREVER = """
import sys, torch
from maskrl.runs.checkpoint import save_checkpoint
step = 0
while True:
    step += 1
    save_checkpoint(sys.argv[1], {"a": torch.full((50_000,), float(step))}, {"step": step})
    print(step, flush=True)
"""


def test_sigkill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    folder = tmp_path / "last"
    process = subprocess.Popen(
        [sys.executable, "-c", SAVE_FOREVER, str(folder)], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"1\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    finished = process.stdout.read().split()
    process.stdout.close()
    process.wait()
    tensors, state = load_checkpoint(folder)
    assert state["step"] >= int(finished[-1] if finished else 1)
    assert (tensors["a"] == state["step"]).all()


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"something else, without state\.json"):
        save_checkpoint(tmp_path, {}, {})
    assert (tmp_path / "notes.txt").read_text() == "mine"
