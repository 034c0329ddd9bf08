"""Processes and the pipes to them: started, asked, found dead, ended; nothing of what they do.

A signal to a whole group of processes ends the server that forks them, where there is one, and
not them. Of a process whose server is dead the standard library says that it is dead too, so
that it is looked for here. All end with the one who started them, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from multiprocessing.connection import Connection, wait
from typing import Any

from maskrl.envs.shared_arrays import SharedArrays

PATIENCE = 5.0
"""Seconds that a process is given to close its environments."""

UNKNOWN = 255
"""What the standard library gives as the exit code of a process whose server is dead."""

LOOK_EVERY = 0.5
"""Seconds from one look for such a process to the next, while it is waited for."""


class WorkerProcesses:
    """Processes, each with the pipe to it.

    Args:
        served: Whether a server forks them, as with forkserver.

    Attributes:
        processes: They.
        shared: Memory that is given back when they end.
        stopped: Whether they were told to end.
    """

    def __init__(self, *, served: bool) -> None:
        self.served = served
        self.processes: list[Any] = []
        self.pipes: list[Connection] = []
        self.shared: SharedArrays | None = None
        self.stopped = False

    def __len__(self) -> int:
        return len(self.processes)

    def add(self, process: Any, pipe: Connection) -> None:
        """Take charge of a process."""
        self.processes.append(process)
        self.pipes.append(pipe)

    def send(self, number: int, message: Any) -> None:
        """Tell a process something."""
        self.pipes[number].send(message)

    def receive(self, number: int) -> tuple[bool, Any]:
        """The answer of a process.

        Raises:
            EOFError: It died instead of answering.
        """
        pipe, process = self.pipes[number], self.processes[number]
        while not pipe.poll():
            if pipe in wait([pipe, process.sentinel]):
                break
            if self.lives(number):  # and its server does not, so that nobody tells of its end
                pipe.poll(LOOK_EVERY)
            elif not pipe.poll():
                raise EOFError
        answer: tuple[bool, Any] = pipe.recv()
        return answer

    def lives(self, number: int) -> bool:
        """Whether a process has begun and not ended."""
        process = self.processes[number]
        if process.pid is None:
            return False
        if process.exitcode != UNKNOWN or not self.served:
            return process.exitcode is None
        with contextlib.suppress(ChildProcessError):  # it may have become a child of this one
            os.waitpid(process.pid, os.WNOHANG)
        try:
            os.kill(process.pid, 0)
        except (ProcessLookupError, PermissionError):  # its number may be another's by now
            return False
        return True

    def dead(self) -> tuple[int, str]:
        """The first process that is dead, or the first of all, and how it died."""
        for number, process in enumerate(self.processes):
            process.join(0.2)
            if process.exitcode is not None and not (self.lives(number) and self._listens(number)):
                return number, self._end_of(process.exitcode)
        return 0, self._end_of(self.processes[0].exitcode)

    def _listens(self, number: int) -> bool:
        """Whether a process still has its pipe; its answers, if there are any, are gone."""
        pipe = self.pipes[number]
        with contextlib.suppress(EOFError, OSError):
            while pipe.poll():
                pipe.recv()
            return True
        return False

    def _end_of(self, code: int | None) -> str:
        """How a process ended, in words."""
        if code is not None and code < 0:
            return f"signal {signal.Signals(-code).name}"
        if code == UNKNOWN and self.served:
            return f"exit code {code}, or killed together with the server that started it"
        return f"exit code {code}"

    def stop(self) -> None:
        """End all processes, give them time to close their environments, free the memory."""
        if self.stopped:
            return
        self.stopped = True
        everyone = range(len(self))
        for number in everyone:
            if self.lives(number):
                with contextlib.suppress(OSError):
                    self.pipes[number].send(("close", None))
        for number in everyone:
            if not self._ends(number):  # some environments, and what they start, do not mind
                self._kill(number)
                self._ends(number)
            self.pipes[number].close()
        if self.shared is not None:
            self.shared.close()

    def _ends(self, number: int) -> bool:
        """Whether a process ends soon, for which is waited."""
        process = self.processes[number]
        if process.pid is None:
            return True
        patient_until = time.monotonic() + PATIENCE
        process.join(PATIENCE)
        while self.lives(number) and (process.exitcode is None or self._listens(number)):
            if time.monotonic() > patient_until:
                return False
            time.sleep(0.01)
        return True

    def _kill(self, number: int) -> None:
        process = self.processes[number]
        if process.exitcode is None:
            process.kill()
        else:  # its server is dead
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
