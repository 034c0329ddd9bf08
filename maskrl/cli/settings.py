"""Settings in layers, and how they are shown: defaults, an environment's presets, the user's.

What a run will do is printed in a few lines before it starts; the whole of it, every
default included, goes into the run's `config.json`.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console

from maskrl.envs.registry import find_entry
from maskrl.errors import ConfigError
from maskrl.trainers.algorithms import ALGORITHMS
from maskrl.trainers.trainer_config import TrainerConfig

DEFAULT_STEPS = 500_000
PRESET_ENV = "env"
"""The entry of a preset that holds settings of the environment."""
PRESET_NATIVE = "native_penalties"
"""The entry of a preset that says whether penalties leave the answer to the environment."""

_PACKAGES = ("maskrl", "torch", "numpy", "numba", "gymnasium")


def preset_of(
    env_id: str, algorithm: str = "ppo", name: str | None = None
) -> tuple[TrainerConfig, int]:
    """What an environment is trained with by an algorithm unless the user says otherwise.

    Args:
        env_id: In any form that `maskrl.make` takes.
        algorithm: Out of `maskrl.trainers.algorithms.ALGORITHMS`.
        name: Of one of several presets; None for the usual one.

    Returns:
        The algorithm's settings with the presets over the defaults, and the number of steps.

    Raises:
        UnknownEnvError: There is no such environment.
        ConfigError: It has no preset of that name.
    """
    preset = _preset(env_id, algorithm, name)
    for key in (PRESET_ENV, PRESET_NATIVE):
        preset.pop(key, None)
    total_steps = int(preset.pop("total_steps", DEFAULT_STEPS))
    config: TrainerConfig = ALGORITHMS[algorithm].config.from_json(preset)
    return config, total_steps


def preset_env(env_id: str, algorithm: str, name: str | None = None) -> dict[str, Any]:
    """The settings of the environment that belong to a preset; arguments as of `preset_of`."""
    return dict(_preset(env_id, algorithm, name).get(PRESET_ENV, {}))


def preset_is_native(env_id: str, algorithm: str, name: str | None = None) -> bool:
    """Whether a preset's penalties are native ones; arguments as of `preset_of`."""
    return bool(_preset(env_id, algorithm, name).get(PRESET_NATIVE, False))


def _preset(env_id: str, algorithm: str, name: str | None) -> dict[str, Any]:
    presets = find_entry(env_id).presets
    key = algorithm if name is None else f"{algorithm}:{name}"
    if name is not None and key not in presets:
        known = [k.partition(":")[2] for k in presets if k.startswith(f"{algorithm}:")]
        raise ConfigError(
            f"--preset {name}: {env_id} has no such preset for {algorithm}; it has "
            f"{', '.join(known) or 'none but the usual one'}"
        )
    return dict(presets.get(key, {}))


def require_positive(name: str, value: float | None) -> None:
    """Refuse a number that is not above 0.

    Raises:
        ConfigError: It is not.
    """
    if value is not None and not 0 < value < float("inf"):
        raise ConfigError(f"{name}: expected a positive number, got {value}")


def versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def changes(settings: Any, defaults: Any, prefix: str = "") -> dict[str, Any]:
    """Settings that differ from the defaults, by dotted name.

    >>> from maskrl.trainers.ppo_config import PPOConfig
    >>> changes(PPOConfig(clip=0.1), PPOConfig())
    {'clip': 0.1}
    """
    found: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value, default = getattr(settings, field.name), getattr(defaults, field.name)
        if dataclasses.is_dataclass(value):
            found |= changes(value, default, f"{prefix}{field.name}.")
        elif value != default:
            found[f"{prefix}{field.name}"] = value
    return found


def print_settings(
    env_id: str,
    env_kwargs: Mapping[str, Any],
    seed: int,
    total_steps: int,
    max_minutes: float | None,
    algorithm: str,
    config: TrainerConfig,
    folder: Path,
) -> None:
    """Print what is about to run: only what differs from the defaults, and where to find all."""
    console = Console(highlight=False)
    limit = "" if max_minutes is None else f" or {max_minutes:g} minutes"
    settings = "".join(f" {name}={value}" for name, value in env_kwargs.items())
    defaults = type(config)()
    differing = ", ".join(f"{k}={_shown(v)}" for k, v in changes(config, defaults).items())
    lines = {
        "train": f"{env_id}{settings}, seed {seed}, {total_steps:,} steps{limit}",
        algorithm: differing or "default settings",
        "folder": f"{folder} (config.json has every setting)",
    }
    for name, text in lines.items():
        console.print(f"[dim]{name:<7}[/]", end="")
        console.print(text, markup=False, soft_wrap=True)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value)) or "()"
    return str(value)
