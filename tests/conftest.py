"""What every test runs under: few threads, fixed randomness, no network.

Thread counts are set before torch and Numba are imported, so this file imports
neither. Hypothesis draws the same examples on every run and keeps no database.
A connection to anything but this machine fails the test that tries it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")

import random
import runpy
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

hypothesis.settings.register_profile(
    "maskrl",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=50,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("maskrl")

LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost", "")


if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes that share out the files ignore Ctrl-C, and what they start would inherit that; a
    # handler of their own is not inherited.
    signal.signal(signal.SIGINT, lambda *_: None)


@pytest.fixture(autouse=True)
def _fixed_randomness() -> None:
    """Every test starts from the same global generators, in any order of tests."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global state is what has to be fixed here
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """A test that needs the network would pass here and fail elsewhere: refuse it."""
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in LOCAL_HOSTS:
            raise RuntimeError(f"tests use no network, and this one connects to {address!r}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_locally)
        yield


@pytest.fixture(scope="session")
def write_comparison() -> Any:
    """Writes the folder of a made-up comparison; see `tests/runs/comparison_folders.py`."""
    place = Path(__file__).with_name("runs") / "comparison_folders.py"
    return runpy.run_path(str(place))["write_comparison"]
