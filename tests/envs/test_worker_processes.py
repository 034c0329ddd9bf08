"""Processes and the pipes to them, where the server that forks processes is killed."""

from __future__ import annotations

import multiprocessing.forkserver
import os
import signal
import sys
import time

import numpy as np
import pytest

from maskrl.envs import make_vec, worker_processes
from maskrl.envs.worker_processes import WorkerProcesses
from maskrl.errors import WorkerError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


def kill_the_server(venv):
    """And wait until all of its processes are said to be dead."""
    os.kill(multiprocessing.forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    for process in venv._workers.processes:
        process.join(30)
        assert process.exitcode == worker_processes.UNKNOWN


def ended(pid):
    """Whether a process has ended; who adopted it may not have asked how."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def soon(happens):
    until = time.monotonic() + 30
    while not happens() and time.monotonic() < until:
        time.sleep(0.02)
    return happens()


def test_processes_outlive_the_server_that_forked_them():
    venv = make_vec("gymnasium:Taxi-v4", 2, workers=2)
    before, _ = venv.reset(seed=3)
    pids = venv.process_ids
    kill_the_server(venv)
    after, *_ = venv.step(before["action_mask"].argmax(-1))
    assert after["action_mask"].any(-1).all()
    state = venv.get_state()
    venv.step(np.zeros(2, int))
    venv.set_state(state)
    began = time.monotonic()
    venv.close()
    assert time.monotonic() - began < worker_processes.PATIENCE  # nobody waited in vain
    assert soon(lambda: all(map(ended, pids)))
    again = make_vec("gymnasium:Taxi-v4", 2, workers=1)  # by a new server
    again.reset(seed=0)
    again.close()


def test_one_that_dies_after_its_server_is_found():
    venv = make_vec("gymnasium:Taxi-v4", 3, workers=3)
    venv.reset(seed=0)
    kill_the_server(venv)
    pids = venv.process_ids
    os.kill(pids[1], signal.SIGKILL)
    with pytest.raises(WorkerError, match=r"process 1 of 3 died .*or killed together with the ser"):
        for _ in range(1000):
            venv.step(np.zeros(3, int))
    assert venv.closed
    assert soon(lambda: all(map(ended, pids)))


def test_one_that_does_not_end_is_killed_though_its_server_is_dead(monkeypatch):
    monkeypatch.setattr(worker_processes, "PATIENCE", 0.3)
    venv = make_vec("gymnasium:Taxi-v4", 2, workers=2)
    venv.reset(seed=0)
    pids = venv.process_ids
    kill_the_server(venv)
    os.kill(pids[0], signal.SIGSTOP)
    venv.close()
    assert soon(lambda: all(map(ended, pids)))


def test_a_process_that_never_began_is_neither_asked_nor_waited_for():
    class Waiting:
        pid = None
        exitcode = None

    class Closed:
        closed = False

        def close(self):
            self.closed = True

    processes, pipe = WorkerProcesses(served=True), Closed()
    processes.add(Waiting(), pipe)
    assert not processes.lives(0)
    processes.stop()
    assert pipe.closed
