"""What is missing is named together with the recipe, and the recipe is the Makefile's."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess
import types
from pathlib import Path

import pytest

from maskrl.envs.adapters.microrts import installation
from maskrl.envs.adapters.microrts.installation import (
    BRIDGE_VERSION,
    RECIPE,
    VERSION,
    MicrortsMissingError,
    engine_folder,
    is_installed,
)
from maskrl.errors import UsageError

ROOT = Path(__file__).parents[4]


def test_the_engine_is_where_it_says(engine):
    assert (engine_folder() / "microrts.jar").is_file()
    assert is_installed()


def test_a_missing_package_is_an_import_error_with_the_recipe(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="gym-microrts is not installed") as told:
        engine_folder()
    assert isinstance(told.value, UsageError)  # the command line prints it without a traceback
    assert "make microrts" in str(told.value)
    assert not is_installed()


@pytest.mark.parametrize("version", ["0.4.3", "0.6.0"])
def test_another_version_or_one_without_its_engine_is_refused(monkeypatch, tmp_path, version):
    found = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    with pytest.raises(MicrortsMissingError, match=f"gym-microrts {version}.* is not 0.6.0"):
        engine_folder()


def test_recipe_makefile_and_ci_agree():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert f"JPype1=={BRIDGE_VERSION}" in makefile and f"JPype1=={BRIDGE_VERSION}" in RECIPE
    assert f"gym-microrts=={VERSION}" in makefile and f"gym-microrts=={VERSION}" in RECIPE
    assert "--no-deps --ignore-requires-python" in makefile
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "openjdk-17-jre-headless" in ci and "openjdk-17-jre-headless" in RECIPE
    assert "make setup microrts" in ci and "MASKRL_MICRORTS=required" in ci


def test_ci_takes_the_java_that_the_machine_offers(tmp_path):
    """Run with stand-ins for apt: one that has Java 17, and one that has newer ones only."""
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    begin, end = ci.index("missing=()"), ci.index("make setup microrts")
    for name in ("dirname", "id"):
        (tmp_path / name).symlink_to(shutil.which(name))
    for name, body in {
        "apt-cache": '[ "$OFFERED" = 17 ]',
        "apt-get": 'echo "$@" >> "$LOG"',
        "sudo": '"$@"',
    }.items():
        (tmp_path / name).write_text(f"#!{shutil.which('bash')}\n{body}\n")
        (tmp_path / name).chmod(0o755)
    for offered, package in (("17", "openjdk-17-jre-headless"), ("21", "default-jre-headless")):
        log = tmp_path / f"log-{offered}"
        env = {"PATH": str(tmp_path), "OFFERED": offered, "LOG": str(log)}
        script = f"set -euo pipefail\n{ci[begin:end]}"
        subprocess.run([shutil.which("bash"), "-c", script], env=env, check=True)
        update, install = log.read_text().splitlines()
        assert update == "update -qq"
        assert install.split()[-3:] == ["chromium", "chromium-driver", package]


def test_none_of_the_packages_python_is_imported():
    source = Path(installation.__file__).parent
    assert not [
        path for path in source.glob("*.py") if "import gym_microrts" in path.read_text("utf-8")
    ]
