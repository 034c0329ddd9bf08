"""Recording attention maps: which layers, in which order, and nothing left behind."""

import pytest
import torch
from torch import nn

from maskrl.attention import EntityAttention, EntityEncoder, record_attention
from maskrl.attention.record import AttentionMaps
from maskrl.errors import ConfigError

SCENE = torch.randn(2, 4, 3)


def test_one_map_per_layer_in_the_order_of_the_layers():
    encoder = EntityEncoder(3, 8, depth=3, heads=2, pool="self")
    with record_attention(encoder) as maps:
        out = encoder(SCENE, observer=0)
    assert [tuple(m.shape) for m in maps] == [(2, 2, 4, 4), (2, 2, 4, 4), (2, 2, 1, 4)]
    assert maps.names == [f"blocks.{k}.attention" for k in range(3)]
    torch.testing.assert_close(out, encoder(SCENE, observer=0))
    for m in maps:
        assert not m.requires_grad
        torch.testing.assert_close(m.sum(-1), torch.ones(m.shape[:-1]))


def test_pooling_that_attends_comes_last():
    encoder = EntityEncoder(3, 8, depth=1, heads=2, pool="attention")
    with record_attention(encoder) as maps:
        encoder(SCENE, observer=torch.tensor([[0, 3]]))
    assert maps.names == ["blocks.0.attention", "attention_pool"]
    assert maps[1].shape == (2, 2, 2, 4)


def test_parts_of_a_module_can_be_told_apart():
    both = nn.ModuleDict({"actor": EntityAttention(3, 1), "critic": EntityAttention(3, 1)})
    with record_attention(both) as maps:
        for name in ("critic", "actor", "actor"):
            both[name](SCENE)
        assert maps.names == ["critic", "actor", "actor"]
        assert len(maps.of("actor")) == 2
        assert maps.of("act") == []
        assert maps.of("actor").names == ["actor", "actor"]
        maps.clear()
        assert maps == []
        both["critic"](SCENE)
    assert maps.names == ["critic"]


def test_nothing_is_recorded_outside_not_even_after_an_error():
    layer = EntityAttention(3, 1)
    with pytest.raises(RuntimeError, match="on purpose"), record_attention(layer) as maps:
        raise RuntimeError("on purpose")
    layer(SCENE)
    assert maps == []
    assert isinstance(maps, AttentionMaps)
    assert layer.map_recorder is None


def test_recording_leaves_the_state_of_the_module_alone():
    encoder = EntityEncoder(3, 8, depth=1, heads=2)
    before = list(encoder.state_dict())
    with record_attention(encoder):
        assert list(encoder.state_dict()) == before


def test_messages():
    nothing = nn.Linear(2, 2)
    with (
        pytest.raises(ConfigError, match="Linear has no attention layer inside"),
        record_attention(nothing),
    ):
        pass
    layer = EntityAttention(3, 1)
    with record_attention(layer) as maps:
        with (
            pytest.raises(ConfigError, match="is being recorded already"),
            record_attention(layer),
        ):
            pass
        layer(SCENE)
    assert len(maps) == 1
