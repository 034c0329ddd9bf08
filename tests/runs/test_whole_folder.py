"""Folders replaced as a whole, whatever happens meanwhile."""

from __future__ import annotations

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
