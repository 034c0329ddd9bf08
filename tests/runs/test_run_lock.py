"""The lock of a run folder: one holder at a time, gone with its process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from maskrl.errors import RunFolderError
from maskrl.runs.run_dir import RunDir
from maskrl.runs.run_lock import hold_run

HOLD = """
import sys, time
from maskrl.runs.run_dir import RunDir
from maskrl.runs.run_lock import hold_run
with hold_run(RunDir.create(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_holder_is_told_who_has_it(tmp_path):
    run = RunDir.create(tmp_path / "run")
    with (
        hold_run(run),
        pytest.raises(RunFolderError, match=rf"another process \(process id {os.getpid()}\)"),
        hold_run(run),
    ):
        pass
    with hold_run(run):
        pass


def test_a_killed_holder_lets_go(tmp_path):
    run = RunDir(tmp_path / "run")
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(RunFolderError, match=str(process.pid)), hold_run(run):
        pass
    process.kill()
    process.stdout.close()
    process.wait()
    with hold_run(run, wait_seconds=5):
        pass


def test_an_unwritable_folder_is_one_message(tmp_path):
    with pytest.raises(RunFolderError, match="cannot write"), hold_run(RunDir(tmp_path / "none")):
        pass
