"""Ids: their forms, their arguments, and what is said about ids that are none."""

from __future__ import annotations

import subprocess
import sys

import gymnasium
import numpy as np
import pytest

from maskrl.envs import construct, registry
from maskrl.errors import ConfigError, UnknownEnvError


@pytest.fixture
def entries(monkeypatch):
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))


@pytest.mark.parametrize(
    ("text", "base", "kwargs"),
    [
        ("panda", "panda", {}),
        ("panda?", "panda", {}),
        ("panda?sight=full&trees=3", "panda", {"sight": "full", "trees": 3}),
        (
            "a.b:C?x=0.5&y=true&z=None&w=(1,2)",
            "a.b:C",
            {"x": 0.5, "y": True, "z": None, "w": (1, 2)},
        ),
        ("gymnasium:Taxi-v4?is_rainy=True", "gymnasium:Taxi-v4", {"is_rainy": True}),
        ("p?name=a%26b%3Dc&list=[1,2]", "p", {"name": "a&b=c", "list": [1, 2]}),
    ],
)
def test_ids_are_split(text, base, kwargs):
    assert registry.parse_env_id(text) == (base, kwargs)


@pytest.mark.parametrize("text", ["panda?sight", "panda?=3", "panda?a b=3", "panda?x=1&&y=2"])
def test_malformed_arguments_are_shown(text):
    with pytest.raises(ConfigError, match="name=value"):
        registry.parse_env_id(text)


def test_arguments_win_in_the_stated_order(entries):
    registry.register(
        registry.EnvEntry(
            "toy",
            "for this test",
            dict,
            dict,
            default_kwargs={"a": 1, "b": 1, "split": "train"},
            evaluation_kwargs={"split": "test"},
            validation_kwargs={"split": "validation"},
        )
    )
    entry = registry.find_entry("toy?b=2")
    assert entry.id == "toy" and entry.query_kwargs == {"b": 2}
    assert entry.kwargs_for() == {"a": 1, "b": 2, "split": "train"}
    assert entry.kwargs_for("evaluation", a=3) == {"a": 3, "b": 2, "split": "test"}
    assert entry.kwargs_for("validation")["split"] == "validation"
    assert registry.make("toy?b=2", a=5) == {"a": 5, "b": 2, "split": "train"}
    made = registry.make_vec("toy", 3, seed=7, split="test")
    assert made == {"num_envs": 3, "seed": 7, "a": 1, "b": 1, "split": "test"}


def test_an_id_is_given_once(entries):
    entry = registry.EnvEntry("toy", "for this test", dict, dict)
    registry.register(entry)
    assert "toy" in registry.env_ids()
    with pytest.raises(ConfigError, match="'toy' is taken"):
        registry.register(entry)


def test_entries_for_foreign_ids_are_made_on_the_fly(corridor, monkeypatch):
    monkeypatch.setattr(construct, "find_class", lambda path: corridor)
    entry = registry.find_entry("some.where:Corridor?length=3")
    assert entry.id == "some.where:Corridor" and "Corridor" in entry.summary
    assert entry.reference is None and not entry.presets
    env = registry.make("some.where:Corridor?length=3")
    assert env.unwrapped.length == 3


@pytest.mark.parametrize(
    ("env_id", "advice"),
    [
        ("pnada", "Did you mean panda"),
        ("Taxi-v4", "Did you mean gymnasium:Taxi-v4?"),
        ("quite-something-else", "Forms of an environment id"),
        ("", "Forms of an environment id"),
        ("gymnasium:", "Forms of an environment id"),
        (":Env", "Forms of an environment id"),
    ],
)
def test_unknown_ids_get_advice(env_id, advice):
    with pytest.raises(UnknownEnvError) as raised:
        registry.make(env_id)
    assert advice in str(raised.value)


@pytest.mark.parametrize("num_envs", [0, -1, 2.0, True, "4"])
def test_num_envs_must_be_positive(num_envs):
    with pytest.raises(ConfigError, match="num_envs must be a positive int"):
        registry.make_vec("gymnasium:Taxi-v4", num_envs)


def test_taxi_end_to_end():
    venv = registry.make_vec("gymnasium:Taxi-v4", 2, seed=5)
    first, _ = venv.reset()
    again, _ = registry.make_vec("gymnasium:Taxi-v4", 2, seed=5).reset()
    assert first["action_mask"].shape == (2, 6) and first["action_mask"].dtype == np.bool_
    np.testing.assert_array_equal(first["observation"], again["observation"])


def test_games_are_registered_and_not_imported_and_torch_is_not_loaded():
    code = (
        "import sys, gymnasium, maskrl.envs as envs\n"
        "assert 'panda' in envs.env_ids()\n"
        "assert 'maskrl/Panda-v0' in gymnasium.registry\n"
        "loaded = [name for name in sys.modules if name == 'torch' or '.games.panda' in name]\n"
        "assert not loaded, loaded\n"
        "envs.make_vec('gymnasium:Taxi-v4', 2)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["Panda-v0", "PandaOpen-v0", "PandaTrees-v0"])
def test_games_are_named_for_gymnasium_too(name):
    spec = gymnasium.spec(f"maskrl/{name}")
    assert spec.entry_point == "maskrl.envs.games.panda.single_env:PandaEnv"
    assert "preset" in spec.kwargs


@pytest.mark.parametrize(("thing", "name"), [(dict, "dict"), (3, "int"), (None, "NoneType")])
def test_what_is_no_id_is_named(thing, name):
    with pytest.raises(ConfigError, match=f"expected a string, got {name}"):
        registry.find_entry(thing)


def test_an_id_does_not_contradict_the_number_or_the_seed():
    with pytest.raises(ConfigError, match="num_envs was given among the environment's own"):
        registry.make_vec("panda?num_envs=3", 2)
    with pytest.raises(ConfigError, match="seed was given among"):
        registry.make_vec("panda?seed=3", 2, seed=0)
    assert registry.make_vec("panda?seed=3", 2).num_envs == 2
