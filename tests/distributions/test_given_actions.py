"""Actions of any integer type and shape, and the words for those that cannot be used."""

from __future__ import annotations

import pytest
import torch

from maskrl.distributions.given_actions import as_actions
from maskrl.errors import MaskDtypeError, MaskShapeError

BATCH, EVENT = torch.Size([3]), torch.Size([2])


def test_actions_broadcast_with_the_batch_and_keep_the_event():
    for shape in [(2,), (3, 2), (5, 3, 2), (1, 2)]:
        actions = as_actions("D", torch.zeros(shape), BATCH, EVENT, validate=True)
        assert actions.dtype == torch.int64
        assert actions.shape == torch.broadcast_shapes(shape, (3, 2))
    same = torch.zeros(3, 2, dtype=torch.int64)
    assert as_actions("D", same, BATCH, EVENT, validate=True) is same


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([0, 1], MaskDtypeError, "value has type list"),
        (torch.tensor([0.5, 1.0]), MaskDtypeError, "holds fractions"),
        (torch.zeros(3, 2, dtype=torch.complex64), MaskDtypeError, "dtype torch.complex64"),
        (torch.zeros(3, 4), MaskShapeError, "expected the last dimension to be 2"),
        (torch.zeros(4, 2), MaskShapeError, r"value has shape \(4, 2\), the batch \(3,\)"),
    ],
)
def test_actions_that_do_not_fit(value, error, message):
    with pytest.raises(error, match=f"^D.*{message}"):
        as_actions("D", value, BATCH, EVENT, validate=True)
