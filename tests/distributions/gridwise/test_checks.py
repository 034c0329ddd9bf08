"""What does not fit is refused in words that name both shapes and the likely mix-up."""

from __future__ import annotations

import pytest
import torch

from maskrl.distributions import GridwiseCategorical
from maskrl.errors import MaskDtypeError, MaskError, MaskShapeError
from maskrl.masks import ActionTree, Head

B, A, H, W, N = 2, 5, 3, 4, 6
GRID = torch.zeros(B, A, H, W)
HERE = torch.ones(B, H, W, dtype=torch.bool)
TEAM = torch.zeros(B, N, A)
ALL = torch.ones(N, dtype=torch.bool)


def every(*shape):
    return torch.ones(shape, dtype=torch.bool)


@pytest.mark.parametrize("wrong", [HERE.to(torch.int8), HERE.float(), HERE.numpy(), HERE.tolist()])
def test_an_agent_mask_of_another_type(wrong):
    with pytest.raises(MaskDtypeError, match=r"agent_mask has .*maskrl\.as_mask\(agent_mask\)"):
        GridwiseCategorical(GRID, wrong)


def test_an_action_mask_of_another_type():
    with pytest.raises(MaskDtypeError, match=r"action_mask has dtype torch.uint8"):
        GridwiseCategorical(GRID, HERE, every(B, A, H, W).to(torch.uint8))


@pytest.mark.parametrize("shape", [(H,), (W, H), (B, 1, W), (B, H, 1), (3, H, W), (1, B, H, W)])
def test_an_agent_mask_of_another_shape_names_both(shape):
    with pytest.raises(MaskShapeError) as caught:
        GridwiseCategorical(GRID, every(*shape))
    for text in (str(shape), "logits (2, 5, 3, 4)", "expected (2, 3, 4)", "for every cell"):
        assert text in str(caught.value)


@pytest.mark.parametrize("shape", [(A,), (H, W), (A, 1, 1), (A + 1, H, W), (3, A, H, W)])
def test_an_action_mask_of_another_shape_names_both(shape):
    with pytest.raises(MaskShapeError) as caught:
        GridwiseCategorical(GRID, HERE, every(*shape))
    for text in (str(shape), "logits (2, 5, 3, 4)", "expected (2, 5, 3, 4)"):
        assert text in str(caught.value)
    assert "movedim" not in str(caught.value)


def test_actions_in_another_order_are_recognised():
    with pytest.raises(MaskShapeError, match=r"come last: pass action_mask.movedim\(-1, -3\)"):
        GridwiseCategorical(GRID, HERE, every(B, H, W, A))
    with pytest.raises(MaskShapeError, match=r"come before the slots: pass action_mask.mT"):
        GridwiseCategorical.from_slots(TEAM, ALL, every(B, A, N))


def test_slots_of_another_shape():
    with pytest.raises(MaskShapeError, match=r"agent_mask has shape \(2, 5\), logits \(2, 6, 5\)"):
        GridwiseCategorical.from_slots(TEAM, every(B, A))
    with pytest.raises(MaskShapeError, match=r"action_mask has shape \(2, 3, 5\)"):
        GridwiseCategorical.from_slots(TEAM, ALL, every(B, 3, A))


def test_logits_of_another_type_or_shape():
    with pytest.raises(MaskDtypeError, match=r"logits has dtype torch.int64; .* \[..., A, H, W\]"):
        GridwiseCategorical(GRID.long(), HERE)
    with pytest.raises(MaskDtypeError, match="logits has list"):
        GridwiseCategorical([1.0], HERE)
    with pytest.raises(MaskShapeError, match=r"logits has shape \(3, 4\); .* \[..., A, H, W\]"):
        GridwiseCategorical(GRID[0, 0], HERE)
    with pytest.raises(MaskShapeError, match=r"shape \(2, 0, 3, 4\); .* at least one action"):
        GridwiseCategorical(GRID[:, :0], HERE)
    with pytest.raises(MaskShapeError, match=r"logits has shape \(5,\); expected \[..., N, A\]"):
        GridwiseCategorical.from_slots(torch.zeros(5), ALL)
    with pytest.raises(MaskShapeError, match=r"logits has shape \(2, 6, 5\); expected \[M, A\]"):
        GridwiseCategorical.from_packed(TEAM, torch.tensor([0, 2]))


@pytest.mark.parametrize(
    ("offsets", "error", "says"),
    [
        ([0, 2, 6], MaskDtypeError, "offsets has list; expected an int64 tensor"),
        (torch.tensor([0.0, 6.0]), MaskDtypeError, "offsets has dtype torch.float32"),
        (torch.tensor([[0, 6]]), MaskShapeError, r"offsets has shape \(1, 2\); expected \[B \+ 1"),
        (torch.zeros(0, dtype=torch.int64), MaskShapeError, r"which is \[0\] for none"),
        (torch.tensor([1, 6]), MaskError, "runs from 1 to 6; expected from 0 to 6"),
        (torch.tensor([0, 5]), MaskError, "runs from 0 to 5; expected from 0 to 6, the number of"),
        (
            torch.tensor([0, 4, 3, 6]),
            MaskError,
            r"offsets\[2\] is 3, less than offsets\[1\], which is 4",
        ),
        (torch.tensor([0, 6], device="meta"), MaskError, "offsets is on meta, logits on cpu"),
    ],
)
def test_offsets_that_do_not_divide_the_rows(offsets, error, says):
    with pytest.raises(error, match=says):
        GridwiseCategorical.from_packed(torch.zeros(6, 3), offsets)


def test_masks_on_another_device():
    with pytest.raises(MaskError, match="agent_mask is on meta, logits on cpu"):
        GridwiseCategorical(GRID, HERE.to("meta"))


def test_events_of_another_type_or_shape():
    d = GridwiseCategorical(GRID, HERE)
    with pytest.raises(MaskDtypeError, match="value has type list"):
        d.log_prob([0])
    with pytest.raises(MaskDtypeError, match=r"GridwiseCategorical: value .* holds fractions"):
        d.log_prob(torch.full((B, H, W), 0.5))
    for shape in [(B, W, H), (H,), (W,), (3, H, W), (B, 1, W)]:
        with pytest.raises(MaskShapeError) as caught:
            d.log_prob(torch.zeros(shape))
        assert "expected (2, 3, 4), or a shape that broadcasts with it" in str(caught.value)
    heads = GridwiseCategorical(GRID, HERE, nvec=(2, 3))
    with pytest.raises(MaskShapeError, match=r"ends with \(2, 3, 4\)"):
        heads.log_prob(torch.zeros(B, H, W, 2))
    assert d.log_prob(torch.zeros(H, W)).shape == (B,)
    assert d.log_prob(torch.zeros(7, 1, H, W)).shape == (7, B)


def test_tables_of_another_shape_or_for_another_head():
    tree = ActionTree(Head("type", 2), Head("target", 3, {"type": [1]}, mask_by="type"))
    with pytest.raises(MaskShapeError) as caught:
        GridwiseCategorical(GRID, HERE, tree=tree, head_masks={"target": every(H, W, 2, 3)})
    assert "head_masks['target'] has shape (3, 4, 2, 3)" in str(caught.value)
    assert "expected (2, 2, 3, 3, 4)" in str(caught.value)
    with pytest.raises(MaskDtypeError, match=r"head_masks\['target'\] has type function"):
        GridwiseCategorical(GRID, HERE, tree=tree, head_masks={"target": lambda choices: HERE})
