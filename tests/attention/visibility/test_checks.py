"""What builders refuse at their door, and how they say it."""

import pytest
import torch

from maskrl.attention import visibility as sight
from maskrl.attention.visibility import sight_lines
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


def test_all_stays_on_the_device_of_the_data(monkeypatch):
    """The device `meta` refuses tensors of another one, as a GPU does."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # no look at values
    places = torch.zeros(4, 5, 2, dtype=torch.int64, device="meta")
    present = torch.ones(4, 5, dtype=torch.bool, device="meta")
    occluders = torch.zeros(7, 7, dtype=torch.bool, device="meta")
    with pytest.raises(RuntimeError, match="device"):
        _ = places + torch.zeros(4, 5, 2)
    teams = sight.team(places[..., 0], entity_mask=present)
    for built in (
        teams,
        sight.from_padding(present),
        sight.hidden(present, present),
        sight.self_visible(teams),
        sight.causal(places[..., 0], entity_mask=present),
        sight.radius(places, 2, entity_mask=present),
        sight.radius(places.half(), places[..., 0], metric="chebyshev"),
        sight.field_of_view(places, places, 90, radius=3, entity_mask=present),
        sight.field_of_view(places.float(), places[..., 0], places[..., 1]),
        sight.line_of_sight(places, occluders, entity_mask=present),
        sight_lines._look_up(places, occluders.expand(4, 7, 7)),
        sight.observer_view(teams, 1),
        sight.depth_safe(teams),
        sight.leaks(teams, 3, entity_mask=present, pool="mean"),
    ):
        assert built.device.type == "meta"
        assert built.shape == (4, 5, 5) and built.dtype is torch.bool
