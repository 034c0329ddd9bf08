"""A bias per offset on the grid: the right one, clipped, and nothing of whom one may not see."""

import math

import pytest
import torch

from maskrl.attention import EntityEncoder, RelativePositionBias, record_attention
from maskrl.attention.relative_position import check_positions, offset_index
from maskrl.errors import ConfigError, MaskError, MaskShapeError

SMALLEST, LARGEST = torch.iinfo(torch.int64).min, torch.iinfo(torch.int64).max
POOLS = [None, "self", "mean", "max", "attention"]


def everyone(entities):
    return torch.ones(entities, entities, dtype=torch.bool)


def randomized(encoder):
    """The tables start at 0, where no test would see them."""
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if name.endswith("table"):
                parameter.copy_(torch.randn(parameter.shape) * 2)
    return encoder


def make(pool=None, dtype=torch.float64, **options):
    torch.manual_seed(3)
    settings = {"depth": 2, "heads": 2, "relative_position": 2, **options}
    return randomized(EntityEncoder(3, 8, **settings, pool=pool).to(dtype))


def scene(dtype=torch.float64):
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(4, 5, 3, generator=generator, dtype=torch.float64).to(dtype)
    present = torch.rand(4, 5, generator=generator) < 0.8
    visibility = torch.rand(4, 5, 5, generator=generator) < 0.5
    positions = torch.randint(0, 7, (4, 5, 2), generator=generator)
    return x, present, visibility, positions


def test_the_offset_is_from_the_one_that_looks():
    positions = torch.tensor([[0, 0], [1, 0], [0, 2], [-9, 9]])
    index = offset_index(positions, everyone(4), radius=2)
    table = torch.arange(25).view(5, 5)  # [dx + 2, dy + 2]
    expected = [  # from each row's entity to each column's, clipped to 2
        [table[2, 2], table[3, 2], table[2, 4], table[0, 4]],
        [table[1, 2], table[2, 2], table[1, 4], table[0, 4]],
        [table[2, 0], table[3, 0], table[2, 2], table[0, 4]],
        [table[4, 0], table[4, 0], table[4, 0], table[2, 2]],
    ]
    assert index.tolist() == [[int(i) for i in row] for row in expected]


def test_a_bias_is_looked_up_per_head():
    bias = RelativePositionBias(heads=3, radius=1)
    with torch.no_grad():
        bias.table.copy_(torch.arange(27.0).view(3, 3, 3))
    positions = torch.tensor([[[4, 4], [5, 4]], [[1, 7], [1, 6]]])
    found = bias(offset_index(positions, everyone(2), 1))
    assert found.shape == (2, 3, 2, 2)
    for b, (dx, dy) in enumerate([(1, 0), (0, -1)]):
        for h in range(3):
            assert found[b, h, 0, 1] == bias.table[h, dx + 1, dy + 1]
            assert found[b, h, 1, 0] == bias.table[h, 1 - dx, 1 - dy]
            assert found[b, h, 0, 0] == bias.table[h, 1, 1]


@pytest.mark.parametrize("far", [2**31, -(2**31), 2**62, SMALLEST, LARGEST])
def test_far_positions_do_not_overflow(far):
    positions = torch.tensor([[0, 0], [far, -1]])
    index = offset_index(positions, everyone(2), 3)
    side = 6 if far > 0 else 0
    assert index[0, 1] == side * 7 + 2
    assert index[1, 0] == (6 - side) * 7 + 4


def test_what_is_not_permitted_stands_at_the_middle_of_the_table():
    positions = torch.tensor([[0, 0], [2, 1], [SMALLEST, LARGEST]])
    permitted = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 0]], dtype=torch.bool)
    middle = 12
    assert offset_index(positions, permitted, 2).tolist() == [
        [middle, 4 * 5 + 3, middle],
        [middle, middle, middle],
        [middle, middle, middle],
    ]


def test_the_first_layer_is_attention_with_the_bias_added():
    """Against attention written out, from the weights of the layer."""
    encoder = make(depth=1)
    x, present, visibility, positions = scene()
    with record_attention(encoder) as maps:
        encoder(x, present, visibility, positions=positions)
    block = encoder.blocks[0]
    embedded = encoder.embedding(torch.where(present.unsqueeze(-1), x, 0.0))
    normed = block.norm_before(embedded)
    query, key, _ = (normed @ block.attention.qkv.weight.T).chunk(3, -1)
    query, key = (t.view(4, 5, 2, 4).transpose(1, 2) for t in (query, key))
    scores = query @ key.transpose(-1, -2) / math.sqrt(4)
    for b in range(4):
        for i in range(5):
            for j in range(5):
                dx, dy = (positions[b, j] - positions[b, i]).clamp(-2, 2).tolist()
                scores[b, :, i, j] += block.position_bias.table[:, dx + 2, dy + 2]
    sees = present.unsqueeze(-1) & present.unsqueeze(-2) & (visibility | torch.eye(5).bool())
    expected = torch.softmax(scores.masked_fill(~sees.unsqueeze(1), -math.inf), -1)
    expected = torch.where(present[:, None, :, None], expected, 0.0)
    torch.testing.assert_close(maps[0], expected)


