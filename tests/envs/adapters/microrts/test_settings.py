"""The action of a unit is the engine's, and every wrong setting is told by name."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.envs.adapters.microrts.settings import (
    MICRORTS_TREE,
    OPPONENTS,
    PLANES,
    MicrortsSettings,
    read_settings,
)
from maskrl.errors import ConfigError


def test_an_action_has_the_engines_78_choices_and_only_its_types_parameters_count():
    assert MICRORTS_TREE.nvec == (6, 4, 4, 4, 4, 7, 49)
    by_type = MICRORTS_TREE.relevant(np.array([[k, 0, 0, 0, 0, 0, 0] for k in range(6)]))
    # wait; move: 1; harvest: 2; return: 3; produce: direction 4 and unit 5; attack: 6
    wanted = [[0], [0, 1], [0, 2], [0, 3], [0, 4, 5], [0, 6]]
    assert [np.flatnonzero(row).tolist() for row in by_type] == wanted


def test_choices_have_names_where_the_engine_counts_them():
    names = {head.name: head.choices for head in MICRORTS_TREE.heads}
    assert names["type"] == ("wait", "move", "harvest", "return", "produce", "attack")
    assert names["unit"][3] == "worker"
    # target 0 is three columns left and three rows up, 24 the unit itself, 25 right of it
    assert [names["attack"][k] for k in (0, 24, 25, 48)] == ["-3,-3", "+0,+0", "+1,+0", "+3,+3"]
    assert len(PLANES) == 27


def test_settings_are_read_and_lists_become_tuples():
    settings = read_settings({"opponent": "coac", "reward_weights": [1, 0, 0, 0, 0, 0]})
    assert settings.opponents == ("coac",)
    assert settings.weights == (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert MicrortsSettings().opponents == ("random-biased",)
    assert MicrortsSettings(opponent=["passive", "coac"]).opponents == ("passive", "coac")
    assert hash(MicrortsSettings(opponent=["passive"])) == hash(MicrortsSettings("passive"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"opponents": "coac"}, "unknown setting 'opponents'.*Did you mean opponent"),
        ({"opponent": "workerRushAI"}, "no opponent 'workerRushAI'. Did you mean worker-rush"),
        ({"opponent": "random_bias"}, "Did you mean random-biased"),
        ({"opponent": []}, "opponent must be a name or a list of names; got \\[\\]"),
        ({"opponent": 3}, "opponent must be a name or a list of names; got 3"),
        ({"opponent": ["passive", "zzz"]}, "no opponent 'zzz'. There are random-biased"),
        ({"reward_weights": [1, 2]}, "must be 6 numbers, the weights of win, resources"),
        ({"reward_weights": "10"}, "must be 6 numbers"),
        ({"reward_weights": [1, 1, 1, float("nan"), 1, 1]}, "that of buildings is nan"),
        ({"reward_weights": [1, 1, True, 1, 1, 1]}, "that of workers is True"),
        ({"max_steps": 0}, "max_steps must be a whole number from 1 on; got 0"),
        ({"max_steps": 2.5}, "max_steps must be a whole number from 1 on; got 2.5"),
        ({"max_steps": True}, "max_steps must be"),
        ({"partial_obs": "yes"}, "partial_obs must be true or false; got 'yes'"),
    ],
)
def test_wrong_settings_are_told(given, told):
    with pytest.raises(ConfigError, match=told):
        read_settings(given)


def test_every_opponent_has_a_class_and_says_whether_it_takes_types():
    assert all("." in path and isinstance(takes, bool) for path, takes in OPPONENTS.values())
