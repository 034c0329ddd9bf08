"""Java is started once in a process and never stopped, so its tests run in processes of their own.

A module named in `NEEDS_JAVA` is collected as one test (and one more if it has slow ones):
pytest on that file in a new process, in which it is collected as usual. What is missing
is told: these tests are skipped with a line that says how to get it, and with
MASKRL_MICRORTS=required, as in CI, they fail.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from maskrl.envs.adapters.microrts.installation import is_installed

NEEDS_JAVA = {"test_jvm", "test_games", "test_vector_env", "test_single_env", "test_entry"}
INSIDE = "MASKRL_INSIDE_JAVA_TESTS"
MISSING = "{} is not there: `make microrts` installs it (Java itself: openjdk-17-jre-headless)"


def what_is_missing() -> str | None:
    if not is_installed():
        return "gym-microrts"
    if importlib.util.find_spec("jpype") is None:
        return "JPype1"
    import jpype

    try:
        jpype.getDefaultJVMPath()
    except jpype.JVMNotFoundException:
        return "Java"
    return None


def require(missing: str | None) -> None:
    if missing is None:
        return
    if os.environ.get("MASKRL_MICRORTS") == "required":
        pytest.fail(MISSING.format(missing))
    pytest.skip(MISSING.format(missing))


@pytest.fixture(scope="session")
def engine() -> None:
    """For tests that read the engine's files and start nothing."""
    require(None if is_installed() else "gym-microrts")


class OwnProcess(pytest.Item):
    """The tests of a module that carry, or do not carry, the mark `slow`, in a new process."""

    def __init__(self, *, slow: bool, **kwargs) -> None:
        super().__init__(**kwargs)
        self.expression = "slow" if slow else "not slow"
        if slow:
            self.add_marker("slow")

    def runtest(self) -> None:
        require(what_is_missing())
        command = [sys.executable, "-m", "pytest", "-q", "-m", self.expression, str(self.path)]
        run = subprocess.run(
            command,
            cwd=self.config.rootpath,
            env={**os.environ, INSIDE: "1"},
            capture_output=True,
            text=True,
        )
        if run.returncode != 0:
            pytest.fail(f"{' '.join(command)}\n{run.stdout}\n{run.stderr}", pytrace=False)

    def reportinfo(self):
        return self.path, None, f"{self.path.stem}: {self.name}"


class JavaFile(pytest.File):
    def collect(self):
        yield OwnProcess.from_parent(self, name="in_its_own_process", slow=False)
        if "mark.slow" in self.path.read_text("utf-8"):
            yield OwnProcess.from_parent(self, name="slow_in_its_own_process", slow=True)


def pytest_pycollect_makemodule(module_path: Path, parent):
    if module_path.stem in NEEDS_JAVA and not os.environ.get(INSIDE):
        return JavaFile.from_parent(parent, path=module_path)
    return None
