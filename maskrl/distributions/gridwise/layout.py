"""How tensors of many agents lie, and how the rows of those who are there are taken out.

A `Layout` says where the caller's tensors have agents and what belongs to one agent:
cells of a grid, slots of a team, or packed rows. `AgentRows` maps between such tensors
and the rows that one distribution is built over: `GatheredRows` has a row for everyone
who is there, `RaggedRows` got them so, and `EveryPlace` has one for every place, which is
for tracing, where shapes may not depend on data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from maskrl.errors import MaskShapeError
from maskrl.kernels.map_rows import rows_at


@dataclass(frozen=True)
class Layout:
    """Where the caller's tensors have agents, and where what belongs to one of them.

    Attributes:
        place: What messages call a place for an agent.
        dims: How many dimensions count the places.
        features_at: The dimension of logits, masks and heads.
        logits_shape: For messages.
    """

    place: str
    dims: int
    features_at: int
    logits_shape: str

    def inward(self, x: Tensor) -> Tensor:
        """Put the features of an agent last; a view."""
        return x.movedim(self.features_at, -1) if self.features_at != -1 else x

    def outward(self, x: Tensor) -> Tensor:
        """Put the features, now last, where the caller has them; a view."""
        return x.movedim(-1, self.features_at) if self.features_at != -1 else x

    def shape(self, places: tuple[int, ...], features: int | None) -> tuple[int, ...]:
        """The caller's shape of `[*places]`, or with features of every place."""
        if features is None:
            return tuple(places)
        at = len(places) + 1 + self.features_at
        return (*places[:at], features, *places[at:])


CELLS = Layout("cell", 2, -3, "[..., A, H, W]")
SLOTS = Layout("slot", 1, -1, "[..., N, A]")
PACKED = Layout("agent", 1, -1, "[M, A]")


class AgentRows(Protocol):
    """Maps between tensors in a layout and rows of agents.

    Attributes:
        layout: Of the caller's tensors.
        agent_mask: bool `[*batch, *places]`, True where an agent is.
        places: Shape of the places.
        batch_shape: Of the distribution.
        shape: Shape of the rows.
    """

    layout: Layout
    agent_mask: Tensor
    places: torch.Size
    batch_shape: torch.Size
    shape: torch.Size

    def take(self, x: Tensor, fill: float | bool, *, features: bool = True) -> Tensor:
        """The rows `[..., *rows]`, with features `[..., *rows, F]`, of a caller's tensor.

        What lies where no agent is takes no part; a row for such a place holds `fill`.
        """

    def put(self, rows: Tensor, fill: float | bool, *, features: bool = False) -> Tensor:
        """Rows as a tensor in the caller's layout, with `fill` where no agent is."""

    def total(self, rows: Tensor) -> Tensor:
        """Sum over the agents of each batch entry: `[..., *rows]` to `[..., *batch]`."""

    def counts(self) -> Tensor:
        """Number of agents: int64 `[*batch]`."""

    def spread(self, entries: Tensor) -> Tensor:
        """What batch entries hold `[*batch]`, at every place: broadcasts to `[*batch, *places]`."""

    def place(self, index: tuple[int, ...]) -> str:
        """How messages call the row at an index of `[..., *rows]`."""

    def expand(self, batch_shape: torch.Size) -> AgentRows:
        """The same for a larger batch."""

    def differs_from(self, other: Any) -> Tensor:
        """Where the agents of `other` are others; both have the same shapes."""

    def name_difference(self, differs: Tensor, other: Any) -> str:
        """How messages call the first difference."""


