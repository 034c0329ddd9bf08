"""Spaces and observations that the tests of policies share."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.contract import mask_space

N_ACTIONS = 5


@pytest.fixture
def vector_space():
    return spaces.Dict(
        {"observation": spaces.Box(-1, 1, (3,), np.float64), "action_mask": mask_space(N_ACTIONS)}
    )


@pytest.fixture
def scene_space():
    return spaces.Dict(
        {
            "entities": spaces.Box(-1, 1, (4, 2), np.float32),
            "entity_mask": mask_space(4),
            "visibility": mask_space(4, 4),
            "action_mask": mask_space(N_ACTIONS),
        }
    )


@pytest.fixture
def action_space():
    return spaces.Discrete(N_ACTIONS)


@pytest.fixture
def vector_obs():
    """Three observations as an environment gives them; exactly one action allowed in each."""
    rng = np.random.default_rng(0)
    mask = np.zeros((3, N_ACTIONS), np.bool_)
    mask[np.arange(3), [4, 0, 2]] = True
    return {"observation": rng.normal(size=(3, 3)), "action_mask": mask}


@pytest.fixture
def scene_obs():
    """Three scenes: entity 3 is padding, entity 2 hidden from the observer, entity 0."""
    rng = np.random.default_rng(0)
    visibility = np.ones((3, 4, 4), np.bool_)
    visibility[:, 0, 2] = False
    entity_mask = np.ones((3, 4), np.bool_)
    entity_mask[:, 3] = False
    return {
        "entities": rng.normal(size=(3, 4, 2)).astype(np.float32),
        "entity_mask": entity_mask,
        "visibility": visibility,
        "action_mask": np.ones((3, N_ACTIONS), np.bool_),
    }
