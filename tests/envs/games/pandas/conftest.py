"""Worlds of pandas set up by hand, drawn as text: `.` ground, `#` tree, digits pandas, M, S."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maskrl.envs.games.pandas.vector_env import PandasVectorEnv


def read(rows: list[str]) -> dict[str, list[int]]:
    """Cells by sign; pandas in the order of their digits."""
    text = "".join(rows)
    digits = sorted((c, i) for i, c in enumerate(text) if c.isdigit())
    return {
        "pandas": [i for _, i in digits],
        "melons": [i for i, c in enumerate(text) if c == "M"],
        "scorpions": [i for i, c in enumerate(text) if c == "S"],
        "tree_cells": [i for i, c in enumerate(text) if c == "#"],
    }


@pytest.fixture(scope="session")
def drawn() -> Callable[..., PandasVectorEnv]:
    """Make a vector environment whose worlds all stand as drawn."""

    def make(rows: list[str], *, num_envs: int = 1, rest: Any = None, **settings: Any) -> Any:
        cells = read(rows)
        sizes: dict[str, Any] = {
            "pandas": len(cells["pandas"]),
            "width": len(rows[0]),
            "height": len(rows),
            "watermelons": max(len(cells["melons"]), 1),
            "scorpions": len(cells["scorpions"]),
            "max_trees": len(cells["tree_cells"]),
        }
        env = PandasVectorEnv(num_envs, **(sizes | settings))
        state = env.get_state()
        for name, where in cells.items():
            state[name][:, : len(where)] = where
        state["rest"][:] = 0 if rest is None else rest
        env.set_state(state)
        return env

    return make
