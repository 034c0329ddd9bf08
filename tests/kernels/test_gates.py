"""The passes of a GRU's step against its formulas in float64, forward and backward."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.kernels.gates import gru_backward, gru_forward


def address(array):
    return array.ctypes.data


def formulas(given, recurrent, bias, before):
    gi, gh = given.split(given.shape[1] // 3, 1), (recurrent + bias).split(given.shape[1] // 3, 1)
    reset, keep = torch.sigmoid(gi[0] + gh[0]), torch.sigmoid(gi[1] + gh[1])
    new = torch.tanh(gi[2] + reset * gh[2])
    return (1 - keep) * new + keep * before, (reset, keep, new, gh[2])


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (3, 5), (7, 16), (2, 33)])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_a_step_and_its_way_back(rows, size, scale):
    rng = np.random.default_rng(rows * size)

    def numbers(*shape):
        return (scale * rng.normal(size=shape)).astype(np.float32)

    given, recurrent, bias = numbers(rows, 3 * size), numbers(rows, 3 * size), numbers(3 * size)
    before, upstream, carry = (rng.normal(size=(rows, size)).astype(np.float32) for _ in "abc")
    gates, out = np.empty((rows, 4 * size), np.float32), np.empty((rows, size), np.float32)
    gru_forward(*map(address, (given, recurrent, bias, before, gates, out)), rows, size)

    exact = [torch.from_numpy(x).double() for x in (given, recurrent, bias, before)]
    for x in exact:
        x.requires_grad_()
    expected, parts = formulas(*exact)
    torch.testing.assert_close(torch.from_numpy(out).double(), expected, rtol=0, atol=3e-6)
    kept = torch.cat(parts, 1)
    torch.testing.assert_close(torch.from_numpy(gates).double(), kept, rtol=1e-6, atol=3e-6)

    later = torch.from_numpy(upstream).double() + torch.from_numpy(carry).double()
    of_given, of_recurrent, of_before = torch.autograd.grad(
        expected, [exact[0], exact[1], exact[3]], later
    )
    gradient = np.empty((rows, 4 * size), np.float32)
    gru_backward(*map(address, (upstream, carry, gates, before, gradient)), rows, size)
    new, reset, keep, inner = torch.from_numpy(gradient).double().split(size, 1)
    close = {"rtol": 1e-4, "atol": 2e-5 * scale}
    torch.testing.assert_close(torch.cat([reset, keep, new], 1), of_given, **close)
    torch.testing.assert_close(torch.cat([reset, keep, inner], 1), of_recurrent, **close)
    torch.testing.assert_close(torch.from_numpy(carry).double(), of_before, **close)
