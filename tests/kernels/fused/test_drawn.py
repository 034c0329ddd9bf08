"""What was drawn is known as long as nobody has written into it."""

from __future__ import annotations

import torch

from maskrl.kernels.fused.drawn import Drawn


def test_a_write_into_actions_or_scores_is_noticed():
    for which in (0, 1):
        given = torch.tensor([1, 2]), torch.tensor([-1.0, -2.0])
        drawn = Drawn(*given)
        assert drawn.is_unchanged()
        given[which].add_(1)
        assert not drawn.is_unchanged()


def test_in_inference_mode_the_numbers_tell():
    with torch.inference_mode():
        actions = torch.tensor([1, 2])
        drawn = Drawn(actions, torch.zeros(2))
        assert drawn.is_unchanged()
        actions[0] = 0
        assert not drawn.is_unchanged()
