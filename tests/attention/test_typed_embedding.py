"""Entities of several types: joined in the encoder's order, each embedded by its own layers."""

import pytest
import torch
from torch import nn

from maskrl.attention import EntityEncoder
from maskrl.attention.typed_embedding import TypedEmbedding
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError

TYPES = {"agent": 5, "box": 3, "type": 2}  # "type" is a name that modules use themselves
SIZES = {"agent": 2, "box": 4, "type": 1}


def scene(batch=(3,), dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(*batch, SIZES[name], features, generator=generator).to(dtype)
        for name, features in TYPES.items()
    }


def make(pool=None, types=TYPES, **options):
    torch.manual_seed(2)
    encoder = EntityEncoder(types, 8, **{"depth": 2, "heads": 2, **options}, pool=pool)
    return encoder.double()


def test_each_type_has_an_embedding_of_its_own():
    embedding = TypedEmbedding(TYPES, lambda features: nn.Linear(features, 4)).double()
    x = scene()
    joined = embedding(embedding.parts(x))
    assert joined.shape == (3, 7, 4)
    start = 0
    for name, layer in zip(TYPES, embedding.of.values(), strict=True):
        expected = x[name] @ layer.weight.T + layer.bias
        torch.testing.assert_close(joined[:, start : start + SIZES[name]], expected)
        start += SIZES[name]


def test_the_order_is_that_of_the_encoder_and_not_of_the_scene():
    encoder, x = make(), scene()
    turned = dict(reversed(x.items()))
    assert list(turned) != list(x)
    assert torch.equal(encoder(turned), encoder(x))
    assert encoder.slots(turned) == {
        "agent": range(2),
        "box": range(2, 6),
        "type": range(6, 7),
    }
    boxes = encoder(x, queries=torch.tensor([list(encoder.slots(x)["box"])]))
    torch.testing.assert_close(boxes, encoder(x)[:, 2:6])


def test_types_of_equal_width_and_weights_are_one_type():
    """What joining means, without the code that joins: a single tensor of all entities."""
    typed = make("mean", {"a": 3, "b": 3})
    plain = make("mean", 3)
    state = plain.state_dict()
    for name in ("a", "b"):
        for key in ("0.weight", "0.bias", "2.weight", "2.bias"):
            state[f"embedding.of.{name}_entity.{key}"] = state[f"embedding.{key}"]
    typed.load_state_dict({k: state[k] for k in typed.state_dict()})
    x = torch.randn(3, 5, 3, dtype=torch.float64)
    present = torch.rand(3, 5) < 0.7
    visibility = torch.rand(3, 5, 5) < 0.5
    parts = {"a": x[:, :2], "b": x[:, 2:]}
    masks = {"a": present[:, :2], "b": present[:, 2:]}
    expected = plain(x, present, visibility, observer=1)
    torch.testing.assert_close(typed(parts, masks, visibility, observer=1), expected)
    torch.testing.assert_close(typed(parts, present, visibility, observer=1), expected)
    present[:, 2:] = True
    torch.testing.assert_close(
        typed(parts, {"a": masks["a"]}, visibility, observer=1),
        plain(x, present, visibility, observer=1),
    )


def test_a_type_may_be_absent_from_a_scene():
    encoder, x = make(), scene()
    nobody = {**x, "box": x["box"][:, :0]}
    assert encoder(nobody).shape == (3, 3, 8)
    masked = encoder(x, {"box": torch.zeros(3, 4, dtype=torch.bool)})
    torch.testing.assert_close(masked[:, [0, 1, 6]], encoder(nobody))
    assert (masked[:, 2:6] == 0).all()


def test_leading_dimensions_broadcast():
    """The map of a level is given once, the agents on it for every scene."""
    encoder, x = make(), scene()
    shared = {**x, "box": x["box"][0]}
    repeated = {**x, "box": x["box"][0].expand(3, 4, 3)}
    torch.testing.assert_close(encoder(shared), encoder(repeated))
    box_mask = torch.tensor([True, False, True, True])
    torch.testing.assert_close(
        encoder(shared, {"box": box_mask}), encoder(repeated, {"box": box_mask.expand(3, 4)})
    )


def test_whole_numbers_and_other_precisions_are_features_too():
    encoder, x = make(), scene()
    x["box"] = x["box"].round()
    torch.testing.assert_close(encoder({**x, "box": x["box"].long()}), encoder(x))
    torch.testing.assert_close(
        encoder({**x, "type": x["type"].float()}), encoder(x), rtol=1e-5, atol=1e-5
    )


