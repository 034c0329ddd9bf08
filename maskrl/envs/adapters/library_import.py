"""Libraries that an adapter needs and maskrl does not install: asked for in one way.

Each belongs to an extra of the package; where it is missing, or another major version, the
message says what to type.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from maskrl.errors import UsageError


class LibraryMissingError(UsageError, ImportError):
    """A library of environments is not installed, or does not import."""


@dataclass(frozen=True)
class Library:
    """A library behind an extra.

    Attributes:
        module: What is imported.
        package: What is installed.
        extra: The extra of maskrl that installs it.
        tested: The version that maskrl's tests run with.
    """

    module: str
    package: str
    extra: str
    tested: str

    @property
    def recipe(self) -> str:
        """What to type to install it."""
        return f'pip install "maskrl[{self.extra}]"'

    def is_installed(self) -> bool:
        """Whether it is there; nothing is imported for the answer."""
        return importlib.util.find_spec(self.module) is not None

    def load(self, name: str, module: str | None = None) -> Any:
        """Import it.

        Args:
            name: The id of the environment that needs it, for messages.
            module: A module inside of it, where that is what is wanted.

        Raises:
            LibraryMissingError: It is missing or does not import; the message says how to
                install it.
        """
        if not self.is_installed():
            raise LibraryMissingError(
                f"environment {name!r}: {self.package} is not installed. Install it: "
                f"{self.recipe}, or in a copy of the repository: make worlds"
            )
        try:
            with warnings.catch_warnings(), _quiet():
                warnings.simplefilter("ignore")  # about what the library itself imports
                return importlib.import_module(module or self.module)
        except Exception as error:  # a library may raise anything where its parts do not fit
            raise LibraryMissingError(
                f"environment {name!r}: {self.package} {self._version()} is installed and does not "
                f"import: {type(error).__name__}: {error}. maskrl is tested with {self.package} "
                f"{self.tested}: {self.recipe}"
            ) from error

    def _version(self) -> str:
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return "(of no known version)"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing is printed to standard output, and the streams are the same afterwards.

    JaxMARL's import sets both streams to those that Python began with, which would print its
    greeting into a result that is piped on, and take a notebook's standard error from it. So
    the first ones are replaced for a moment as well.
    """
    names = ("stdout", "stderr", "__stdout__", "__stderr__")
    before = {name: getattr(sys, name) for name in names}
    sys.stdout = sys.__stdout__ = io.StringIO()  # type: ignore[misc, assignment]
    sys.__stderr__ = sys.stderr  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        for name, stream in before.items():
            setattr(sys, name, stream)


JUMANJI = Library("jumanji", "jumanji", "jumanji", "1.1.2")
SMAX = Library("jaxmarl", "jaxmarl", "smax", "0.2.0")
RL4CO = Library("rl4co", "rl4co", "rl4co", "0.7.0")
