"""Folders replaced as a whole, whatever happens meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskrl.runs.whole_folder import previous_folder, standing_folder, whole_folder, write_through


def write(folder, text):
    with whole_folder(folder) as beside:
        write_through(beside / "a", text)


def test_the_new_one_stands_alone(tmp_path):
    folder = tmp_path / "deep" / "x"
    write(folder, b"one")
    (folder / "b").write_bytes(b"old")
    write(folder, b"two")
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert (folder / "a").read_bytes() == b"two"
    assert [path.name for path in folder.parent.iterdir()] == ["x"]


def test_the_old_one_stands_where_writing_fails(tmp_path):
    folder = tmp_path / "x"
    write(folder, b"one")
    with pytest.raises(OSError, match="full"), whole_folder(folder) as beside:
        write_through(beside / "a", b"half")
        raise OSError("full")
    assert (folder / "a").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_killed_between_the_two_renames(tmp_path):
    folder = tmp_path / "x"
    write(folder, b"one")
    folder.rename(previous_folder(folder))
    assert (standing_folder(folder) / "a").read_bytes() == b"one"
    write(folder, b"two")
    assert (standing_folder(folder) / "a").read_bytes() == b"two"
    assert not previous_folder(folder).exists()


@pytest.mark.parametrize("kind", ["other files", "a file"])
def test_what_has_no_mark_is_left_alone(kind, tmp_path):
    place = tmp_path / "x"
    if kind == "a file":
        place.write_bytes(b"mine")
    else:
        place.mkdir()
        (place / "mine").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="without a or b"), whole_folder(place, marks="ab"):
        pytest.fail("nothing is to be written")
    assert (place if kind == "a file" else place / "mine").read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("kind", ["nothing", "empty", "marked"])
def test_what_is_new_empty_or_marked_is_replaced(kind, tmp_path):
    place = tmp_path / "x"
    if kind != "nothing":
        place.mkdir()
    if kind == "marked":
        (place / "b").write_bytes(b"old")
    with whole_folder(place, marks=("a", "b")) as beside:
        write_through(beside / "a", b"new")
    assert [path.name for path in place.iterdir()] == ["a"]


def test_the_current_folder_has_a_name_too(tmp_path, monkeypatch):
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    with whole_folder(Path(".")) as beside:
        write_through(beside / "a", b"new")
    assert (tmp_path / "x" / "a").read_bytes() == b"new"