def test_an_untrained_bias_changes_nothing_and_learns():
    plain, biased = make(relative_position=None), make()
    x, present, visibility, positions = scene()
    with torch.no_grad():
        for block in biased.blocks:
            block.position_bias.table.zero_()
    out = biased(x, present, visibility, positions=positions)
    torch.testing.assert_close(out, plain(x, present, visibility))
    out.square().sum().backward()
    for block in biased.blocks:
        assert (block.position_bias.table.grad != 0).any()


@pytest.mark.parametrize("pool", POOLS)
def test_only_offsets_count(pool):
    """Moving the whole scene changes nothing; moving one entity that is seen does."""
    encoder = make(pool)
    x, present, _, positions = scene()
    present[:] = True
    inputs = {} if pool is None else {"observer": 0}
    out = encoder(x, present, positions=positions, **inputs)
    shifted = encoder(x, present, positions=positions + torch.tensor([40, -3]), **inputs)
    assert torch.equal(shifted, out)
    positions[:, 2] += 1
    assert not torch.equal(encoder(x, present, positions=positions, **inputs), out)


@pytest.mark.parametrize("rubbish", [0, -1, SMALLEST, LARGEST])
@pytest.mark.parametrize("pool", POOLS)
def test_positions_of_padding_change_no_bit(pool, rubbish):
    encoder = make(pool, torch.float32)
    x, present, visibility, positions = scene(torch.float32)
    inputs = {} if pool is None else {"observer": 1}
    found = []
    for cells in (positions, torch.where(present.unsqueeze(-1), positions, rubbish)):
        encoder.zero_grad()
        out = encoder(x, present, visibility, positions=cells, **inputs)
        out.square().sum().backward()
        found.append([out, *(p.grad.clone() for p in encoder.parameters() if p.grad is not None)])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32])
def test_every_whole_number_is_a_position(dtype):
    """Differences of small and of unsigned numbers would wrap around."""
    encoder = make()
    x, present, visibility, positions = scene()
    positions[0, 0], positions[0, 1] = 0, 120
    out = encoder(x, present, visibility, positions=positions)
    assert torch.equal(encoder(x, present, visibility, positions=positions.to(dtype)), out)


def test_positions_broadcast_and_rows_are_those_of_all():
    encoder = make()
    x, present, visibility, positions = scene()
    one = positions[0]
    whole = encoder(x, present, visibility, positions=one)
    torch.testing.assert_close(
        whole, encoder(x, present, visibility, positions=one.expand(4, 5, 2))
    )
    rows = torch.tensor([[3, 1], [0, 0], [4, 2], [1, 4]])
    chosen = encoder(x, present, visibility, positions=one, queries=rows)
    torch.testing.assert_close(chosen, torch.take_along_dim(whole, rows.unsqueeze(-1), 1))
    graph = visibility[0]
    torch.testing.assert_close(
        encoder(x, None, graph, positions=one, queries=rows),
        torch.take_along_dim(encoder(x, None, graph, positions=one), rows.unsqueeze(-1), 1),
    )


def test_types_have_positions_too():
    torch.manual_seed(5)
    encoder = EntityEncoder({"a": 3, "b": 3}, 8, 1, 2, relative_position=2).double()
    randomized(encoder)
    x, present, visibility, positions = scene()
    parts = {"b": x[:, 2:], "a": x[:, :2]}
    joined = encoder(parts, present, visibility, positions=positions)
    cells = {"b": positions[:, 2:], "a": positions[:, :2]}
    assert torch.equal(encoder(parts, present, visibility, positions=cells), joined)


def test_gradients_of_the_tables_are_right():
    encoder = make("attention", depth=2)
    x, present, visibility, positions = scene()

    def with_tables(*tables):
        named = {f"blocks.{k}.position_bias.table": t for k, t in enumerate(tables)}
        inputs = (x[:2], present[:2], visibility[:2])
        options = {"observer": 1, "positions": positions[:2]}
        return torch.func.functional_call(encoder, named, inputs, options)

    tables = [block.position_bias.table.detach().requires_grad_() for block in encoder.blocks]
    assert torch.autograd.gradcheck(with_tables, tables)


def test_messages():
    x, present, visibility, positions = scene()
    with pytest.raises(MaskError, match=r"expected positions, integers \[\.\.\., 5, 2\], got None"):
        make()(x, present, visibility)
    with pytest.raises(MaskError, match="positions are given and relative_position is None"):
        make(relative_position=None)(x, positions=positions)
    with pytest.raises(ConfigError, match="relative_position is 0; expected a positive"):
        make(relative_position=0)
    with pytest.raises(MaskShapeError, match="dtype torch.float32; .* were scaled are no cells"):
        make()(x, positions=positions.float())
    with pytest.raises(MaskShapeError, match=r"positions has \[\[0, 0\]\]"):
        make()(x, positions=[[0, 0]])
    for shape in [(4, 5, 3), (4, 6, 2), (3, 5, 2), (2, 4, 5, 2)]:
        wrong = torch.zeros(shape, dtype=torch.int64)
        with pytest.raises(MaskShapeError, match=r"expected \[4, 5, 2\], leading dimensions of"):
            make()(x, positions=wrong)
    with pytest.raises(MaskShapeError, match="positions are on meta, entities on cpu"):
        check_positions("f", positions.to("meta"), 5, (4,), torch.device("cpu"))
