"""Settings in layers, and shown in a few lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskrl.cli.settings import (
    DEFAULT_STEPS,
    changes,
    preset_of,
    print_settings,
    require_positive,
    versions,
)
from maskrl.envs.registry import EnvEntry, _entries, register
from maskrl.errors import ConfigError, UnknownEnvError
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.algorithms import ALGORITHMS
from maskrl.trainers.ppo_config import PPOConfig


@pytest.fixture
def entry():
    preset = {"total_steps": 1234, "clip": 0.1, "network": {"hidden": (7,)}}
    register(EnvEntry("layered", "a test", list, list, presets={"ppo": preset}))
    yield
    del _entries["layered"]


def test_presets_lie_over_defaults(entry):
    config, steps = preset_of("layered?a=1")
    assert (steps, config.clip, config.network.hidden) == (1234, 0.1, (7,))
    assert config.gamma == PPOConfig().gamma
    assert config.network.activation == NetworkConfig().activation
    assert preset_of("gymnasium:CartPole-v1") == (PPOConfig(), DEFAULT_STEPS)
    with pytest.raises(UnknownEnvError):
        preset_of("pnda")


def test_only_what_differs_is_shown(capsys):
    config = PPOConfig(clip=0.1, network=NetworkConfig(hidden=(128, 64)))
    assert changes(config, PPOConfig()) == {"clip": 0.1, "network.hidden": (128, 64)}
    print_settings("panda", {"sight": "full"}, 3, 200_000, 2.5, "ppo", config, Path("runs/a"))
    out = capsys.readouterr().out
    assert out.splitlines() == [
        "train  panda sight=full, seed 3, 200,000 steps or 2.5 minutes",
        "ppo    clip=0.1, network.hidden=128x64",
        "folder runs/a (config.json has every setting)",
    ]


@pytest.mark.parametrize("value", [0, -1, -0.5, float("nan"), float("inf")])
def test_positive_numbers(value):
    require_positive("--episodes", None)
    require_positive("--episodes", 1)
    with pytest.raises(ConfigError, match="--episodes: expected a positive number"):
        require_positive("--episodes", value)


def test_versions_name_what_numbers_depend_on():
    assert {"python", "torch", "numpy", "gymnasium"} <= set(versions())


def test_an_empty_list_is_shown_as_one(capsys):
    config = PPOConfig(network=NetworkConfig(channels=()))
    print_settings("panda", {}, 0, 10, None, "ppo", config, Path("runs/a"))
    assert "network.channels=()" in capsys.readouterr().out


@pytest.mark.parametrize("algorithm", ["dqn", "sac"])
def test_presets_of_another_algorithm_are_its_own(algorithm):
    preset = {algorithm: {"gamma": 0.5, "total_steps": 77}, "ppo": {"gamma": 0.25}}
    register(EnvEntry("layered", "a test", list, list, presets=preset))
    try:
        config, steps = preset_of("layered", algorithm)
    finally:
        del _entries["layered"]
    assert (steps, config.gamma, type(config)) == (77, 0.5, ALGORITHMS[algorithm].config)
