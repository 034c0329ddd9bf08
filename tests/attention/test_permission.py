"""The effective permission: who may attend to whom, with no row left empty."""

import pytest
import torch

from maskrl.attention.permission import permission_for
from maskrl.errors import MaskDtypeError, MaskShapeError

SCENE = torch.zeros(2, 4, 3)
PRESENT = torch.tensor([[True, True, True, False], [False, False, False, False]])


def random_graph(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.5


def test_it_is_presence_and_sight_or_self():
    visibility = random_graph(2, 4, 4)
    permission, lead = permission_for("f", SCENE, PRESENT, visibility)
    assert lead == (2,)
    expected = torch.zeros(2, 4, 4, dtype=torch.bool)
    for b in range(2):
        for i in range(4):
            for j in range(4):
                there = PRESENT[b, i] and PRESENT[b, j]
                expected[b, i, j] = there and (visibility[b, i, j] or i == j)
    assert torch.equal(permission.effective(SCENE), expected)
    for observer in range(4):
        row = permission.effective(SCENE, observer)
        assert torch.equal(row, expected[:, observer : observer + 1])
    chosen = permission.effective(SCENE, torch.tensor([[3, 0], [1, 1]]))
    assert torch.equal(chosen, torch.stack([expected[0, [3, 0]], expected[1, [1, 1]]]))


def test_no_row_is_empty_for_the_kernel():
    for visibility in (None, random_graph(2, 4, 4), torch.zeros(2, 4, 4, dtype=torch.bool)):
        permission, _ = permission_for("f", SCENE, PRESENT, visibility)
        assert permission.opened.any(-1).all()
        # Nothing that is there attends to padding, opened or not.
        assert not (permission.opened & PRESENT.unsqueeze(-1) & ~PRESENT.unsqueeze(-2)).any()


def test_without_masks_there_is_nothing_to_do():
    permission, _ = permission_for("f", SCENE, None, None)
    assert permission.opened is None
    assert permission.present is None
    assert permission.zero_absent(SCENE) is SCENE
    assert permission.depth_safe() is permission
    assert permission.rows(2).opened is None
    assert torch.equal(permission.effective(SCENE), torch.ones(1, 4, dtype=torch.bool))
    assert permission.effective(SCENE, torch.tensor([0, 2, 3])).shape == (3, 4)


def test_padding_alone_is_one_row_for_all():
    permission, _ = permission_for("f", SCENE, PRESENT, None)
    assert permission.opened.shape == (2, 1, 4)
    assert permission.depth_safe() is permission
    expected = PRESENT.unsqueeze(-1) & PRESENT.unsqueeze(-2)
    assert torch.equal(permission.effective(SCENE), expected)


def test_absent_rows_become_zero_even_from_nan():
    x = torch.full((2, 4, 3), float("nan"))
    permission, _ = permission_for("f", x, PRESENT, None)
    cleaned = permission.zero_absent(x)
    assert (cleaned[~PRESENT] == 0).all()
    assert cleaned[PRESENT].isnan().all()


def test_views_broadcast_against_the_scene():
    views = random_graph(2, 5, 4, 4)
    permission, lead = permission_for("f", SCENE.unsqueeze(1), PRESENT.unsqueeze(1), views)
    assert lead == (2, 5)
    assert permission.opened.shape == (2, 5, 4, 4)


def test_messages_name_the_mask():
    with pytest.raises(MaskShapeError, match=r"f: x has shape \(3,\)"):
        permission_for("f", torch.zeros(3), None, None)
    with pytest.raises(MaskShapeError, match=r"f: entity_mask has shape \(2, 3\)"):
        permission_for("f", SCENE, PRESENT[:, :3], None)
    with pytest.raises(MaskDtypeError, match="f: entity_mask has dtype torch.float32"):
        permission_for("f", SCENE, PRESENT.float(), None)
    with pytest.raises(MaskShapeError, match=r"f: visibility has shape \(3, 4, 4\)"):
        permission_for("f", SCENE, PRESENT, random_graph(3, 4, 4))
    with pytest.raises(MaskShapeError, match="One row for all is an entity_mask"):
        permission_for("f", SCENE, PRESENT, random_graph(2, 1, 4))
    with pytest.raises(MaskDtypeError, match="f: visibility has type list"):
        permission_for("f", SCENE, PRESENT, [[True]])
