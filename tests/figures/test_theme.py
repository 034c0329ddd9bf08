"""Colours: readable on light and dark pages, and apart for colour-blind readers."""

from __future__ import annotations

import itertools
import math

import pytest

from maskrl.figures.theme import (
    CATEGORIES,
    DARK,
    LIGHT,
    PALETTE,
    figure_template,
    padded_range,
)


def linear(colour: str) -> list[float]:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio, 1 to 21."""
    luminance = [
        0.2126 * red + 0.7152 * green + 0.0722 * blue
        for red, green, blue in (linear(one), linear(other))
    ]
    low, high = sorted(luminance)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("surface", [LIGHT, DARK], ids=["light", "dark"])
def test_series_and_text_contrast_on_both_pages(surface):
    for colour in (*PALETTE.colours(), *CATEGORIES):
        assert contrast(colour, surface.background) >= 3
    assert contrast(surface.text, surface.background) >= 7
    assert contrast(surface.muted, surface.background) >= 4.5


@pytest.mark.parametrize("surface", [LIGHT, DARK], ids=["light", "dark"])
def test_more_is_more_ink_and_little_differs_from_nothing(surface):
    steps = [contrast(colour, surface.background) for colour in surface.heat]
    assert steps[0] >= 1.15
    assert all(a < b for a, b in zip(steps, steps[1:], strict=False))


# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
BLINDNESS = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_allowed_and_disallowed_stay_apart_for_colour_blind_readers(kind):
    def seen(colour):
        rgb = linear(colour)
        return [sum(w * c for w, c in zip(row, rgb, strict=True)) for row in BLINDNESS[kind]]

    blue, orange = seen(PALETTE.allowed), seen(PALETTE.disallowed)
    assert math.dist(blue, orange) > 0.4
    # Every pair of series keeps some distance; dashes and labels do the rest.
    for one, other in itertools.combinations(PALETTE.colours()[:3], 2):
        assert math.dist(seen(one), seen(other)) > 0.1


def test_template_takes_its_colours_from_the_surface():
    layout = figure_template(DARK).layout
    assert layout.font.color == DARK.text
    assert layout.colorscale.sequential[0] == (0.0, DARK.heat[0])
    assert layout.colorscale.sequential[-1] == (1.0, DARK.heat[-1])


def test_padded_range():
    assert padded_range([0, 10], share=0.1) == (-1, 11)
    low, high = padded_range([5.0, 5.0, math.nan])
    assert low < 5 < high
    assert padded_range([math.nan, math.inf]) == (0.0, 1.0)
