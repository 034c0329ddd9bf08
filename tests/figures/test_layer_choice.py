"""Choices of layer and head: every one once, and a menu that shows its traces alone."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.figures.layer_choice import choice_menu, layer_choices


def test_the_mean_and_every_head_of_every_layer():
    choices = layer_choices([2, 1])
    assert [(c.layer, c.head) for c in choices] == [(0, -1), (0, 0), (0, 1), (1, -1), (1, 0)]
    assert choices[0].label == "layer 1, mean of heads" and choices[4].label == "layer 2, head 1"


def test_weights_of_a_choice():
    weights = np.array([[[0.0, 1.0]], [[0.5, 0.5]]])  # [2 heads, 1 row, 2 entities]
    mean, first, second = layer_choices([2])
    assert mean.of(weights).tolist() == [[0.25, 0.75]]
    assert first.of(weights).tolist() == [[0.0, 1.0]]
    assert second.of(weights).tolist() == [[0.5, 0.5]]


def test_names_of_layers():
    assert layer_choices([1], ["a<b"])[0].label == "a&lt;b, mean of heads"
    with pytest.raises(ValueError, match="1 layer_names, expected 2, one per layer"):
        layer_choices([1, 1], ["a"])


def test_the_menu_shows_one_choice():
    menu = choice_menu(layer_choices([1]), [[True, False], [False, True]])
    assert [b["label"] for b in menu["buttons"]] == ["layer 1, mean of heads", "layer 1, head 1"]
    assert [b["args"][0]["visible"] for b in menu["buttons"]] == [[True, False], [False, True]]
