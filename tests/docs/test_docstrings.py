"""Examples in docstrings run and print what they show, and stay short."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LONGEST = 6
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def modules_with_examples() -> list[str]:
    """Dotted names of the modules whose text holds a prompt."""
    paths = sorted((REPOSITORY / "maskrl").rglob("*.py"))
    names = [
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for path in paths
        if ">>> " in path.read_text("utf-8")
    ]
    return [name.removesuffix(".__init__") for name in names]


def run_examples(module) -> tuple[int, list[str]]:
    """How many lines were run, and what is wrong with any of them."""
    complaints: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    attempted = 0
    for case in doctest.DocTestFinder(exclude_empty=True).find(module):
        if len(case.examples) > LONGEST:
            complaints.append(f"{case.name}: {len(case.examples)} lines, at most {LONGEST}")
        result = runner.run(case, out=complaints.append)
        attempted += result.attempted
    return attempted, complaints


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_hold(name):
    attempted, complaints = run_examples(importlib.import_module(name))
    assert complaints == []
    assert attempted > 0


def test_a_wrong_example_is_noticed():
    module = type(doctest)("made_up")
    module.__doc__ = ">>> 1 + 1\n3\n"
    attempted, complaints = run_examples(module)
    assert attempted == 1
    assert "Expected" in "".join(complaints)
