"""A panda's own window: the same as its row of visibility, and nothing besides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.pandas.settings import ENTITY_TYPES, PandasSettings
from maskrl.envs.games.pandas.vector_env import PandasVectorEnv
from maskrl.envs.games.pandas.window import WINDOW_PLANES, window_radius, write_window


@pytest.mark.parametrize(
    "settings",
    [{}, {"pandas": 4, "view_radius": (1, 2, 6, None), "respawn_steps": 2}, {"sight": "full"}],
)
def test_it_holds_what_the_panda_sees_and_nothing_else(settings: dict[str, Any]) -> None:
    env = PandasVectorEnv(3, seed=2, **settings)
    told, _ = env.reset()
    side = 2 * window_radius(env.settings) + 1
    window, own = np.zeros((6, side, side), np.float32), np.zeros(4, np.float32)
    generator, marked, dead = np.random.default_rng(0), 0, 0
    for _ in range(40):
        for i in range(3):
            for n in range(env.settings.pandas):
                window[:] = 9
                write_window(i, n, env._world, env._facts, window, own)
                if not told["alive"][i, n]:
                    assert not window.any() and not own.any()
                    dead += 1
                    continue
                expected = np.zeros((6, side, side))
                here = told["positions"][i, n] - side // 2
                for slot in np.flatnonzero(told["visibility"][i, n]):
                    x, y = told["positions"][i, slot] - here
                    kind = ENTITY_TYPES[int(told["entities"][i, slot, :4].argmax())]
                    if kind != "tree":
                        expected[WINDOW_PLANES.index(kind), y, x] = 1
                        marked += 1
                    if kind == "panda":
                        expected[WINDOW_PLANES.index("chewing"), y, x] = told["entities"][
                            i, slot, 6
                        ]
                np.testing.assert_array_equal(window[2:], expected[2:])
                trees = np.flatnonzero(told["visibility"][i, n] & (told["entities"][i, :, 3] == 1))
                unseen_ground = np.argwhere((window[0] == 1) & (window[1] == 0))
                assert sorted(map(tuple, unseen_ground.tolist())) == sorted(
                    tuple((told["positions"][i, slot] - here)[::-1].tolist()) for slot in trees
                )
                assert (window[:, window[0] == 0] == 0).all() and window[0, side // 2, side // 2]
                x, y = told["entities"][i, n, 4:6]
                np.testing.assert_allclose(own[:2], [(x + 1) / 2, (y + 1) / 2], atol=1e-6)
                np.testing.assert_array_equal(own[2:], told["entities"][i, n, 6:8])
        told, *_ = env.step(generator.integers(0, 5, size=(3, env.settings.pandas)))
    assert marked > 1000 and dead > 10


def test_it_is_as_wide_as_anybody_sees() -> None:
    assert window_radius(PandasSettings()) == 4
    assert window_radius(PandasSettings(pandas=2, view_radius=(1, 3))) == 3
    assert window_radius(PandasSettings(view_radius=None)) == 9
    assert window_radius(PandasSettings(sight="full", view_radius=2, width=12)) == 11
