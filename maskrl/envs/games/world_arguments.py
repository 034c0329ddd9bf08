"""What every world checks before its compiled code runs: arguments, and states from files.

Compiled loops follow what they are given, so that a wrong seed, layout list or saved array
must be found first. Worlds share how these are read; each message begins with the name of
the world.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from maskrl.envs.games.layout_seeds import Split, split_seeds
from maskrl.errors import ConfigError
from maskrl.masks.arrays import check_mask_array

LARGEST_SEED = 2**63 - 1
"""The largest layout seed."""


def count_of_worlds(world: str, num_envs: Any) -> int:
    """How many worlds step together.

    Raises:
        ConfigError: `num_envs` is no positive whole number.
    """
    if not _is_whole(num_envs) or num_envs < 1:
        raise ConfigError(f"{world}: num_envs must be a positive whole number; got {num_envs!r}")
    return int(num_envs)


def whole_seed(world: str, seed: Any) -> int:
    """A seed of all randomness.

    Raises:
        ConfigError: `seed` is no whole number from 0 on.
    """
    if not _is_whole(seed) or seed < 0:
        raise ConfigError(f"{world}: seed must be a whole number from 0 on; got {seed!r}")
    return int(seed)


def require_known(world: str, fields: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse settings that a world does not have.

    Args:
        world: Name of the world.
        fields: By name, as `__dataclass_fields__` of its settings.
        settings: What came.

    Raises:
        ConfigError: One is unknown.
    """
    unknown = sorted(set(settings) - set(fields))
    if unknown:
        raise ConfigError(
            f"{world}: unknown setting {unknown[0]!r}; the settings are {', '.join(fields)}"
        )


def layout_list(world: str, layout_seeds: Any, split: Split) -> npt.NDArray[np.int64]:
    """Layout seeds int64 `[n]` that a compiled loop can take.

    Args:
        world: Name of the world.
        layout_seeds: A list; a number n for the first n of `split`; None or an empty list for
            random ones of the split, which is an empty list.
        split: The layouts that a number counts.

    Raises:
        ConfigError: It is no list of whole numbers from 0 to 2**63 - 1, or no number of layouts
            that the split has.
    """
    if layout_seeds is None:
        return np.zeros(0, np.int64)
    if _is_whole(layout_seeds):
        return split_seeds(split, int(layout_seeds))
    seeds = np.asarray(layout_seeds)
    whole = np.issubdtype(seeds.dtype, np.integer) or seeds.size == 0
    if seeds.ndim != 1 or not whole or (seeds < 0).any() or (seeds > LARGEST_SEED).any():
        raise ConfigError(
            f"{world}: layout_seeds must be a list of whole numbers from 0 to 2**63 - 1; got "
            f"{seeds.dtype} of shape {seeds.shape}: {str(layout_seeds)[:60]}"
        )
    return seeds.astype(np.int64)


def worlds_to_reset(
    world: str, options: Mapping[str, Any] | None, num_envs: int, *, begun: bool
) -> list[int]:
    """Indices of the worlds in which `reset` begins a new episode.

    Args:
        world: Name of the world.
        options: Of `reset`; `reset_mask` bool `[num_envs]` says where.
        num_envs: How many there are.
        begun: Whether an earlier reset began them.

    Raises:
        MaskDtypeError, MaskShapeError: `reset_mask` is not boolean, or not `[num_envs]`.
        ConfigError: The first reset leaves some out.
    """
    if not options or "reset_mask" not in options:
        return list(range(num_envs))
    anew = check_mask_array(
        options["reset_mask"], (num_envs,), name="reset_mask", operation=f"{world}: reset"
    )
    if not begun and not anew.all():
        raise ConfigError(f"{world}: the first reset begins every world; leave out reset_mask")
    return [int(index) for index in np.flatnonzero(anew)]


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view that cannot be written to: observations are updated in place, step by step."""
    view = array.view()
    view.setflags(write=False)
    return view


def saved_state(
    arrays: Mapping[str, npt.NDArray[Any]],
    layouts: npt.NDArray[np.int64],
    illegal_actions: int,
    rules_version: int,
) -> dict[str, Any]:
    """Everything that the future of worlds depends on, as copies.

    Args:
        arrays: By name, as they step.
        layouts: Seeds of the layouts to play.
        illegal_actions: As counted so far.
        rules_version: Of the rules that the state belongs to.
    """
    return {
        **{name: array.copy() for name, array in arrays.items()},
        "layout_list": layouts.copy(),
        "illegal_actions": illegal_actions,
        "rules_version": rules_version,
    }


def read_saved(
    world: str,
    state: Mapping[str, Any],
    arrays: Mapping[str, npt.NDArray[Any]],
    rules_version: int,
) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a saved state, found to be of the same world and kind as `arrays`.

    Args:
        world: Name of the world.
        state: As `saved_state` gave it, perhaps through a file.
        arrays: By name, as they step now.
        rules_version: Of these rules.

    Raises:
        ConfigError: The state is of other rules or sizes, or damaged.
    """
    for name in sorted((*arrays, "layout_list", "illegal_actions", "rules_version")):
        if name not in state:
            raise ConfigError(f"{world}: the saved state has no entry {name!r}")
    if int(state["rules_version"]) != rules_version:
        raise ConfigError(
            f"{world}: the saved state is of rules version {state['rules_version']}, this is "
            f"version {rules_version}: start the run anew"
        )
    found = {name: np.asarray(state[name]) for name in arrays}
    for name, array in arrays.items():
        saved = found[name]
        if saved.shape != array.shape:
            raise ConfigError(
                f"{world}: the saved {name} has shape {saved.shape}, this world needs "
                f"{array.shape}: the number of environments or a setting differs"
            )
        if saved.dtype.kind not in "biu":
            raise ConfigError(
                f"{world}: the saved {name} is damaged: it has dtype {saved.dtype}, expected "
                f"{array.dtype}"
            )
    return found


def _is_whole(number: Any) -> bool:
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool)
