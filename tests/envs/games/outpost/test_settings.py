"""Settings: their ranges are told; the tree of a command is what the masks and rules use."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.games.outpost.settings import (
    ARCHER,
    BUILDER,
    BUILDING_START,
    CHOICES_OF,
    DIRECTION_START,
    FORESTER,
    HEAD_OF,
    MASK_SIZE,
    MINER,
    OUTPOST_TREE,
    TARGET_START,
    WAIT,
    OutpostSettings,
)
from maskrl.errors import ConfigError
from maskrl.masks.tree import ActionTree


def test_the_tree_has_four_heads_and_one_table() -> None:
    assert OUTPOST_TREE.names == ("unit", "direction", "target", "building")
    assert OUTPOST_TREE.nvec == (5, 4, 3, 3)
    assert OUTPOST_TREE.mask_shapes == {"action_mask": (15,), "action_mask:direction": (5, 4)}
    assert OUTPOST_TREE.logits_shapes == ((5,), (5, 4), (3,), (3,))
    assert ActionTree.from_json(OUTPOST_TREE.to_json()) == OUTPOST_TREE


def test_every_unit_has_its_own_parts() -> None:
    units = np.array([[MINER], [FORESTER], [ARCHER], [BUILDER], [WAIT]])
    relevant = OUTPOST_TREE.relevant(np.concatenate((units, np.zeros((5, 3), int)), axis=1))
    assert relevant.tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [True, False, True, False],
        [True, False, False, True],
        [True, False, False, False],
    ]


def test_positions_follow_the_tree() -> None:
    starts = np.cumsum((0, *OUTPOST_TREE.nvec)).tolist()
    assert starts[1:] == [DIRECTION_START, TARGET_START, BUILDING_START, MASK_SIZE]
    for unit in (MINER, FORESTER, ARCHER, BUILDER):
        assert CHOICES_OF[unit] == OUTPOST_TREE.nvec[HEAD_OF[unit]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step_limit": 0}, "step_limit must be a whole number from 1 to 20; got 0"),
        ({"step_limit": 14.0}, "step_limit must be a whole number from 1 to 20; got 14.0"),
        ({"max_wolves": 4}, "max_wolves must be a whole number from 0 to 3; got 4"),
        ({"max_rocks": True}, "max_rocks must be a whole number from 0 to 6; got True"),
        ({"min_rocks": 5}, "min_rocks is 5, which is more than max_rocks, 3"),
        ({"split": "dev"}, "split must be one of train, validation, test; got 'dev'"),
    ],
)
def test_values_out_of_range_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OutpostSettings(**settings)
