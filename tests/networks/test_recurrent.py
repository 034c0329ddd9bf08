"""The recurrent network against its own single steps, and against padding that is NaN."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from maskrl.errors import ConfigError
from maskrl.networks.recurrent import CELLS, RecurrentCore
from maskrl.networks.segments import segments_of

L, B, F, H = 7, 5, 3, 4


def make(cell, layers=1, dtype=torch.float64):
    torch.manual_seed(0)
    return RecurrentCore(F, H, cell=cell, layers=layers).to(dtype)


def draw(core, seed=0, *, starts=0.3, length=L, batch=B):
    generator = torch.Generator().manual_seed(seed)
    dtype = core.network.weight_ih_l0.dtype
    x = torch.randn(length, batch, F, generator=generator, dtype=dtype)
    state = torch.randn(batch, core.state_size, generator=generator, dtype=dtype)
    episode_start = torch.rand(length, batch, generator=generator) < starts
    valid = torch.rand(length, batch, generator=generator) < 0.6
    return x, state, episode_start, valid


def by_hand(core, x, state, episode_start=None, valid=None):
    """Row by row and step by step with the cells of torch."""
    kind = nn.GRUCell if core.cell == "gru" else nn.LSTMCell
    cells = []
    for layer in range(core.layers):
        cell = kind(F if layer == 0 else H, H).to(x.dtype)
        cell.load_state_dict(
            {
                name: getattr(core.network, f"{name}_l{layer}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            }
        )
        cells.append(cell)
    out = torch.zeros(*x.shape[:2], H, dtype=x.dtype)
    after = state.clone()
    for b in range(x.shape[1]):
        now = list(state[b].split(H))
        for t in range(x.shape[0]):
            if valid is not None and not valid[t, b]:
                continue
            if episode_start is not None and episode_start[t, b]:
                now = [torch.zeros_like(part) for part in now]
            given = x[t, b]
            for layer, cell in enumerate(cells):
                if core.cell == "gru":
                    given = now[layer] = cell(given[None], now[layer][None])[0]
                else:
                    pair = (now[layer][None], now[core.layers + layer][None])
                    h, c = cell(given[None], pair)
                    given = now[layer] = h[0]
                    now[core.layers + layer] = c[0]
            out[t, b] = given
        after[b] = torch.cat(now)
    return out.detach(), after.detach()


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("length", [1, L])
@pytest.mark.parametrize("use", ["neither", "starts", "valid", "both"])
def test_steps_are_those_of_torchs_cells(cell, layers, length, use):
    core = make(cell, layers)
    x, state, start, valid = draw(core, length=length)
    kwargs = {
        "episode_start": start if use in ("starts", "both") else None,
        "valid": valid if use in ("valid", "both") else None,
    }
    out, after = core(x, state, **kwargs)
    expected, expected_after = by_hand(core, x, state, **kwargs)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(after, expected_after)
    assert core.initial_state(B).tolist() == [[0.0] * core.state_size] * B
    assert out.shape[-1] == core.out_features


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_not_finite_travels_neither_out_of_padding_nor_past_a_start(cell):
    core = make(cell, 2)
    x, state, start, valid = draw(core)
    start[3] = valid[3] = True
    clean = x.clone().requires_grad_()
    out, after = core(clean, state, episode_start=start, valid=valid)
    (out.square().sum() + after.sum()).backward()
    gradients = [p.grad.clone() for p in core.parameters()]
    core.zero_grad()
    for poison in (torch.nan, torch.inf, 1e30):
        bad = torch.where(valid.unsqueeze(-1), x, poison).requires_grad_()
        got, got_after = core(bad, state, episode_start=start, valid=valid)
        (got.square().sum() + got_after.sum()).backward()
        assert torch.equal(got, out) and torch.equal(got_after, after)
        assert (got[~valid] == 0).all()
        assert torch.equal(bad.grad, clean.grad) and (bad.grad[~valid] == 0).all()
        for parameter, expected in zip(core.parameters(), gradients, strict=True):
            assert torch.equal(parameter.grad, expected)
        core.zero_grad()
    # A state that broke in one episode does not reach the next.
    broken = torch.full_like(state, torch.nan)
    got, got_after = core(x, broken, episode_start=start, valid=valid)
    assert torch.equal(got[3:], out[3:]) and torch.equal(got_after, after)
    assert got[:3][valid[:3]].isnan().any()


@pytest.mark.parametrize("cell", CELLS)
def test_a_row_without_a_valid_step_hands_its_state_on(cell):
    core = make(cell, 2, torch.float32)
    x, state, start, valid = draw(core)
    valid[:, 2] = False
    start[:, 2] = True
    for length in (1, L):
        out, after = core(
            x[:length], state, episode_start=start[:length], valid=valid[:length] & False
        )
        assert (out == 0).all() and torch.equal(after, state)
        _, after = core(x[:length], state, episode_start=start[:length], valid=valid[:length])
        assert torch.equal(after[2], state[2])
    out, after = core(x, state, valid=torch.ones_like(valid))
    plain, plain_after = core(x, state)
    assert torch.equal(out, plain) and torch.equal(after, plain_after)


@pytest.mark.parametrize("cell", CELLS)
def test_unrolled_is_step_by_step(cell):
    core = make(cell, 2, torch.float32)
    x, state, start, _ = draw(core)
    out, after = core(x, state, episode_start=start)
    now = state
    for t in range(L):
        row, now = core.step(x[t], now, start[t])
        torch.testing.assert_close(row, out[t], rtol=0, atol=1e-6)
    torch.testing.assert_close(now, after, rtol=0, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_cut_segments(cell):
    core = make(cell, 1)
    x, state, start, valid = draw(core, length=4, batch=3)
    x.requires_grad_()
    state.requires_grad_()

    def run(x, state, *_):
        return core(x, state, episode_start=start, valid=valid)

    assert torch.autograd.gradcheck(run, (x, state, *core.parameters()))


def test_segments_by_hand():
    start = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]], np.bool_)
    valid = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]], np.bool_)
    found = segments_of(start, valid)
    # rows: 0 = (0,0), 1 = (0,1), 2 = (1,0), 3 = (1,1), 4 = (2,0), 5 = (3,0)
    assert found.sizes == (4, 1, 1)
    assert found.rows.tolist() == [0, 5, 1, 3, 2, 4]
    assert found.back.tolist() == [0, 2, 4, 3, 5, 1]
    assert found.column.tolist() == [0, 0, 1, 1]
    assert found.fresh.tolist() == [True, True, False, True]
    assert found.last.tolist() == [1, 3, 4 + 2]
    assert found.count == 6
    plain = segments_of(np.array([[0, 1], [0, 0]], np.bool_))
    assert plain.sizes == (2, 2)
    assert plain.rows is plain.back is plain.column is plain.last is None
    assert plain.fresh.tolist() == [False, True]
    assert segments_of(np.zeros((2, 2), np.bool_)).fresh is None
    assert segments_of(start, valid & False).sizes == ()
    assert segments_of(np.zeros((0, 2), np.bool_)).count == 0


@pytest.mark.parametrize("shape", [(0, 2), (3, 0), (1, 0), (0, 0)])
@pytest.mark.parametrize("cell", CELLS)
def test_nothing_to_run_through(cell, shape):
    core = make(cell)
    state = core.initial_state(shape[1])
    flags = torch.ones(shape, dtype=torch.bool)
    out, after = core(torch.zeros(*shape, F).double(), state, episode_start=flags, valid=flags)
    assert out.shape == (*shape, H) and after.shape == state.shape


@pytest.mark.parametrize("cell", CELLS)
def test_begins_inclined_to_remember(cell):
    core = RecurrentCore(F, H, cell=cell)
    gate = core.network.weight_hh_l0[:H]
    torch.testing.assert_close(gate @ gate.T, torch.eye(H), atol=1e-5, rtol=0)
    assert (core.network.bias_ih_l0[H : 2 * H] == 1).all()
    assert core.network.bias_hh_l0.abs().sum() == 0
    assert "3 -> 4" in repr(core)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(L, B, F + 1)}, r"x has shape \(7, 5, 4\), expected \[L, B, 3\]"),
        ({"x": torch.zeros(B, F)}, "x has shape"),
        ({"state": torch.zeros(B, H + 1)}, r"state has shape \(5, 5\), expected \(5, 4\)"),
        ({"state": torch.zeros(1, B, H)}, "state has shape"),
        ({"valid": torch.ones(L, B)}, "valid has shape .* dtype torch.float32, expected bool"),
        ({"episode_start": torch.ones(B, dtype=torch.bool)}, "episode_start has shape"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    core = RecurrentCore(F, H)
    given = {"x": torch.zeros(L, B, F), "state": torch.zeros(B, H)} | change
    with pytest.raises(ConfigError, match=message):
        core(given.pop("x"), given.pop("state"), **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cell": "rnn"}, "cell: expected 'gru' or 'lstm'"),
        ({"hidden": 0}, "hidden: expected a positive"),
        ({"in_features": True}, "in_features: expected"),
        ({"layers": 1.5}, "layers: expected"),
    ],
)
def test_impossible_sizes_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        RecurrentCore(**{"in_features": 2, "hidden": 3, **given})


@pytest.mark.parametrize("cell", CELLS)
def test_what_does_not_fit_the_segments_is_refused(cell):
    """Or memory that belongs to others would be read and written."""
    core = make(cell, dtype=torch.float32)
    segments = segments_of(np.zeros((L, B), np.bool_))
    cut = segments_of(np.eye(L, B, dtype=np.bool_))
    x, state = torch.zeros(L * B, F), core.initial_state(B)
    for plan in (segments, cut):
        with pytest.raises(ConfigError, match=rf"state has shape \(1, .*expected \({B}, "):
            core.run(x, core.initial_state(1), plan)
        with pytest.raises(ConfigError, match=rf"x has {L * B - 1} rows, expected {L * B}"):
            core.run(x[1:], state, plan)
        with pytest.raises(ConfigError, match="x has shape"):
            core.run(x[:, 1:], state, plan)


@pytest.mark.parametrize("cell", CELLS)
def test_a_step_refuses_what_does_not_fit(cell):
    core = make(cell, dtype=torch.float32)
    x, state = torch.zeros(B, F), core.initial_state(B)
    for wrong in (core.initial_state(1), torch.zeros(B, core.state_size + H)):
        with pytest.raises(ConfigError, match="state has shape"):
            core.step(x, wrong)
    for wrong in (torch.ones(1, dtype=torch.bool), torch.ones(B)):
        with pytest.raises(ConfigError, match="episode_start has shape"):
            core.step(x, state, wrong)


@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_a_state_that_is_no_number_spoils_no_gradient_where_nothing_is_valid(cell, length):
    core = make(cell, layers=2)
    x, state, _, _ = draw(core, length=length)
    valid = torch.ones(length, B, dtype=torch.bool)
    valid[:, 1] = False
    x[:, 1], state[1] = torch.nan, torch.nan
    out, after = core(x, state, valid=valid)
    out.sum().backward()
    assert after[1].isnan().all() and not out.isnan().any()
    assert all(p.grad.isfinite().all() for p in core.parameters())


@pytest.mark.parametrize("cell", CELLS)
def test_who_listens_to_the_cells_hears_them(cell):
    """Hooks run, as those do that compute weights anew (pruning), and change nothing."""
    core = make(cell, layers=2)
    x, state, episode_start, valid = draw(core)
    expected = core(x, state, episode_start=episode_start, valid=valid)
    one = core.step(x[0], state, episode_start[0])
    heard = []
    core.network.register_forward_pre_hook(lambda *_: heard.append(1))
    found = core(x, state, episode_start=episode_start, valid=valid)
    again = core.step(x[0], state, episode_start[0])
    assert len(heard) == 2
    for mine, wanted in zip((*found, *again), (*expected, *one), strict=True):
        torch.testing.assert_close(mine, wanted)
    prune.l1_unstructured(core.network, "weight_hh_l0", 0.5)
    for _ in range(2):
        core(x, state)[0].sum().backward()
    assert core.step(x[0][:0], state[:0])[0].shape == (0, H)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("cell", CELLS)
def test_compiled_it_says_the_same_of_any_flags(cell):
    core = make(cell, dtype=torch.float32)
    compiled = torch.compile(core, backend="eager")
    for seed in range(2):
        x, state, episode_start, valid = draw(core, seed)
        flags = {"episode_start": episode_start, "valid": valid}
        for mine, wanted in zip(compiled(x, state, **flags), core(x, state, **flags), strict=True):
            torch.testing.assert_close(mine, wanted)
