"""Which form a foreign mask has: flags, ids of allowed actions, or flags by id.

[0, 1] may be two flags or two ids. A form is therefore read off what cannot mean anything
else (the values, the container, or a name such as `legal_actions`), once, at the first
reset; what could be both is refused with the setting that decides. Once read, a form
holds for all steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError
from maskrl.masks.arrays import BoolArray

Form = Literal["mask", "ids", "dict", "none_all"]
"""Flags; ids of allowed actions; flags by id; or None, which allows everything."""

Reading = Literal["flags", "ids", "unsaid"]
"""What a name promises: `action_mask` flags, `legal_actions` ids, `options` nothing."""

FORM_ADVICE = (
    "Say which with mask_form='mask' (one flag per action) or mask_form='ids' (the numbers of "
    "the allowed actions)"
)

FLAGS = (bool, np.bool_)

_FLAGS = re.compile(r"mask", re.IGNORECASE)
_IDS = re.compile(
    r"(legal|valid|avail|possible|allowed|permitted)\w*(action|move|choice)", re.IGNORECASE
)


def reading_of(name: str) -> Reading:
    """What the name of a mask promises.

    >>> reading_of("action_masks"), reading_of("get_legal_moves"), reading_of("options")
    ('flags', 'ids', 'unsaid')
    """
    if _FLAGS.search(name):
        return "flags"
    return "ids" if _IDS.search(name) else "unsaid"


def form_of(raw: Any, action_space: spaces.Space[Any], name: str) -> Form:
    """The form of a mask that is seen for the first time.

    Args:
        raw: As the environment gave it; an iterator is not consumed.
        action_space: Of the environment.
        name: Under which it was found; what it promises decides where values cannot.

    Raises:
        ConfigError: It can be read in two ways.
    """
    if raw is None:
        return "none_all"
    if isinstance(raw, Mapping):
        return "dict"
    reading = reading_of(name)
    if reading == "flags" or not isinstance(action_space, spaces.Discrete):
        return "mask"
    if _is_loose(raw):
        return "ids"
    row = _row_of(raw)
    if row is None or row.ndim != 1:
        return "mask"
    if not row.size:
        return "ids"
    if row.dtype.kind not in "iu":
        return "mask"
    n, start = int(action_space.n), int(action_space.start)
    values = row.tolist()
    can_be_ids = len(set(values)) == len(values) and all(start <= v < start + n for v in values)
    if not can_be_ids:
        return "mask"
    only_flags = set(values) <= {0, 1}
    if only_flags and len(values) == n:
        if reading == "unsaid":
            return "mask"  # what is called neither is a mask, and has the length of one
        if n > 1:
            raise ConfigError(
                f"{name} gave {values}, which may be a flag for each of the {n} actions or the ids "
                f"of {len(values)} allowed ones. {FORM_ADVICE}."
            )
    if only_flags and reading == "unsaid":
        raise ConfigError(
            f"{name} gave {values}, which may be the ids of {len(values)} allowed actions or "
            f"flags for too few of the {n}. {FORM_ADVICE}."
        )
    return "ids"


def ids_row(raw: Any, action_space: spaces.Space[Any]) -> BoolArray:
    """The flags of listed actions: bool `[A]`, True where an action is listed.

    Args:
        raw: Ids in any order and container, numbered as in `action_space`; for several heads
            one such list for each, in the order of the heads.
        action_space: Discrete or MultiDiscrete.

    Raises:
        MaskShapeError: An id is no action's, or there is not one list per head.
        MaskDtypeError: They are no whole numbers, or flags.

    >>> ids_row({3, 1}, spaces.Discrete(4))
    array([False,  True, False,  True])
    """
    if isinstance(action_space, spaces.MultiDiscrete):
        sizes = [int(n) for n in action_space.nvec.reshape(-1)]
        starts = [int(start) for start in action_space.start.reshape(-1)]
        lists = list(raw) if isinstance(raw, Iterable) else []
        if len(lists) != len(sizes) or not all(_is_list(part) for part in lists):
            raise MaskShapeError(
                f"action_mask: expected one list of ids for each of the {len(sizes)} parts of "
                f"{action_space}, got {_shown(raw)}. Allowed combinations of parts are no mask: "
                "the parts of a MultiDiscrete action are chosen apart."
            )
        rows = [_one_row(*one) for one in zip(lists, sizes, starts, strict=True)]
        return np.concatenate(rows)
    if not isinstance(action_space, spaces.Discrete):
        raise MaskShapeError(f"action_mask: {action_space} takes flags, not ids of actions.")
    if not _is_list(raw):
        raise MaskShapeError(
            f"action_mask: expected the ids of allowed actions in a list, got {_shown(raw)}."
        )
    return _one_row(raw, int(action_space.n), int(action_space.start))


def dtype_of(raw: Any) -> str:
    """What a mask consists of, in words: "int8", "list of bool", "dict of int".

    >>> dtype_of(np.zeros(3, np.int8)), dtype_of([True]), dtype_of({0: 1})
    ('int8', 'list of bool', 'dict of int')
    """
    if raw is None:
        return "None"
    if isinstance(raw, Mapping):
        return f"dict of {_inside(raw.values())}"
    if isinstance(raw, Sequence | Set) and not isinstance(raw, str | bytes | range):
        return f"{type(raw).__name__} of {_inside(raw)}"
    return str(getattr(raw, "dtype", type(raw).__name__))


def _one_row(raw: Any, n: int, start: int) -> BoolArray:
    row = np.zeros(n, np.bool_)
    ids = list(raw)
    for place, action in enumerate(ids):
        if not _whole(action):
            flag = ": this is a flag. Say so with mask_form='mask'" * isinstance(action, FLAGS)
            raise MaskDtypeError(
                f"action_mask: expected ids of allowed actions, whole numbers from {start} to "
                f"{start + n - 1}, got {action!r} at index {place}{flag}."
            )
        number = int(action)
        if not start <= number < start + n:
            pads = " If it pads the list, leave it out." if number < 0 else ""
            raise MaskShapeError(
                f"action_mask: the id {number} at index {place} is no action's; expected ids from "
                f"{start} to {start + n - 1}.{pads}"
            )
        row[number - start] = True
    if n > 1 and len(ids) == n and len(set(map(int, ids))) < n and set(map(int, ids)) <= {0, 1}:
        raise MaskDtypeError(
            f"action_mask: {_shown(raw)} looks like one flag for each of the {n} actions, and "
            "ids were expected, because the first mask listed ids. Give the same form at every "
            "step, or say mask_form='mask'."
        )
    return row


def _is_loose(raw: Any) -> bool:
    """Whether this is a container that can only hold ids: it has no order or no length."""
    return isinstance(raw, Set | range | Iterator)


def _is_list(raw: Any) -> bool:
    if isinstance(raw, str | bytes | Mapping):
        return False
    shape = getattr(raw, "shape", None)
    return isinstance(raw, Iterable) if shape is None else len(shape) == 1


def _row_of(raw: Any) -> np.ndarray | None:
    try:
        row = np.asarray(raw)
        return np.asarray(row.tolist()) if row.dtype == object else row
    except (ValueError, TypeError):  # rows of uneven lengths, or no numbers
        return None


def _whole(value: Any) -> bool:
    """Whether this is a whole number, also of a foreign kind such as a scalar tensor."""
    if isinstance(value, int | np.integer):
        return not isinstance(value, FLAGS)
    if isinstance(value, str | bytes):
        return False
    array = np.asarray(value)
    return array.ndim == 0 and array.dtype.kind in "iu"


def _inside(values: Iterable[Any]) -> str:
    kinds = dict.fromkeys(
        dtype_of(value) if isinstance(value, Sequence | np.ndarray) else type(value).__name__
        for value in values
    )
    return " and ".join(kinds) or "nothing"


def _shown(raw: Any) -> str:
    text = repr(raw)
    return text if len(text) <= 80 else f"{text[:77]}..."
