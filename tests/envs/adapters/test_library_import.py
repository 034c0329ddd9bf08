"""Libraries of environments behind extras: missing, broken and loud ones, made up here."""

from __future__ import annotations

import io
import sys

import pytest

from maskrl.envs.adapters.library_import import JUMANJI, RL4CO, SMAX, Library, LibraryMissingError
from maskrl.errors import UsageError


def test_a_missing_library_is_named_with_the_command_that_installs_it():
    library = Library("no_such_library_here", "no-such", "extra", "1.0")
    assert not library.is_installed()
    with pytest.raises(LibraryMissingError) as caught:
        library.load("extra:thing")
    message = str(caught.value)
    assert "environment 'extra:thing': no-such is not installed" in message
    assert 'pip install "maskrl[extra]"' in message and "make worlds" in message
    assert isinstance(caught.value, ImportError) and isinstance(caught.value, UsageError)


def test_a_library_that_does_not_import_is_told_from_a_missing_one(tmp_path, monkeypatch):
    (tmp_path / "half_a_library.py").write_text("import nothing_of_this_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    library = Library("half_a_library", "half-a-library", "half", "2.0")
    assert library.is_installed()
    with pytest.raises(LibraryMissingError, match="does not import: ModuleNotFoundError") as caught:
        library.load("half:thing")
    assert "tested with half-a-library 2.0" in str(caught.value)


def test_what_a_library_prints_and_warns_while_it_is_imported_is_kept_quiet(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "loud_library.py").write_text(
        "import warnings\nprint('hello')\nwarnings.warn('old', DeprecationWarning)\nX = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert Library("loud_library", "loud", "loud", "1").load("loud:x").X == 3
    assert capsys.readouterr().out == ""
    sys.modules.pop("loud_library", None)


def test_a_library_that_takes_the_streams_gives_them_back(tmp_path, monkeypatch, capfd):
    (tmp_path / "greedy_library.py").write_text(
        "import sys\nsys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__\nprint('hello')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    notebook, first = io.StringIO(), (sys.stdout, sys.__stdout__, sys.__stderr__)
    monkeypatch.setattr(sys, "stderr", notebook)
    Library("greedy_library", "greedy", "greedy", "1").load("greedy:x")
    assert sys.stderr is notebook and (sys.stdout, sys.__stdout__, sys.__stderr__) == first
    assert capfd.readouterr().out == ""
    sys.modules.pop("greedy_library", None)


def test_the_three_libraries_have_extras():
    assert [one.extra for one in (JUMANJI, SMAX, RL4CO)] == ["jumanji", "smax", "rl4co"]
