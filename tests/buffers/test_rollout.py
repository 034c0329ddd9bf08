"""The rollout buffer: what goes in comes out, masks as bits, nothing reallocated."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.buffers import rollout as module
from maskrl.buffers.rollout import RolloutBuffer
from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError
from maskrl.masks.heads import choices_of
from maskrl.masks.tree import ActionTree, Head

CPU = torch.device("cpu")
T, B, A = 5, 3, 11

SPACE = spaces.Dict(
    {
        "vector": spaces.Box(-1, 1, (2,), np.float64),
        "picture": spaces.Box(0, 255, (2, 2, 1), np.uint8),
        "index": spaces.Discrete(9),
        "wide": spaces.Box(0, 1000, (1,), np.uint16),
        "visibility": mask_space(4, 4),
        "action_mask": mask_space(A),
    }
)


def observations(rng, rows):
    return [
        {
            "vector": rng.normal(size=(B, 2)),
            "picture": rng.integers(0, 256, (B, 2, 2, 1)).astype(np.uint8),
            "index": rng.integers(0, 9, B),
            "wide": rng.integers(0, 1000, (B, 1)).astype(np.uint16),
            "visibility": rng.random((B, 4, 4)) < 0.5,
            "action_mask": rng.random((B, A)) < 0.4,
        }
        for _ in range(rows)
    ]


@pytest.fixture
def filled():
    rng = np.random.default_rng(1)
    buffer = RolloutBuffer(SPACE, B, T)
    rows = observations(rng, T + 1)
    for t, obs in enumerate(rows):
        buffer.write_observation(t, obs)
    buffer.actions[...] = rng.integers(0, A, (T, B))
    buffer.log_probs[...] = rng.normal(size=(T, B, 1))
    for array in (buffer.values, buffer.advantages, buffer.returns):
        array[...] = rng.normal(size=(T, B))
    return buffer, rows


def test_what_goes_in_comes_out(filled):
    buffer, rows = filled
    index = np.array([0, 14, 7, 7])  # t * B + env
    batch = buffer.minibatch(index, CPU)
    for row, position in enumerate(index):
        t, env = divmod(int(position), B)
        for key, tensor in batch.observations.items():
            want = rows[t][key][env]
            got = tensor[row].numpy()
            np.testing.assert_array_equal(got, want.astype(got.dtype), err_msg=key)
        assert batch.actions[row] == buffer.actions[t, env]
        assert batch.log_probs[row].tolist() == buffer.log_probs[t, env].tolist()
        assert batch.values[row] == buffer.values[t, env]
        assert batch.advantages[row] == buffer.advantages[t, env]
        assert batch.returns[row] == buffer.returns[t, env]
    assert batch.keep is None


def test_dtypes_are_those_that_networks_read(filled):
    batch = filled[0].minibatch(np.arange(2), CPU)
    assert {key: x.dtype for key, x in batch.observations.items()} == {
        "vector": torch.float32,
        "picture": torch.uint8,
        "index": torch.int64,
        "wide": torch.int64,
        "visibility": torch.bool,
        "action_mask": torch.bool,
    }


def test_masks_take_an_eighth(filled):
    buffer, _ = filled
    assert buffer.bits["action_mask"].shape == (T, B, 2)
    assert buffer.bits["visibility"].shape == (T, B, 2)


def test_masks_that_are_not_needed_stay_packed(filled):
    buffer, _ = filled
    index, cpu = np.arange(3), torch.device("cpu")
    whole = buffer.observations_at(index, cpu)
    part = buffer.observations_at(index, cpu, leave_out=("action_mask",))
    assert part.keys() == whole.keys() - {"action_mask"}
    assert all(torch.equal(part[key], whole[key]) for key in part)


def test_observations_are_written_in_place(filled):
    buffer, rows = filled
    places = {key: array.ctypes.data for key, array in buffer.features.items()}
    first = buffer.write_observation(0, rows[1])
    second = buffer.write_observation(0, rows[2])
    assert all(first[key] is second[key] for key in first)
    assert places == {key: array.ctypes.data for key, array in buffer.features.items()}


def test_changing_the_environments_arrays_later_changes_nothing(filled):
    buffer, rows = filled
    kept = rows[2]["action_mask"].copy()
    rows[2]["action_mask"][:] = True
    rows[2]["vector"][:] = 0.0
    batch = buffer.minibatch(np.arange(2 * B, 3 * B), CPU)
    np.testing.assert_array_equal(batch.observations["action_mask"].numpy(), kept)
    assert batch.observations["vector"].abs().min() > 0


def test_last_observation_begins_the_next_rollout(filled):
    buffer, rows = filled
    buffer.carry_over()
    first = buffer.minibatch(np.arange(B), CPU).observations
    for key, tensor in first.items():
        np.testing.assert_array_equal(tensor.numpy(), rows[T][key].astype(tensor.numpy().dtype))


def test_idle_rows_are_not_kept(filled):
    buffer, _ = filled
    buffer.idle[1, 2] = True
    assert buffer.minibatch(np.array([4, 5]), CPU).keep.tolist() == [True, False]


def test_counts_and_illegal_actions(filled):
    buffer, rows = filled
    masks = np.stack([obs["action_mask"] for obs in rows[:T]])
    np.testing.assert_array_equal(buffer.allowed_counts(), masks.sum(-1))
    want = ~np.take_along_axis(masks, buffer.actions[..., None], -1)[..., 0]
    np.testing.assert_array_equal(buffer.illegal(), want)
    buffer.idle[want] = True
    assert not buffer.illegal().any()


def test_looking_at_bits_equals_looking_at_choices(filled, monkeypatch):
    buffer, _ = filled
    seen = buffer.choices()
    np.testing.assert_array_equal(seen.allowed[..., 0], buffer.allowed_counts())
    np.testing.assert_array_equal(seen.illegal & ~buffer.idle, buffer.illegal())
    monkeypatch.setattr(module, "UNPACKED_AT_ONCE", 2 * B * A)  # two steps at once
    again = buffer.choices()
    for name in ("relevant", "allowed", "taken"):
        np.testing.assert_array_equal(getattr(again, name), getattr(seen, name))


TREE = ActionTree(
    Head("type", 3),
    Head("direction", 2, relevant={"type": [1]}),
    Head("target", 4, relevant={"type": [1, 2]}, mask_by="type"),
)
SEVERAL = {
    "heads": ((2, 3, 4), {"action_mask": (9,)}),
    "bits": ((2, 2, 2), {"action_mask": (3, 2)}),
    "tree": (TREE, TREE.mask_shapes),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_actions_of_several_heads(kind):
    heads, shapes = SEVERAL[kind]
    space = spaces.Dict(
        {"x": spaces.Box(0, 1, (1,)), **{k: mask_space(*s) for k, s in shapes.items()}}
    )
    rng = np.random.default_rng(3)
    buffer = RolloutBuffer(space, B, T, heads=heads)
    sizes = heads.nvec if kind == "tree" else heads
    masks = {key: rng.random((T + 1, B, *shape)) < 0.6 for key, shape in shapes.items()}
    for t in range(T + 1):
        row = {key: mask[t] for key, mask in masks.items()}
        buffer.write_observation(t, {"x": np.zeros((B, 1)), **row})
    buffer.actions[...] = rng.integers(0, sizes, (T, B, 3))
    buffer.log_probs[...] = rng.normal(size=(T, B, 3))
    batch = buffer.minibatch(np.array([4, 2]), CPU)
    assert batch.actions.tolist() == [buffer.actions[1, 1].tolist(), buffer.actions[0, 2].tolist()]
    assert batch.log_probs.shape == (2, 3)
    for key, mask in masks.items():
        np.testing.assert_array_equal(batch.observations[key].numpy(), mask[[1, 0], [1, 2]])
        np.testing.assert_array_equal(buffer.mask_at(key, 4), mask[1, 1])
        assert buffer.bits[key].shape == (T, B, -(-np.prod(shapes[key]) // 8))
    want = choices_of(buffer.actions, {key: mask[:T] for key, mask in masks.items()}, heads)
    np.testing.assert_array_equal(buffer.illegal(), want.illegal)
    np.testing.assert_array_equal(buffer.allowed_counts(), want.allowed)
    assert want.illegal.any() and not want.illegal.all()


def test_heads_that_allow_nothing_are_found_one_by_one():
    space = spaces.Dict({"action_mask": mask_space(5)})
    buffer = RolloutBuffer(space, 2, 2, heads=(2, 3))
    buffer.write_observation(0, {"action_mask": np.array([[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]], bool)})
    assert buffer.allows_something(0) is None
    buffer.write_observation(1, {"action_mask": np.array([[0, 1, 0, 0, 0], [0, 0, 0, 0, 1]], bool)})
    assert buffer.allows_something(1).tolist() == [[True, False], [False, True]]


def test_mask_at_names_one_row(filled):
    buffer, rows = filled
    np.testing.assert_array_equal(buffer.mask_at("action_mask", 7), rows[2]["action_mask"][1])
    np.testing.assert_array_equal(buffer.mask_at("visibility", 7), rows[2]["visibility"][1])


@pytest.mark.parametrize("actions", [3, 8, 9, 40])
def test_rows_that_allow_nothing_are_found(actions):
    space = spaces.Dict({"x": spaces.Box(0, 1, (1,)), "action_mask": mask_space(actions)})
    buffer = RolloutBuffer(space, 4, 2)
    mask = np.zeros((4, actions), np.bool_)
    mask[np.arange(4), [0, actions - 1, 1, 2]] = True
    buffer.write_observation(0, {"x": np.zeros((4, 1)), "action_mask": mask})
    assert buffer.allows_something(0) is None
    mask[2] = False
    buffer.write_observation(1, {"x": np.zeros((4, 1)), "action_mask": mask})
    assert buffer.allows_something(1).tolist() == [True, True, False, True]


def test_without_action_mask_everything_is_allowed():
    space = spaces.Dict({"x": spaces.Box(0, 1, (1,)), "entity_mask": mask_space(2)})
    buffer = RolloutBuffer(space, 2, 2)
    assert buffer.allows_something(0) is None
    assert buffer.allowed_counts() is None
    assert buffer.illegal() is None
    assert buffer.choices() is None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"action_mask": np.ones((B, A), np.int8)}, MaskDtypeError, "as_mask_array"),
        ({"action_mask": np.ones((B, A + 1), np.bool_)}, MaskShapeError, r"\(3, 12\)"),
        ({"visibility": None}, ConfigError, "no entry 'visibility'"),
        ({"vector": np.zeros((1, 2))}, ConfigError, r"'vector' of shape \(1, 2\)"),
    ],
)
def test_wrong_observations_are_refused(change, error, message):
    obs = observations(np.random.default_rng(0), 1)[0] | change
    obs = {key: value for key, value in obs.items() if value is not None}
    with pytest.raises(error, match=message):
        RolloutBuffer(SPACE, B, T).write_observation(0, obs)


@pytest.mark.parametrize(
    ("entry", "message"), [(spaces.Text(3), "Text space"), (spaces.Box(0, 1, ()), "dimension")]
)
def test_spaces_that_cannot_be_stored_are_named(entry, message):
    key = "words" if isinstance(entry, spaces.Text) else "action_mask"
    with pytest.raises(ConfigError, match=message):
        RolloutBuffer(spaces.Dict({key: entry}), 1, 1)


def test_sizes_must_be_positive():
    with pytest.raises(ConfigError, match="num_envs=0"):
        RolloutBuffer(SPACE, 0, 4)


def test_empty_rows_are_known_of_every_step_that_was_written():
    """Not only of the last one, and also where steps are written out of order."""
    space = spaces.Dict({"x": spaces.Box(0, 1, (1,)), "action_mask": mask_space(A)})
    rng = np.random.default_rng(4)
    masks = rng.random((T, B, A)) < 0.1
    masks[2] = True
    buffer = RolloutBuffer(space, B, T)
    for t in rng.permutation(T):
        buffer.write_observation(t, {"x": np.zeros((B, 1)), "action_mask": masks[t]})
    for t in range(T):
        some = masks[t].any(-1)
        answer = buffer.allows_something(t)
        assert (answer is None) == some.all()
        assert answer is None or (answer == some).all()
    assert buffer.allows_something(2) is None


def test_a_copy_writes_into_its_own_memory(filled):
    buffer, rows = filled
    twin = copy.deepcopy(buffer)
    before = buffer.bits["action_mask"].copy()
    flipped = {**rows[1], "action_mask": ~rows[1]["action_mask"]}
    twin.write_observation(1, flipped)
    np.testing.assert_array_equal(buffer.bits["action_mask"], before)
    np.testing.assert_array_equal(twin.mask_at("action_mask", B), flipped["action_mask"][0])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_shows_what_is_written_into_it(filled, copied):
    buffer, rows = filled
    twin = copied(buffer)
    given = observations(np.random.default_rng(5), 1)[0]
    for key, tensor in twin.write_observation(1, given).items():
        np.testing.assert_array_equal(tensor.numpy(), given[key].astype(tensor.numpy().dtype))
    found = twin.observations_at(np.arange(B, 2 * B), CPU)
    for key, tensor in twin.observation(1).items():
        assert torch.equal(found[key], tensor)


@pytest.mark.parametrize("t", [-1, T + 1])
def test_a_step_that_is_not_there_is_refused(filled, t):
    buffer, rows = filled
    with pytest.raises(IndexError, match=f"no step {t}"):
        buffer.write_observation(t, rows[0])
