"""Encoders of Dict observations: every kind of entry, and messages for the rest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError
from maskrl.networks.encoders import (
    IndexEmbedding,
    NetworkConfig,
    OneHot,
    make_encoder,
)

CONFIG = NetworkConfig(hidden=(16,), entity_dim=8, entity_depth=1, entity_heads=2, channels=(4,))


def batch(space, size=3):
    """Samples of a Dict space as tensors, real numbers as float32."""
    space.seed(0)
    rows = [space.sample() for _ in range(size)]
    arrays = {key: np.stack([np.asarray(row[key]) for row in rows]) for key in space}
    tensors = {key: torch.from_numpy(array) for key, array in arrays.items()}
    return {key: x.float() if x.is_floating_point() else x for key, x in tensors.items()}


@pytest.mark.parametrize(
    "entry",
    [
        spaces.Box(-1, 1, (5,), np.float32),
        spaces.Box(-1, 1, (5,), np.float64),
        spaces.Box(-1, 1, (), np.float32),
        spaces.Box(-1, 1, (2, 3), np.float32),
        spaces.Box(0, 255, (8, 8, 3), np.uint8),
        spaces.Box(0, 1, (9, 4, 4), np.float32),
        spaces.Box(-5, 5, (4,), np.int64),
        spaces.Discrete(6),
        spaces.Discrete(500, start=3),
        spaces.MultiDiscrete([3, 4]),
        spaces.MultiBinary(5),
    ],
    ids=str,
)
def test_every_kind_of_entry_becomes_features(entry):
    space = spaces.Dict({"observation": entry, "action_mask": mask_space(4)})
    encoder = make_encoder(space, CONFIG)
    out = encoder(batch(space))
    assert out.shape == (3, 16) == (3, encoder.out_features)
    assert out.dtype == torch.float32
    assert torch.isfinite(out).all()
    assert out.requires_grad


def test_several_entries_are_joined():
    space = spaces.Dict(
        {
            "vector": spaces.Box(-1, 1, (3,), np.float32),
            "picture": spaces.Box(0, 255, (6, 6, 3), np.uint8),
            "index": spaces.Discrete(4),
            "action_mask": mask_space(4),
        }
    )
    encoder = make_encoder(space, NetworkConfig(hidden=(), channels=(2,)))
    assert encoder.out_features == 3 + 2 * 36 + 4
    assert encoder(batch(space)).shape == (3, encoder.out_features)


def test_candidates_are_pooled_under_the_mask_beside_other_entries():
    space = spaces.Dict(
        {
            "candidates": spaces.Box(-1, 1, (4, 2), np.float32),
            "capacity": spaces.Box(-1, 1, (3,), np.float32),
            "action_mask": mask_space(4),
        }
    )
    encoder = make_encoder(space, NetworkConfig(hidden=(), entity_dim=8))
    assert encoder.out_features == 2 * 8 + 3
    obs = batch(space)
    obs["action_mask"] = torch.tensor([[True, True, False, False]]).expand(3, 4)
    before = encoder(obs)
    obs["candidates"][:, 2:] = float("nan")
    assert torch.equal(encoder(obs), before)
    assert torch.isfinite(before).all()
    obs["candidates"][:, 0] += 1.0
    assert not torch.equal(encoder(obs), before)
    flat = spaces.Dict({"candidates": spaces.Box(-1, 1, (4,)), "action_mask": mask_space(4)})
    with pytest.raises(ConfigError, match=r"candidates: expected Box \[candidates, features\]"):
        make_encoder(flat, CONFIG)


def test_tables_of_masks_are_no_features():
    space = spaces.Dict(
        {
            "x": spaces.Box(-1, 1, (2,)),
            "action_mask": mask_space(5),
            "action_mask:target": mask_space(2, 3),
        }
    )
    assert make_encoder(space, CONFIG).keys == ["x"]


def test_masks_are_no_features():
    space = spaces.Dict({"x": spaces.Box(-1, 1, (2,)), "action_mask": mask_space(4)})
    encoder = make_encoder(space, CONFIG)
    obs = batch(space)
    before = encoder(obs)
    obs["action_mask"] = ~obs["action_mask"]
    assert torch.equal(encoder(obs), before)


SCENE = spaces.Dict(
    {
        "entities": spaces.Box(-1, 1, (5, 3), np.float32),
        "entity_mask": mask_space(5),
        "visibility": mask_space(5, 5),
        "energy": spaces.Box(0, 1, (1,), np.float32),
        "action_mask": mask_space(4),
    }
)


def scene():
    obs = batch(SCENE)
    obs["entity_mask"][:] = True
    obs["entity_mask"][:, 4] = False
    obs["visibility"][:] = True
    obs["visibility"][:, 0, 2] = False  # entity 2 is hidden from the observer
    return obs


def test_scenes_are_counted_and_their_offsets_known():
    positions = spaces.Box(0, 9, (5, 2), np.int64)
    space = spaces.Dict({**SCENE.spaces, "positions": positions})
    settings = {"hidden": (), "entity_dim": 8, "entity_heads": 2, "entity_depth": 1}
    plain = make_encoder(SCENE, NetworkConfig(**settings))
    encoder = make_encoder(space, NetworkConfig(**settings, entity_count=True, entity_offsets=3))
    assert encoder.out_features == plain.out_features + 1
    assert "positions" in encoder.reads
    assert "positions" not in encoder.keys
    obs = {**scene(), "positions": torch.randint(0, 9, (3, 5, 2))}
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_()
    before = encoder(obs)
    hidden, seen = ({**obs, "positions": obs["positions"].clone()} for _ in range(2))
    hidden["positions"][:, [2, 4]] += 5  # hidden from the observer, and padding
    assert torch.equal(encoder(hidden), before)
    seen["positions"][:, 1] += 5
    assert not torch.equal(encoder(seen), before)
    less = {**obs, "visibility": obs["visibility"].clone()}
    less["visibility"][:, 0, 1] = False
    # The scene comes last of the features, and the count last of the scene.
    torch.testing.assert_close(before[:, -1], torch.full((3,), 1 + 3.0).log())
    torch.testing.assert_close(encoder(less)[:, -1], torch.full((3,), 1 + 2.0).log())


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Dict({"x": spaces.Box(-1, 1, (2,)), "action_mask": mask_space(4)}), "no scene"),
        (SCENE, r"an entry 'positions' of whole numbers \(5, 2\).*has None"),
        (
            spaces.Dict({**SCENE.spaces, "positions": spaces.Box(-1, 1, (5, 2))}),
            "of whole numbers",
        ),
    ],
)
def test_offsets_need_positions(space, message):
    with pytest.raises(ConfigError, match=message):
        make_encoder(space, NetworkConfig(entity_offsets=2))


@pytest.mark.parametrize("pool", ["self", "mean", "max", "attention"])
@pytest.mark.parametrize(("see", "hidden_matters"), [("observer", False), ("everything", True)])
def test_scene_is_seen_through_the_observers_eyes(pool, see, hidden_matters):
    config = NetworkConfig(
        hidden=(8,), entity_dim=8, entity_depth=2, entity_heads=2, entity_pool=pool
    )
    encoder = make_encoder(SCENE, config, see=see)
    obs = scene()
    before = encoder(obs)
    assert before.shape == (3, 8)
    obs["entities"][:, 4] = float("nan")  # padding
    assert torch.equal(encoder(obs), before)
    obs["entities"][:, 2] += 5.0
    assert torch.equal(encoder(obs), before) is not hidden_matters
    obs = scene()
    obs["entities"][:, 1] += 5.0
    assert not torch.equal(encoder(obs), before)


def test_one_hot_by_hand():
    encode = OneHot((3, 2), (0, 5))
    assert encode(torch.tensor([[2, 5], [0, 6]])).tolist() == [[0, 0, 1, 1, 0], [1, 0, 0, 0, 1]]


def test_embedding_begins_at_the_spaces_start():
    encode = IndexEmbedding(40, 10, 4)
    assert torch.equal(encode(torch.tensor([10, 49])), encode.table.weight[[0, 39]])


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Discrete(3), "expected a Dict"),
        (spaces.Dict({"action_mask": mask_space(3)}), "no features"),
        (
            spaces.Dict({"words": spaces.Text(3), "action_mask": mask_space(3)}),
            "'words': a Text space",
        ),
        (
            spaces.Dict({"entities": spaces.Box(0, 1, (4,)), "entity_mask": mask_space(4)}),
            r"\[entities, features\]",
        ),
        (
            spaces.Dict({"scene": spaces.Box(0, 1, (4, 3)), "entity_mask": mask_space(4)}),
            "entity_mask: .* no scene .*'scene'",
        ),
        (
            spaces.Dict(
                {
                    "entities": spaces.Box(0, 1, (4, 3)),
                    "visibility": mask_space(4, 4),
                    "action_mask": mask_space(2),
                }
            ),
            "visibility: .* no scene",
        ),
        (
            spaces.Dict({"entities": spaces.Box(0, 1, (4, 3)), "entity_mask": mask_space(5)}),
            r"entity_mask: .* shape \(5,\), expected \(4,\)",
        ),
        (
            spaces.Dict(
                {
                    "entities": spaces.Box(0, 1, (4, 3)),
                    "entity_mask": mask_space(4),
                    "visibility": mask_space(4, 5),
                }
            ),
            r"visibility: .* shape \(4, 5\), expected \(4, 4\) or \(4,\)",
        ),
    ],
)
def test_what_cannot_be_read_is_named(space, message):
    with pytest.raises(ConfigError, match=message):
        make_encoder(space, CONFIG)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": (64, 0)}, "network.hidden"),
        ({"channels": (0,)}, "network.channels"),
        ({"kernel": 0}, "network.kernel"),
        ({"kernels": (3,)}, "network.kernels: expected one for each of the 2 layers"),
        ({"kernels": (3, 0)}, "network.kernels"),
        ({"padding": "some"}, "network.padding"),
        ({"pool": 0}, "network.pool"),
        ({"entity_depth": 0}, "network.entity_depth"),
        ({"entity_feed_forward": -1}, "network.entity_feed_forward"),
        ({"entity_dim": 64, "entity_heads": 7}, "do not divide"),
        ({"activation": "sine"}, "network.activation"),
        ({"entity_pool": "sum"}, "network.entity_pool"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        NetworkConfig(**settings)


def test_lists_become_tuples():
    assert NetworkConfig(hidden=[32, 32]) == NetworkConfig(hidden=(32, 32))


def test_without_channels_a_grid_is_flattened():
    space = spaces.Dict(
        {"board": spaces.Box(0, 1, (6, 7, 2), np.int8), "action_mask": mask_space(7)}
    )
    flat = make_encoder(space, NetworkConfig(hidden=(), channels=()))
    windows = make_encoder(space, NetworkConfig(hidden=(), channels=(5,), kernel=4))
    assert flat.out_features == 84 and windows.out_features == 5 * 3 * 4
    board = torch.zeros(1, 6, 7, 2, dtype=torch.int8)
    board[0, 2, 3, 1] = 1
    assert flat({"board": board}).nonzero().tolist() == [[0, (2 * 7 + 3) * 2 + 1]]


def test_a_grid_is_read_by_the_windows_and_pools_that_are_asked_for():
    space = spaces.Dict({"observation": spaces.Box(0, 1, (24, 24, 27), np.int8)})
    settings = NetworkConfig(hidden=(), channels=(16, 32), kernels=(3, 2), padding="none", pool=2)
    assert make_encoder(space, settings).out_features == 32 * 5 * 5
