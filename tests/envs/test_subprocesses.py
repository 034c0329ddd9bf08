"""Environments in processes of their own: the same as in one, and clear words when they fail."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from maskrl.envs import make_vec, worker_processes
from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.envs.contract import (
    action_tree_of,
    attribute_of,
    can_save_state,
    describe_env,
    final_observations,
    require_same_step,
)
from maskrl.envs.process_worker import Failure
from maskrl.envs.subprocesses import ProcessVectorEnv, _error, in_processes
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError, NoMaskError, WorkerError

A, B = 4, 5


def walk_class():
    """By value, so that the processes need not import this file."""

    class Walk(gymnasium.Env):
        """Random observations, masks and ends; hands out one array for all of its masks."""

        observation_space = spaces.Box(-9, 9, (2,), np.float32)
        action_space = spaces.Discrete(4)
        action_names = ("a", "b", "c", "d")
        speed = 1

        def __init__(self, fails_at=None, foreign=False, forgets=False):
            self.fails_at, self.forgets = fails_at, forgets
            self.mask = np.zeros(4, np.int8)
            self.steps = 0
            if foreign:
                self.engine = object()

        def _out(self):
            self.mask[:] = self.np_random.random(4) < 0.5
            self.mask[0] = 1
            info = {} if self.forgets else {"action_mask": self.mask}
            if self.np_random.random() < 0.3:
                info["rare"] = self.steps
            return self.np_random.normal(size=2).astype(np.float32), info

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self._out()

        def step(self, action):
            self.steps += 1
            if self.steps == self.fails_at:
                raise LookupError(f"lost at step {self.steps}")
            ends = self.np_random.random(2) < 0.15
            observation, info = self._out()
            return observation, float(action) + self.steps / 8, bool(ends[0]), bool(ends[1]), info

        def tell(self, word, *, times=1):
            return word * times

    return Walk


def chunk(size=None, make=None, *, num_envs=None, **kwargs):
    walk = walk_class() if make is None else make
    return GymnasiumVectorEnv([lambda: adapt(walk(**kwargs))] * (size or num_envs))


@pytest.fixture(scope="module")
def pair():
    """Five environments in two processes, and five in this one."""
    other = in_processes(chunk, B, 2, seed=4)
    yield other, chunk(B)
    other.close()


def same(one, two):
    assert one.keys() == two.keys()
    for key, value in one.items():
        if isinstance(value, dict):
            same(value, two[key])
        else:
            np.testing.assert_array_equal(value, two[key], err_msg=str(key))


def test_the_same_environments_as_in_one_process(pair):
    other, here = pair
    require_same_step(other)
    assert other.sizes == [3, 2] and len(set(other.process_ids) | {os.getpid()}) == 3
    assert other.observation_space == here.observation_space
    assert other.action_space == here.action_space and other.num_envs == B
    rng = np.random.default_rng(0)
    one, two = other.reset(), here.reset(seed=4)
    same(one[0], two[0])
    same(one[1], two[1])
    kept = []
    before = here.illegal_actions
    assert other.illegal_actions == before
    for _ in range(60):
        actions = rng.integers(0, A, B)
        one, two = other.step(actions), here.step(actions)
        same(one[0], two[0])
        for x, y in zip(one[1:4], two[1:4], strict=True):
            assert x.tobytes() == y.tobytes() and x.dtype == y.dtype
        kept.append((one[0]["action_mask"], one[0]["action_mask"].copy()))
        ended = np.flatnonzero(one[2] | one[3])
        theirs, ours = dict(one[4]), dict(two[4])
        if len(ended):
            same(final_observations(theirs, ended), final_observations(ours, ended))
            assert theirs.pop("_final_obs").tolist() == ours.pop("_final_obs").tolist()
            theirs.pop("final_obs"), ours.pop("final_obs")
        same(theirs, ours)
    assert other.illegal_actions == here.illegal_actions > before
    for mask, copy in kept:
        np.testing.assert_array_equal(mask, copy, err_msg="handed out, and changed later")


def test_seeds_and_options_reach_every_environment(pair):
    other, here = pair
    for seed in (11, [5, 5, 6, 7, None], np.int64(2)):
        if seed is not None and not isinstance(seed, list):
            seed = int(seed)
        one, two = other.reset(seed=seed)[0], here.reset(seed=seed)[0]
        known = slice(0, 4)
        np.testing.assert_array_equal(one["observation"][known], two["observation"][known])
    with pytest.raises(ConfigError, match="seed has 2 entries"):
        other.reset(seed=[1, 2])


def test_some_can_be_reset_alone(pair):
    other, here = pair
    other.reset(seed=1), here.reset(seed=1)
    rows = np.array([False, False, False, True, False])
    one = other.reset(options={"reset_mask": rows})
    two = here.reset(options={"reset_mask": rows.copy()})
    same(one[0], two[0])
    same(one[1], two[1])


def test_attributes_are_seen_from_here(pair):
    other, _ = pair
    assert attribute_of(other, "action_names") == [("a", "b", "c", "d")] * B
    assert attribute_of(other, "nothing_of_this_name") == []
    assert action_tree_of(other) is None
    assert describe_env(other).n_actions == A
    assert other.call("tell", "ab", times=2) == ("abab",) * B
    other.set_attr("speed", [1, 2, 3, 4, 5])
    assert other.get_attr("speed") == (1, 2, 3, 4, 5)
    other.set_attr("speed", 9)
    assert other.get_attr("speed") == (9,) * B
    with pytest.raises(ConfigError, match="has 2 values"):
        other.set_attr("speed", [1, 2])


def test_a_question_that_fails_ends_nothing(pair):
    other, _ = pair
    with pytest.raises(AttributeError, match="no_such_method"):
        other.call("no_such_method")
    other.reset(seed=0)
    other.step(np.zeros(B, int))


def test_actions_of_another_shape_are_refused(pair):
    other, _ = pair
    with pytest.raises(ConfigError, match=r"actions has shape \(2,\), expected \(5,\)"):
        other.step(np.zeros(2, int))


def test_a_saved_state_continues_the_same_trajectory(pair):
    other, _ = pair
    other.reset(seed=3)
    for _ in range(7):
        other.step(np.ones(B, int))
    assert can_save_state(other) and other.state_obstacle() is None
    state = other.get_state()
    assert all(isinstance(value, np.ndarray) for value in state.values())
    first = [other.step(np.full(B, 2)) for _ in range(20)]
    illegal = other.illegal_actions
    other.reset(seed=99)
    other.set_state(state)
    for expected in first:
        again = other.step(np.full(B, 2))
        same(again[0], expected[0])
        np.testing.assert_array_equal(again[1], expected[1])
    assert other.illegal_actions == illegal
    with pytest.raises(ConfigError, match=r"of \[5\] environments by process, these are \[3, 2\]"):
        other.set_state({**state, "sizes": np.array([5])})
    with pytest.raises(ConfigError, match="damaged"):
        other.set_state({**state, "1.envs": state["1.envs"][:-5]})


def test_what_cannot_be_saved_is_named():
    other = in_processes(partial(chunk, foreign=True), 2, 2)
    try:
        assert not can_save_state(other)
        assert "Walk.engine" in other.state_obstacle()
        with pytest.raises(ConfigError, match=r"Walk\.engine"):
            other.get_state()
    finally:
        other.close()


def test_an_error_comes_with_its_traceback():
    other = in_processes(partial(chunk, fails_at=3), 4, 2)
    other.reset(seed=0)
    with pytest.raises(ConfigError, match="LookupError: lost at step 3") as caught:
        for _ in range(3):
            other.step(np.zeros(4, int))
    assert "in step" in str(caught.value.__cause__), "where it happened, over there"
    assert any("process 0 of 2" in note for note in caught.value.__notes__)
    with pytest.raises(ConfigError, match="after a process failed"):
        other.reset()
    assert not any(process.is_alive() for process in other._workers.processes)


def test_an_environment_that_cannot_be_made_says_why():
    with pytest.raises(NoMaskError, match="offers no mask") as caught:
        in_processes(partial(chunk, forgets=True), 4, 2)
    assert "adapt" in str(caught.value.__cause__)


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_a_process_that_dies_is_noticed():
    other = in_processes(chunk, 4, 2)
    other.reset(seed=0)
    os.kill(other.process_ids[1], signal.SIGKILL)
    with pytest.raises(
        WorkerError, match=r"process 1 of 2 died with environments 2 to 3 .*SIGKILL"
    ):
        for _ in range(100):
            other.step(np.zeros(4, int))
    assert other.closed


def test_ctrl_c_is_for_the_one_who_trains(pair):
    other, _ = pair
    other.reset(seed=0)
    if os.name != "nt":
        for pid in other.process_ids:
            os.kill(pid, signal.SIGINT)
    time.sleep(0.05)
    other.step(np.zeros(B, int))


TRAINS = """
import signal, sys, weakref
import numpy as np

