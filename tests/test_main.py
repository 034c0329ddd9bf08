"""`python -m maskrl` is `maskrl`: its arguments, its output and its exit code."""

from __future__ import annotations

import runpy
import sys

import pytest

from maskrl import __version__


@pytest.mark.parametrize(
    ("word", "code", "said"), [("--version", 0, __version__), ("juggle", 2, "juggle")]
)
def test_the_module_runs_the_command(monkeypatch, capsys, word, code, said):
    monkeypatch.setattr(sys, "argv", ["maskrl", word])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("maskrl", run_name="__main__")
    assert (left.value.code or 0) == code
    printed = capsys.readouterr()
    assert said in printed.out + printed.err