class Places:
    """What all rows by agent mask have in common.

    Args:
        layout: Of the caller's tensors.
        agent_mask: bool `[*batch, *places]`.
    """

    def __init__(self, layout: Layout, agent_mask: Tensor) -> None:
        self.layout = layout
        self.agent_mask = agent_mask
        batch = agent_mask.ndim - layout.dims
        self.batch_shape, self.places = agent_mask.shape[:batch], agent_mask.shape[batch:]

    def name(self, index: tuple[int, ...]) -> str:
        """How messages call the place at an index of `[..., *places]`."""
        dims = self.layout.dims
        row, at = index[: len(index) - dims], index[len(index) - dims :]
        return f"row {row}, {self.layout.place} {at if dims > 1 else at[0]}"

    def differs_from(self, other: Places) -> Tensor:
        """Where only one of both has an agent."""
        return self.agent_mask != other.agent_mask

    def name_difference(self, differs: Tensor, other: Places) -> str:
        """Name the first place where only one of both has an agent, and which."""
        index = tuple(int(i) for i in differs.nonzero()[0])
        return f"{self.name(index)}, where only {'p' if self.agent_mask[index] else 'q'} has one"

    def spread(self, entries: Tensor) -> Tensor:
        """Every place has that of its batch entry."""
        return entries.reshape(*self.batch_shape, *[1] * self.layout.dims)

    def expand(self, batch_shape: torch.Size) -> Self:
        """The same for a larger batch."""
        return type(self)(self.layout, self.agent_mask.expand(*batch_shape, *self.places))


class GatheredRows(Places):
    """One row for every agent that is there, `[M]`, in the order of batch and places."""

    def __init__(self, layout: Layout, agent_mask: Tensor) -> None:
        super().__init__(layout, agent_mask)
        # One tensor per dimension; on a GPU this waits for the number of agents.
        self._index = agent_mask.nonzero(as_tuple=True)
        self._position = torch.zeros_like(self._index[0])
        for size, index in zip(agent_mask.shape, self._index, strict=True):
            self._position = self._position * size + index
        places = max(1, self.places.numel())
        self._entry = self._position.div(places, rounding_mode="floor")
        self._place = self._position - places * self._entry
        self.shape = self._position.shape
        self._full = len(self._position) == agent_mask.numel()

    def take(self, x: Tensor, fill: float | bool, *, features: bool = True) -> Tensor:
        """Index, so that nothing else is read and nothing else gets a gradient."""
        index: tuple[Any, ...] = (..., *self._index)
        shape = x.shape[:-1] if features else x.shape
        if self._full and self.layout is SLOTS and shape == self.agent_mask.shape:
            return x.flatten(0, len(shape) - 1)
        if not features:
            return x[index]
        batch = len(self.batch_shape)
        if self.layout is CELLS and x.ndim == self.agent_mask.ndim + 1:
            # Not through a view with the features last: the gradient would be laid out like
            # that view, and be copied once more on its way into the network.
            if x.is_contiguous():
                maps = x.view(self.batch_shape.numel(), x.shape[-3], self.places.numel())
                return rows_at(maps, self._entry, self._place)
            if batch:
                index = (*self._index[:batch], slice(None), *self._index[batch:])
                return x[index]
        return self.layout.inward(x)[(*index, slice(None))]

    def put(self, rows: Tensor, fill: float | bool, *, features: bool = False) -> Tensor:
        """Copy rows into a tensor full of `fill`."""
        axis = rows.ndim - 1 - features
        lead, last = rows.shape[:axis], rows.shape[axis + 1 :]
        everywhere = rows.new_full((*lead, self.agent_mask.numel(), *last), fill)
        laid = everywhere.index_copy(axis, self._position, rows)
        laid = laid.reshape((*lead, *self.agent_mask.shape, *last))
        return self.layout.outward(laid) if features else laid

    def total(self, rows: Tensor) -> Tensor:
        """Add every row to the sum of its batch entry."""
        return _total(rows, self._entry, self.batch_shape)

    def counts(self) -> Tensor:
        """Number of agents: int64 `[*batch]`; of the rows, whatever the mask holds by now."""
        return self.total(torch.ones_like(self._entry))

    def place(self, index: tuple[int, ...]) -> str:
        """Name batch entry and place."""
        at = tuple(int(of_dim[index[-1]]) for of_dim in self._index)
        return self.name((*index[:-1], *at))


