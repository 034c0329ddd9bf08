"""What was compiled from an older source goes; what was not stays."""

from __future__ import annotations

import os

import pytest

import maskrl.caches as module
from maskrl.caches import drop_stale_caches


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in which `outer` takes in `inner`, and `other` nothing; all compiled at 100."""
    monkeypatch.setattr(module, "_PACKAGE", tmp_path)
    folder = tmp_path / "kernels"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "inner.py").write_text("x = 1\n")
    (folder / "outer.py").write_text("from maskrl.kernels.inner import x\n")
    (folder / "other.py").write_text("import numpy\n")
    for name in ("outer.f-1.py311.nbi", "outer.f-1.py311.1.nbc", "other.g-1.py311.nbi"):
        (folder / "__pycache__" / name).touch()
    for path in folder.rglob("*.*"):
        os.utime(path, (100, 100))
    return folder


def left(package):
    return sorted(path.name for path in (package / "__pycache__").iterdir())


def test_nothing_goes_while_nothing_changed(package):
    before = left(package)
    assert drop_stale_caches(package) == []
    assert left(package) == before


def test_what_took_in_a_changed_function_goes(package):
    os.utime(package / "inner.py", (200, 200))
    assert len(drop_stale_caches(package)) == 2
    assert left(package) == ["other.g-1.py311.nbi"]


def test_its_own_change_counts_too_and_newer_caches_stay(package):
    os.utime(package / "other.py", (200, 200))
    newer = package / "__pycache__" / "outer.f-1.py311.1.nbc"
    os.utime(newer, (300, 300))
    os.utime(package / "inner.py", (200, 200))
    drop_stale_caches(package)
    assert left(package) == [newer.name]


def test_a_folder_that_is_not_there_is_no_error(tmp_path):
    assert drop_stale_caches(tmp_path / "nowhere") == []
