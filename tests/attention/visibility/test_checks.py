"""What builders refuse at their door, and how they say it."""

import pytest
import torch

from maskrl.attention.visibility.checks import entity_tensor, square_tensor
from maskrl.errors import MaskDtypeError, MaskShapeError


def test_what_fits_is_handed_on_untouched():
    graph = torch.ones(2, 3, 3, dtype=torch.bool)
    assert square_tensor("f", graph) is graph
    assert entity_tensor("f", "hides", graph) is graph
    row = torch.ones(1, 3, dtype=torch.bool)
    assert square_tensor("f", row, one_row=True) is row


def test_messages_name_operation_argument_and_what_came():
    with pytest.raises(
        MaskShapeError, match=r"f: visibility has shape \(1, 3\); expected \[.*E, E"
    ):
        square_tensor("f", torch.ones(1, 3, dtype=torch.bool))
    with pytest.raises(MaskDtypeError, match="f: hides has dtype torch.int64"):
        entity_tensor("f", "hides", torch.ones(3).long())
    with pytest.raises(MaskDtypeError, match="f: hides has type list"):
        entity_tensor("f", "hides", [True])
