"""The heads of one decision, ready to be shown: names, masks, preferences, the choice.

Reports and the terminal draw a group of bars per head from these. An action of one
number has one head without a name; bits have two choices, "off" and "on"; a head of a
tree that does not count in the action taken says so. numpy only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskrl.envs.contract import EnvDescription
from maskrl.masks.tree import ActionTree

OFF_ON = ("off", "on")
"""Names of what a bit may be."""


@dataclass(frozen=True)
class HeadLabels:
    """What to call a head and its choices.

    Attributes:
        name: Of the head; empty where an action has only one.
        choices: Of its choices.
    """

    name: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class HeadView:
    """One head of one decision.

    Attributes:
        name: Of the head; empty where an action has only one.
        choices: Names of its n choices.
        action_mask: bool `[n]`, what it could choose after the choices before it; None where
            everything is allowed at all times.
        logits: float `[n]`, before the mask.
        probs: float `[n]`, after it: exactly 0 where disallowed.
        action: What it chose.
        relevant: Whether it counts in the action taken.
        q_values: float `[n]`, what each choice is worth; None where nobody tells.
    """

    name: str
    choices: tuple[str, ...]
    action_mask: np.ndarray | None
    logits: np.ndarray
    probs: np.ndarray
    action: int
    relevant: bool = True
    q_values: np.ndarray | None = None

    @property
    def allowed(self) -> np.ndarray:
        """The mask, all True where there is none: bool `[n]`."""
        return np.ones(len(self.probs), np.bool_) if self.action_mask is None else self.action_mask

    @property
    def chosen(self) -> str:
        """Name of what it chose."""
        return self.choices[self.action]


def split_heads(
    labels: Sequence[HeadLabels],
    action: int | np.ndarray,
    action_mask: np.ndarray | None,
    logits: np.ndarray,
    probs: np.ndarray,
    relevant: np.ndarray | None = None,
) -> tuple[HeadView, ...]:
    """Cut rows that hold all heads of a decision into one view per head.

    Args:
        labels: K heads.
        action: The choice of the only head, or `[K]`.
        action_mask: bool `[sum of sizes]`, or None.
        logits: float `[sum of sizes]`.
        probs: float `[sum of sizes]`.
        relevant: bool `[K]`; None where all heads count.
    """
    cuts = np.cumsum([len(head.choices) for head in labels])[:-1]
    chosen = np.asarray(action).reshape(-1)
    counts = np.ones(len(labels), np.bool_) if relevant is None else relevant
    masks = [None] * len(labels) if action_mask is None else np.split(action_mask, cuts)
    parts = zip(labels, masks, np.split(logits, cuts), np.split(probs, cuts), strict=True)
    return tuple(
        HeadView(head.name, head.choices, mask, raw, share, int(chosen[k]), bool(counts[k]))
        for k, (head, mask, raw, share) in enumerate(parts)
    )


def label_heads(
    description: EnvDescription, names: Any, head_names: Any = None
) -> tuple[HeadLabels, ...]:
    """Names of all heads and choices, from what the environment says of them.

    Args:
        description: Of the environment.
        names: Its `action_names`, or None: one name per choice of all heads, or a sequence of
            them per head; of bits one name per bit. What does not fit is passed over.
        head_names: Its `action_head_names`, one name per head, or None; a tree has its own.

    Returns:
        One per head. Without names choices are numbers, heads "head 0" and bits "bit 0".
    """
    nvec = description.nvec
    given = _per_head(names, nvec)
    if description.action_kind == "multi_binary":
        bits = [str(name) for name in names] if _is_row(names, len(nvec)) else None
        return tuple(HeadLabels(bits[k] if bits else f"bit {k}", OFF_ON) for k in range(len(nvec)))
    if description.action_kind == "candidates" and given is None:
        given = (tuple(f"candidate {i}" for i in range(nvec[0])),)
    tree = description.action_tree
    if given is None:
        given = tuple(tuple(str(i) for i in range(n)) for n in nvec)
        if tree is not None:
            named = zip(tree.heads, given, strict=True)
            given = tuple(head.choices or numbers for head, numbers in named)
    if tree is not None:
        heads = tree.names
    else:
        heads = ("",) if len(nvec) == 1 else tuple(f"head {k}" for k in range(len(nvec)))
        if len(nvec) > 1 and _is_row(head_names, len(nvec)):
            heads = tuple(map(str, head_names))
    return tuple(HeadLabels(name, choices) for name, choices in zip(heads, given, strict=True))


def action_text(views: Sequence[HeadView], *, binary: bool = False) -> str:
    """What was done, in a few words: "attack, north" or "target 3".

    Args:
        views: All heads of the decision; those that do not count are left out.
        binary: Whether they are bits, of which those that are on are named.
    """
    if binary:
        on = [readable(view.name) for view in views if view.action == 1]
        if len(on) > 1:
            on = [f"{', '.join(on[:-1])} and {on[-1]}"]
        return f"{on[0]} on" if on else "all off"
    if len(views) == 1:
        return readable(views[0].chosen)
    counting = [view for view in views if view.relevant]
    # Where several heads have a choice of one name, "up" alone does not say what is up.
    of_heads = Counter(name for view in counting for name in set(view.choices))
    return ", ".join(_choice_text(view, of_heads[view.chosen] > 1) for view in counting)


def _choice_text(view: HeadView, shared: bool) -> str:
    """A choice by its name, with that of its head if others share it, or by its number."""
    if not view.chosen.isdigit():
        return f"{readable(view.name)} {readable(view.chosen)}" if shared else readable(view.chosen)
    apart = ": " if view.name[-1:].isdigit() else " "
    return f"{readable(view.name)}{apart}{view.chosen}"


def readable(name: str) -> str:
    """An identifier as words."""
    return name.replace("_", " ")


def rows_along(tables: Sequence[np.ndarray], tree: ActionTree, action: np.ndarray) -> np.ndarray:
    """One row of logits out of what each head has: its own, or that of an earlier choice.

    Args:
        tables: Per head `[size]`, or `[size of the head it goes by, size]`.
        tree: Says which head goes by which.
        action: `[K]`, the choices made.

    Returns:
        `[sum of sizes]`.
    """
    rows = []
    for head, table in zip(tree.heads, tables, strict=True):
        if head.logits_by is not None:
            table = table[int(action[tree.position(head.logits_by)])]
        rows.append(table)
    return np.concatenate(rows)


def _per_head(names: Any, nvec: tuple[int, ...]) -> tuple[tuple[str, ...], ...] | None:
    """Names of choices head by head, if that is what `names` are."""
    if not isinstance(names, Sequence) or isinstance(names, str):
        return None
    nested = all(isinstance(of, Sequence) and not isinstance(of, str) for of in names)
    if nested and [len(of) for of in names] == list(nvec):
        return tuple(tuple(str(name) for name in of) for of in names)
    if nested or len(names) != sum(nvec):
        return None
    cuts = np.cumsum((0, *nvec)).tolist()
    return tuple(
        tuple(str(name) for name in names[a:b]) for a, b in zip(cuts[:-1], cuts[1:], strict=True)
    )


def _is_row(names: Any, count: int) -> bool:
    return isinstance(names, Sequence) and not isinstance(names, str) and len(names) == count
