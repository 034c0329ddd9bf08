"""The README is true: its example runs and prints what is shown, its commands exist.

Also of the other pages: every relative link leads somewhere.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text("utf-8")
EXAMPLE = REPOSITORY / "examples" / "masks_in_twenty_lines.py"
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CHANGELOG.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]


def blocks(language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def without_docstring(program: str) -> str:
    """A program from its first import on."""
    return program[program.index("import ") :]


def test_the_example_is_the_executed_file():
    program = without_docstring(EXAMPLE.read_text("utf-8"))
    assert blocks("python") == [program]
    code = [line for line in program.splitlines() if line.strip()]
    assert len(code) <= 20


def test_the_example_prints_what_is_shown():
    run = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert [run.stdout] == blocks("text")


def test_make_has_the_verbs_that_are_shown():
    verbs = set(
        re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
    )
    shown = set(re.findall(r"\bmake ([a-z]+)\b", README))
    assert {"train", "test"} <= shown <= verbs


def test_the_command_line_has_the_verbs_that_are_shown():
    shown = set(re.findall(r"^maskrl ([a-z]+)", "".join(blocks("sh")), re.MULTILINE))
    assert {"train", "evaluate", "report", "watch", "envs"} <= shown
    run = subprocess.run([sys.executable, "-m", "maskrl", "--help"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert shown - set(re.findall(r"[a-z]+", run.stdout)) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
    headings = {
        re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-")
        for h in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        assert anchor in headings, anchor
