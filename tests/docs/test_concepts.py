"""The pages on concepts are true: their programs run and print what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted((DOCS / "concepts").glob("*.md"))
LONGEST = 1400
"""Words, code and tables included: what is read in five minutes."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_programs_print_what_is_shown(page, program):
    assert program(page).run().statements >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_are_short_and_say_what_empty_rows_mean(page):
    text = page.read_text("utf-8")
    assert len(text.split()) <= LONGEST
    assert "\n## Empty rows\n" in text
    assert f"concepts/{page.name}" in (DOCS / "README.md").read_text("utf-8")


def test_every_kind_of_mask_has_its_page():
    assert [page.stem for page in PAGES] == [
        "action-masks",
        "agent-masks",
        "candidate-sets",
        "conditional-actions",
        "feature-leaks",
        "feature-masks",
        "q-values",
        "teams",
    ]


def page_of(*blocks: str) -> str:
    """A page with blocks, the first of which begins at its third line."""
    return "# Title\n" + "".join(f"```{block}\n```\n" for block in blocks)


@pytest.mark.parametrize(
    ("blocks", "complaint"),
    [
        (["python\nx = 1", "python\n\nprint(x + 1)  # 3"], r"page.md:7 prints\n2\n"),
        (["python\nx = 1\nprint(\n    x\n)\n# 2"], r"page.md:4 prints\n1\n"),
        (["python\nprint(1)"], r"page.md:3 prints\n1\n\nbut the page shows\n\(nothing\)"),
        (["python\nprint(1)", "text\n2"], r"page.md:6 prints\n1\n"),
        (["python\n\nundefined"], r"page.md:4 raises NameError"),
        (["python\ndef f():\n    return 1 / 0\n\n\nf()"], r"page.md:4 raises ZeroDivisionError"),
    ],
)
def test_a_page_that_is_wrong_is_noticed(program, blocks, complaint):
    with pytest.raises(AssertionError, match=complaint):
        program(Path("page.md"), page_of(*blocks)).run()


def test_a_page_that_is_right_passes(program):
    blocks = [
        "python\nprint(1)  # 1\nprint([1,\n  2])\n# [1,\n#  2]",
        "python\nfor i in range(2):\n    print(i, 'and so on')",
        "text\n0 and so on\n1 ...",
        "python\nx = 3  # not printed",
    ]
    page = program(Path("page.md"), page_of(*blocks)).run()
    assert page.namespace["x"] == 3
    assert page.statements == 3
