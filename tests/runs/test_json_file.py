"""JSON files: whole or not there, plain values, and damage named with its place."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from maskrl.errors import RunFolderError
from maskrl.runs.json_file import read_json, to_json, write_json


@dataclasses.dataclass(frozen=True)
class Setting:
    size: tuple[int, ...] = (3, 4)


def test_what_is_written_is_read(tmp_path):
    value = {"a": np.float32(0.5), "b": np.arange(3), "c": Path("x") / "y", "d": Setting()}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json", advice="") == {
        "a": 0.5,
        "b": [0, 1, 2],
        "c": "x/y",
        "d": {"size": [3, 4]},
    }
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_what_json_cannot_hold_is_refused_by_type():
    with pytest.raises(TypeError, match="type object cannot be stored as JSON"):
        to_json({"a": object()})


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "is missing. Do this."),
        (b'{"a": 1', r"is damaged: no valid JSON at line 1, column 8 .* Do this\."),
        (b"[1]", "expected a JSON object, got list. Do this."),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_damage_is_one_message_with_advice(tmp_path, content, complaint):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunFolderError, match=complaint):
        read_json(path, advice="Do this.")


def test_an_unwritable_place_is_named(tmp_path):
    with pytest.raises(RunFolderError, match=r"cannot write .*nowhere"):
        write_json(tmp_path / "nowhere" / "a.json", {})
