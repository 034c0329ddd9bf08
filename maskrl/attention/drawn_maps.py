"""Recorded attention maps as figures: one scene, its layers, rows and columns by name.

What a figure shows is chosen here: a sample of the batch, one call of each layer, the
slots that hold something. A weight of exactly 0 in all heads is drawn as forbidden;
a visibility that the maps contradict is an error. Drawing needs plotly, which is loaded
only now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from maskrl.errors import ConfigError, MaskError, MaskShapeError
from maskrl.masks.convert import as_mask

if TYPE_CHECKING:
    from maskrl.attention.record import AttentionMaps

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class DrawnMaps:
    """The maps of one scene, ready to be drawn; E entities, empty slots left out.

    Attributes:
        layers: float64 [heads, E, E] of each layer, NaN in rows that it does not compute.
        permitted: bool [L, E, E], False where a weight is exactly 0 in every head.
        layer_names: Of the layers.
        names: Of the entities.
        kept: Which slots of the maps they are.
        visibility: bool [E, E], who sees whom, itself included; None if unknown.
    """

    layers: list[Floats]
    permitted: Bools
    layer_names: list[str]
    names: list[str]
    kept: npt.NDArray[np.int64]
    visibility: Bools | None


def drawn_maps(
    operation: str,
    maps: AttentionMaps,
    names: Sequence[str | None] | None,
    *,
    sample: int | tuple[int, ...],
    call: int,
    queries: int | Sequence[int] | Tensor | None,
    visibility: Any,
    entity_mask: Any,
) -> DrawnMaps:
    """Choose what a figure shows; the arguments are those of `AttentionMaps.plot`."""
    chosen = _one_call(operation, maps, call)
    entities = {layer.shape[-1] for layer in chosen.values()}
    if len(entities) > 1:
        raise ConfigError(
            f"{operation}: the layers have {sorted(entities)} entities; expected the same number. "
            "Draw one part at a time: maps.of('actor')."
        )
    (count,) = entities
    there = _there(operation, names, entity_mask, sample, count)
    labels = [f"entity {k}" if names is None else str(names[k]) for k in there]
    rows = None if queries is None else _query_rows(operation, queries, count)
    layers = [
        _on_all_rows(operation, name, _sample(operation, layer, sample, 3), rows)
        for name, layer in chosen.items()
    ]
    permitted = np.stack([(layer > 0).any(axis=0) for layer in layers])
    sees = None
    if visibility is not None:
        sees = _checked_visibility(operation, visibility, sample, count)
        _refuse_contradiction(operation, layers, sees, list(chosen), names)
    square = np.ix_(there, there)
    return DrawnMaps(
        layers=[layer[:, there][:, :, there] for layer in layers],
        permitted=permitted[:, there][:, :, there],
        layer_names=_short(list(chosen)),
        names=labels,
        kept=there,
        visibility=None if sees is None else sees[square],
    )


def plot(
    maps: AttentionMaps, names: Sequence[str | None] | None, height: int | None, **how: Any
) -> Any:
    """`AttentionMaps.plot`."""
    drawn = drawn_maps("AttentionMaps.plot", maps, names, **how)
    from maskrl.figures import attention_map_figure

    return attention_map_figure(
        drawn.layers,
        drawn.names,
        permitted=drawn.permitted,
        visibility=drawn.visibility,
        layer_names=drawn.layer_names,
        menu=True,
        height=height,
    )


def arrows(
    maps: AttentionMaps,
    positions: Any,
    names: Sequence[str | None] | None,
    *,
    observer: int | None,
    picture: Any,
    at_least: float | None,
    height: int,
    **how: Any,
) -> Any:
    """`AttentionMaps.arrows`."""
    operation = "AttentionMaps.arrows"
    drawn = drawn_maps(operation, maps, names, **how)
    places = _places(operation, positions, how["sample"], maps[0].shape[-1])[drawn.kept]
    looking = None
    if observer is not None:
        if observer not in drawn.kept:
            raise ConfigError(
                f"{operation}: observer is {observer}; expected a slot that holds an entity: "
                f"{drawn.kept.tolist()}, or None for everybody."
            )
        looking = int(np.flatnonzero(drawn.kept == observer)[0])
    from maskrl.figures import attention_arrows_figure

    return attention_arrows_figure(
        drawn.layers,
        drawn.names,
        places,
        permitted=drawn.permitted,
        observer=looking,
        picture=None if picture is None else np.asarray(picture),
        at_least=at_least,
        layer_names=drawn.layer_names,
        menu=True,
        height=height,
    )


def _one_call(operation: str, maps: AttentionMaps, call: int) -> dict[str, Tensor]:
    """The maps of one call of every layer, by the layer's name."""
    if not maps:
        raise ConfigError(
            f"{operation}: nothing was recorded; expected the module to be called inside "
            "`with record_attention(module) as maps:`."
        )
    calls: dict[str, list[Tensor]] = {}
    for name, layer in zip(maps.names, maps, strict=True):
        calls.setdefault(name, []).append(layer)
    for name, layers in calls.items():
        if not -len(layers) <= call < len(layers):
            raise ConfigError(
                f"{operation}: call is {call}; layer {name!r} was called {len(layers)} times, "
                f"expected -{len(layers)} to {len(layers) - 1}."
            )
    return {name: layers[call] for name, layers in calls.items()}


