"""Pages that are programs: their python blocks run in order and print what the page shows.

All blocks of a page share one namespace. What a statement prints stands beside it as a
comment, or in the next ```text block, which holds what the whole block before it prints.
White space does not count, and `...` stands for anything. What goes wrong is reported
with the page and the line.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Fence:
    """A fenced block: its language, its content, and the line of the page that it begins at."""

    language: str
    content: str
    line: int


def fences(text: str) -> list[Fence]:
    """The fenced blocks of a page in order."""
    pattern = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        Fence(found[1], found[2], text.count("\n", 0, found.start(2)) + 1)
        for found in pattern.finditer(text)
    ]


def says(shown: str, printed: str) -> bool:
    """Whether a page's text is what was printed, up to white space and what `...` leaves out."""
    parts = (re.escape(" ".join(part.split())) for part in shown.split("..."))
    return re.fullmatch(r".*".join(parts), " ".join(printed.split()), re.DOTALL) is not None


class Program:
    """The python blocks of a page.

    Args:
        path: Of the page.
        text: Its content; read from `path` if absent.

    Attributes:
        namespace: What the blocks that ran have defined.
        statements: How many statements printed what the page shows.
    """

    def __init__(self, path: Path, text: str | None = None) -> None:
        inside = path.is_relative_to(REPOSITORY)
        self.name = str(path.relative_to(REPOSITORY)) if inside else path.name
        self.fences = fences(path.read_text("utf-8") if text is None else text)
        self.namespace: dict[str, Any] = {"__name__": "page"}
        self.statements = 0

    def run(self) -> Program:
        """Run all blocks; the test fails at the first line that is not true."""
        following = [*self.fences[1:], Fence("", "", 0)]
        for fence, after in zip(self.fences, following, strict=True):
            if fence.language == "python":
                self._run_block(fence, after if after.language == "text" else None)
        return self

    def _run_block(self, block: Fence, shown: Fence | None) -> None:
        # Blank lines before it give every line of the block the number that it has on the page.
        source = "\n" * (block.line - 1) + block.content
        lines = source.splitlines()
        printed = ""
        for statement in ast.parse(source, self.name).body:
            output = self._run_statement(statement)
            printed += output
            if output and shown is None:
                self._compare(_comment_after(lines, statement), output, statement.lineno)
        if shown is not None:
            self._compare(shown.content, printed, shown.line)

    def _run_statement(self, statement: ast.stmt) -> str:
        code = compile(ast.Module([statement], []), self.name, "exec")
        output = io.StringIO()
        try:
            with contextlib.redirect_stdout(output):
                exec(code, self.namespace)
        except Exception as error:
            line = statement.lineno
            trace = error.__traceback__
            while trace is not None:
                if trace.tb_frame.f_code.co_filename == self.name:
                    line = trace.tb_lineno
                trace = trace.tb_next
            raise AssertionError(
                f"{self.name}:{line} raises {type(error).__name__}: {error}"
            ) from error
        return output.getvalue()

    def _compare(self, shown: str, printed: str, line: int) -> None:
        if not says(shown, printed):
            raise AssertionError(
                f"{self.name}:{line} prints\n{printed}\nbut the page shows\n{shown or '(nothing)'}"
            )
        self.statements += 1


def _comment_after(lines: list[str], statement: ast.stmt) -> str:
    """The comment behind the last line of a statement and on the lines below it."""
    end = statement.end_lineno or statement.lineno
    tail = lines[end - 1].encode()[statement.end_col_offset :].decode()
    found = [tail.split("#", 1)[1]] if "#" in tail else []
    for line in lines[end:]:
        if not line.startswith("#"):
            break
        found.append(line[1:])
    return "\n".join(found)


@pytest.fixture
def program() -> Callable[..., Program]:
    """Makes a `Program` of a page."""
    return Program
