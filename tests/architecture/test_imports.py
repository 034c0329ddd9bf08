"""What an import costs and may reach: light doors, numpy worlds, layers that hold.

Import costs are measured in a fresh interpreter: in this one, other tests have
already imported everything. The layers are import-linter's contracts in
pyproject.toml; a small tree with an upward import shows that they bite.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HEAVY = ["torch", "numba", "gymnasium", "plotly", "tensorboard", "scipy"]
LATER = ["maskrl.envs", "maskrl.trainers", "maskrl.policies", "maskrl.figures", "maskrl.reports"]


def loaded_after(statement, suspects):
    """Which of the suspects a fresh interpreter has loaded after a statement."""
    program = f"import sys\n{statement}\nprint([m for m in {suspects!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip().splitlines()[-1]


def module_names(repository, folder):
    """The dotted names of all modules below a folder of the package."""
    paths = sorted((repository / folder).rglob("*.py"))
    names = [".".join(p.relative_to(repository).with_suffix("").parts) for p in paths]
    return [name.removesuffix(".__init__") for name in names]


def lint_imports(folder: Path):
    """Runs import-linter in a folder that holds a maskrl package and a pyproject.toml."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True)


def test_importing_maskrl_is_light():
    assert loaded_after("import maskrl", HEAVY + LATER) == "[]"
    assert loaded_after("import maskrl, colorsys", ["colorsys"]) == "['colorsys']"


def test_worlds_load_no_torch(repository):
    names = ["maskrl.geometry", *module_names(repository, "maskrl/envs")]
    assert loaded_after("import " + ", ".join(names), ["torch", "plotly"]) == "[]"


def test_the_command_line_starts_without_torch_or_worlds():
    assert loaded_after("import maskrl.cli", ["torch", "plotly", "maskrl.envs.games"]) == "[]"


def test_the_layers_hold(repository):
    run = lint_imports(repository)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("module", "imports", "broken"),
    [
        ("functional", "maskrl.kernels", False),
        ("kernels", "maskrl.functional", True),
        ("attention", "maskrl.distributions", True),
        ("masks", "maskrl.geometry", True),
        ("networks", "maskrl.distributions", True),
        ("envs", "torch", True),
    ],
)
def test_the_layers_notice_a_violation(tmp_path, repository, module, imports, broken):
    shutil.copy(repository / "pyproject.toml", tmp_path)
    settings = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    names = {n.strip("() ") for line in contracts[0]["layers"] for n in line.split("|")}
    for name in names:
        (tmp_path / "maskrl" / name).mkdir(parents=True)
        (tmp_path / "maskrl" / name / "__init__.py").touch()
    (tmp_path / "maskrl" / "__init__.py").touch()
    (tmp_path / "maskrl" / module / "__init__.py").write_text(f"import {imports}\n")
    run = lint_imports(tmp_path)
    assert run.returncode == (1 if broken else 0), run.stdout + run.stderr
