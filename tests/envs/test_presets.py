"""Known settings: they are there, and they are settings that exist."""

from __future__ import annotations

import pytest

from maskrl.envs import env_ids, find_entry, make
from maskrl.envs.adapters.gymnasium_info import MaskFromInfo


def test_taxi_is_listed_with_settings_for_ppo():
    entry = find_entry("gymnasium:Taxi-v4?is_rainy=true")
    assert entry.presets["ppo"]["total_steps"] > 0
    assert entry.query_kwargs == {"is_rainy": True}
    env = make("gymnasium:Taxi-v4", max_episode_steps=9)
    assert isinstance(env, MaskFromInfo) and env.spec.max_episode_steps == 9


@pytest.mark.parametrize("env_id", env_ids())
def test_every_preset_is_a_valid_configuration(env_id):
    from maskrl.trainers.algorithms import ALGORITHMS

    for name, preset in find_entry(env_id).presets.items():
        settings = dict(preset)
        assert isinstance(settings.pop("total_steps", 1), int)
        algorithm, _, special = name.partition(":")
        env = settings.pop("env", {})
        native = settings.pop("native_penalties", False)
        assert special or not (
            env or native
        )  # only a preset that is asked for may change the environment
        if special:
            make(env_id, **env).close()
        ALGORITHMS[algorithm].config.from_json(settings)
