"""A scene says what the engine's own state says."""

from __future__ import annotations

import numpy as np

from maskrl.envs.adapters.microrts.scene import Unit, read_scene

WALLS = np.zeros((4, 5), np.bool_)


def unit(identity, kind, player, x, y, resources=0, hit_points=1):
    return {
        "type": kind,
        "ID": identity,
        "player": player,
        "x": x,
        "y": y,
        "resources": resources,
        "hitpoints": hit_points,
    }


STATE = {
    "time": 17,
    "pgs": {
        "width": 5,
        "height": 4,
        "players": [{"ID": 0, "resources": 6}, {"ID": 1, "resources": 2}],
        "units": [
            unit(0, "Resource", -1, 0, 0, resources=19),
            unit(1, "Base", 0, 2, 1, hit_points=10),
            unit(2, "Worker", 0, 1, 1, resources=1),
            unit(3, "Ranged", 1, 4, 3),
            unit(4, "Worker", 1, 3, 3),
        ],
    },
    "actions": [
        {"ID": 1, "time": 3, "action": {"type": 4, "parameter": 2, "unitType": "Worker"}},
        {"ID": 2, "time": 16, "action": {"type": 3, "parameter": 1}},
        {"ID": 3, "time": 16, "action": {"type": 5, "x": 2, "y": 1}},
        {"ID": 4, "time": 16, "action": {"type": 0, "parameter": 10}},
    ],
}


def test_units_stand_where_the_engine_says_and_do_what_it_says():
    scene = read_scene(STATE, WALLS, max_steps=2000)
    assert scene.units == (
        Unit("resource", -1, 0, 0, 1, 19),
        Unit("base", 0, 1, 2, 10, 0, "produce", (0, 1), "worker"),
        Unit("worker", 0, 1, 1, 1, 1, "return", (1, 0)),
        Unit("ranged", 1, 3, 4, 1, 0, "attack", (-2, -2)),
        Unit("worker", 1, 3, 3, 1, 0, "wait"),
    )
    assert (scene.height, scene.width, scene.stocks, scene.time) == (4, 5, (6, 2), 17)


def test_the_status_tells_the_end_and_nothing_before():
    assert read_scene(STATE, WALLS, 2000).status == "step 17/2000   stock 6 : 2"
    for outcome, word in ((1.0, "won"), (0.0, "drawn"), (-1.0, "lost")):
        assert read_scene(STATE, WALLS, 2000, outcome).status.endswith(f"   {word}")
