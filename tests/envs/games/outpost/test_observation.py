"""Features by their names, and masks that leave every unit allowed something to do."""

from __future__ import annotations

import numpy as np

from maskrl.envs.games.outpost.layouts import layout
from maskrl.envs.games.outpost.observation import FEATURES, write_features, write_masks
from maskrl.envs.games.outpost.settings import (
    MASK_SIZE,
    S_ALIVE,
    S_GROVE,
    S_MINE,
    S_ROCKS,
    S_STEP,
    S_WOLVES,
    OutpostSettings,
)


def _named(row: np.ndarray, step_limit: int = 16) -> dict[str, float]:
    """The features of a state that are not 0, by name."""
    features = np.full(len(FEATURES), np.nan, np.float32)
    write_features(row, features, step_limit)
    assert not np.isnan(features).any()
    return {name: float(v) for name, v in zip(FEATURES, features, strict=True) if v}


def _masks(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    action_mask, table = np.ones(MASK_SIZE, np.bool_), np.ones((5, 4), np.bool_)
    write_masks(row, action_mask, table)
    return action_mask, table


def _state() -> np.ndarray:
    """Miner (3, 2) with a load, forester in the base, mine (4, 3), grove (2, 0) with wolf 2."""
    row = np.zeros(15, np.int64)
    row[:9] = [13, 12, 1, 0, 0, 5, 1, 0b010, 4]
    row[S_MINE], row[S_GROVE] = 19, 2
    row[S_ROCKS] = 1 << 8 | 1 << 14  # (3, 1) and (4, 2)
    row[S_WOLVES:] = [0, 2, -1]
    return row


def test_the_features_of_one_state_by_hand() -> None:
    assert len(set(FEATURES)) == len(FEATURES)
    assert _named(_state()) == {
        "miner_at_3_2": 1,
        "forester_at_2_2": 1,
        "mine_at_4_3": 1,
        "grove_at_2_0": 1,
        "rock_at_3_1": 1,
        "rock_at_4_2": 1,
        "wolf_at_2_0": 1,
        "miner_x_to_goal_is_-1": 1,  # it carries ore: to the base
        "miner_y_to_goal_is_+0": 1,
        "forester_x_to_goal_is_+0": 1,
        "forester_y_to_goal_is_-2": 1,
        "miner_can_go_down": 1,
        "miner_can_go_left": 1,
        "forester_can_go_up": 1,
        "forester_can_go_down": 1,
        "forester_can_go_left": 1,
        "forester_can_go_right": 1,
        "miner_carries": 1,
        "wolf_2_alive": 1,
        "wolf_2_at_grove": 1,
        "wolf_2_at_2_0": 1,
        "ore_is_0": 1,
        "wood_is_2": 1,  # two or more
        "tower": 1,
        "time_left": 0.75,
    }


def test_the_masks_of_one_state_by_hand() -> None:
    action_mask, table = _masks(_state())
    assert table.astype(int).tolist() == [
        [0, 1, 1, 0],  # miner: rocks above and to the right
        [1, 1, 1, 1],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert action_mask[:5].all()
    assert action_mask[5:9].all()  # the table tells which
    assert action_mask[9:12].tolist() == [False, True, False]
    assert action_mask[12:].tolist() == [True, False, False]  # five wood, no ore
    row = _state()
    row[S_ALIVE] = row[5] = 0
    action_mask, _ = _masks(row)
    assert action_mask[:5].tolist() == [True, True, False, False, True]
    assert not action_mask[9:].any()


def test_who_is_walled_in_cannot_be_commanded() -> None:
    row = _state()
    row[S_ROCKS] = 1 << 7 | 1 << 11 | 1 << 17 | 1 << 14 | 1 << 8 | 1 << 18
    row[0] = row[1] = 12
    row[S_ROCKS] |= 1 << 13
    action_mask, table = _masks(row)
    assert not table.any()
    assert action_mask[:2].tolist() == [False, False] and action_mask[4]


def test_features_stay_within_their_space() -> None:
    for seed in range(100):
        row = layout(OutpostSettings(), seed)
        row[S_STEP] = seed % 17
        assert all(0 <= value <= 1 for value in _named(row).values())
