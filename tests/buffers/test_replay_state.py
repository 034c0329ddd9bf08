"""A buffer saved and taken up again: the same transitions, drawn and written further on."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.buffers import ReplayBuffer
from maskrl.envs.contract import mask_space
from maskrl.errors import RunFolderError

A, B = 11, 3
SPACE = spaces.Dict(
    {
        "number": spaces.Box(-np.inf, np.inf, (2,), np.float32),
        "finals.x": spaces.Box(0, 255, (2, 2), np.uint8),
        "action_mask": mask_space(A),
        "visibility": mask_space(3, 3),
    }
)


def make(rng=None, steps=0, *, capacity=20, envs=B, space=SPACE, priority=0.7, folder=None):
    buffer = ReplayBuffer(space, envs, capacity, n_step=3, gamma=0.5,
                          priority_exponent=priority, folder=folder)  # fmt: skip
    if rng is not None:
        buffer.begin(observation(rng, envs, space))
        play(buffer, rng, steps, envs, space)
    return buffer


def observation(rng, rows, space):
    return {
        key: rng.random((rows, *entry.shape)) < 0.4
        if entry.dtype == bool
        else rng.normal(size=(rows, *entry.shape)).astype(np.float32).astype(entry.dtype)
        for key, entry in space.spaces.items()
    }


def play(buffer, rng, steps, envs=B, space=SPACE):
    for _ in range(steps):
        terminated, truncated = rng.random((2, envs)) < 0.15
        index = np.flatnonzero(terminated | truncated)
        buffer.add(rng.integers(0, A, envs), rng.normal(size=envs), terminated, truncated,
                   observation(rng, envs, space),
                   final_obs=observation(rng, len(index), space), final_index=index)  # fmt: skip
        batch = buffer.sample(8, rng)
        buffer.update_priorities(batch.index, batch.rewards)


def require_same(one, two):
    for name in ("actions", "rewards", "discounts", "terminated", "truncated", "index", "weights"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    for name in ("observations", "next_observations"):
        ours, theirs = getattr(one, name), getattr(two, name)
        assert torch.equal(ours["number"], theirs["number"])
        assert torch.equal(ours["finals.x"], theirs["finals.x"])
        assert torch.equal(ours["visibility"], theirs["visibility"])
        assert torch.equal(ours["action_mask"].bits, theirs["action_mask"].bits)


@pytest.mark.parametrize("priority", [0.0, 0.7])
@pytest.mark.parametrize("steps", [0, 1, 4, 6, 7, 8, 40])
@pytest.mark.parametrize("in_files", [False, True])
def test_a_saved_buffer_goes_on_as_if_nothing_had_happened(steps, priority, in_files, tmp_path):
    """7 rows are in use of 8: before the ring is full, when it is, and long after."""
    rng = np.random.default_rng(steps)
    folder = tmp_path / "live" if in_files else None
    buffer = make(rng, steps, priority=priority, folder=folder)
    buffer.save(tmp_path / "saved")
    other = make(np.random.default_rng(9), 30, priority=priority)  # full of something else
    other.load(tmp_path / "saved")
    assert len(other) == len(buffer)
    one, two = np.random.default_rng(5), np.random.default_rng(5)
    for _ in range(20):
        if len(buffer):
            require_same(buffer.sample(16, one), other.sample(16, two))
        play(buffer, one, 1)
        play(other, two, 1)


def test_a_buffer_that_was_not_begun_is_saved_as_that(tmp_path):
    make().save(tmp_path / "saved")
    other = make(np.random.default_rng(0), 5)
    other.load(tmp_path / "saved")
    assert len(other) == 0
    other.begin(observation(np.random.default_rng(1), B, SPACE))
    play(other, np.random.default_rng(1), 3)


def test_the_state_is_views_of_the_rows_in_use():
    buffer = make(np.random.default_rng(0), 3, capacity=3000)
    arrays, state = buffer.get_state()
    json.dumps(state)
    assert arrays["observation.number"].shape == (4, B, 2)
    assert np.shares_memory(
        arrays["observation.number"], buffer.get_state()[0]["observation.number"]
    )


def without_visibility():
    return spaces.Dict({k: v for k, v in SPACE.spaces.items() if k != "visibility"})


def wider():
    return spaces.Dict({**SPACE.spaces, "number": spaces.Box(-1, 1, (3,), np.float32)})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"capacity": 50}, "rows = 8, this one 18"),
        ({"envs": 2, "capacity": 14}, "num_envs = 3, this one 2"),
        ({"priority": 0.0}, r"priority_exponent = 0\.7, this one 0\.0"),
        ({"space": wider()}, r"number of dtype float32 and shape .*\(3, 2\)|\(3, 3\)"),
    ],
)
def test_a_state_of_another_buffer_is_refused_and_changes_nothing(other, message, tmp_path):
    make(np.random.default_rng(0), 9).save(tmp_path / "saved")
    kwargs = {"capacity": 20, "envs": B, "space": SPACE, **other}
    target = make(np.random.default_rng(1), 9, **kwargs)
    before = target.sample(8, np.random.default_rng(0))
    with pytest.raises(RunFolderError, match=message):
        target.load(tmp_path / "saved")
    after = target.sample(8, np.random.default_rng(0))
    assert torch.equal(before.observations["number"], after.observations["number"])
    assert torch.equal(before.rewards, after.rewards)


@pytest.mark.parametrize(
    "damage",
    [
        {"head": 99}, {"head": -1}, {"filled": 3}, {"filled": None}, {"largest": "many"},
        {"rows": None},
    ],
)  # fmt: skip
def test_a_state_that_contradicts_itself_is_refused(damage):
    arrays, state = make(np.random.default_rng(0), 9).get_state()
    arrays = {name: array.copy() for name, array in arrays.items()}
    with pytest.raises(RunFolderError, match="saved replay buffer"):
        make().set_state(arrays, {**state, **damage})


@pytest.mark.parametrize("name", ["rewards", "finals.place", "finals.kept number", "priorities"])
def test_arrays_that_are_missing_or_short_are_refused(name):
    arrays, state = make(np.random.default_rng(0), 9).get_state()
    short = {**arrays, name: arrays[name][:-1]}
    missing = {key: array for key, array in arrays.items() if key != name}
    for damaged in (short, missing):
        with pytest.raises(RunFolderError, match="is damaged"):
            make().set_state(damaged, state)


def test_priorities_that_are_none_are_refused():
    arrays, state = make(np.random.default_rng(0), 9).get_state()
    for bad in (-1.0, np.nan):
        wrong = arrays["priorities"].copy()
        wrong[2] = bad
        with pytest.raises(RunFolderError, match="priorities"):
            make().set_state({**arrays, "priorities": wrong}, state)


@pytest.mark.parametrize("where", ["live", "live/../live", "."])
def test_a_buffer_is_not_saved_over_its_own_files(where, tmp_path):
    buffer = make(np.random.default_rng(0), 9, folder=tmp_path / "live")
    with pytest.raises(RunFolderError, match="own files lie in .*live; save it elsewhere"):
        buffer.save(tmp_path / where)
    play(buffer, np.random.default_rng(1), 60)
    assert len(list((tmp_path / "live").iterdir())) > 5


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunFolderError, match=r"something else, without arrays\.json"):
        make(np.random.default_rng(0), 9).save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