class EveryPlace(Places):
    """A row for every place, `[*batch, *places]`; those of nobody are opened and left out."""

    def __init__(self, layout: Layout, agent_mask: Tensor) -> None:
        super().__init__(layout, agent_mask)
        self.shape = agent_mask.shape

    def take(self, x: Tensor, fill: float | bool, *, features: bool = True) -> Tensor:
        """Select `fill` where nobody is."""
        if not features:
            return torch.where(self.agent_mask, x, fill)
        return torch.where(self.agent_mask.unsqueeze(-1), self.layout.inward(x), fill)

    def put(self, rows: Tensor, fill: float | bool, *, features: bool = False) -> Tensor:
        """Select `fill` where nobody is."""
        if not features:
            return torch.where(self.agent_mask, rows, fill)
        return self.layout.outward(torch.where(self.agent_mask.unsqueeze(-1), rows, fill))

    def total(self, rows: Tensor) -> Tensor:
        """Sum over the places where somebody is."""
        return torch.where(self.agent_mask, rows, 0.0).flatten(-self.layout.dims).sum(-1)

    def counts(self) -> Tensor:
        """Number of agents: int64 `[*batch]`."""
        return self.agent_mask.flatten(-self.layout.dims).sum(-1)

    def place(self, index: tuple[int, ...]) -> str:
        """Name batch entry and place."""
        return self.name(index)


class RaggedRows:
    """Rows that came packed: entry b's agents are the rows `offsets[b]:offsets[b + 1]`.

    An expanded batch `[*lead, B]` has rows `[*lead, M]`.
    """

    layout = PACKED

    def __init__(self, offsets: Tensor, rows: int, lead: tuple[int, ...] = ()) -> None:
        self.offsets = offsets
        every = torch.ones((), dtype=torch.bool, device=offsets.device)
        self.shape = torch.Size((*lead, rows))
        self.agent_mask = every.expand(self.shape)
        self.batch_shape = torch.Size((*lead, offsets.shape[0] - 1))
        self.places = torch.Size((rows,))
        numbers = torch.arange(rows, device=offsets.device)
        self._entry = torch.searchsorted(offsets[1:].contiguous(), numbers, right=True)

    def take(self, x: Tensor, fill: float | bool, *, features: bool = True) -> Tensor:
        """As they are."""
        return x

    def put(self, rows: Tensor, fill: float | bool, *, features: bool = False) -> Tensor:
        """As they are."""
        return rows

    def total(self, rows: Tensor) -> Tensor:
        """Add every row to the sum of its batch entry."""
        return _total(rows, self._entry, self.batch_shape[-1:])

    def counts(self) -> Tensor:
        """Number of agents: int64 `[*batch]`."""
        return self.offsets.diff().expand(self.batch_shape)

    def spread(self, entries: Tensor) -> Tensor:
        """Every row has that of the entry it belongs to."""
        return entries[..., self._entry]

    def place(self, index: tuple[int, ...]) -> str:
        """Name batch entry, the agent's number in it, and the packed row."""
        row = int(index[-1])
        entry = int(self._entry[row])
        number = row - int(self.offsets[entry])
        return f"row {(*index[:-1], entry)}, agent {number} (packed row {row})"

    def expand(self, batch_shape: torch.Size) -> RaggedRows:
        """Repeat all rows along new leading dimensions.

        Raises:
            MaskShapeError: The number of entries would change.
        """
        if batch_shape[-1:] != self.batch_shape[-1:]:
            raise MaskShapeError(
                f"GridwiseCategorical.expand: batch_shape is {tuple(batch_shape)}; expected "
                f"(..., {self.batch_shape[-1]}), because packed rows belong to "
                f"{self.batch_shape[-1]} entries."
            )
        return RaggedRows(self.offsets, self.shape[-1], tuple(batch_shape[:-1]))

    def differs_from(self, other: RaggedRows) -> Tensor:
        """Where the offsets differ."""
        return self.offsets != other.offsets

    def name_difference(self, differs: Tensor, other: RaggedRows) -> str:
        """Name the first offset that differs."""
        i = int(differs.nonzero()[0])
        return f"offsets[{i}], {int(self.offsets[i])} in p and {int(other.offsets[i])} in q"


def _total(rows: Tensor, entry: Tensor, batch_shape: torch.Size) -> Tensor:
    """Sum rows `[..., M]` by the entry `[M]` that each belongs to: `[..., *batch]`."""
    lead = rows.shape[:-1]
    sums = rows.new_zeros((*lead, math.prod(batch_shape)))
    return sums.scatter_add(-1, entry.expand(rows.shape), rows).reshape((*lead, *batch_shape))