def _sample(operation: str, batch: Tensor, sample: int | tuple[int, ...], own: int) -> Floats:
    """One sample of [..., own dimensions] as float64; without leading dimensions all of it."""
    lead = tuple(batch.shape[: batch.ndim - own])
    if lead:
        index = sample if isinstance(sample, tuple) else (sample,)
        flat = len(index) == 1 and len(lead) > 1
        sizes = (int(np.prod(lead)),) if flat else lead
        if len(index) != len(sizes) or not all(
            -n <= k < n for k, n in zip(index, sizes, strict=True)
        ):
            raise ConfigError(
                f"{operation}: sample is {sample}; expected an index into a batch of shape {lead}."
            )
        batch = (batch.flatten(0, len(lead) - 1) if flat else batch)[index]
    return batch.detach().to("cpu", torch.float64).numpy()


def _there(
    operation: str,
    names: Sequence[str | None] | None,
    entity_mask: Any,
    sample: int | tuple[int, ...],
    count: int,
) -> npt.NDArray[np.int64]:
    """The slots that hold something: those with a name, and True in `entity_mask`."""
    there = np.ones(count, np.bool_)
    if names is not None:
        if isinstance(names, str) or len(names) != count:
            got = repr(names) if isinstance(names, str) else f"{len(names)} names"
            raise ConfigError(
                f"{operation}: names is {got}; expected {count}, one per entity of the maps, "
                "None for slots that hold nothing."
            )
        there &= np.array([name is not None for name in names])
    if entity_mask is not None:
        given = as_mask(entity_mask)
        if given.shape[-1:] != (count,):
            raise MaskShapeError(
                f"{operation}: entity_mask has shape {tuple(given.shape)}; "
                f"expected [..., {count}] for the entities of the maps."
            )
        there &= _sample(operation, given, sample, 1) > 0
    if not there.any():
        raise ConfigError(f"{operation}: no slot holds an entity; expected at least one.")
    return np.flatnonzero(there)


def _query_rows(
    operation: str, queries: int | Sequence[int] | Tensor, count: int
) -> npt.NDArray[np.int64]:
    """Whose rows a layer computes: int64 [Q]."""
    rows = np.atleast_1d(np.asarray(queries))
    whole = rows.ndim == 1 and np.issubdtype(rows.dtype, np.integer)
    if not whole or not ((rows >= 0) & (rows < count)).all() or len(set(rows.tolist())) < rows.size:
        raise ConfigError(
            f"{operation}: queries is {queries!r}; expected different whole numbers from 0 to "
            f"{count - 1}."
        )
    return rows.astype(np.int64)


def _on_all_rows(
    operation: str, name: str, layer: Floats, rows: npt.NDArray[np.int64] | None
) -> Floats:
    """A layer's weights [heads, Q, E] as [heads, E, E], NaN in rows that it does not compute."""
    heads, asked, count = layer.shape
    if rows is None or rows.size != asked:
        if asked == count:
            return layer
        said = "" if rows is None else f", queries has {rows.size}"
        raise ConfigError(
            f"{operation}: layer {name!r} has {asked} rows for {count} entities{said}; say whose "
            "they are, such as queries=0 for a network that acts for entity 0."
        )
    wide = np.full((heads, count, count), np.nan)
    wide[:, rows] = layer
    return wide


def _checked_visibility(
    operation: str, visibility: Any, sample: int | tuple[int, ...], count: int
) -> Bools:
    """Who sees whom, itself included: bool [E, E]."""
    given = as_mask(visibility)
    if given.shape[-2:] != (count, count):
        raise MaskShapeError(
            f"{operation}: visibility has shape {tuple(given.shape)}; "
            f"expected [..., {count}, {count}] for the entities of the maps."
        )
    return (_sample(operation, given, sample, 2) > 0) | np.eye(count, dtype=np.bool_)


def _refuse_contradiction(
    operation: str,
    layers: list[Floats],
    sees: Bools,
    layer_names: list[str],
    names: Sequence[str | None] | None,
) -> None:
    """Refuse a visibility under which these maps cannot have come about."""
    for name, layer in zip(layer_names, layers, strict=True):
        leaks = np.argwhere((layer > 0).any(axis=0) & ~sees)
        if leaks.size:
            i, j = (int(k) for k in leaks[0])
            one, other = (f"entity {k}" if names is None else names[k] for k in (i, j))
            raise MaskError(
                f"{operation}: visibility hides {other} from {one} ([{i}, {j}] is False), yet "
                f"{one} gives it {np.nanmax(layer[:, i, j]):.3g} of its attention in layer "
                f"{name!r}; expected the visibility that the maps were recorded under."
            )


def _places(operation: str, positions: Any, sample: int | tuple[int, ...], count: int) -> Floats:
    """Positions as float64 [E, 2], NaN for slots that hold nothing."""
    if isinstance(positions, Sequence):
        positions = [(np.nan, np.nan) if place is None else place for place in positions]
    try:
        given = torch.as_tensor(np.asarray(positions, dtype=np.float64))
    except (TypeError, ValueError):
        given = torch.empty(0)
    if given.shape[-2:] != (count, 2):
        raise ConfigError(
            f"{operation}: positions have shape {list(given.shape)}; expected [..., {count}, 2], "
            "x and y of every entity of the maps, None for slots that hold nothing."
        )
    return _sample(operation, given, sample, 2)


def _short(names: list[str]) -> list[str]:
    """Names for a menu: "layer 1", "layer 2", "pooling" of one encoder, else as they are."""
    prefixes = {name.rpartition("blocks.")[0] for name in names if "blocks." in name}
    if len(names) == 1 and not names[0]:
        return ["layer 1"]
    if len(prefixes) != 1:
        return [name or "layer" for name in names]
    (prefix,) = prefixes
    short = [name.removeprefix(prefix) for name in names]
    number = 0
    for k, name in enumerate(short):
        if name.startswith("blocks."):
            number += 1
            short[k] = f"layer {number}"
        elif name == "attention_pool":
            short[k] = "pooling"
    return short
