"""Settings: the known words alone, and the tree of an order."""

from __future__ import annotations

import pytest

from maskrl.envs.games.mining.settings import (
    PLANE_SIZES,
    PLANE_STARTS,
    PLANES,
    MiningSettings,
    head_sizes,
    order_tree,
)
from maskrl.errors import ConfigError


def test_sizes_are_those_of_the_published_task() -> None:
    assert head_sizes(100) == (100, 6, 4, 4, 4, 4, 7, 100)
    assert sum(head_sizes(100)) == 229
    assert PLANES == 27 and PLANE_SIZES == (5, 5, 3, 8, 6)
    assert [sum(PLANE_SIZES[:k]) for k in range(5)] == list(PLANE_STARTS)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"board": "8x8"}, "board must be one of 4x4, 10x10, 16x16, 24x24; got '8x8'"),
        ({"masks": "full"}, "masks must be one of published, heads, conditional; got 'full'"),
        ({"logits_by_unit": 1}, "logits_by_unit must be True or False; got 1"),
        ({"logits_by_unit": True, "masks": "heads"}, "goes with masks='conditional' alone"),
    ],
)
def test_unknown_settings_are_named(wrong: dict, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        MiningSettings(**wrong)
    assert told in str(error.value)


def test_only_conditional_masks_have_a_tree() -> None:
    assert MiningSettings(masks="published").action_tree is None
    assert MiningSettings(masks="heads").action_tree is None
    tree = MiningSettings(board="4x4").action_tree
    assert tree is not None and tree.nvec == head_sizes(16)
    assert tree == order_tree(16)


def test_each_parameter_counts_for_its_own_type() -> None:
    tree = order_tree(16)
    counts = tree.relevant([[5, what, 0, 0, 0, 0, 0, 0] for what in range(6)])
    assert [row.nonzero()[0].tolist() for row in counts] == [
        [0, 1],
        [0, 1, 2],
        [0, 1, 3],
        [0, 1, 4],
        [0, 1, 5, 6],
        [0, 1, 7],
    ]


def test_logits_may_go_by_the_unit() -> None:
    assert order_tree(16).logits_size == sum(head_sizes(16)) == 61
    assert order_tree(16, logits_by_unit=True).logits_size == 16 + 16 * (6 + 16 + 7) + 16
