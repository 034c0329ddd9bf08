"""Visibility from facts, against arrays written by hand."""

import pytest
import torch

from maskrl.attention.visibility import from_padding, hidden, self_visible
from maskrl.errors import MaskDtypeError, MaskShapeError


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
