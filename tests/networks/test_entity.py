"""The network over a scene: for one observer, a view and a key mask are the same thing."""

import pytest
import torch

from maskrl.attention import observer_view
from maskrl.errors import ConfigError, MaskDtypeError, MaskError, MaskShapeError
from maskrl.networks.entity import EntityNetwork

POOLS = ["self", "mean", "max", "attention"]


def scene(entities=12, batch=16, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    obs = {
        "entities": torch.randn(batch, entities, 5, generator=generator).to(dtype),
        "entity_mask": torch.rand(batch, entities, generator=generator) < 0.8,
        "visibility": torch.rand(batch, entities, entities, generator=generator) < 0.6,
    }
    obs["entity_mask"][:, 0] = True
    obs["entity_mask"][3] = False  # a scene of nobody
    obs["entity_mask"][4, 0] = False  # one without its observer
    return obs


def network(pool="self", dtype=torch.float32, **options):
    torch.manual_seed(2)
    settings = {"dim": 16, "depth": 3, "heads": 4, **options}
    return EntityNetwork(5, **settings, pool=pool).to(dtype)


@pytest.mark.parametrize("observer", [0, 3])
@pytest.mark.parametrize("pool", POOLS)
def test_the_key_mask_equals_the_observer_view(pool, observer):
    """Value and gradient, for every pooling."""
    obs = scene(dtype=torch.float64)
    net = network(pool, torch.float64, observer=observer)
    cheap = net(obs)
    view = observer_view(obs["visibility"], observer)
    plain = net.encoder(obs["entities"], obs["entity_mask"], view, observer=observer)
    torch.testing.assert_close(cheap, plain, rtol=1e-12, atol=1e-12)
    parameters = list(net.parameters())
    grads = [torch.autograd.grad(out.square().sum(), parameters) for out in (cheap, plain)]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pool", POOLS)
def test_it_equals_the_observer_view_in_single_precision(pool):
    obs, net = scene(), network(pool)
    view = observer_view(obs["visibility"], 0)
    plain = net.encoder(obs["entities"], obs["entity_mask"], view, observer=0)
    torch.testing.assert_close(net(obs), plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pool", POOLS)
def test_what_the_observer_does_not_see_changes_no_bit(pool):
    obs, net = scene(), network(pool)
    seen = obs["visibility"][:, 0] & obs["entity_mask"]
    seen[:, 0] = True
    before = net(obs)
    moved = {**obs, "entities": torch.where(seen.unsqueeze(-1), obs["entities"], float("nan"))}
    # Nor do the other rows of visibility, which move with what is out of sight.
    moved["visibility"] = torch.rand(16, 12, 12) < 0.5
    moved["visibility"][:, 0] = obs["visibility"][:, 0]
    moved["visibility"][:, 0, 0] = ~obs["visibility"][:, 0, 0]  # it sees itself anyway
    assert torch.equal(net(moved), before)
    everything = network(pool, see="everything")
    assert not torch.equal(everything(moved), everything(obs))


@pytest.mark.parametrize("pool", POOLS)
def test_everything_ignores_visibility(pool):
    obs, net = scene(), network(pool, see="everything")
    without = {key: value for key, value in obs.items() if key != "visibility"}
    assert torch.equal(net(obs), net(without))
    torch.testing.assert_close(
        net(obs), net.encoder(obs["entities"], obs["entity_mask"], observer=0)
    )
    observer = network(pool)
    assert torch.equal(observer(without), net(without)), "no visibility: everybody is seen"


def test_one_row_of_visibility_is_enough():
    obs, net = scene(), network()
    assert torch.equal(net({**obs, "visibility": obs["visibility"][:, 0]}), net(obs))


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("see", ["observer", "everything"])
def test_an_absent_observer_has_no_features(pool, see):
    obs, net = scene(), network(pool, see=see)
    out = net(obs)
    assert out.shape == (16, 16)
    assert net.out_features == 16
    assert (out[3:5] == 0).all()
    present = torch.ones(16, dtype=torch.bool)
    present[3:5] = False
    assert (out[present] != 0).any(-1).all()


def test_time_and_batch_are_both_leading():
    obs, net = scene(), network()
    folded = {key: value.unflatten(0, (2, 8)) for key, value in obs.items()}
    torch.testing.assert_close(net(folded).flatten(0, 1), net(obs))


def test_a_batch_of_one_equals_its_row():
    obs, net = scene(), network("mean", torch.float64)
    whole = net(obs)
    for b in range(16):
        alone = net({key: value[b : b + 1] for key, value in obs.items()})
        torch.testing.assert_close(alone[0], whole[b])


def test_inputs_are_left_alone():
    obs = scene()
    before = {key: value.clone() for key, value in obs.items()}
    network()(obs)
    for key, value in obs.items():
        assert torch.equal(value, before[key])


def test_messages():
    obs = scene()
    with pytest.raises(ConfigError, match="see is 'nothing'; expected one of observer, everything"):
        network(see="nothing")
    with pytest.raises(ConfigError, match="pool is None; expected one of"):
        network(None)
    with pytest.raises(ConfigError, match="observer is -1"):
        network(observer=-1)
    with pytest.raises(MaskShapeError, match="observer is 12"):
        network(observer=12)(obs)
    with pytest.raises(MaskShapeError, match="observer is 12"):
        network(observer=12)({**obs, "visibility": obs["visibility"][:, 0]})
    with pytest.raises(MaskDtypeError, match="visibility has dtype torch.int8"):
        network()({**obs, "visibility": obs["visibility"].to(torch.int8)})
    with pytest.raises(MaskDtypeError, match="entity_mask has dtype torch.uint8"):
        network()({**obs, "entity_mask": obs["entity_mask"].to(torch.uint8)})
    with pytest.raises(MaskDtypeError, match="entity_mask has dtype torch.float32"):
        network()({**obs, "entity_mask": obs["entity_mask"].float()})
    for wrong in (obs["entity_mask"][:, :1], obs["entity_mask"][:, 1:], obs["entity_mask"][:3]):
        with pytest.raises(MaskShapeError, match="entity_mask has shape"):
            network()({**obs, "entity_mask": wrong})
    with pytest.raises(MaskShapeError, match=r"visibility has shape \(16, 11, 11\)"):
        network()({**obs, "visibility": obs["visibility"][:, 1:, 1:]})
    with pytest.raises(MaskShapeError, match=r"has shape \(16, 1, 12\); expected \(16, 12, 12\)"):
        network()({**obs, "visibility": obs["visibility"][:, :1]})


@pytest.mark.parametrize("pool", POOLS)
def test_count_and_positions_of_what_is_seen(pool):
    """The same as under the observer's view, and to the bit blind to everything else."""
    obs, net = scene(), network(pool, count_feature=True, relative_position=2)
    with torch.no_grad():
        for block in net.encoder.blocks:
            block.position_bias.table.normal_()
    obs["positions"] = torch.randint(0, 7, (16, 12, 2))
    assert net.out_features == 17
    out = net(obs)
    view = observer_view(obs["visibility"], 0)
    inputs = {"observer": 0, "positions": obs["positions"]}
    plain = net.encoder(obs["entities"], obs["entity_mask"], view, **inputs)
    torch.testing.assert_close(out, plain, rtol=1e-5, atol=1e-5)
    seen = obs["visibility"][:, 0] & obs["entity_mask"]
    seen[:, 0] = obs["entity_mask"][:, 0]
    there = obs["entity_mask"][:, 0]
    expected = torch.where(there, seen.sum(-1), 0)
    torch.testing.assert_close(out[:, 16].exp() - 1, expected.float(), rtol=1e-5, atol=1e-5)
    elsewhere = torch.where(seen.unsqueeze(-1), obs["positions"], -(2**40))
    assert torch.equal(net({**obs, "positions": elsewhere}), out)
    assert not torch.equal(net({**obs, "positions": 2 * obs["positions"]}), out)


def test_positions_are_asked_for_and_otherwise_not_read():
    obs = scene()
    with pytest.raises(MaskError, match="expected positions, integers"):
        network(relative_position=2)(obs)
    assert torch.equal(network()({**obs, "positions": "unread"}), network()(obs))
