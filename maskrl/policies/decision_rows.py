"""What a policy preferred before and after the mask, choice by choice, for decisions to look at.

Decisions are rows: one of a single agent, M of a team's agents. Of an action with several
heads a row holds all choices, head after head; of the heads of a tree each is shown as it is
on the path that was taken, after the choices before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from maskrl.masks.heads import Heads, sizes_of, starts_of
from maskrl.masks.tree import ActionTree
from maskrl.policies.head_view import rows_along


def decision_rows(
    heads: Heads,
    distribution: Any,
    raw: np.ndarray,
    along: np.ndarray,
    chosen: torch.Tensor,
    *,
    binary: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and probabilities of all choices on the path taken.

    Args:
        heads: Sizes of the heads of one action, or the tree.
        distribution: Over M actions.
        raw: float `[M, L]`, logits as the policy gives them: of a bit its log-odds, of a tree
            with tables; of a policy that does not tell them the distribution's.
        along: bool `[M, A]`, what was allowed on the path.
        chosen: The actions `[M]` or `[M, K]`.
        binary: Whether the heads are bits.

    Returns:
        float64 `[M, A]` each; probabilities are exactly 0 where disallowed and in heads that
        idle. Where tables of logits are not told, they are the logarithms of probabilities.
    """
    nvec = sizes_of(heads)
    if not len(raw):
        return np.zeros((0, sum(nvec))), np.zeros((0, sum(nvec)))
    some = np.logical_or.reduceat(along, starts_of(heads), axis=-1)
    decided = np.repeat(some, nvec, axis=-1)  # False for all choices of a head that idles
    if isinstance(heads, ActionTree):
        probs = np.where(decided, _probs_on_path(distribution, heads, chosen), 0.0)
        if raw.shape[-1] != heads.logits_size:
            with np.errstate(divide="ignore"):
                return np.log(probs), probs
        sizes = [int(np.prod(shape)) for shape in heads.logits_shapes]
        cuts = np.cumsum(sizes)[:-1]
        actions = chosen.cpu().numpy()
        logits = [
            rows_along(
                [
                    part.reshape(shape)
                    for part, shape in zip(np.split(row, cuts), heads.logits_shapes, strict=True)
                ],
                heads,
                action,
            )
            for row, action in zip(raw, actions, strict=True)
        ]
        return np.stack(logits), probs
    probs = as_rows(distribution.probs)
    if binary:
        odds = np.stack([np.zeros_like(raw), raw], axis=-1).reshape(len(raw), -1)
        pairs = np.stack([1 - probs, probs], axis=-1).reshape(len(raw), -1)
        return odds, np.where(decided, pairs, 0.0)
    return raw, probs


def _probs_on_path(distribution: Any, tree: ActionTree, chosen: torch.Tensor) -> np.ndarray:
    """Probability `[M, A]` of every choice of every head, after the choices made before it.

    The distribution's own `probs` are marginals over all paths, and its masks and logits may
    be functions; what it says of the action with one choice exchanged is always the truth.
    """
    actions = chosen.cpu().numpy()
    heads = np.repeat(np.arange(len(tree.nvec)), tree.nvec)
    exchanged = np.tile(actions, (heads.size, 1, 1))
    choices = np.concatenate([np.arange(n) for n in tree.nvec])
    exchanged[np.arange(heads.size), :, heads] = choices[:, None]
    asked = distribution.expand(distribution.batch_shape)  # another one, not this one changed
    asked._validate_args = False  # disallowed choices are asked about too
    value = torch.from_numpy(exchanged).to(chosen.device)
    log_probs = asked.log_prob(value, reduce="none").double()
    each = log_probs.exp().cpu().numpy()[np.arange(heads.size), :, heads].T
    return np.where(tree.relevant(actions)[:, heads], each, 0.0)


def as_rows(batch: torch.Tensor) -> np.ndarray:
    """A tensor as float64 rows."""
    rows: np.ndarray = batch.detach().double().cpu().numpy()
    return rows
