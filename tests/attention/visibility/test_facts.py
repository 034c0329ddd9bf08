"""Visibility from facts, against arrays written by hand."""

import pytest
import torch

from maskrl.attention.visibility import (
    causal,
    depth_safe,
    from_padding,
    hidden,
    leaks,
    self_visible,
    team,
)
from maskrl.errors import MaskDtypeError, MaskError, MaskShapeError


def rows(*lines):
    """Read a visibility from words such as "TTF"."""
    return torch.tensor([[letter == "T" for letter in line] for line in lines])


def test_padding_neither_sees_nor_is_seen():
    entity_mask = torch.tensor([[True, False, True], [True, True, True]])
    expected = torch.stack([rows("TFT", "FFF", "TFT"), rows("TTT", "TTT", "TTT")])
    assert torch.equal(from_padding(entity_mask), expected)


def test_hidden_is_directed():
    """The founding article's scene: trees hide the scorpion, third of four, and do not blind it."""
    everyone = torch.ones(4, dtype=torch.bool)
    scorpion = torch.tensor([False, False, True, False])
    expected = rows("TTFT", "TTFT", "TTTT", "TTFT")
    assert torch.equal(hidden(everyone, scorpion), expected)
    padded = torch.tensor([True, True, True, False])
    expected = rows("TTFF", "TTFF", "TTTF", "FFFF")
    assert torch.equal(hidden(padded, scorpion), expected)
    batch = torch.stack([scorpion, ~everyone])
    assert torch.equal(hidden(everyone, batch)[0], hidden(everyone, scorpion))
    assert torch.equal(hidden(everyone, batch)[1], from_padding(everyone))


def test_everybody_sees_itself():
    assert torch.equal(self_visible(rows("FF", "TF")), rows("TF", "TT"))
    assert torch.equal(self_visible(rows("FT")), rows("TT", "FT"))


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.int32, torch.uint16])
def test_teams(dtype):
    ids = torch.tensor([[3, 5, 3, 5], [1, 1, 1, 2]]).to(dtype)
    expected = torch.stack(
        [rows("TFTF", "FTFT", "TFTF", "FTFT"), rows("TTTF", "TTTF", "TTTF", "FFFT")]
    )
    assert torch.equal(team(ids), expected)
    present = torch.tensor([True, True, True, False])
    both = present & present[:, None]
    assert torch.equal(team(ids, entity_mask=present), expected & both)
    assert torch.equal(team(ids == 3), torch.stack([expected[0], rows(*["TTTT"] * 4)]))


def test_what_came_before_is_seen():
    assert torch.equal(causal(torch.arange(3)), torch.ones(3, 3).tril().bool())
    order = torch.tensor([2.5, -1.0, 2.5, float("nan")])
    assert torch.equal(causal(order), rows("TTTF", "FTFF", "TTTF", "FFFT"))
    present = torch.tensor([True, False, True, True])
    assert torch.equal(causal(order, entity_mask=present), rows("TFTF", "FFFF", "TFTF", "FFFT"))
    late = torch.tensor([0, 255], dtype=torch.uint8)
    assert torch.equal(causal(torch.stack([late, late.flip(0)]))[1], rows("TT", "FT"))


def test_teams_and_pasts_leak_nothing():
    """Who sees what I see is in what I see: no path leads out, at any depth."""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randint(4, (20, 9), generator=generator)
    for build in (team, causal):
        graph = build(numbers)
        assert not leaks(graph, 9, pool="mean").any()
        assert torch.equal(depth_safe(graph), graph)


def test_nothing_is_changed_in_place():
    graph = rows("FF", "TF")
    self_visible(graph)
    assert torch.equal(graph, rows("FF", "TF"))


@pytest.mark.parametrize("build", [from_padding, self_visible])
def test_builders_insist_on_bool(build):
    for bad in (torch.ones(3, 3), torch.ones(3, 3, dtype=torch.uint8), [[True]], None):
        with pytest.raises(
            MaskDtypeError, match=rf"{build.__name__}: (visibility|entity_mask) has"
        ):
            build(bad)


def test_messages_name_shapes():
    everyone = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(MaskShapeError, match="the same number of entities"):
        hidden(everyone, torch.ones(4, dtype=torch.bool))
    with pytest.raises(MaskShapeError, match="leading dimensions that broadcast"):
        hidden(everyone, torch.ones(5, 3, dtype=torch.bool))
    with pytest.raises(MaskDtypeError, match="hides has dtype"):
        hidden(everyone, torch.ones(2, 3))
    with pytest.raises(MaskError, match="team: ids has dtype torch.float32; expected whole"):
        team(torch.ones(3))
    with pytest.raises(MaskError, match="team: ids has type list; expected a tensor"):
        team([1, 2])
    with pytest.raises(MaskShapeError, match=r"team: ids has shape \(\)"):
        team(torch.tensor(3))
    with pytest.raises(MaskError, match="causal: order has dtype torch.bool"):
        causal(everyone)
    with pytest.raises(MaskShapeError, match=r"causal: entity_mask has shape \(2,\) for 3"):
        causal(torch.ones(4, 3), entity_mask=everyone[0, :2])
