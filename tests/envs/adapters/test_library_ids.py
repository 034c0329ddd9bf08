"""Entries of the libraries behind extras: what a user gets, with the libraries or without."""

from __future__ import annotations

import pytest

import maskrl
from maskrl.envs import registry
from maskrl.envs.adapters import jumanji, rl4co, smax
from maskrl.envs.adapters.library_ids import library_entry
from maskrl.envs.adapters.library_import import JUMANJI, RL4CO, SMAX, Library, LibraryMissingError
from maskrl.trainers.algorithms import ALGORITHMS

NAMES = {"jumanji": "Snake-v1", "smax": "3m", "rl4co": "tsp"}


@pytest.fixture
def known(monkeypatch):
    """Every name is taken for one that the library has."""
    for module in (jumanji, smax, rl4co):
        monkeypatch.setattr(module, "check_name", lambda name: None)


def test_every_library_has_ids():
    assert set(registry.LIBRARIES) == set(NAMES)
    for source in NAMES:
        assert any(form.startswith(f"{source}:") for form in registry.ID_FORMS)


@pytest.mark.parametrize("source", NAMES)
def test_an_id_means_the_entry_of_its_library(source, known):
    entry = registry.find_entry(f"{source}:{NAMES[source]}?num_loc=5")
    assert entry.id == f"{source}:{NAMES[source]}"
    assert NAMES[source] in entry.summary and entry.query_kwargs == {"num_loc": 5}


@pytest.mark.parametrize("source", NAMES)
def test_presets_are_settings_of_their_algorithms(source, known):
    presets = library_entry(source, NAMES[source]).presets
    assert "ppo" in presets
    for algorithm, preset in presets.items():
        fields = ALGORITHMS[algorithm].config.__dataclass_fields__
        unknown = set(preset) - set(fields) - {"total_steps", "evaluation_episodes"}
        assert not unknown, (algorithm, unknown)


def test_a_team_s_rewards_outlive_the_dead_and_the_trapped_idle(known):
    assert library_entry("smax", "3m").presets["ppo"]["death"] == "posthumous"
    assert all(p["empty"] == "idle" for p in library_entry("jumanji", "Snake-v1").presets.values())
    assert library_entry("rl4co", "tsp").presets["ppo"]["gamma"] == 1.0


@pytest.mark.parametrize("library", [JUMANJI, SMAX, RL4CO])
def test_without_its_library_an_id_says_what_to_type(library, monkeypatch):
    monkeypatch.setattr(Library, "is_installed", lambda self: False)
    env_id = f"{library.extra}:{NAMES[library.extra]}"
    for make in (maskrl.make, registry.find_entry, lambda name: maskrl.make_vec(name, 2)):
        with pytest.raises(LibraryMissingError) as caught:
            make(env_id)
        message = str(caught.value)
        assert env_id in message and library.recipe in message and "make worlds" in message
