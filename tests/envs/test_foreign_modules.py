"""Modules that ids name: found beside the caller too, and what goes wrong is one message."""

from __future__ import annotations

import sys

import pytest

from maskrl.envs.foreign_modules import import_module
from maskrl.errors import ConfigError, UnknownEnvError


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "found_by_this_test.py").write_text("number = 3\n")
    (tmp_path / "broken_for_this_test.py").write_text("1 / 0\n")
    (tmp_path / "hungry_for_this_test.py").write_text("import surely_not_installed\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part])
    yield tmp_path
    for name in ("found", "broken", "hungry"):
        sys.modules.pop(f"{name}_by_this_test", None)
        sys.modules.pop(f"{name}_for_this_test", None)


def test_the_current_directory_is_looked_at(here):
    assert import_module("found_by_this_test", "an id").number == 3
    assert sys.path[0] == str(here)


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("nowhere_at_all", UnknownEnvError, "'an id': there is no module 'nowhere_at_all'"),
        ("json.nowhere", UnknownEnvError, "no module 'json.nowhere'"),
        ("broken_for_this_test", ConfigError, "fails: ZeroDivisionError"),
        ("hungry_for_this_test", ConfigError, "because No module named 'surely_not_installed'"),
    ],
)
def test_modules_that_cannot_be_imported(here, name, kind, says):
    with pytest.raises(kind, match=says):
        import_module(name, "an id")
