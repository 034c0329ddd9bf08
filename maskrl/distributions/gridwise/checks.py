"""What comes in for many agents, checked: logits, masks and offsets in their layout.

The words are those of `maskrl.masks.check`, with the shapes that the caller knows: a
grid's mask is `[..., A, H, W]`, and one in another order is recognised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from maskrl.distributions.gridwise.layout import (
    CELLS,
    PACKED,
    SLOTS,
    AgentRows,
    EveryPlace,
    GatheredRows,
    Layout,
    RaggedRows,
)
from maskrl.errors import MaskDtypeError, MaskError, MaskShapeError
from maskrl.masks.check import check_mask


def check_agent_logits(operation: str, logits: Any, layout: Layout) -> Tensor:
    """Return `logits` if they are floating point numbers in the layout, at least one an agent.

    Raises:
        MaskDtypeError: They are no tensor of floating point numbers.
        MaskShapeError: They have too few dimensions, or no actions.
    """
    expected = f"expected a floating point tensor {layout.logits_shape}."
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        got = f"dtype {logits.dtype}" if isinstance(logits, Tensor) else type(logits).__name__
        raise MaskDtypeError(f"{operation}: logits has {got}; {expected}")
    exact = layout is PACKED and logits.ndim != 2
    if logits.ndim <= layout.dims or exact or logits.shape[layout.features_at] == 0:
        raise MaskShapeError(
            f"{operation}: logits has shape {tuple(logits.shape)}; expected {layout.logits_shape} "
            f"with at least one action."
        )
    return logits


def read_agents(
    operation: str, agents: Any, logits: Tensor, layout: Layout, *, gather: bool
) -> AgentRows:
    """Find the rows of agents.

    Args:
        operation: For messages.
        agents: Offsets `[B + 1]` of packed rows, else an agent mask, bool or `PackedMask`,
            whose leading dimensions broadcast to `[*batch, *places]`.
        logits: What they are for.
        layout: Of the logits.
        gather: Whether values can be looked at, so that rows are of those who are there.

    Raises:
        MaskDtypeError, MaskShapeError, MaskError: Mask or offsets have another type, do not
            fit, or are on another device.
    """
    if layout is PACKED:
        rows = logits.shape[0]
        return RaggedRows(check_offsets(operation, agents, rows, logits.device, look=gather), rows)
    places = tuple(layout.inward(logits).shape[:-1])
    mask = _boolean(operation, "agent_mask", agents, logits)
    if not _fits(mask.shape, places, layout.dims):
        raise MaskShapeError(
            f"{operation}: agent_mask has shape {tuple(mask.shape)}, logits "
            f"{tuple(logits.shape)}; expected {places}, or a shape that broadcasts to it over "
            f"the leading dimensions: one entry for every {layout.place}."
        )
    mask = mask.expand(places)
    return GatheredRows(layout, mask) if gather else EveryPlace(layout, mask)


@dataclass(frozen=True)
class MaskReader:
    """Reads masks of what agents may do.

    Attributes:
        operation: For messages.
        logits: What they are for.
        layout: Of logits and masks.
        places: `[*batch, *places]`.
    """

    operation: str
    logits: Tensor
    layout: Layout
    places: tuple[int, ...]

    def read(self, name: str, given: Any, features: tuple[int, ...]) -> Tensor:
        """Return a mask expanded to all places, its features as one dimension.

        Args:
            name: For messages.
            given: bool or `PackedMask`; its leading dimensions broadcast.
            features: Shape of what belongs to one agent.

        Raises:
            MaskDtypeError, MaskShapeError, MaskError: It is not boolean, does not fit, or is
                on another device.
        """
        at = len(self.places) + 1 + self.layout.features_at
        shape = (*self.places[:at], *features, *self.places[at:])
        mask = _boolean(self.operation, name, given, self.logits)
        if not _fits(mask.shape, shape, len(shape) - at):
            raise MaskShapeError(
                f"{self.operation}: {name} has shape {tuple(mask.shape)}, logits "
                f"{tuple(self.logits.shape)}; expected {shape}, or a shape that broadcasts to it "
                f"over the leading dimensions{self._order_hint(name, mask.shape, shape)}."
            )
        return mask.expand(shape).flatten(at, at + len(features) - 1)

    def _order_hint(self, name: str, got: tuple[int, ...], shape: tuple[int, ...]) -> str:
        """Recognise actions in another place."""
        if name != "action_mask":
            return ""
        if self.layout is CELLS and tuple(got[-3:]) == (*shape[-2:], shape[-3]):
            return ". Its actions seem to come last: pass action_mask.movedim(-1, -3)"
        if self.layout is SLOTS and tuple(got[-2:]) == (shape[-1], shape[-2]):
            return ". Its actions seem to come before the slots: pass action_mask.mT"
        return ""


def check_offsets(
    operation: str, offsets: Any, rows: int, device: torch.device, *, look: bool
) -> Tensor:
    """Return `offsets` if it divides packed rows among entries of a batch.

    Args:
        operation: For messages.
        offsets: int64 `[B + 1]`, rising from 0 to the number of rows.
        rows: That number.
        device: Device of the rows.
        look: Whether values can be looked at.

    Raises:
        MaskDtypeError: It is not an int64 tensor.
        MaskShapeError: It has not one dimension, or no element.
        MaskError: It does not rise from 0 to the number of rows, or is on another device.
    """
    if not isinstance(offsets, Tensor) or offsets.dtype != torch.int64:
        got = f"dtype {offsets.dtype}" if isinstance(offsets, Tensor) else type(offsets).__name__
        raise MaskDtypeError(
            f"{operation}: offsets has {got}; expected an int64 tensor [B + 1]: entry b's agents "
            f"are the rows offsets[b]:offsets[b + 1]."
        )
    if offsets.ndim != 1 or len(offsets) == 0:
        raise MaskShapeError(
            f"{operation}: offsets has shape {tuple(offsets.shape)}; expected [B + 1] for a batch "
            f"of B, which is [0] for none."
        )
    if offsets.device != device:
        raise MaskError(f"{operation}: offsets is on {offsets.device}, logits on {device}.")
    if look:
        _check_division(operation, offsets, rows)
    return offsets


def _check_division(operation: str, offsets: Tensor, rows: int) -> None:
    """Raise MaskError if offsets do not rise from 0 to the number of rows."""
    numbers = offsets.numpy(force=True)
    first, last = int(numbers[0]), int(numbers[-1])
    if first != 0 or last != rows:
        raise MaskError(
            f"{operation}: offsets runs from {first} to {last}; expected from 0 to {rows}, the "
            f"number of rows of logits."
        )
    falling = numbers[1:] < numbers[:-1]
    if falling.any():
        b = int(falling.argmax())
        raise MaskError(
            f"{operation}: offsets[{b + 1}] is {numbers[b + 1]}, less than offsets[{b}], "
            f"which is {numbers[b]}; expected a running total that never falls."
        )


def as_events(operation: str, value: Any, agents: AgentRows, heads: int | None) -> Tensor:
    """Return actions of all places, of the shape that batch and value broadcast to.

    Args:
        operation: For messages.
        value: `[..., *event]`.
        agents: Where they are.
        heads: How many numbers an action has, in a dimension of their own; None if one.

    Raises:
        MaskDtypeError: It is no tensor.
        MaskShapeError: It does not broadcast.
    """
    if not isinstance(value, Tensor):
        raise MaskDtypeError(
            f"{operation}: value has type {type(value).__name__}; expected a tensor of actions."
        )
    layout = agents.layout
    whole = layout.shape(tuple(agents.agent_mask.shape), heads)
    if value.ndim == len(whole) and value.shape == whole:
        return value
    last = layout.dims + (heads is not None)
    try:
        shape = torch.broadcast_shapes(value.shape, whole)
    except RuntimeError:
        shape = torch.Size()
    if len(shape) < last or value.shape[-last:] != whole[-last:]:
        raise MaskShapeError(
            f"{operation}: value has shape {tuple(value.shape)}; expected {whole}, or a shape "
            f"that broadcasts with it and ends with {whole[-last:]}."
        )
    return value.expand(shape)


def _boolean(operation: str, name: str, given: Any, logits: Tensor) -> Tensor:
    """Check dtype and device alone; shapes have words of their own here."""
    return check_mask(operation, name, given, getattr(given, "shape", ()), device=logits.device)


def _fits(got: torch.Size, shape: tuple[int, ...], trailing: int) -> bool:
    """Whether the last dimensions are there as they are and the others broadcast."""
    if not trailing <= len(got) <= len(shape):
        return False
    if any(a != b for a, b in zip(got[-trailing:], shape[-trailing:], strict=True)):
        return False
    leading = zip(reversed(got[:-trailing]), reversed(shape[:-trailing]), strict=False)
    return all(a == b or a == 1 for a, b in leading)
