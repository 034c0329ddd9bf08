"""The matrix of visibility: seen is filled, hidden is a cross, everybody sees itself."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.figures import visibility_figure
from maskrl.figures.visibility_map import CROSS

SEES = np.array([[False, False, True], [True, False, True], [True, True, True]])


def test_cells_are_those_of_the_matrix_and_the_diagonal():
    (trace,) = visibility_figure(SEES, ["a", "b", "<i>"]).data
    assert [list(row) for row in trace.z] == [[1, None, 1], [1, 1, 1], [1, 1, 1]]
    assert list(trace.text[0]) == ["", CROSS, ""]
    assert trace.hovertext[0][1] == "<b>a</b><br>does not see b"
    assert trace.hovertext[1][1] == "<b>b</b><br>sees itself"
    assert trace.hovertext[0][2] == "<b>a</b><br>sees &lt;i&gt;"


def test_some_who_look():
    (trace,) = visibility_figure(SEES[:1], ["a", "b", "c"], query_names=["panda"]).data
    assert [list(row) for row in trace.z] == [[None, None, 1]]


def test_messages():
    with pytest.raises(MaskShapeError, match="visibility"):
        visibility_figure(SEES, ["a", "b"])
    with pytest.raises(MaskDtypeError, match="visibility"):
        visibility_figure(SEES.astype(float), ["a", "b", "c"])
