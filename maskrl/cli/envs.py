"""`maskrl envs`: what can be trained on, and how to say it.

Reads the registry alone, so it answers at once: no environment is made and torch is
not loaded.
"""

from __future__ import annotations

from maskrl.envs.registry import ID_FORMS, env_ids, find_entry


def envs() -> int:
    """List the environments that maskrl brings and the forms of an environment's id.

    Every verb that takes an environment takes any of these forms. Settings of an
    environment may follow its id after "?", or be given as --env key=value.

    Examples:
      maskrl envs
      maskrl train "panda?sight=full"
      maskrl train panda --env sight=full
    """
    width = max(map(len, env_ids()))
    print("environments:")
    for env_id in env_ids():
        entry = find_entry(env_id)
        marks = " (with planner)" if entry.reference is not None else ""
        print(f"  {env_id:<{width}}  {entry.summary}{marks}")
    print("\nforms of an id:")
    for form in ID_FORMS:
        print(f"  {form}")
    return 0
