"""`python -m maskrl` is `maskrl`."""

from __future__ import annotations

import subprocess
import sys


def test_the_module_starts_the_command_line():
    done = subprocess.run([sys.executable, "-m", "maskrl", "trian"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Did you mean train?" in done.stderr and done.stdout == ""
