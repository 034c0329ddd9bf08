"""A team's rollout: observations by step, choices by agent, and who was there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.buffers.teams import TeamBuffer
from maskrl.envs.contract import mask_space
from maskrl.envs.teams import describe_team

T, B, N, A = 3, 2, 4, 5
CPU = torch.device("cpu")
SLOTS = {
    "observation": spaces.Box(-1, 1, (N, 2)),
    "agent_mask": mask_space(N),
    "alive": mask_space(N),
    "action_mask": mask_space(N, A),
}
GRID = {
    "grid": spaces.Box(-1, 1, (2, 2, 3)),
    "agent_cells": spaces.Box(-1, 5, (N,), np.int64),
    "agent_mask": mask_space(2, 3),
    "action_mask": mask_space(A, 2, 3),
}


def make(form, **settings):
    entries = SLOTS if form == "slots" else GRID
    if form == "no alive":
        entries = {key: x for key, x in SLOTS.items() if key != "alive"}
    if form == "grid, alive":
        entries = {**GRID, "alive": mask_space(N)}
    space = spaces.Dict(entries)
    places = space["agent_mask"].shape
    team = describe_team(space, spaces.MultiDiscrete(np.full(places, A)))
    return TeamBuffer(space, B, T, team, **settings)


def fill(buffer, seed=0):
    """A rollout in which everything is random, and what was written, step by step."""
    rng = np.random.default_rng(seed)
    team, written = buffer.team, []
    for t in range(T + 1):
        alive = rng.random((B, N)) < 0.7
        acts = alive & (rng.random((B, N)) < 0.7)
        if t == 1:
            acts[0] = False  # nobody
        if team.form == "slots":
            obs = {"observation": rng.normal(size=(B, N, 2)), "agent_mask": acts, "alive": alive}
            obs["action_mask"] = rng.random((B, N, A)) < 0.5
            place = np.tile(np.arange(N), (B, 1))
        else:
            place = rng.random((B, 6)).argsort(1)[:, :N]
            mask = np.zeros((B, 6), np.bool_)
            np.put_along_axis(mask, place, acts, 1)
            obs = {
                "grid": rng.normal(size=(B, 2, 2, 3)),
                "agent_cells": np.where(alive, place, -1),
                "agent_mask": mask.reshape(B, 2, 3),
                "action_mask": rng.random((B, A, 2, 3)) < 0.5,
                "alive": alive,
            }
        obs = {key: obs[key] for key in (*buffer.features, *buffer.masks)}
        buffer.write_observation(t, obs)
        row, slot = acts.nonzero()
        order = np.lexsort((place[row, slot], row))
        row, slot = row[order], slot[order]
        one = {
            "offsets": np.concatenate([[0], np.bincount(row, minlength=B).cumsum()]),
            "places": place[row, slot],
            "slots": slot,
            "actions": rng.integers(0, A, len(row)),
            "log_probs": rng.normal(size=len(row)).astype(np.float32),
            "masks": {"action_mask": rng.random((len(row), A)) < 0.5},
        }
        if t < T:
            buffer.acted.write(**one)
        written.append({"obs": obs, "alive": alive, "acts": acts, "row": row, **one})
    total = len(buffer.acted)
    buffer.idle = np.zeros(total, np.bool_)
    buffer.values[...] = rng.normal(size=buffer.values.shape)
    buffer.advantages = rng.normal(size=T * B if buffer.joint else total).astype(np.float32)
    count = total if buffer.critic == "agent" else T * B
    buffer.returns = rng.normal(size=count).astype(np.float32)
    return written


@pytest.mark.parametrize("form", ["slots", "grid", "no alive", "grid, alive"])
def test_who_was_there(form):
    """Without `alive` those who act, also where an agent has a cell: a policy sees it so too."""
    buffer = make(form)
    written = fill(buffer)
    acts = np.stack([one["acts"] for one in written])
    alive = np.stack([one["alive"] for one in written]) if buffer.team.has_alive else acts
    np.testing.assert_array_equal(buffer.acting(), acts[:T])
    np.testing.assert_array_equal(buffer.alive(), alive[:T])
    cut_off = ~alive[2, 1]
    buffer.note_next_alive(np.array([1 * B + 1]), cut_off[None])
    expected = alive[1:].copy()
    expected[1, 1] = cut_off
    np.testing.assert_array_equal(buffer.next_alive, expected)


@pytest.mark.parametrize("form", ["slots", "grid"])
@pytest.mark.parametrize("critic", ["team", "agent"])
@pytest.mark.parametrize("joint", [False, True])
def test_minibatches_are_steps_with_all_their_agents(form, critic, joint):
    buffer = make(form, critic=critic, joint=joint)
    written = fill(buffer)
    index = np.array([5, 2, 0, 5])  # the second is the step with nobody
    batch = buffer.minibatch(index, CPU)
    assert "action_mask" not in batch.observations and batch.keep is None
    at = 0
    for r, position in enumerate(index):
        t, env = divmod(int(position), B)
        one = written[t]
        for key, rows in batch.observations.items():
            want = one["obs"][key][env]
            np.testing.assert_array_equal(rows[r], want.astype(rows.numpy().dtype), err_msg=key)
        own = np.flatnonzero(one["row"] == env)
        here = slice(at, at + len(own))
        assert batch.row[here].tolist() == [r] * len(own)
        assert batch.place[here].tolist() == one["places"][own].tolist()
        assert batch.slot[here].tolist() == one["slots"][own].tolist()
        assert batch.actions[here].tolist() == one["actions"][own].tolist()
        assert batch.log_probs[here, 0].tolist() == one["log_probs"][own].tolist()
        np.testing.assert_array_equal(
            batch.masks["action_mask"][here], one["masks"]["action_mask"][own]
        )
        first = buffer.acted.offsets[position]
        if critic == "team":
            assert batch.values[r] == buffer.values[t, env]
            assert batch.returns[r] == buffer.returns[position]
        else:
            assert batch.values[here].tolist() == buffer.values[t, env, one["slots"][own]].tolist()
            assert batch.returns[here].tolist() == buffer.returns[first:][: len(own)].tolist()
        if joint:
            assert batch.advantages[r] == buffer.advantages[position]
        else:
            assert batch.advantages[here].tolist() == buffer.advantages[first:][: len(own)].tolist()
        at += len(own)
        assert int(batch.offsets[r + 1]) == at
    assert at == len(batch.row) and int(batch.offsets[2]) == int(batch.offsets[1])


def test_who_idles_is_not_kept():
    buffer = make("slots")
    fill(buffer)
    buffer.idle[2] = True
    batch = buffer.minibatch(np.arange(T * B), CPU)
    assert batch.keep.tolist() == [row != 2 for row in range(len(buffer.acted))]


@pytest.mark.parametrize("form", ["slots", "grid"])
def test_observations_in_a_row_have_their_agent_mask(form):
    buffer = make(form)
    written = fill(buffer)
    keys = ("agent_mask", "grid" if form == "grid" else "observation")
    got = buffer.observations_between(1, 5, keys)
    for row, position in enumerate(range(1, 5)):
        t, env = divmod(position, B)
        np.testing.assert_array_equal(got["agent_mask"][row], written[t]["obs"]["agent_mask"][env])
        np.testing.assert_allclose(got[keys[1]][row], written[t]["obs"][keys[1]][env], rtol=1e-6)
    assert "agent_mask" not in buffer.observations_between(0, 2, keys[1:])
    left = buffer.observations_at(np.array([0]), CPU, leave_out=("agent_mask",))
    assert "agent_mask" not in left


def test_the_next_rollout_begins_with_the_last_observation():
    buffer = make("slots")
    written = fill(buffer)
    buffer.carry_over()
    assert len(buffer.acted) == 0
    last = written[-1]["obs"]
    np.testing.assert_array_equal(buffer.masks["action_mask"], last["action_mask"])
    np.testing.assert_array_equal(buffer.alive()[0], last["alive"])
    fill(buffer, seed=1)
    kept = int(buffer.acted.offsets[2 * B])
    buffer.end_early(2)
    assert len(buffer.acted) == kept
