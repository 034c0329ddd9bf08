"""`ConditionalHeads`: the masks and logits of a conditional action, wherever they come from.

Each is a tensor, a table with a row for every choice of an earlier head, or a function of
the prefix. Here they are asked in two ways: along given prefixes, to sample and to score,
and over all prefixes, for exact statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from maskrl.distributions.conditional.plan import Over, plan_for
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError
from maskrl.functional.rows import check_logits, recording
from maskrl.masks.check import check_mask
from maskrl.masks.packed import PackedMask
from maskrl.masks.tree import ActionTree

PrefixFunction = Callable[[Mapping[str, Tensor]], Tensor]
"""From the earlier choices by name, int64 `[..., *batch]` each, to `[..., *batch, size]`."""


class ConditionalHeads:
    """Per head a source of logits and up to two sources of masks, checked.

    Args:
        operation: How messages call the caller.
        tree: The heads.
        logits: Flat `[*batch, tree.logits_size]`, or per head name a tensor, a table or a
            function.
        action_mask: Flat `[*batch, sum(nvec)]`, `PackedMask`, or per head name a mask or None.
        head_masks: Per head name a table `[*batch, size of the head it goes by, size]` or a
            function; a choice is allowed where both masks say so.
        depends_on: Per head name, the earlier heads that its functions read; all of them
            where it is not said.

    Attributes:
        batch: Shape of the batch.
        plan: What depends on what.
    """

    def __init__(
        self,
        operation: str,
        tree: ActionTree,
        logits: Any,
        action_mask: Any,
        head_masks: Mapping[str, Any] | None,
        depends_on: Mapping[str, Sequence[str]] | None,
    ) -> None:
        self.operation = operation
        self.tree = tree
        with recording(*_tensors(logits.values() if isinstance(logits, Mapping) else [logits])):
            self.logits, self.batch = self._read_logits(logits)
        known = next(of for of in self.logits if isinstance(of, Tensor))
        self.device, self.dtype = known.device, known.dtype
        self.flat_mask = self._read_flat(action_mask)
        self.tables = self._read_tables(head_masks)
        self.plan = plan_for(tree, self._asked(depends_on))

    # Reading the arguments.

    def _read_logits(self, logits: Any) -> tuple[list[Tensor | PrefixFunction], torch.Size]:
        """Per head a tensor, a table or a function, tensors with one batch shape."""
        tree, operation = self.tree, self.operation
        shapes = tree.logits_shapes
        if isinstance(logits, Mapping):
            self._check_names("logits", logits, complete=True)
            sources = [logits[name] for name in tree.names]
        else:
            check_logits(operation, logits)
            if logits.shape[-1] != tree.logits_size:
                raise MaskShapeError(
                    f"{operation}: logits has shape {tuple(logits.shape)}; expected a last "
                    f"dimension of {tree.logits_size}, the logits of {tree!r} head after head."
                )
            sizes = [torch.Size(shape).numel() for shape in shapes]
            parts = zip(logits.split(sizes, -1), shapes, strict=True)
            sources = [part.unflatten(-1, shape) for part, shape in parts]
        lead: list[torch.Size] = []
        for name, source, shape in zip(tree.names, sources, shapes, strict=True):
            if callable(source) and not isinstance(source, Tensor):
                continue
            check_logits(operation, source, f"logits[{name!r}]")
            if source.shape[source.ndim - len(shape) :] != shape:
                raise MaskShapeError(
                    f"{operation}: logits[{name!r}] has shape {tuple(source.shape)}; expected "
                    f"[..., {', '.join(map(str, shape))}]."
                )
            lead.append(source.shape[: source.ndim - len(shape)])
        if not lead:
            raise ConfigError(
                f"{operation}: logits has only functions; expected a tensor for at least one head, "
                f"which says what the batch is."
            )
        try:
            batch = lead[0] if len(set(lead)) == 1 else torch.broadcast_shapes(*lead)
        except RuntimeError:
            raise MaskShapeError(
                f"{operation}: the logits of the heads have the batch shapes "
                f"{[tuple(s) for s in lead]}; expected shapes that broadcast."
            ) from None
        return [
            source.expand(*batch, *shape) if isinstance(source, Tensor) else source
            for source, shape in zip(sources, shapes, strict=True)
        ], batch

    def _read_flat(self, action_mask: Any) -> Tensor | None:
        """The mask of all heads side by side, `[..., sum(nvec)]`, not expanded."""
        tree, operation = self.tree, self.operation
        if action_mask is None:
            return None
        if not isinstance(action_mask, Mapping):
            shape = (*self.batch, sum(tree.nvec))
            return check_mask(operation, "action_mask", action_mask, shape, device=self.device)
        self._check_names("action_mask", action_mask, complete=False)
        masks = []
        for name, size in zip(tree.names, tree.nvec, strict=True):
            mask = action_mask.get(name)
            if mask is None:
                mask = torch.ones(size, dtype=torch.bool, device=self.device)
            shape = (*self.batch, size)
            named = f"action_mask[{name!r}]"
            masks.append(check_mask(operation, named, mask, shape, device=self.device))
        lead = torch.broadcast_shapes(*(mask.shape[:-1] for mask in masks))
        return torch.cat([mask.expand(*lead, mask.shape[-1]) for mask in masks], -1)

    def _read_tables(
        self, head_masks: Mapping[str, Any] | None
    ) -> list[Tensor | PrefixFunction | None]:
        """Per head the mask that goes by earlier choices, tables with the batch shape."""
        tree, operation = self.tree, self.operation
        head_masks = {} if head_masks is None else head_masks
        self._check_names("head_masks", head_masks, complete=False)
        tables: list[Tensor | PrefixFunction | None] = []
        for name, head in zip(tree.names, tree.heads, strict=True):
            source = head_masks.get(name)
            if source is None:
                tables.append(None)
            elif callable(source) and not isinstance(source, Tensor | PackedMask):
                tables.append(source)
            elif head.mask_by is None:
                raise ConfigError(
                    f"{operation}: head_masks has a table for head {name!r}, whose mask goes by no "
                    f"earlier head; expected mask_by in its Head, or its row in action_mask."
                )
            else:
                parent = tree.nvec[tree.position(head.mask_by)]
                shape = (*self.batch, parent, head.size)
                named = f"head_masks[{name!r}]"
                table = check_mask(operation, named, source, shape, device=self.device)
                if table.ndim < 2 or table.shape[-2] != parent:
                    raise MaskShapeError(
                        f"{operation}: {named} has shape {tuple(table.shape)}; expected "
                        f"{shape}: a row for every choice of {head.mask_by!r}."
                    )
                tables.append(table.expand(shape))
        return tables

    def _check_names(self, argument: str, given: Any, *, complete: bool) -> None:
        names = self.tree.names
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"{self.operation}: {argument} has type {type(given).__name__}; expected a mapping "
                f"from names of heads, which are {list(names)}."
            )
        unknown = [name for name in given if name not in names]
        missing = [name for name in names if name not in given] if complete else []
        if unknown or missing:
            wrong = f"no head {unknown[0]!r}" if unknown else f"nothing for head {missing[0]!r}"
            raise ConfigError(
                f"{self.operation}: {argument} has {wrong}; the heads are {list(names)}."
            )

    def _asked(self, depends_on: Mapping[str, Sequence[str]] | None) -> dict[int, Over]:
        """Per head with a function, the earlier heads that it reads."""
        depends_on = {} if depends_on is None else depends_on
        self._check_names("depends_on", depends_on, complete=False)
        asked: dict[int, Over] = {}
        for k, name in enumerate(self.tree.names):
            functions = [f for f in (self.logits[k], self.tables[k]) if not _is_plain(f)]
            if not functions:
                continue
            before = self.tree.names[:k]
            named = depends_on.get(name, before)
            if isinstance(named, str) or not isinstance(named, Iterable) or set(named) - {*before}:
                raise ConfigError(
                    f"{self.operation}: depends_on[{name!r}] is {named!r}; expected a sequence of "
                    f"heads before it, which are {list(before)}."
                )
            asked[k] = tuple(sorted({self.tree.position(of) for of in named}))
        return asked

    # Asking.

    @property
    def has_functions(self) -> bool:
        """Whether a mask or logits come from a function."""
        return not all(_is_plain(source) for source in (*self.logits, *self.tables))

    @property
    def is_masked(self) -> bool:
        """Whether there is any mask."""
        return self.flat_mask is not None or any(table is not None for table in self.tables)

    def flat_row(self, k: int) -> Tensor | None:
        """Head k's part of the flat mask."""
        if self.flat_mask is None:
            return None
        start = sum(self.tree.nvec[:k])
        return self.flat_mask[..., start : start + self.tree.nvec[k]]

    def mask_name(self, k: int) -> str:
        """How messages call what masks head k."""
        if self.tables[k] is None:
            return "action_mask"
        table = f"head_masks[{self.tree.names[k]!r}]"
        return table if self.flat_mask is None else f"action_mask with {table}"

    def logits_along(self, k: int, choices: Mapping[int, Tensor]) -> Tensor:
        """Logits of head k after given earlier choices.

        Args:
            k: The head.
            choices: Of the earlier heads, int64 `[..., *batch]`, 0 where one does not count.

        Returns:
            `[..., *batch, n]`, without the leading dimensions where they do not depend on
            the choices.
        """
        return self._follow(k, self.logits[k], self.tree.heads[k].logits_by, choices, "logits")

    def mask_along(self, k: int, choices: Mapping[int, Tensor]) -> Tensor | None:
        """The mask of head k after given earlier choices, or None; as `logits_along`."""
        row = self.flat_row(k)
        if self.tables[k] is None:
            return row
        by = self.tree.heads[k].mask_by
        table = self._follow(k, self.tables[k], by, choices, "head_masks")
        return table if row is None else table & row

    def prefixes(self, k: int) -> dict[int, Tensor]:
        """All prefixes that select head k's mask or logits, over `plan.rows[k]`."""
        return self.plan.choices(self.plan.rows[k], self.batch, self.device)

    def _follow(
        self,
        k: int,
        source: Any,
        by: str | None,
        choices: Mapping[int, Tensor],
        argument: str,
    ) -> Tensor:
        """The row that the choices select."""
        if not _is_plain(source):
            return self._called(k, source, choices, argument)
        tensor: Tensor = source
        if by is None:
            return tensor
        choice = choices[self.tree.position(by)]
        return pick_rows(tensor.expand(*self.batch, *tensor.shape[-2:]), choice)

    def _called(
        self, k: int, function: PrefixFunction, choices: Mapping[int, Tensor], argument: str
    ) -> Tensor:
        """What a function of the prefix gives, checked."""
        name, size = self.tree.names[k], self.tree.nvec[k]
        asked = {self.tree.names[j]: choices[j] for j in self.plan.rows[k]}
        given = function(asked)
        what = f"{self.operation}: {argument}[{name!r}], a function of the prefix,"
        lead = choices[self.plan.rows[k][0]].shape if self.plan.rows[k] else self.batch
        wanted = (*lead, size)
        if not isinstance(given, Tensor) or given.shape[-1:] != (size,):
            got = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise MaskShapeError(f"{what} gave {got}; expected {wanted}.")
        if argument == "head_masks" and given.dtype != torch.bool:
            raise MaskDtypeError(f"{what} gave dtype {given.dtype}; expected torch.bool.")
        if argument == "logits" and not given.is_floating_point():
            raise MaskDtypeError(f"{what} gave dtype {given.dtype}; expected floating point.")
        try:
            return given.expand(wanted)
        except RuntimeError:
            raise MaskShapeError(f"{what} gave {tuple(given.shape)}; expected {wanted}.") from None

    def counts_along(
        self, k: int, choices: Mapping[int, Tensor], counted: Mapping[int, Tensor | None]
    ) -> Tensor | None:
        """Whether head k counts after given earlier choices; None if it always does.

        Args:
            k: The head.
            choices: Of the earlier heads, int64 `[...]` each.
            counted: The same answer for the heads before it.
        """
        counts: Tensor | None = None
        for name, under in self.tree.heads[k].relevant.items():
            j = self.tree.position(name)
            holds = torch.zeros_like(choices[j], dtype=torch.bool)
            for c in under:
                holds = holds | (choices[j] == c)
            earlier = counted[j]
            holds = holds if earlier is None else holds & earlier
            counts = holds if counts is None else counts & holds
        return counts

    def canonical(self, actions: Tensor) -> Tensor:
        """The actions `[..., K]` with choice 0 in every head that does not count."""
        choices: dict[int, Tensor] = {}
        counted: dict[int, Tensor | None] = {}
        for k, choice in enumerate(actions.unbind(-1)):
            counts = counted[k] = self.counts_along(k, choices, counted)
            choices[k] = choice if counts is None else torch.where(counts, choice, 0)
        return torch.stack(list(choices.values()), -1)

    def expanded(self, batch: torch.Size) -> ConditionalHeads:
        """The same heads for a larger batch."""
        new = object.__new__(ConditionalHeads)
        new.__dict__.update(self.__dict__)
        extra = len(self.batch)
        with recording(*_tensors(self.logits)):
            new.logits = [
                source.expand(*batch, *source.shape[extra:])
                if isinstance(source, Tensor)
                else source
                for source in self.logits
            ]
        new.tables = [
            table.expand(*batch, *table.shape[extra:]) if isinstance(table, Tensor) else table
            for table in self.tables
        ]
        new.batch = batch
        return new

    def detached(self) -> ConditionalHeads:
        """The same heads without the graph behind their logits, to be pickled.

        Raises:
            ConfigError: A head has a function of the prefix.
        """
        for name, *sources in zip(self.tree.names, self.logits, self.tables, strict=True):
            if not all(_is_plain(source) for source in sources):
                raise ConfigError(
                    f"{self.operation}: head {name!r} has a function of the prefix, which cannot "
                    f"be pickled; give it a tensor or a table."
                )
        new = object.__new__(ConditionalHeads)
        new.__dict__.update(self.__dict__)
        new.logits = [
            source.detach() if isinstance(source, Tensor) else source for source in self.logits
        ]
        return new


def pick_rows(table: Tensor, choice: Tensor) -> Tensor:
    """From `[*batch, P, n]` the rows at `choice` `[..., *batch]`: `[..., *batch, n]`."""
    batch, (parent, size) = table.shape[:-2], table.shape[-2:]
    first = torch.arange(batch.numel(), device=table.device).reshape(batch) * parent
    rows: Tensor = table.reshape(-1, size)[first + choice]
    return rows


def _is_plain(source: Any) -> bool:
    """Whether a source is a tensor or nothing, not a function."""
    return source is None or isinstance(source, Tensor)


def _tensors(sources: Iterable[Any]) -> list[Tensor]:
    return [source for source in sources if isinstance(source, Tensor)]
