"""`maskrl envs`: what can be trained on, and how to say it.

Reads the registry alone, so it answers at once: no environment is made and torch is
not loaded.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Annotated, Any

import tyro

from maskrl.envs.registry import ID_FORMS, EnvEntry, env_ids, find_entry
from maskrl.envs.setting_list import setting_list


def envs(
    env: Annotated[
        tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[ENV]", help_behavior_hint="")
    ] = None,
) -> int:
    """List the environments that maskrl brings and the forms of an environment's id.

    Every verb that takes an environment takes any of these forms. Settings of an
    environment may follow its id after "?", or be given as --env key=value.

    Examples:
      maskrl envs
      maskrl envs panda                     its settings and what it is trained with
      maskrl train "panda?sight=full"
      maskrl train panda --env sight=full

    Args:
        env: An environment to tell more about; all are listed without one.
    """
    if env is not None:
        _tell(find_entry(env))
        return 0
    width = max(map(len, env_ids()))
    print("environments:")
    for env_id in env_ids():
        entry = find_entry(env_id)
        marks = " (with reference)" if entry.reference is not None else ""
        print(f"  {env_id:<{width}}  {entry.summary}{marks}")
    print("\nforms of an id:")
    for form in ID_FORMS:
        print(f"  {form}")
    print("\n`maskrl envs ENV` tells its settings and what it is trained with.")
    return 0


def _tell(entry: EnvEntry) -> None:
    """Print the settings of one environment and its presets."""
    print(f"{entry.id}: {entry.summary}")
    print(f"\nsettings, as in {entry.id}?NAME=VALUE or --env NAME=VALUE:")
    if entry.settings is not None:
        declared = entry.settings.resolve()
        assert isinstance(declared, type)
        rows = [
            (
                setting.name,
                repr(entry.default_kwargs.get(setting.name, setting.default)),
                setting.text,
            )
            for setting in setting_list(declared)
        ]
    else:
        rows = [(name, "", text) for name, text in entry.options.items()]
        print("  what the environment itself takes, and where its mask is found:")
    name_width = max(len(name) for name, _, _ in rows)
    value_width = max(len(value) for _, value, _ in rows)
    for name, value, text in rows:
        lead = f"  {name:<{name_width}}  {value:<{value_width}}  "
        print(textwrap.fill(text, 96, initial_indent=lead, subsequent_indent=" " * len(lead)))
    for key, preset in entry.presets.items():
        algorithm, _, name = key.partition(":")
        chosen = f" by --preset {name}" if name else ""
        print(f"\nwhat {algorithm} is trained with{chosen}, over the defaults:")
        dotted = _dotted(preset)
        width = max(map(len, dotted))
        for setting, value in dotted.items():
            print(f"  {setting:<{width}}  {value}")


def _dotted(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings within settings under dotted names, as options and configuration files have them.

    >>> _dotted({"gamma": 0.9, "network": {"hidden": (64,)}})
    {'gamma': 0.9, 'network.hidden': (64,)}
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": entry for inner, entry in _dotted(value).items()}
        else:
            found[name] = value
    return found
