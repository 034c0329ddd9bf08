"""Packed rows of agents: what goes in comes out, small, and in room that is used again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.buffers.agent_rows import FIRST_ROOM, AgentRows
from maskrl.envs.contract import mask_space
from maskrl.envs.teams import describe_team
from maskrl.errors import MaskShapeError
from maskrl.masks.tree import ActionTree, Head


def team_on_grid(shape=(16, 16), heads=(6,), agents=10, tree=None, identity=True):
    entries = {
        "grid": spaces.Box(0, 1, (3, *shape)),
        "agent_mask": mask_space(*shape),
        "action_mask": mask_space(sum(heads), *shape),
    }
    for key, size in ({} if tree is None else tree.mask_shapes).items():
        entries[key] = mask_space(*size, *shape)
    if identity:
        entries["agent_cells"] = spaces.Box(-1, math.prod(shape) - 1, (agents,), np.int64)
    nvec = np.broadcast_to(np.array(heads)[:, None, None], (len(heads), *shape))
    return describe_team(spaces.Dict(entries), spaces.MultiDiscrete(nvec), tree)


def step(rng, team, most):
    """The rows of 3 environments with 0 to `most` agents each."""
    counts = rng.integers(0, most + 1, 3)
    rows = int(counts.sum())
    actions = np.stack([rng.integers(0, n, rows) for n in team.nvec], -1)
    return {
        "offsets": np.concatenate([[0], counts.cumsum()]),
        "places": rng.integers(0, team.n_places, rows),
        "slots": rng.integers(0, team.agents, rows),
        "actions": actions,
        "log_probs": rng.normal(size=actions.shape).astype(np.float32),
    }


def masks_of(rng, rows, shapes):
    return {key: rng.random((rows, *shape)) < 0.5 for key, shape in shapes.items()}


@pytest.mark.parametrize("with_tree", [False, True])
def test_what_goes_in_comes_out(with_tree):
    tree = ActionTree([Head("what", 6), Head("where", 9, mask_by="what")]) if with_tree else None
    team = team_on_grid(heads=(6, 9) if with_tree else (300,), tree=tree)
    rng = np.random.default_rng(3)
    rows = AgentRows(team, entries=12)
    shapes = {"action_mask": (team.n_actions,)}
    if with_tree:
        shapes["action_mask:where"] = (6, 9)
    given, masks = [], []
    for _ in range(4):
        given.append(step(rng, team, 200))
        masks.append(masks_of(rng, len(given[-1]["places"]), shapes))
        rows.write(**given[-1], masks=masks[-1])
    assert len(rows) > FIRST_ROOM and rows.filled == 12  # it had to grow
    for name in ("places", "slots", "actions", "log_probs"):
        np.testing.assert_array_equal(
            getattr(rows, name), np.concatenate([one[name] for one in given]), err_msg=name
        )
    for key in shapes:
        everything = np.concatenate([mask[key] for mask in masks])
        np.testing.assert_array_equal(rows.masks_at(slice(None))[key], everything)
    counts = np.concatenate([np.diff(one["offsets"]) for one in given])
    np.testing.assert_array_equal(rows.counts, counts)
    np.testing.assert_array_equal(rows.entries, np.repeat(np.arange(12), counts))
    assert rows.actions.dtype == (np.uint8 if with_tree else np.uint16)
    assert (rows.places.dtype, rows.slots.dtype) == (np.uint8, np.uint8)

    chosen = np.array([7, 0, 7, 11])
    where, offsets = rows.rows_of(chosen)
    expected = [np.flatnonzero(rows.entries == entry) for entry in chosen]
    np.testing.assert_array_equal(where, np.concatenate(expected))
    np.testing.assert_array_equal(np.diff(offsets), [len(one) for one in expected])


def test_a_map_is_stored_by_its_agents():
    """16 x 16 cells, 10 agents: at least 10 times smaller than the same fields of all cells."""
    for heads in ((6,), (6, 4, 4, 4, 4, 7, 49)):
        team = team_on_grid(heads=heads)
        rng = np.random.default_rng(0)
        steps = 64
        rows = AgentRows(team, entries=steps)
        for _ in range(steps):
            rows.write(
                np.array([0, 10]),
                places=rng.choice(256, 10, replace=False),
                slots=np.arange(10),
                actions=np.stack([rng.integers(0, n, 10) for n in heads], -1),
                log_probs=np.zeros((10, len(heads)), np.float32),
                masks={"action_mask": np.ones((10, sum(heads)), np.bool_)},
            )
        # In the same types: an action and a log-probability per head, bits, and who is there.
        of_a_cell = len(heads) * (1 + 4) + sum(heads) / 8 + 1 / 8
        everywhere = steps * 256 * of_a_cell
        assert everywhere >= 10 * rows.nbytes, everywhere / rows.nbytes
        stored = sum(
            x.nbytes
            for x in (
                rows.actions,
                rows.log_probs,
                rows.places,
                rows.slots,
                rows.bits("action_mask"),
            )
        )
        assert rows.nbytes == stored + rows.offsets.nbytes


def test_room_is_used_again():
    team = team_on_grid()
    rng = np.random.default_rng(1)
    rows = AgentRows(team, entries=30)
    steps = [step(rng, team, 250) for _ in range(10)]
    addresses = []
    for _ in range(3):
        rows.begin()
        assert len(rows) == 0
        for one in steps:
            mask = np.ones((len(one["places"]), 6), np.bool_)
            rows.write(**one, masks={"action_mask": mask})
        addresses.append([x.ctypes.data for x in (rows.actions, rows.places, rows.log_probs)])
    assert addresses[0] == addresses[1] == addresses[2]


def test_what_was_written_too_early_is_forgotten():
    team = team_on_grid()
    rng = np.random.default_rng(1)
    rows = AgentRows(team, entries=30)
    for _ in range(3):
        one = step(rng, team, 5)
        rows.write(**one, masks=masks_of(rng, len(one["places"]), {"action_mask": (6,)}))
    kept = rows.places[: rows.offsets[3]].copy()
    rows.end_at(3)
    np.testing.assert_array_equal(rows.places, kept)
    rows.end_at(9)  # more than there is
    assert rows.filled == 3


def test_agents_without_identity_have_no_slots():
    rows = AgentRows(team_on_grid(identity=False), entries=3)
    one = step(np.random.default_rng(0), rows.team, 4)
    rows.write(**one, masks={"action_mask": np.ones((len(one["places"]), 6), np.bool_)})
    assert rows.slots is None and len(rows.places) == len(one["places"])


def test_masks_that_do_not_fit_are_refused():
    rows = AgentRows(team_on_grid(), entries=3)
    one = step(np.random.default_rng(0), rows.team, 4)
    with pytest.raises(MaskShapeError, match="action_mask: got none; expected bool"):
        rows.write(**one, masks={})
    with pytest.raises(MaskShapeError, match=r"got one of shape \(\d+, 5\); expected"):
        rows.write(**one, masks={"action_mask": np.ones((len(one["places"]), 5), np.bool_)})
