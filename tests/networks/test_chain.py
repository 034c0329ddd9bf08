"""The chain gives what the modules give, to the digit, and is not there where it would not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.nn.utils import parametrizations

from maskrl.networks.chain import Chain, chain_of
from maskrl.networks.encoders import NetworkConfig, make_encoder
from maskrl.networks.heads import PolicyHead, ValueHead

FLAT = spaces.Dict({"x": spaces.Box(-1, 1, (5,))})
SHAPED = spaces.Dict({"x": spaces.Box(-1, 1, (2, 3))})
WHOLE = spaces.Dict({"x": spaces.Box(-3, 3, (5,), np.int8)})
SEVERAL = spaces.Dict({"x": spaces.Box(-1, 1, (5,)), "kind": spaces.Discrete(4)})


def network(space=FLAT, hidden=(8, 7), **settings):
    torch.manual_seed(0)
    encoder = make_encoder(space, NetworkConfig(hidden=hidden, **settings))
    return encoder, PolicyHead(encoder.out_features, 3)


@pytest.mark.parametrize("space", [FLAT, SHAPED, WHOLE, SEVERAL])
@pytest.mark.parametrize("hidden", [(), (8,), (8, 7)])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_same_numbers_and_gradients_as_the_modules(space, hidden, activation):
    encoder, head = network(space, hidden, activation=activation)
    chain = chain_of(encoder, head)
    assert chain is not None
    space.seed(1)
    rows = [space.sample() for _ in range(6)]
    obs = {key: torch.from_numpy(np.stack([row[key] for row in rows])) for key in space.spaces}
    results = []
    for network_of in (lambda o: head(encoder(o)), chain):
        encoder.zero_grad()
        head.zero_grad()
        logits = network_of(obs)
        logits.square().sum().backward()
        results.append([logits, *(p.grad for p in [*encoder.parameters(), *head.parameters()])])
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
@pytest.mark.parametrize("rows", [0, 1, 7])
def test_without_gradient_the_same_but_for_rounding(activation, rows):
    encoder, _ = network(activation=activation)
    head = ValueHead(encoder.out_features)
    obs = {"x": 3.0 * torch.randn(rows, 5)}
    chain = chain_of(encoder, head)
    want = head(encoder(obs))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            got = chain(obs).squeeze(-1)
        assert got.shape == want.shape
        torch.testing.assert_close(got, want.detach(), rtol=1e-5, atol=1e-6)


def test_double_precision_is_left_to_torch():
    encoder, head = network()
    encoder.double()
    head.double()
    chain, obs = chain_of(encoder, head), {"x": torch.randn(4, 5, dtype=torch.float64)}
    with torch.no_grad():
        assert torch.equal(chain(obs), head(encoder(obs)))


def test_a_number_in_place_of_another_dtype_is_refused_as_by_the_modules():
    encoder, head = network()
    obs = {"x": torch.randn(4, 5, dtype=torch.float64)}
    with torch.no_grad(), pytest.raises(RuntimeError, match="dtype"):
        chain_of(encoder, head)(obs)


def test_training_in_place_is_seen():
    encoder, head = network()
    chain, obs = chain_of(encoder, head), {"x": torch.randn(4, 5)}
    before = chain(obs)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1)
        acting = chain(obs)
    after = chain(obs)
    assert not torch.equal(after, before)
    assert torch.equal(after, head(encoder(obs)))
    torch.testing.assert_close(acting, after.detach())


def test_whoever_listens_is_not_passed_over():
    for place in ("", "trunk", "trunk.layers.0", "parts.0"):
        encoder, head = network()
        handle = encoder.get_submodule(place).register_forward_hook(lambda *_: None)
        assert chain_of(encoder, head) is None, place
        handle.remove()
        assert chain_of(encoder, head) is not None
    encoder, head = network()
    head.linear.register_full_backward_hook(lambda *_: None)
    assert chain_of(encoder, head) is None


def test_a_hook_on_all_modules_is_not_passed_over():
    encoder, head = network()
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert chain_of(encoder, head) is None
    finally:
        handle.remove()


def test_another_forward_pass_is_not_passed_over():
    for module in (0, 1):
        pair = network()
        pair[module].forward = lambda x: x
        assert chain_of(*pair) is None


def test_autocast_is_obeyed():
    """The product's result is then half as long as what kernels would write."""
    encoder, head = network(hidden=(64, 64))
    chain, obs = chain_of(encoder, head), {"x": torch.randn(300, 5)}
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        got, want = chain(obs), head(encoder(obs))
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, want)


def test_weights_that_are_computed_have_no_chain():
    encoder, head = network()
    parametrizations.weight_norm(encoder.trunk.layers[0])
    assert chain_of(encoder, head) is None


def test_other_networks_have_no_chain():
    encoder, head = network()
    assert chain_of(nn.Linear(5, 8), head) is None
    assert chain_of(None, head) is None
    assert chain_of(encoder, nn.Linear(7, 3)) is None
    assert isinstance(chain_of(encoder, head), Chain)
