"""What a picture of many pandas shows, and what it refuses to show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maskrl.envs.games.pandas.scene import TeamScene
from maskrl.errors import ConfigError

GOOD: dict[str, Any] = {"width": 4, "height": 3, "pandas": ((0, 0), None), "chewing": (1, 0)}


def test_it_is_plain_data() -> None:
    scene = TeamScene(**GOOD, trees=((3, 2),), last_actions=("up", None))
    assert scene.living == 1
    assert json.loads(json.dumps(scene.as_dict()))["pandas"] == [[0, 0], None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "grid is 0 x 3"),
        ({"trees": ((0, 0), (4, 0))}, r"trees\[1\] is \(4, 0\), outside the 4 x 3 grid"),
        ({"pandas": ((0, 0), (0, 0))}, r"two pandas stand on \(0, 0\)"),
        ({"chewing": (0,)}, "chewing has 1 entries, expected one for each of the 2"),
        ({"last_actions": ("up",)}, "last_actions has 1 entries"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TeamScene(**(GOOD | changes))
