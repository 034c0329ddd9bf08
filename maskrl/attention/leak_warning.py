"""One warning when stacked layers let through what somebody may not see.

`EntityEncoder(depth_safe=False)` is right under an `observer_view`, and for
measuring leaks; under any other visibility it is probably a mistake that no
shape and no curve will show. So the first such call of a process is told by
name, with both cures. Finding out costs about what `depth_safe=True` costs.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from maskrl.attention.index import Index
from maskrl.attention.leaks import Pooling, explain_leak, leaks
from maskrl.attention.permission import Permission
from maskrl.kernels.dispatch import is_traced

_state = {"told": False, "looked_elsewhere": False}


class LeakWarning(UserWarning):
    """An observer's output depends on entities that it may not see."""


def warn_of_leaks(
    permission: Permission, depth: int, pool: Pooling | None, index: Index | None
) -> None:
    """Warn, once per process, if a row that is asked for depends on somebody it may not see.

    Nothing is looked at while a graph is traced, and once only where looking would stall.

    Args:
        permission: Of the scene, as every layer uses it.
        depth: Number of attention layers.
        pool: How the rows are pooled.
        index: The entities whose rows are asked for; None: all of them.
    """
    opened = permission.opened
    if _state["told"] or opened is None or opened.shape[-2] == 1:
        return
    if is_traced(opened):
        return
    if opened.device.type != "cpu":
        if _state["looked_elsewhere"]:
            return
        _state["looked_elsewhere"] = True
    found = leaks(opened, depth, entity_mask=permission.present, pool=pool)
    found = found & _asked(found, index).unsqueeze(-1)
    if not bool(found.any()):
        return
    _state["told"] = True
    *scene, observer, _ = found.nonzero()[0].tolist()
    lead = found.shape[:-2]
    present = permission.present
    path = explain_leak(
        opened.expand(found.shape)[tuple(scene)],
        depth,
        observer=observer,
        entity_mask=None if present is None else present.expand(*lead, -1)[tuple(scene)],
        pool=pool,
    )[0]
    where = f" in scene {', '.join(map(str, scene))}" if scene else ""
    warnings.warn(
        f"EntityEncoder: depth_safe=False leaks under this visibility: {path}{where}, which it "
        "may not see. Give observer_view(visibility, observer) as the visibility, which is what "
        "acting policies use; or build the encoder with depth_safe=True, for critics and "
        "analysis. explain_leak(visibility, depth) lists every path. This is said once per "
        "process.",
        LeakWarning,
        stacklevel=5,  # behind forward and the two frames of a module's call
    )


def _asked(found: Tensor, index: Index | None) -> Tensor:
    """Whose rows are asked for: bool [..., E]."""
    entities = found.shape[-1]
    asked = torch.zeros(*found.shape[:-2], entities, dtype=torch.bool, device=found.device)
    if index is None:
        return ~asked
    if isinstance(index, int):
        asked[..., index] = True
        return asked
    lead = torch.broadcast_shapes(asked.shape[:-1], index.shape[:-1])
    return asked.expand(*lead, entities).scatter(-1, index.expand(*lead, -1), True)
