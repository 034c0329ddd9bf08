"""One process at a time trains in a run folder.

Two trainings in one folder would overwrite each other's checkpoints. The lock is the
operating system's, on a file in the folder: it is gone with its process, however that
ends, and never has to be cleaned up.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import IO

from maskrl.errors import RunFolderError
from maskrl.runs.run_dir import LOCK, RunDir


@contextlib.contextmanager
def hold_run(run: RunDir, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold a run folder's lock inside the block.

    Args:
        run: The folder.
        wait_seconds: How long to wait for another process to let go.

    Raises:
        RunFolderError: Another process holds it, or it cannot be written.
    """
    path = run.path / LOCK
    try:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (closed below, with the lock)
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}.") from error
    with file:
        deadline = time.monotonic() + wait_seconds
        while not _try_lock(file):
            if time.monotonic() >= deadline:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise RunFolderError(
                    f"{run.path} is being trained by another process (process id {holder}). "
                    "Wait until it ends, stop it, or choose another folder."
                )
            time.sleep(0.1)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _try_lock(file: IO[str]) -> bool:
    """Take the lock if it is free; always True where the system has no such locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
