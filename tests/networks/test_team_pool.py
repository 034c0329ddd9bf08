"""One vector of a team: of those who count, whoever they are, and finite for nobody."""

import torch

from maskrl.networks.team_pool import TeamPool


def pool(width=6):
    torch.manual_seed(0)
    return TeamPool(width)


def test_mean_maximum_and_number_go_into_the_layer():
    made = pool(2)
    x = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [9.0, 9.0]]])
    keep = torch.tensor([[True, True, False]])
    pooled = torch.tensor([[2.0, -3.0, 3.0, -2.0, 1.0986123]])  # log(1 + 2)
    layer = made.mix.layers[0]
    expected = torch.tanh(pooled @ layer.weight.T + layer.bias)
    torch.testing.assert_close(made(x, keep), expected)


def test_who_does_not_count_changes_no_bit_and_gets_no_gradient():
    made = pool()
    x, keep = torch.randn(4, 5, 6), torch.rand(4, 5) < 0.5
    keep[2] = False
    spoiled = torch.where(keep.unsqueeze(-1), x, torch.nan).requires_grad_()
    out = made(spoiled, keep)
    assert torch.equal(out, made(x, keep)) and out.isfinite().all()
    out.sum().backward()
    assert (spoiled.grad[~keep] == 0).all() and (spoiled.grad[keep] != 0).any()
    assert all(p.grad.isfinite().all() for p in made.parameters())


def test_members_have_no_order_and_empty_places_change_nothing():
    made = pool().double()
    x, keep = torch.randn(3, 5, 6, dtype=torch.float64), torch.rand(3, 5) < 0.7
    order = torch.randperm(5)
    torch.testing.assert_close(made(x[:, order], keep[:, order]), made(x, keep))
    wide = torch.cat([x, torch.full((3, 4, 6), torch.nan, dtype=torch.float64)], 1)
    more = torch.cat([keep, torch.zeros(3, 4, dtype=torch.bool)], 1)
    torch.testing.assert_close(made(wide, more), made(x, keep))


def test_packed_members_give_the_same():
    made = pool()
    x, keep = torch.randn(3, 5, 6), torch.rand(3, 5) < 0.6
    keep[1] = False
    row, slot = keep.nonzero(as_tuple=True)
    torch.testing.assert_close(made.packed(x[keep], row, slot, (3, 5)), made(x, keep))
    none = torch.zeros(0, dtype=torch.int64)
    nobody = made.packed(torch.zeros(0, 6), none, none, (2, 5))
    assert nobody.shape == (2, 6) and nobody.isfinite().all()
    assert made.packed(torch.zeros(0, 6), none, none, (0, 5)).shape == (0, 6)
