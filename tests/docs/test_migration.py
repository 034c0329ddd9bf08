"""The table of migration is true: every expression in a column of maskrl's runs.

What it says about other libraries was looked up and run once, at the versions that it
names; they are not installed for the tests.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "migration.md"
COLUMN = "maskrl"
ERRORS = {"DisallowedActionError", "MaskDtypeError", "NoMaskError"}
"""Named in the column, and no call."""


def rows(text: str) -> list[tuple[int, list[str], list[str]]]:
    """Line, header and cells of every row of every table."""
    found, header = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("|"):
            header = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not header:
            header = cells
        elif set(line) - set("|- "):
            found.append((number, header, cells))
    return found


def expressions(text: str) -> list[tuple[int, str]]:
    """Line and source of everything in a column of maskrl's."""
    return [
        (number, source)
        for number, header, cells in rows(text)
        for source in re.findall(r"`([^`]+)`", cells[header.index(COLUMN)])
        if source not in ERRORS
    ]


@pytest.fixture
def page(program, tmp_path, monkeypatch):
    """The page's program, with its environment in a module of the current folder."""
    page = program(PAGE)
    (tmp_path / "crossing.py").write_text(page.fences[0].content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield page
    sys.modules.pop("crossing", None)


def test_every_expression_of_ours_runs(page):
    namespace = page.run().namespace
    ran = expressions(PAGE.read_text("utf-8"))
    for number, source in ran:
        try:
            eval(source, namespace)
        except Exception as error:
            raise AssertionError(f"docs/migration.md:{number}: {source} raises {error}") from error
    assert len(ran) >= 40


def test_rows_have_as_many_cells_as_their_table():
    for number, header, cells in rows(PAGE.read_text("utf-8")):
        assert len(cells) == len(header), f"docs/migration.md:{number}"
        assert COLUMN in header, f"docs/migration.md:{number}"


def test_the_defaults_are_ours():
    from maskrl import PPOConfig

    for _, source in expressions(PAGE.read_text("utf-8")):
        if source.startswith("PPOConfig(") and "evaluate_every" not in source:
            assert eval(source) == PPOConfig(), source


def test_expressions_are_found():
    table = "| a | maskrl |\n|---|---|\n| `x` | `f(1)`, `MaskDtypeError`, `g` |\n"
    assert expressions(table) == [(3, "f(1)"), (3, "g")]


@pytest.mark.parametrize(
    "name",
    [
        *("MaskableCategorical", "MaskableMultiCategorical", "MaskableBernoulli", "MaskablePPO"),
        *("ActionMasker", "action_masks()", "MaskedOneHotCategorical", "ActionMask()"),
        *("CategoricalMasked", "MultiHeadAttention", "CategoricalMap"),
    ],
)
def test_what_people_come_from_is_there(name):
    assert name in PAGE.read_text("utf-8")
