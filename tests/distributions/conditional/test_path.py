"""One path through a tree, step by step."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.distributions.conditional.heads import ConditionalHeads
from maskrl.distributions.conditional.path import ConditionalPath
from maskrl.errors import DisallowedActionError, NoAllowedActionError
from maskrl.masks import ActionTree, Head

TREE = ActionTree(
    Head("a", 2), Head("b", 3, relevant={"a": [1]}, mask_by="a"), Head("c", 2, relevant={"b": [2]})
)
MASKS = {"b": torch.tensor([[True] * 3, [False, True, True]])}


def path(masks=MASKS, idle_action=None, validate=True):
    logits = torch.zeros(4, 7, dtype=torch.float64)
    heads = ConditionalHeads("test", TREE, logits, None, masks, None)
    return ConditionalPath("test", heads, idle_action=idle_action, look=True, validate=validate)


def test_following_given_choices():
    walk = path()
    a = walk.follow(torch.tensor([0, 1, 1, 1]))
    b = walk.follow(torch.tensor([7, 1, 2, 2]))
    c = walk.follow(torch.tensor([7, 7, 0, 1]))
    half = -math.log(2)
    assert a.tolist() == [half] * 4
    assert b.tolist() == [0.0, half, half, half]
    assert c.tolist() == [0.0, 0.0, half, half]
    # what does not count stands at 0
    assert walk.taken().tolist() == [[0, 0, 0], [1, 1, 0], [1, 2, 0], [1, 2, 1]]


def test_sampling_by_uniforms():
    walk = path()
    walk.sample(torch.tensor([0.0, 0.4, 0.6, 0.9], dtype=torch.float64))
    walk.sample(torch.tensor([0.9, 0.9, 0.0, 0.9], dtype=torch.float64))
    walk.sample(torch.tensor([0.9, 0.9, 0.9, 0.1], dtype=torch.float64))
    assert walk.taken().tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 0], [1, 2, 0]]


def test_entropy_takes_no_choice():
    walk = path()
    torch.testing.assert_close(walk.entropy(), torch.full((4,), math.log(2), dtype=torch.float64))
    walk.follow(torch.tensor([0, 1, 1, 1]))
    assert walk.entropy().tolist() == pytest.approx([0.0, *[math.log(2)] * 3])
    assert len(walk.choices) == 1


def test_places_are_named_by_what_led_there():
    walk = path()
    walk.follow(torch.tensor([0, 0, 0, 1]))
    with pytest.raises(
        DisallowedActionError, match=r"action 0 in row \(3,\), head 1 \('b' after a=1\)"
    ):
        walk.follow(torch.tensor([0, 0, 0, 0]))
    walk = path({"b": torch.tensor([[True] * 3, [False] * 3])})
    walk.follow(torch.tensor([0, 1, 0, 0]))
    with pytest.raises(NoAllowedActionError, match=r"row \(1,\), head 1 \('b' after a=1\)"):
        walk.sample(torch.zeros(4, dtype=torch.float64))


def test_an_idle_head():
    walk = path({"b": torch.tensor([[True] * 3, [False] * 3])}, idle_action=1)
    walk.follow(torch.tensor([0, 1, 1, 0]))
    assert walk.maximise().tolist() == [0.0] * 4
    assert walk.taken()[:, 1].tolist() == [0, 1, 1, 0]
