"""What two batches broadcast to, and the words where they do not."""

from __future__ import annotations

import pytest
import torch

from maskrl.errors import MaskShapeError
from maskrl.functional.divergence import broadcast_batches


def test_batches_broadcast():
    assert broadcast_batches("kl", torch.Size([4, 1]), torch.Size([5])) == (4, 5)
    assert broadcast_batches("kl", torch.Size(), torch.Size([0])) == (0,)


def test_batches_that_do_not_broadcast_are_named():
    with pytest.raises(MaskShapeError, match=r"kl: p has the batch \(2,\), q \(3,\)"):
        broadcast_batches("kl", torch.Size([2]), torch.Size([3]))
