"""Golden trajectories: whoever makes the panda's step faster proves here that nothing changed.

Every case plays thousands of steps, disallowed actions among them, and hashes all
that a caller is told: observations, masks, rewards, ends, infos, final observations
where an episode ended, and the saved state at the end. The hashes were taken with
the plain implementation that traced every sight line in every step.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.panda.vector_env import PandaVectorEnv

WORLDS, STEPS = 48, 90

GOLDEN: dict[str, tuple[dict[str, Any], str]] = {
    "random": ({}, "1b484f776de4a13c"),
    "random_full": ({"sight": "full"}, "4d074eeddf959e4c"),
    "random_xyt": ({"features": "xyt"}, "11e708a55bf8b181"),
    "random_full_xyt": ({"sight": "full", "features": "xyt"}, "1c1e0aad8c397573"),
    "open": ({"preset": "open"}, "bbea112160123a7b"),
    "open_full": ({"preset": "open", "sight": "full"}, "bbea112160123a7b"),
    "open_xyt": ({"preset": "open", "features": "xyt"}, "1e8cafaab89f665f"),
    "trees": ({"preset": "trees"}, "5f4985108a5fe7c5"),
    "trees_full": ({"preset": "trees", "sight": "full"}, "7894b212a6fd0f24"),
    "trees_xyt": ({"preset": "trees", "features": "xyt"}, "52793f2533cc9dea"),
    "trees_full_xyt": ({"preset": "trees", "features": "xyt", "sight": "full"}, "4fc7c714c7cca9be"),
    "test_split": ({"split": "test", "layout_seeds": 70}, "9d1359206ae5eb57"),
    "validation_split": ({"split": "validation", "step_limit": 7}, "72d0bc41786f9533"),
    "small": ({"width": 5, "height": 5, "max_trees": 6, "min_trees": 4}, "76d0d1475a670d33"),
    "wide": ({"width": 16, "height": 5, "max_trees": 20, "max_bananas": 1}, "16684e367c8dde66"),
    "large": ({"width": 16, "height": 16, "max_trees": 64, "min_trees": 30}, "d87f0587f7eb35ce"),
    "large_xyt": (
        {"width": 13, "height": 16, "max_trees": 50, "features": "xyt"},
        "06dfd17afa7f64f2",
    ),
    "bare": (
        {"max_trees": 0, "min_trees": 0, "max_bananas": 0, "min_bananas": 0},
        "be1cbad9d4adac35",
    ),
    "square_of_64": ({"width": 8, "height": 8, "max_trees": 16}, "e41c0710b95c4fa3"),
}


def _add(digest: Any, value: Any) -> None:
    """Hash nested infos and arrays with their names, dtypes and shapes."""
    if isinstance(value, dict):
        for name in sorted(value):
            digest.update(name.encode())
            _add(digest, value[name])
    else:
        array = np.ascontiguousarray(value)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())


def trajectory(**settings: Any) -> str:
    """Hash of everything that a caller is told while playing."""
    env = PandaVectorEnv(WORLDS, seed=5, **settings)
    generator, digest = np.random.default_rng(11), hashlib.sha256()
    for told in env.reset(seed=8):
        _add(digest, told)
    allowed = env.observation()["action_mask"]
    for step in range(STEPS):
        scores = generator.random(allowed.shape)
        if step % 3:  # in two steps of three everybody keeps to the mask
            scores *= allowed
        observation, rewards, terminated, truncated, infos = env.step(scores.argmax(axis=1))
        allowed = observation["action_mask"].copy()
        if "final_obs" in infos:
            ended = infos["_final_obs"]
            # Rows of worlds that go on hold nothing that anybody may rely on.
            for entries in (infos["final_obs"], infos["final_info"]):
                entries |= {name: array[ended] for name, array in entries.items()}
        for told in (observation, rewards, terminated, truncated, infos):
            _add(digest, told)
    _add(digest, env.observation())
    _add(digest, env.get_state())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("copy", [True, False], ids=["copies", "views"])
def test_a_faster_step_changes_nothing(name: str, copy: bool) -> None:
    settings, expected = GOLDEN[name]
    assert trajectory(copy=copy, **settings) == expected


def test_the_hash_notices_a_change() -> None:
    assert trajectory(step_limit=39) != trajectory()
