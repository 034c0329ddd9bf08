"""Reference returns: the most there is, and random legal play as agents without a mind get it."""

from __future__ import annotations

import numpy as np

from maskrl import make_vec
from maskrl.envs.games.mining.layouts import start_board
from maskrl.envs.games.mining.reference import EPISODES, play_randomly, random_return, reference
from maskrl.masks.heads import random_actions


def test_every_layout_seed_has_the_same_figures() -> None:
    found = reference({"board": "4x4", "masks": "heads", "layout_seeds": 9}, [4, 2, 4])
    assert found["planner"].tolist() == [79, 79, 79]
    assert found["random"].tolist() == [random_return("4x4")] * 3
    assert reference({"board": "4x4"}, [])["random"].shape == (0,)


def test_random_play_is_that_of_the_conditional_masks() -> None:
    """Two estimates of one mean differ by less than 4 standard errors: 1 in 16,000 fails."""
    env = make_vec("mining-4x4", 128)
    observation, _ = env.reset()
    rng, total = np.random.default_rng(5), np.zeros(128)
    for _ in range(200):
        masks = {k: v for k, v in observation.items() if k != "observation"}
        observation, rewards, *_ = env.step(random_actions(masks, env.action_tree, rng, (128,)))
        total += rewards
    ours = play_randomly(start_board("4x4"), 4, EPISODES)
    error = np.hypot(ours.std() / EPISODES**0.5, total.std() / 128**0.5)
    assert abs(ours.mean() - total.mean()) < 4 * error
    assert error < 0.4 and 7 < ours.mean() < 11


def test_random_play_is_the_same_each_time() -> None:
    first, second = (play_randomly(start_board("4x4"), 4, 5) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(set(play_randomly(start_board("4x4"), 4, 30).tolist())) > 5
