"""A map's id is enough: make, make_vec, settings and presets come from it."""

from __future__ import annotations

import numpy as np
import pytest

import maskrl
from maskrl.cli.envs import envs
from maskrl.envs.adapters.microrts import entry, installation
from maskrl.envs.adapters.microrts.entry import EXAMPLE, microrts_entry
from maskrl.envs.registry import ID_FORMS, find_entry
from maskrl.errors import ConfigError, UnknownEnvError


def test_the_id_makes_environments_with_settings_from_id_and_call():
    env = maskrl.make(f"{EXAMPLE}?max_steps=7&opponent=passive")
    assert (env.settings.max_steps, env.settings.opponents) == (7, ("passive",))
    venv = maskrl.make_vec(f'{EXAMPLE}?opponent=["passive","coac"]', 3, seed=4, max_steps=9)
    assert venv.num_envs == 3 and venv.settings.opponents == ("passive", "coac")
    first, _ = venv.reset()
    assert first["grid"].shape == (3, 27, 8, 8)
    with pytest.raises(ConfigError, match="unknown setting 'oponent'.*Did you mean opponent"):
        maskrl.make(f"{EXAMPLE}?oponent=coac")


def test_unknown_maps_are_told_before_anything_is_made():
    with pytest.raises(UnknownEnvError, match="Did you mean microrts:maps/8x8/basesWorkers8x8.xml"):
        find_entry("microrts:maps/8x8/baseWorkers8x8.xml")
    with pytest.raises(UnknownEnvError, match="expected the file of a map, as in microrts:maps"):
        find_entry("microrts:8x8")


def test_it_is_listed_with_its_settings_and_preset(capsys):
    assert any(form.startswith("microrts:") for form in ID_FORMS)
    assert envs(EXAMPLE) == 0
    told = capsys.readouterr().out
    assert "Weight of win or loss, resources" in told and "random-biased" in told
    assert "posthumous" in told


def test_without_the_engine_the_entry_is_there_and_making_says_what_to_install(monkeypatch):
    def missing(name):
        return None

    monkeypatch.setattr(installation.importlib.util, "find_spec", missing)
    found = microrts_entry("maps/8x8/basesWorkers8x8.xml")
    with pytest.raises(ImportError, match="make microrts"):
        found.make()
    assert found.id == EXAMPLE


def test_the_preset_is_one_that_a_team_without_identity_needs():
    assert entry.MICRORTS_PPO["death"] == "posthumous"
    venv = maskrl.make_vec(EXAMPLE, 1)
    venv.reset()
    assert np.array(venv.single_action_space.nvec).shape == (7, 8, 8)
