"""The scene that a team is told: sight against a slow tracer, features, and what may not leak."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maskrl.envs.games.pandas.scene_view import room_to_tell
from maskrl.envs.games.pandas.settings import FEATURES, PandasSettings
from maskrl.envs.games.pandas.vector_env import PandasVectorEnv


def _line(a: int, b: int, width: int) -> list[int]:
    """Cells strictly between two, by Bresenham's integer line from the smaller number."""
    a, b = min(a, b), max(a, b)
    x, y, x1, y1 = a % width, a // width, b % width, b // width
    dx, dy = abs(x1 - x), -abs(y1 - y)
    error, cells = dx + dy, []
    while True:
        twice = 2 * error
        if twice >= dy:
            error, x = error + dy, x + (1 if x < x1 else -1)
        if twice <= dx:
            error, y = error + dx, y + (1 if y < y1 else -1)
        if (x, y) == (x1, y1):
            return cells
        cells.append(y * width + x)


def _cells(env: PandasVectorEnv, i: int) -> list[int]:
    state = env.get_state()
    pandas = np.where(state["rest"][i] >= 0, state["pandas"][i], -1)
    rest = (state[name][i] for name in ("melons", "scorpions", "tree_cells"))
    return [int(cell) for cell in np.concatenate((pandas, *rest))]


@pytest.mark.parametrize(
    "settings",
    [
        {"view_radius": 4},
        {"view_radius": None, "min_trees": 20, "max_trees": 25},
        {"pandas": 3, "width": 9, "height": 7, "view_radius": (1, 3, None), "respawn_steps": 2},
        {"sight": "full", "view_radius": 1},
    ],
)
def test_a_panda_sees_what_a_slow_tracer_says(settings: dict[str, Any]) -> None:
    env = PandasVectorEnv(4, seed=6, **settings)
    observation, _ = env.reset()
    generator = np.random.default_rng(1)
    width, hidden, seen = env.settings.width, 0, 0
    for _ in range(25):
        for i in range(4):
            cells = _cells(env, i)
            trees = {c for c in cells[-env.settings.max_trees :] if c >= 0}
            expected = np.zeros((len(cells),) * 2, bool)
            for a, here in enumerate(cells):
                for b, there in enumerate(cells):
                    if here < 0 or there < 0:
                        continue
                    if a >= env.settings.pandas or a == b:
                        expected[a, b] = a == b
                        continue
                    away = abs(here % width - there % width) + abs(here // width - there // width)
                    clear = not trees & set(_line(here, there, width))
                    near = away <= env.settings.radii[a]
                    expected[a, b] = env.settings.sight == "full" or (near and clear)
            np.testing.assert_array_equal(observation["visibility"][i], expected)
            rows = expected[: env.settings.pandas]
            seen, hidden = seen + rows.sum(), hidden + (~rows).sum()
        actions = generator.integers(0, 5, size=env.action_space.shape)
        observation, *_ = env.step(actions)
    assert seen > 300 and hidden > 300


def test_rows_say_what_and_where(drawn: Any) -> None:
    env = drawn(["1.M..", "....#", "..S..", "....2"], rest=[0, 1], chew_steps=2, step_limit=40)
    told = env.observation()
    column = {name: k for k, name in enumerate(FEATURES)}
    rows = told["entities"][0]
    assert told["entity_mask"][0].all() and rows.shape == (5, 8)
    types = [FEATURES[int(row[:4].argmax())] for row in rows]
    assert types == ["is_panda", "is_panda", "is_watermelon", "is_scorpion", "is_tree"]
    assert (rows[:, :4].sum(axis=1) == 1).all()
    # x runs from -1 to 1 over 5 columns, y over 4 rows.
    np.testing.assert_allclose(rows[:, column["x"]], [-1, 1, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(rows[:, column["y"]], [-1, 1, -1, 1 / 3, -1 / 3], atol=1e-6)
    assert told["positions"][0].tolist() == [[0, 0], [4, 3], [2, 0], [2, 2], [4, 1]]
    assert rows[:, column["chewing"]].tolist() == [0, 0.5, 0, 0, 0]
    assert rows[:, column["time_left"]].tolist() == [1, 1, 0, 0, 0]
    assert told["agent_mask"].tolist() == [[True, False]] and told["alive"].all()
    assert told["action_mask"][0].tolist() == [[True, False, True, False, True], [False] * 5]
    hushed = drawn(["1.M..", "....#", "..S..", "....2"], tells_time=False).observation()
    assert (hushed["entities"][..., column["time_left"]] == 0).all()


def test_what_is_not_there_is_padding(drawn: Any) -> None:
    env = drawn(["1MM..", ".....", ".....", "....2"], rest=[0, -1], max_trees=2)
    env.step(np.array([[4, 0]]))  # panda 1 eats the first
    told = env.observation()
    gone = [1, 2, 4, 5]  # panda 2, the first watermelon, two trees
    assert np.flatnonzero(~told["entity_mask"][0]).tolist() == gone
    assert (told["entities"][0, gone] == 0).all() and (told["positions"][0, gone] == 0).all()
    assert not told["visibility"][0, gone].any() and not told["visibility"][0, :, gone].any()


def test_what_a_panda_does_not_see_changes_nothing_that_it_is_told() -> None:
    env = PandasVectorEnv(1, seed=4, view_radius=3, step_limit=10_000)
    moved = 0
    for _ in range(40):
        told, _ = env.reset()
        state, n = env.get_state(), 0
        row = told["visibility"][0, n]
        width, cells = env.settings.width, _cells(env, 0)
        here = cells[n]
        free = set(range(100)) - set(cells)
        far = [
            c
            for c in sorted(free)
            if abs(c % width - here % width) + abs(c // width - here // width) > 3
        ]
        for slot in np.flatnonzero(told["entity_mask"][0] & ~row)[:6]:
            changed = {k: v.copy() for k, v in state.items() if isinstance(v, np.ndarray)}
            where = np.cumsum([8, 12, 2, 10])
            name = ("pandas", "melons", "scorpions", "tree_cells")[int((slot >= where).sum())]
            if name == "tree_cells":
                continue  # a tree hides others, seen or not
            first = 0 if name == "pandas" else int(where[int((slot >= where).sum()) - 1])
            changed[name][0, slot - first] = far[len(far) // 2]
            env.set_state(state | changed)
            other = env.observation()
            np.testing.assert_array_equal(other["visibility"][0, n], row)
            np.testing.assert_array_equal(other["entities"][0, row], told["entities"][0, row])
            np.testing.assert_array_equal(other["positions"][0, row], told["positions"][0, row])
            np.testing.assert_array_equal(other["action_mask"][0, n], told["action_mask"][0, n])
            np.testing.assert_array_equal(other["entity_mask"], told["entity_mask"])
            moved += not np.array_equal(other["entities"], told["entities"])
            env.set_state(state)
    assert moved > 100


def test_only_the_arrays_of_the_form_have_rows() -> None:
    scene = room_to_tell(PandasSettings(), 3)
    assert len(scene.entities) == len(scene.alive) == 3 and len(scene.grid) == 0
    grid = room_to_tell(PandasSettings(form="grid"), 3)
    assert len(grid.grid) == len(grid.alive) == 3 and len(grid.entities) == 0