class Early: pass

early = Early()
weakref.finalize(early, int)  # what goes by it at the exit comes after multiprocessing's own
from maskrl.envs import make_vec

if __name__ == "__main__":
    venv = make_vec("gymnasium:Taxi-v4", 2, workers=2)
    venv.reset(seed=0)
    received = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: received.append(number))
    print(*venv.process_ids, flush=True)
    while not received:
        venv.step(np.zeros(2, int))
    for _ in range(100):
        venv.step(np.zeros(2, int))
        signal.sigtimedwait((), 0.005)
    venv.get_state()
    print("saved", flush=True)
    if sys.argv[1] == "close":
        venv.close()
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("ends", ["close", "by itself"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_is_for_the_one_who_trains(number, ends, tmp_path):
    """As by Ctrl-C, `timeout`, or whoever ends all processes of a job at once."""
    (tmp_path / "trains.py").write_text(TRAINS)
    trains = subprocess.Popen(
        [sys.executable, tmp_path / "trains.py", ends],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = [int(word) for word in trains.stdout.readline().split()]
    assert len(workers) == 2
    os.killpg(trains.pid, number)
    told, errors = trains.communicate(timeout=240)
    assert (told, errors, trains.returncode) == ("saved\n", "", 0)
    wait_for_end(workers)


def wait_for_end(workers):
    for _ in range(300):
        if not any(os.path.exists(f"/proc/{pid}") for pid in workers):
            return
        time.sleep(0.1)
    pytest.fail("processes are still there after half a minute")


def test_processes_end_with_their_environment():
    other = in_processes(chunk, 2, 1)
    processes = other._workers.processes
    other.close()
    other.close()
    assert not processes[0].is_alive() and processes[0].exitcode == 0
    forgotten = in_processes(chunk, 2, 1)
    process = forgotten._workers.processes[0]
    del forgotten
    gc.collect()
    process.join(10)
    assert process.exitcode is not None


def stubborn():
    """Steps for ever, and does not mind being asked to end."""
    walk = walk_class()

    class Stubborn(walk):
        def step(self, action):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                time.sleep(0.05)

    return Stubborn


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_a_process_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(worker_processes, "PATIENCE", 0.3)
    other = in_processes(partial(chunk, make=stubborn()), 2, 2)
    other.reset(seed=0)
    process = other._workers.processes[1]
    other._workers.send(1, ("step", None))
    time.sleep(0.3)
    other.close()
    assert process.exitcode == -signal.SIGKILL


def test_an_error_that_only_the_other_process_knows_is_told_in_words():
    known = Failure(b"no pickle", "OddError: lost", "Traceback: there")
    error = _error(known, "mine, process 1 of 2")
    assert isinstance(error, ConfigError) and str(error) == "mine, process 1 of 2: OddError: lost"
    assert "there" in str(error.__cause__)


PARENT = """
import sys, time
from maskrl.envs import make_vec

if __name__ == "__main__":
    venv = make_vec("gymnasium:Taxi-v4", 2, workers=2)
    venv.reset(seed=0)
    print(*venv.process_ids, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nobody_is_left_when_the_one_who_trains_is_gone(how, tmp_path):
    """Killed, or by a signal that reaches all processes at once and that it does not heed."""
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = [int(word) for word in parent.stdout.readline().split()]
    assert len(workers) == 2
    if how != signal.SIGKILL:
        os.killpg(parent.pid, how)
    else:
        os.kill(parent.pid, how)
    parent.communicate(timeout=240)
    wait_for_end(workers)


def text_class():
    class Talks(walk_class()):
        observation_space = spaces.Dict({"x": spaces.Text(9), "y": spaces.Discrete(2)})

        def _out(self):
            return {"x": "hello", "y": 0}, super()._out()[1]

    return Talks


def test_what_cannot_lie_in_shared_memory_is_refused():
    with pytest.raises(ConfigError, match=r"observation 'x' is Text.*workers=0"):
        in_processes(partial(chunk, make=text_class()), 2, 1)


def test_what_cannot_be_sent_is_refused():
    lock = threading.Lock()
    with pytest.raises(ConfigError, match=r"cannot be sent to another process.*workers=0"):
        ProcessVectorEnv([lambda: lock])


@pytest.mark.parametrize("workers", [0, 5, -1, True, 1.5])
def test_every_process_steps_one_at_least(workers):
    with pytest.raises(ConfigError, match="1 to num_envs = 4"):
        in_processes(chunk, 4, workers)


def test_processes_are_never_forked():
    with pytest.raises(ConfigError, match="forkserver or spawn, got 'fork'"):
        ProcessVectorEnv([chunk], context="fork")
    with pytest.raises(ConfigError, match="at least one"):
        ProcessVectorEnv([])


def test_by_an_id():
    other = make_vec("gymnasium:Taxi-v4?is_rainy=true", 3, seed=2, workers=2)
    here = make_vec("gymnasium:Taxi-v4?is_rainy=true", 3, seed=2)
    try:
        assert isinstance(other, ProcessVectorEnv) and not isinstance(here, ProcessVectorEnv)
        assert other.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        same(other.reset()[0], here.reset()[0])
        for _ in range(20):
            same(other.step(np.full(3, 1))[0], here.step(np.full(3, 1))[0])
    finally:
        other.close()
    with pytest.raises(
        ConfigError, match="workers is 4; expected a whole number from 1 to num_envs"
    ):
        make_vec("gymnasium:Taxi-v4", 3, workers=4)
    with pytest.raises(ConfigError, match="workers was given among"):
        make_vec("gymnasium:Taxi-v4?workers=2", 3)


def test_worlds_that_step_many_at_once_are_divided_too():
    other = make_vec("panda", 4, seed=2, workers=2, remove_masks="action_mask")
    try:
        obs, _ = other.reset()
        assert obs["action_mask"].all() and len(attribute_of(other, "action_names")) == 2
        first = obs["entities"].reshape(4, -1)
        assert len(np.unique(first, axis=0)) == 4, "no two processes play the same episodes"
        for _ in range(3):
            other.step(np.zeros(4, int))
        state = other.get_state()
        expected = other.step(np.ones(4, int))[0]
        other.set_state(state)
        same(other.step(np.ones(4, int))[0], expected)
    finally:
        other.close()


def test_an_id_that_is_registered_here_is_known_there():
    name = "WalkOfThisTest-v0"
    gymnasium.register(name, entry_point=walk_class())
    try:
        other = make_vec(f"gymnasium:{name}", 2, workers=1)
        other.close()
    finally:
        gymnasium.registry.pop(name)
