"""Threads change no bit, whichever they are."""

import pytest
import torch

from maskrl.kernels.fused import threads
from maskrl.kernels.scenes import team
from maskrl.kernels.scenes.definition import Sight
from maskrl.kernels.scenes.function import scene_attention
from maskrl.kernels.scenes.layer import scene_layer


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def outcome():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(64, 20, 3 * 32, generator=generator).requires_grad_()
    sight = Sight(2, 0.25, torch.rand(64, 20, 20, generator=generator) < 0.5)
    out = scene_attention(rows, None, sight)
    (gradient,) = torch.autograd.grad(out.square().sum(), rows)
    return out, gradient


@pytest.mark.parametrize("with_team", [True, False])
def test_threads_change_no_bit(monkeypatch, two_threads, with_team):
    torch.set_num_threads(1)
    alone = outcome()
    torch.set_num_threads(2)
    monkeypatch.setattr(team, "WORTH_A_TEAM", 1)
    monkeypatch.setattr(threads, "WORTH_THREADS", 1)
    if not with_team:
        monkeypatch.setattr(team, "_parallel", None)
    for _ in range(5):
        for a, b in zip(outcome(), alone, strict=True):
            assert torch.equal(a, b)


def layer_outcome():
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).requires_grad_()

    x, into, out_of = leaves = normal(64, 20, 12), normal(48, 12), normal(12, 16)
    there = torch.rand(64, 20, generator=generator) < 0.7
    sight = Sight(2, 0.25, torch.rand(64, 20, 20, generator=generator) < 0.5, there, there)
    out = scene_layer(x, into, out_of, sight)
    return out, *torch.autograd.grad(out.square().sum(), leaves)


@pytest.mark.parametrize("with_team", [True, False])
def test_threads_change_no_bit_of_a_layer_but_in_sums_over_all_scenes(
    monkeypatch, two_threads, with_team
):
    torch.set_num_threads(1)
    alone = layer_outcome()
    torch.set_num_threads(2)
    monkeypatch.setattr(team, "WORTH_A_TEAM", 1)
    monkeypatch.setattr(threads, "WORTH_THREADS", 1)
    if not with_team:
        monkeypatch.setattr(team, "_parallel", None)
    first = layer_outcome()
    for a, b in zip(first[:2], alone[:2], strict=True):
        assert torch.equal(a, b)
    for a, b in zip(first[2:], alone[2:], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * float(b.abs().max()))
    for _ in range(5):
        for a, b in zip(layer_outcome(), first, strict=True):
            assert torch.equal(a, b), "whoever did which part"


def test_torchs_own_threads_are_found_on_linux():
    if (torch.backends.openmp.is_available()) and any(
        (__import__("pathlib").Path(torch.__file__).parent / "lib").glob("libgomp*")
    ):
        assert team._parallel is not None


def test_a_forked_process_leaves_the_team(monkeypatch):
    monkeypatch.setattr(team, "_parallel", team._parallel)
    team._leave_team()
    assert team._parallel is None
