"""The index of public names: all of them resolve, lazily, to what their modules define."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import maskrl

INIT = Path(maskrl.__file__)


@pytest.mark.parametrize("name", maskrl.__all__)
def test_every_name_resolves(name):
    assert getattr(maskrl, name) is not None
    assert name in dir(maskrl)


@pytest.mark.parametrize("name", maskrl._INDEX)
def test_a_name_is_what_its_module_defines(name):
    module = importlib.import_module(maskrl._INDEX[name])
    assert getattr(maskrl, name) is getattr(module, name)


def test_type_checkers_see_the_same_index():
    tree = ast.parse(INIT.read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {a.name: node.module for node in block.body for a in node.names}
    assert seen == maskrl._INDEX
    assert all(a.asname == a.name for node in block.body for a in node.names)


def test_every_package_is_named():
    folders = {p.parent.name for p in INIT.parent.glob("*/__init__.py")}
    modules = {p.stem for p in INIT.parent.glob("*.py")} - {"__init__", "__main__"}
    assert folders | modules == maskrl._PACKAGES | {"cli"}


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="module 'maskrl' has no attribute 'MaskedGaussian'"):
        maskrl.MaskedGaussian  # noqa: B018 - the look-up is what is tested


def test_names_load_no_more_than_they_need():
    program = (
        "import sys, maskrl; maskrl.MaskedCategorical; "
        "print([m for m in ('numba', 'gymnasium', 'plotly', 'maskrl.trainers') "
        "if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


def test_the_version_is_that_of_the_build():
    project = tomllib.loads((INIT.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    assert maskrl.__version__ == project["version"]
