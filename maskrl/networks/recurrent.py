"""A recurrent network over sequences in which episodes begin and padding may lie.

The cells are those of `torch.nn`, their state one tensor a row, so that it can be stored,
cut and handed around like any other number. Where an episode begins 0 takes the place of
what was remembered; padding is not read, gives 0 and leaves the state as it was. Both are
selected and never multiplied, so that a NaN cannot travel.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from maskrl.errors import ConfigError
from maskrl.kernels.recurrent import gru
from maskrl.networks.chain import is_watched
from maskrl.networks.segments import Segments, segments_of

Cell = Literal["gru", "lstm"]
CELLS: tuple[Cell, ...] = ("gru", "lstm")


class RecurrentCore(nn.Module):
    """Features of every step and of what came before it in the episode.

    Recurrent weights begin orthogonal, and gates inclined to keep what is remembered.

    Args:
        in_features: Width of the input, F.
        hidden: Width of the output.
        cell: "gru" or "lstm".
        layers: Layers upon each other.

    Attributes:
        out_features: Width of the output.
        state_size: Numbers that are remembered for a row, S: the outputs of all layers and,
            of an LSTM, after them their cells.

    Raises:
        ConfigError: The cell is unknown or a size is not positive.

    Reference:
        Cho et al., Learning Phrase Representations using RNN Encoder-Decoder,
        https://arxiv.org/abs/1406.1078; Hochreiter and Schmidhuber, Long Short-Term Memory,
        Neural Computation 9(8), 1997; Jozefowicz et al., An Empirical Exploration of Recurrent
        Network Architectures (on the bias of the forget gate), ICML 2015.
    """

    def __init__(
        self, in_features: int, hidden: int, *, cell: Cell = "gru", layers: int = 1
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise ConfigError(f"RecurrentCore: cell: expected 'gru' or 'lstm', got {cell!r}")
        for name, value in (("in_features", in_features), ("hidden", hidden), ("layers", layers)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(
                    f"RecurrentCore: {name}: expected a positive whole number, got {value!r}"
                )
        self.cell: Cell = cell
        self.in_features = in_features
        self.out_features = hidden
        self.layers = layers
        self.state_size = layers * hidden * (2 if cell == "lstm" else 1)
        kind = nn.GRU if cell == "gru" else nn.LSTM
        self.network: nn.GRU | nn.LSTM = kind(in_features, hidden, layers)
        self._initialize()

    def _initialize(self) -> None:
        hidden = self.out_features
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                if name.startswith("weight"):
                    for gate in parameter.split(hidden):
                        nn.init.orthogonal_(gate)
                else:
                    nn.init.zeros_(parameter)
                    # The second gate of both keeps: z of a GRU, f of an LSTM.
                    if name.startswith("bias_ih"):
                        parameter[hidden : 2 * hidden] = 1.0

    def extra_repr(self) -> str:
        """Cell and sizes."""
        return f"{self.cell}, {self.in_features} -> {self.out_features}, layers={self.layers}"

    def initial_state(self, batch: int) -> Tensor:
        """Nothing remembered: zeros `[B, S]`, in dtype and place of the weights."""
        weight: Tensor = self.network.all_weights[0][0]
        return weight.new_zeros(batch, self.state_size)

    def forward(
        self,
        x: Tensor,
        state: Tensor,
        *,
        episode_start: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run through L steps of B sequences.

        Args:
            x: `[L, B, F]`; where `valid` is False it may hold anything.
            state: `[B, S]`, before the first step.
            episode_start: `[L, B]` bool: steps before which the state becomes 0; not read
                where `valid` is False. None for none.
            valid: `[L, B]` bool: False for padding, of any pattern. None where all are valid.

        Returns:
            Output `[L, B, hidden]`, exactly 0 where `valid` is False, and the state `[B, S]`
            after the last valid step.

        Raises:
            ConfigError: A shape or dtype does not fit.

        Empty rows:
            A sequence without a valid step hands its state on, bit for bit.
        """
        self._check(x, state, episode_start, valid)
        length, batch = x.shape[:2]
        if length == 1:
            out, state = self._one(x[0], state, _row(episode_start), _row(valid))
            return out.unsqueeze(0), state
        start = np.zeros((length, batch), np.bool_)
        if episode_start is not None:
            start = episode_start.cpu().numpy()
        rows = x.flatten(0, 1)
        if valid is None or bool(valid.all()):
            out, state = self.run(rows, state, segments_of(start, device=x.device))
            return out.unflatten(0, (length, batch)), state
        places = valid.reshape(-1).nonzero().squeeze(-1)
        segments = segments_of(start, valid.cpu().numpy(), device=x.device)
        out, state = self.run(rows.index_select(0, places), state, segments)
        whole = out.new_zeros(length * batch, self.out_features)
        return whole.index_copy(0, places, out).unflatten(0, (length, batch)), state

    def step(
        self, x: Tensor, state: Tensor, episode_start: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One step of B rows.

        Args:
            x: `[B, F]`.
            state: `[B, S]`.
            episode_start: `[B]` bool; None for none.

        Returns:
            Output `[B, hidden]` and state `[B, S]`.

        Raises:
            ConfigError: A shape or dtype does not fit.
        """
        self._check_rows(x, state, len(x))
        if episode_start is not None:
            _check_flags("episode_start", episode_start, (len(x),))
        return self._one(x, state, episode_start, None)

    def run(self, x: Tensor, state: Tensor, segments: Segments) -> tuple[Tensor, Tensor]:
        """Run through segments that are cut already.

        Args:
            x: `[R, F]`: the valid steps, in the order of `segments_of`.
            state: `[B, S]`, before the first step of every sequence.
            segments: From `segments_of`.

        Returns:
            Output `[R, hidden]`, and the state `[B, S]` after the last step of each sequence.

        Raises:
            ConfigError: There are not as many rows or states as `segments` say.
        """
        # Kernels, torch's too, read and write where sizes say, and not where tensors end.
        self._check_rows(x, state, segments.sequences)
        if len(x) != segments.count:
            raise ConfigError(
                f"RecurrentCore: x has {len(x)} rows, expected {segments.count}: one per valid step"
            )
        if not segments.sizes:
            return x.new_zeros(len(x), self.out_features), state
        begin = state if segments.column is None else state.index_select(0, segments.column)
        if segments.fresh is not None:
            begin = torch.where(segments.fresh.unsqueeze(-1), 0.0, begin)
        ordered = x if segments.rows is None else x.index_select(0, segments.rows)
        out, after = self._run_packed(ordered, segments.sizes, begin)
        if segments.back is not None:
            out = out.index_select(0, segments.back)
        if segments.last is not None:
            after = torch.cat([after, state]).index_select(0, segments.last)
        return out, after

    def _run_packed(
        self, x: Tensor, sizes: tuple[int, ...], state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Rows `[R, F]` in the order of running, from states `[S, state_size]`."""
        if self.cell == "gru" and not is_watched([self.network]):
            after = []
            begins = state.split(self.out_features, -1)
            for begin, weights in zip(begins, self.network.all_weights, strict=True):
                x, end = gru(x, sizes, begin, weights)
                after.append(end)
            return x, after[0] if len(after) == 1 else torch.cat(after, -1)
        packed = PackedSequence(x, torch.tensor(sizes))
        if self.cell == "gru":
            out, last = self.network(packed, self._layers_first(state))
            return out.data, last.transpose(0, 1).flatten(1)
        both = self._layers_first(state)
        out, (last, cells) = self.network(packed, (both[: self.layers], both[self.layers :]))
        return out.data, torch.cat([last, cells]).transpose(0, 1).flatten(1)

    def _one(
        self, x: Tensor, state: Tensor, start: Tensor | None, valid: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """One step, without the search for segments."""
        if valid is not None:
            x = torch.where(valid.unsqueeze(-1), x, 0.0)
        before = state if start is None else torch.where(start.unsqueeze(-1), 0.0, state)
        if valid is not None:
            before = torch.where(valid.unsqueeze(-1), before, 0.0)
        x, after = self._one_step(x, before)
        if valid is not None:
            after = torch.where(valid.unsqueeze(-1), after, state)
            x = torch.where(valid.unsqueeze(-1), x, 0.0)
        return x, after

    def _one_step(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Output and state of rows that are all valid and go on."""
        if len(x) and is_watched([self.network]):
            return self._run_packed(x, (len(x),), before)
        size = self.out_features
        parts = before.split(size, -1)
        weights = self.network.all_weights
        hidden: list[Tensor] = []
        cells: list[Tensor] = []
        for layer in range(self.layers):
            if self.cell == "gru":
                x = torch.gru_cell(x, parts[layer], *weights[layer])
            else:
                pair = (parts[layer], parts[self.layers + layer])
                x, cell = torch.lstm_cell(x, pair, *weights[layer])
                cells.append(cell)
            hidden.append(x)
        every = [*hidden, *cells]
        return x, every[0] if len(every) == 1 else torch.cat(every, -1)

    def _layers_first(self, state: Tensor) -> Tensor:
        """`[S, state_size]` as torch has it: `[layers, S, hidden]`, of an LSTM cells after them."""
        return state.unflatten(-1, (-1, self.out_features)).transpose(0, 1).contiguous()

    def _check(
        self, x: Tensor, state: Tensor, episode_start: Tensor | None, valid: Tensor | None
    ) -> None:
        if x.ndim != 3 or x.shape[-1] != self.in_features:
            raise ConfigError(
                f"RecurrentCore: x has shape {tuple(x.shape)}, expected [L, B, {self.in_features}]"
            )
        shape = tuple(x.shape[:2])
        self._check_state(state, shape[1])
        for name, flags in (("episode_start", episode_start), ("valid", valid)):
            if flags is not None:
                _check_flags(name, flags, shape)

    def _check_rows(self, x: Tensor, state: Tensor, sequences: int) -> None:
        if x.ndim != 2 or x.shape[-1] != self.in_features:
            raise ConfigError(
                f"RecurrentCore: x has shape {tuple(x.shape)}, expected [rows, {self.in_features}]"
            )
        self._check_state(state, sequences)

    def _check_state(self, state: Tensor, sequences: int) -> None:
        if tuple(state.shape) != (sequences, self.state_size):
            raise ConfigError(
                f"RecurrentCore: state has shape {tuple(state.shape)}, expected "
                f"{(sequences, self.state_size)}: one row per sequence, as initial_state gives"
            )


def _check_flags(name: str, flags: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(flags.shape) != shape or flags.dtype != torch.bool:
        raise ConfigError(
            f"RecurrentCore: {name} has shape {tuple(flags.shape)} and dtype "
            f"{flags.dtype}, expected bool of shape {shape}"
        )


def _row(flags: Tensor | None) -> Tensor | None:
    """The first row of `[L, B]`."""
    return None if flags is None else flags[0]
