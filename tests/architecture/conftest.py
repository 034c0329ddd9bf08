"""What the architecture tests look at: every source file, read and parsed once."""

from __future__ import annotations

import ast
import dataclasses
import functools
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Source:
    """One Python file: where it is, its text and its syntax tree."""

    path: str
    text: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, self.path)

    @property
    def lines(self) -> int:
        """How many lines the file has."""
        return len(self.text.splitlines())


def read_sources(folder: str) -> list[Source]:
    """Every Python file under a folder of the repository, in order."""
    paths = sorted((REPOSITORY / folder).rglob("*.py"))
    return [Source(str(p.relative_to(REPOSITORY)), p.read_text("utf-8")) for p in paths]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root folder."""
    return REPOSITORY


@pytest.fixture(scope="session")
def package_sources() -> list[Source]:
    """The files of the package."""
    return read_sources("maskrl")


@pytest.fixture(scope="session")
def all_sources(package_sources: list[Source]) -> list[Source]:
    """The files of the package, its tests and its examples."""
    return package_sources + read_sources("tests") + read_sources("examples")


@pytest.fixture(scope="session")
def make_source() -> type[Source]:
    """Builds a source from text, to show that a rule notices a violation."""
    return Source


@pytest.fixture(scope="session")
def kept_files() -> list[Path]:
    """Every file that belongs to the repository: known to git, or not ignored by it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [REPOSITORY / line for line in listed if (REPOSITORY / line).is_file()]
