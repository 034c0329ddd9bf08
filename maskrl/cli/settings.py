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
from maskrl.trainers.ppo_config import PPOConfig

DEFAULT_STEPS = 500_000
_PACKAGES = ("maskrl", "torch", "numpy", "numba", "gymnasium")


def preset_of(env_id: str) -> tuple[PPOConfig, int]:
    """What an environment is trained with unless the user says otherwise.

    Returns:
        PPO's settings with the presets over the defaults, and the number of steps.

    Raises:
        UnknownEnvError: There is no such environment.
    """
    preset = dict(find_entry(env_id).presets.get("ppo", {}))
    total_steps = int(preset.pop("total_steps", DEFAULT_STEPS))
    return PPOConfig.from_json(preset), total_steps


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
    config: PPOConfig,
    folder: Path,
) -> None:
    """Print what is about to run: only what differs from PPO's defaults, and where to find all."""
    console = Console(highlight=False)
    limit = "" if max_minutes is None else f" or {max_minutes:g} minutes"
    settings = "".join(f" {name}={value}" for name, value in env_kwargs.items())
    differing = ", ".join(f"{k}={_shown(v)}" for k, v in changes(config, PPOConfig()).items())
    lines = {
        "train": f"{env_id}{settings}, seed {seed}, {total_steps:,} steps{limit}",
        "ppo": differing or "default settings",
        "folder": f"{folder} (config.json has every setting)",
    }
    for name, text in lines.items():
        console.print(f"[dim]{name:<7}[/]", end="")
        console.print(text, markup=False, soft_wrap=True)


def _shown(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
