"""The script empties every mine of every map, which is the most that there is."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl import make
from maskrl.envs.games.mining.script import best_orders, best_return


@pytest.mark.parametrize(
    ("name", "units"), [("4x4", 40), ("10x10", 40), ("16x16", 45), ("24x24", 45)]
)
def test_every_unit_is_harvested_and_all_but_the_last_handed_in(name: str, units: int) -> None:
    env = make(f"mining-{name}")
    observation, _ = env.reset()
    orders = best_orders(name)
    rewards = {2: 0, 3: 0}
    for order in orders:
        masks = {k: v for k, v in observation.items() if k != "observation"}
        assert env.get_wrapper_attr("action_tree").allows(order, masks)
        observation, reward, terminated, truncated, _ = env.step(order)
        if reward:
            rewards[int(order[1])] += 1
    assert rewards == {2: units, 3: units - 1}
    assert terminated and not truncated and len(orders) < 200
    assert best_return(name) == 2 * units - 1 == sum(rewards.values())


def test_it_is_the_same_each_time() -> None:
    np.testing.assert_array_equal(best_orders("4x4"), best_orders("4x4"))
