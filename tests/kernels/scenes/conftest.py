"""Scenes for the kernels: masks of every form, and what is compared with the definition."""

import pytest
import torch

from maskrl.kernels.scenes.definition import Sight


@pytest.fixture
def draw_scene():
    """Make rows, memory and sight of three scenes, drawn from the sizes."""

    def draw(kind, queries, keys, width, mask, looking, there, heads=2, scenes=3):
        generator = torch.Generator().manual_seed(100 * queries + keys + width)
        heads = 1 if kind == "shared" else heads
        queries = keys if kind == "joint" else queries
        inner = heads * width

        def normal(entities, parts):
            return torch.randn(scenes, entities, parts * inner, generator=generator)

        rows = normal(queries, 3 if kind == "joint" else 1)
        memory = None if kind == "joint" else normal(keys, 1 if kind == "shared" else 2)

        def flags(*shape):
            return torch.rand(shape, generator=generator) < 0.6

        shapes = {"none": None, "same": (scenes, 1, keys), "pair": (scenes, queries, keys)}
        return (
            rows,
            memory,
            Sight(
                heads,
                width**-0.5,
                None if shapes[mask] is None else flags(*shapes[mask]),
                flags(scenes, queries) if looking else None,
                flags(scenes, keys) if there else None,
            ),
        )

    return draw