def test_weights_are_saved_by_the_name_of_the_type():
    names = list(make().state_dict())
    assert "embedding.of.agent_entity.0.weight" in names
    first, second = make(), make()
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(torch.randn_like(parameter))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(scene()), second(scene()))


BOXES = torch.zeros(3, 4, 3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"robot": BOXES}, r"x has entities of type 'robot'; expected 'agent', 'box', 'type'"),
        ({"box": None}, r"x\['box'\] is None; expected a tensor"),
        ({"box": [1]}, r"x\['box'\] is \[1\]; expected a tensor"),
        ({"box": BOXES[..., :2]}, r"x\['box'\] has shape \(3, 4, 2\); expected \[..., entities, 3"),
        ({"box": BOXES[0, 0]}, r"x\['box'\] has shape \(3,\)"),
        ({"box": BOXES[:2]}, r"'box': \(2, 4, 3\).*expected leading dimensions that broadcast"),
    ],
)
def test_messages_of_scenes(change, message):
    with pytest.raises(MaskShapeError, match=message):
        make()({**scene(), **change})


def test_messages_of_missing_types_and_tensors():
    x = scene()
    del x["type"]
    with pytest.raises(MaskShapeError, match=r"x\['type'\] is None; .*\[\.\.\., 0, features\]"):
        make()(x)
    with pytest.raises(MaskShapeError, match=r"x is no mapping \(shape \(3, 4, 3\)\)"):
        make()(BOXES)
    with pytest.raises(MaskShapeError, match=r"x is a mapping of 'agent', 'box', 'type'; expected"):
        make(types=3)(scene())
    with pytest.raises(ConfigError, match="slots are for several types"):
        make(types=3).slots(scene())


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        ({"robot": None}, MaskShapeError, "entity_mask has entities of type 'robot'"),
        (
            {"box": torch.ones(3, 4)},
            MaskDtypeError,
            r"entity_mask\['box'\] has dtype torch.float32",
        ),
        (
            {"box": torch.ones(3, 5, dtype=torch.bool)},
            MaskShapeError,
            r"entity_mask\['box'\] has shape \(3, 5\), x\['box'\] \(3, 4\)",
        ),
        (torch.ones(3, 4, dtype=torch.bool), MaskShapeError, r"entity_mask has shape \(3, 4\)"),
    ],
)
def test_messages_of_masks(mask, error, message):
    with pytest.raises(error, match=message):
        make()(scene(), mask)


CELLS = {name: torch.zeros(3, size, 2, dtype=torch.int64) for name, size in SIZES.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # 3 + 3 + 1 are as many as 2 + 4 + 1: joined they would be the cells of others.
        (
            {"agent": CELLS["box"][:, :3], "box": CELLS["box"][:, :3]},
            r"positions\['agent'\] has shape \(3, 3, 2\); expected \[3, 2, 2\]",
        ),
        ({"box": CELLS["box"][:2]}, r"positions\['box'\] has shape \(2, 4, 2\)"),
        ({"box": CELLS["box"][0, 0]}, r"positions\['box'\] has shape \(2,\)"),
        ({"box": CELLS["box"][..., :1]}, r"positions\['box'\] has shape \(3, 4, 1\)"),
        ({"box": CELLS["box"].bool()}, r"positions\['box'\] has dtype torch.bool"),
        ({"robot": CELLS["box"]}, r"positions has entities of type 'robot'"),
    ],
)
def test_messages_of_positions(change, message):
    encoder = make(relative_position=2)
    assert encoder(scene(), positions=CELLS).shape == (3, 7, 8)
    with pytest.raises(MaskShapeError, match=message):
        encoder(scene(), positions={**CELLS, **change})


def test_positions_of_a_type_may_hold_for_all_scenes():
    encoder = make(relative_position=2)
    torch.nn.init.normal_(encoder.blocks[0].position_bias.table)
    generator = torch.Generator().manual_seed(3)
    cells = {
        name: torch.randint(0, 5, part.shape, generator=generator) for name, part in CELLS.items()
    }
    shared = {**cells, "box": cells["box"][:1]}
    written_out = {**cells, "box": shared["box"].expand(3, 4, 2)}
    assert torch.equal(encoder(scene(), positions=shared), encoder(scene(), positions=written_out))


def test_messages_of_types():
    with pytest.raises(ConfigError, match="in_features names no type"):
        make(types={})
    with pytest.raises(ConfigError, match="names a type 'a.b'; expected text without a full stop"):
        make(types={"a.b": 3})
    with pytest.raises(ConfigError, match="names a type 3"):
        make(types={3: 3})
    with pytest.raises(ConfigError, match=r"in_features\['box'\] is 0; expected a positive"):
        make(types={"agent": 2, "box": 0})
