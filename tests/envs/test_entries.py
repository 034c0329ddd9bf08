"""Entries by their names: masks, features, and what says where agents are."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs import contract, entries
from maskrl.errors import ConfigError, MaskDtypeError

FEATURES = spaces.Box(-1, 1, (3,), np.float32)


def space(**of):
    return spaces.Dict(of)


def test_a_mask_space_stays_boolean_when_batched():
    from gymnasium.vector.utils import batch_space, create_empty_array

    batched = batch_space(space(action_mask=entries.mask_space(6)), 4)
    assert batched["action_mask"].dtype == np.bool_
    assert create_empty_array(entries.mask_space(6), 4).dtype == np.bool_
    assert entries.mask_space(2, 3).contains(np.ones((2, 3), bool))


def test_entries_are_told_apart_by_their_names():
    mine = space(speed=FEATURES, action_mask=entries.mask_space(6), visibility=FEATURES)
    assert set(entries.feature_keys(mine)) == {"speed"}
    assert set(entries.mask_keys(mine)) == {"action_mask", "visibility"}


def test_agent_cells_are_a_feature_only_where_there_is_no_team():
    alone = space(agent_cells=FEATURES, action_mask=entries.mask_space(3))
    assert entries.feature_keys(alone) == ("agent_cells",)
    team = space(agent_cells=FEATURES, agent_mask=entries.mask_space(2, 2), grid=FEATURES)
    assert entries.feature_keys(team) == ("grid",)


def test_entries_need_a_dict():
    with pytest.raises(ConfigError, match="expected a gymnasium.spaces.Dict, got Box"):
        entries.entries_of(FEATURES)


def test_a_mask_that_is_not_boolean_is_named():
    said = space(action_mask=entries.mask_space(3), visibility=spaces.Box(0, 1, (2, 2), np.int8))
    with pytest.raises(MaskDtypeError, match=r"reading: observation_space\['visibility'\] must be"):
        entries.require_boolean_masks(said, "reading")


def test_the_contract_hands_the_names_on():
    assert contract.mask_space is entries.mask_space and contract.MASK_KEYS is entries.MASK_KEYS
