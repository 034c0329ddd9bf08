"""Clipping and Adam in one call: whole runs beside torch's two, and when torch must do it."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from maskrl.kernels.adam import clipped_adam
from maskrl.trainers.clipped_adam import ClippedAdam


def parameters(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shapes = [(7, 5), (5,), (), (33,)]
    return [torch.randn(s, generator=generator).to(dtype).requires_grad_() for s in shapes]


def pair(dtype=torch.float32, **settings):
    mine, other = parameters(dtype), parameters(dtype)
    settings = {"lr": 0.01, "eps": 1e-5, **settings}
    fused = dtype == torch.float32
    return (
        mine,
        ClippedAdam(mine, **settings),
        other,
        torch.optim.Adam(other, **settings, fused=fused),
    )


def give_gradients(mine, other, seed, *, skip=None):
    generator = torch.Generator().manual_seed(seed)
    for k, (p, q) in enumerate(zip(mine, other, strict=True)):
        g = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)
        g = g * (1e-3 if seed % 3 == 0 else 1.0)
        p.grad, q.grad = (None, None) if k == skip else (g, g.clone())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("limit", [0.5, None])
def test_many_steps_equal_torchs(limit, dtype):
    mine, ours, other, theirs = pair(dtype)
    for step in range(40):
        give_gradients(mine, other, step)
        for group in (*ours.param_groups, *theirs.param_groups):
            group["lr"] = 0.01 / (1 + step)
        norm = ours.clipped_step(limit)
        expected = nn.utils.clip_grad_norm_(other, limit or float("inf"))
        theirs.step()
        assert float(norm) == pytest.approx(float(expected), rel=1e-5)
    for p, q in zip(mine, other, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)
        mine_state, their_state = ours.state[p], theirs.state[q]
        assert mine_state.keys() == their_state.keys()
        for name, value in their_state.items():
            torch.testing.assert_close(mine_state[name], value, rtol=1e-4, atol=1e-6)


def test_whole_numbers_and_tensors_as_settings_compile_nothing():
    mine, ours, other, _ = pair()
    give_gradients(mine, other, 0)
    for _ in range(2):
        ours.clipped_step(0.5)
    before = len(clipped_adam.signatures)
    ours.param_groups[0].update(lr=torch.tensor(0.01), eps=1, betas=(torch.tensor(0.9), 0))
    ours.clipped_step(1)
    assert len(clipped_adam.signatures) == before


def test_parameters_without_a_gradient_stay_as_they_are():
    mine, ours, other, theirs = pair()
    for step in range(6):
        give_gradients(mine, other, step, skip=1 if step > 2 else None)
        ours.clipped_step(0.5)
        nn.utils.clip_grad_norm_(other, 0.5)
        theirs.step()
    for p, q in zip(mine, other, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
        assert ours.state[p]["step"] == theirs.state[q]["step"]


def test_going_on_from_a_saved_state_is_the_same_to_the_bit():
    mine, ours, other, _ = pair()
    for step in range(3):
        give_gradients(mine, other, step)
        ours.clipped_step(0.5)
    again = [p.detach().clone().requires_grad_() for p in mine]
    resumed = ClippedAdam(again, lr=0.01, eps=1e-5)
    resumed.load_state_dict(copy.deepcopy(ours.state_dict()))
    for step in range(3, 6):
        give_gradients(mine, again, step)
        ours.clipped_step(0.5)
        resumed.clipped_step(0.5)
    assert all(torch.equal(p, q) for p, q in zip(mine, again, strict=True))


def test_state_that_was_loaded_meanwhile_is_found():
    mine, ours, other, _ = pair()
    for step in range(2):
        give_gradients(mine, other, step)
        ours.clipped_step(0.5)
    kept = copy.deepcopy(ours.state_dict())
    ours.clipped_step(0.5)
    ours.load_state_dict(kept)
    ours.look_again()
    ours.clipped_step(0.5)
    assert ours.state[mine[0]]["step"] == 3


def test_who_listens_to_steps_is_told():
    mine, ours, other, _ = pair()
    heard = []
    ours.register_step_post_hook(lambda *_: heard.append(1))
    for step in range(3):
        give_gradients(mine, other, step)
        ours.clipped_step(0.5)
    assert len(heard) == 3


def test_a_graph_from_before_a_step_is_refused_after_it():
    mine, ours, other, _ = pair()
    for step in range(2):
        give_gradients(mine, other, step)
        loss = mine[0].square().sum()
        ours.clipped_step(0.5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize(
    "settings", [{"weight_decay": 0.1}, {"amsgrad": True}, {"maximize": True}], ids=str
)
def test_settings_that_the_kernel_does_not_know_are_torchs(settings):
    """Given from the start to torch's optimiser, and to the group of ours."""
    mine, ours, other, theirs = pair()
    for group in (*ours.param_groups, *theirs.param_groups):
        group.update(settings)
    ours.look_again()
    for step in range(5):
        give_gradients(mine, other, step)
        ours.clipped_step(0.5)
        nn.utils.clip_grad_norm_(other, 0.5)
        theirs.step()
    for p, q in zip(mine, other, strict=True):
        assert torch.equal(p, q)


def test_parameters_that_are_added_are_trained():
    mine, ours, other, _ = pair()
    extra = torch.ones(2, requires_grad=True)
    ours.add_param_group({"params": [extra], "lr": 1.0})
    for step in range(3):
        give_gradients(mine, other, step)
        extra.grad = torch.ones(2)
        ours.clipped_step(None)
    torch.testing.assert_close(extra.detach(), torch.full((2,), -2.0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_step_their_own_parameters(copied):
    mine, ours, other, _ = pair()
    for step in range(2):
        give_gradients(mine, other, step)
        ours.clipped_step(0.5)
    twin = copied(ours)
    before = [p.detach().clone() for p in mine]
    twins = twin.param_groups[0]["params"]
    give_gradients(twins, mine, 2)
    twin.clipped_step(0.5)
    assert all(torch.equal(p, q) for p, q in zip(mine, before, strict=True))
    ours.clipped_step(0.5)
    assert all(torch.equal(p, q) for p, q in zip(mine, twins, strict=True))


def test_a_state_of_torchs_is_gone_on_with():
    mine, ours, other, theirs = pair()
    for step in range(3):
        give_gradients(mine, other, step)
        theirs.step()
    with torch.no_grad():
        for p, q in zip(mine, other, strict=True):
            p.copy_(q)
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
    for step in range(3, 6):
        give_gradients(mine, other, step)
        ours.clipped_step(None)
        theirs.step()
    for p, q in zip(mine, other, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def test_who_counts_steps_or_listens_to_all_optimisers_is_told():
    mine, ours, other, _ = pair()
    heard = []
    handle = register_optimizer_step_post_hook(lambda *_: heard.append(1))
    try:
        for step in range(3):
            give_gradients(mine, other, step)
            ours.clipped_step(0.5)
    finally:
        handle.remove()
    assert len(heard) == 3
    scheduler = torch.optim.lr_scheduler.LambdaLR(ours, lambda _: 0.5)
    ours.look_again()
    ours.clipped_step(0.5)
    scheduler.step()  # warns if no step was seen before it


def test_parameters_that_became_double_are_torchs():
    mine, ours, other, theirs = pair()
    for step in range(6):
        if step == 3:
            for optimizer, trained in ((ours, mine), (theirs, other)):
                for p in trained:
                    p.grad, p.data = None, p.data.double()
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        give_gradients(mine, other, step)
        ours.clipped_step(None)
        theirs.step()
    for p, q in zip(mine, other, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
