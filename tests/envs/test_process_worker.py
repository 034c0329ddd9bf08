"""What runs in a process of its own, run here: commands, shared memory, errors on their way."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import threading

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.envs.process_worker import _end_without_parent, _Worker, failure_of, run_worker
from maskrl.envs.shared_arrays import SharedArrays
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError, NoMaskError


class PickyError(Exception):
    """Cannot be made from its own arguments."""

    def __init__(self, one, two):
        super().__init__("nothing")


def test_an_error_is_sent_as_it_is_where_it_can_be():
    for error, kind in ((NoMaskError("none here"), NoMaskError), (PickyError(1, 2), None)):
        try:
            raise error
        except Exception as caught:
            failure = pickle.loads(pickle.dumps(failure_of(caught)))
        assert "test_an_error_is_sent" in failure.trace
        if kind is None:
            assert failure.error is None and failure.text == "PickyError: nothing"
        else:
            assert type(pickle.loads(failure.error)) is kind


def test_rows_lie_at_the_place_of_the_process(corridor):
    worker = _Worker(GymnasiumVectorEnv([lambda: adapt(corridor(observe="box"))] * 2))
    shapes = {
        "actions": ((5,), np.int64),
        "rewards": ((5,), np.float64),
        "terminated": ((5,), np.bool_),
        "truncated": ((5,), np.bool_),
        "illegal": ((5,), np.int64),
        "now action_mask": ((5, 4), np.bool_),
        "now observation": ((5, 2), np.float32),
        "end action_mask": ((5, 4), np.bool_),
        "end observation": ((5, 2), np.float32),
    }
    shared = SharedArrays({name: (shape, np.dtype(kind)) for name, (shape, kind) in shapes.items()})
    worker.attach((shared.layout, 2))
    worker.reset((0, None))
    shared.arrays["actions"][:] = [9, 9, 0, 1, 9]
    for _ in range(5):
        infos = worker.step(None)
    assert "final_obs" not in infos and infos["_final_info"].all()
    assert shared.arrays["rewards"].tolist() == [0, 0, 1, 1, 0]
    assert shared.arrays["terminated"].tolist() == [False, False, True, True, False]
    assert shared.arrays["end observation"][:, 0].tolist() == [0, 0, 5, 5, 0]
    assert shared.arrays["now observation"][:, 0].tolist() == [0, 0, 0, 0, 0]
    assert shared.arrays["end action_mask"].sum(-1).tolist() == [0, 0, 4, 4, 0]
    assert shared.arrays["now action_mask"].sum(-1).tolist() == [0, 0, 1, 1, 0]
    assert shared.arrays["illegal"].sum() == 1  # action 1 at the beginning
    shared.close()


def test_only_what_keeps_the_contract_is_stepped(corridor):
    with pytest.raises(ConfigError, match="SAME_STEP"):
        _Worker(SyncVectorEnv([corridor]))


def test_the_loop_ends_when_nobody_is_there(monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this is a thread, not a process
    here, there = multiprocessing.Pipe()
    thread = threading.Thread(target=run_worker, args=(there,))
    thread.start()
    here.send(("make", b"no pickle"))
    worked, failure = here.recv()
    assert not worked and "UnpicklingError" in failure.text
    here.send(("step", None))
    assert not here.recv()[0]
    here.close()
    thread.join(10)
    assert not thread.is_alive()


def test_a_request_to_end_is_minded_where_nobody_else_could_ask(monkeypatch):
    class Parent:
        alive = True

        def is_alive(self):
            return self.alive

    monkeypatch.setattr(multiprocessing, "parent_process", Parent)
    _end_without_parent(signal.SIGTERM, None)
    Parent.alive = False
    with pytest.raises(SystemExit, match="143"):
        _end_without_parent(signal.SIGTERM, None)
