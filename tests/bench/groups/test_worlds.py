"""Steps with random valid actions, and only they count."""

from __future__ import annotations

import numpy as np

from maskrl.bench.groups.worlds import Stepper, random_valid, worlds
from maskrl.envs.registry import make_vec


def test_random_valid_actions_are_uniform_over_what_is_allowed():
    mask = np.array([[True, False, True, False]]).repeat(4000, 0)
    actions = random_valid(mask, np.random.default_rng(0))
    counts = np.bincount(actions, minlength=4)
    assert counts[1] == counts[3] == 0
    assert abs(counts[0] - 2000) < 160  # five standard deviations


def test_a_stepper_plays_on():
    stepper = Stepper(make_vec("panda", 3))
    assert stepper(50) > 0
    assert stepper.action_mask.shape == (3, 6)
    assert stepper.env.illegal_actions == 0


def test_the_task_counts_steps():
    (task,) = worlds(quick=True)
    assert task.steps == 16 and task.runs[0].work(2) > 0
