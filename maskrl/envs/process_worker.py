"""What runs in a process of its own: a vector environment of a few, stepped when told to.

Observations, masks, rewards and ends go into shared memory, at the rows of this process;
only infos and rare questions go through the pipe. An error travels back whole, with its
traceback, and never ends the process in silence.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from maskrl.envs.contract import (
    attribute_of,
    can_save_state,
    final_observations,
    require_same_step,
)
from maskrl.envs.shared_arrays import Layout, SharedArrays

FINAL_KEYS = ("final_obs", "_final_obs")


@dataclass(frozen=True)
class Chunk:
    """What a process says of its environments when it has made them.

    Attributes:
        num_envs: How many they are.
        observation_space: Of one of them.
        action_space: Of one of them.
        metadata: Of their vector environment.
        render_mode: Theirs.
    """

    num_envs: int
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    metadata: dict[str, Any]
    render_mode: str | None


@dataclass(frozen=True)
class Failure:
    """An error, on its way to the process that shall raise it.

    Attributes:
        error: The error itself, pickled; None where it cannot be.
        text: Its type and message.
        trace: Its traceback.
    """

    error: bytes | None
    text: str
    trace: str


def run_worker(pipe: Connection) -> None:
    """Make a vector environment and do what comes through the pipe, until it closes.

    Args:
        pipe: Commands `(name, argument)` come in, answers `(worked, answer)` go out. The first
            one is "make", with the function that makes the environment, pickled: what goes
            wrong where it is read is an answer too.
    """
    _leave_signals_to_parent()
    worker = None
    try:
        while True:
            try:
                name, argument = pipe.recv()
            except EOFError:  # nobody is there any more
                return
            try:
                if name == "make":
                    worker = _Worker(pickle.loads(argument)())
                    answer: Any = worker.chunk
                elif name == "close":
                    pipe.send((True, None))
                    return
                else:
                    answer = getattr(worker, name)(argument)
                if name != "step":
                    _leave_signals_to_parent()  # what an environment starts may want them
                message = pickle.dumps((True, answer), protocol=pickle.HIGHEST_PROTOCOL)
            except Exception as error:
                message = pickle.dumps((False, failure_of(error)))
            pipe.send_bytes(message)
    except (BrokenPipeError, ConnectionResetError):
        return
    finally:
        if worker is not None:
            worker.venv.close()


def _leave_signals_to_parent() -> None:
    """Have Ctrl-C and SIGTERM, which reach a whole group of processes, mean nothing here.

    Who trains decides what they mean, saves what there is to save, and asks for an end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # no SIG_IGN: programs that an environment starts would inherit it, and could not be ended
    signal.signal(signal.SIGTERM, _end_without_parent)


def _end_without_parent(number: int, frame: FrameType | None) -> None:
    """SIGTERM is minded where nobody is left who could ask for an end."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        sys.exit(128 + number)


def failure_of(error: Exception) -> Failure:
    """An error with its traceback, as something that can be sent."""
    packed: bytes | None
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)  # errors with arguments of their own may fail only here
    except Exception:
        packed = None
    return Failure(packed, f"{type(error).__name__}: {error}", traceback.format_exc())


class _Worker:
    """The environments of one process; methods are commands."""

    def __init__(self, venv: VectorEnv[Any, Any, Any]) -> None:
        require_same_step(venv)
        self.venv = venv
        self.chunk = Chunk(
            venv.num_envs,
            venv.single_observation_space,
            venv.single_action_space,
            {k: v for k, v in venv.metadata.items() if k != "autoreset_mode"},
            venv.render_mode,
        )

    def attach(self, argument: tuple[Layout, int]) -> None:
        """Find the shared arrays; this process has the rows from `start` on."""
        layout, start = argument
        self.shared = SharedArrays(layout)
        rows = slice(start, start + self.venv.num_envs)
        mine = {name: array[rows] for name, array in self.shared.arrays.items()}
        self.actions = mine["actions"]
        self.results = [mine[name] for name in ("rewards", "terminated", "truncated")]
        self.illegal = mine["illegal"]
        self.seen = {n.removeprefix("now "): a for n, a in mine.items() if n.startswith("now ")}
        self.final = {n.removeprefix("end "): a for n, a in mine.items() if n.startswith("end ")}

    def reset(self, argument: tuple[Any, dict[str, Any] | None]) -> dict[str, Any]:
        """Reset; the infos."""
        seed, options = argument
        observation, infos = self.venv.reset(seed=seed, options=options)
        self._show(observation)
        return infos

    def step(self, _: None) -> dict[str, Any]:
        """Step with the shared actions; the infos, but for final observations."""
        observation, *results, infos = self.venv.step(self.actions.copy())
        for array, result in zip(self.results, results, strict=True):
            array[...] = result
        ended = np.flatnonzero(self.results[1] | self.results[2])
        if len(ended):
            for key, value in final_observations(infos, ended).items():
                self.final[key][ended] = value
        self._show(observation)
        return {key: value for key, value in infos.items() if key not in FINAL_KEYS}

    def _show(self, observation: Mapping[str, Any]) -> None:
        for key, array in self.seen.items():
            array[...] = observation[key]
        counts = getattr(self.venv, "illegal_actions", 0)
        self.illegal[...] = 0
        if np.ndim(counts):
            self.illegal[...] = counts
        else:
            self.illegal[0] = counts

    def attribute(self, name: str) -> list[Any]:
        """As `attribute_of`."""
        return attribute_of(self.venv, name)

    def call(self, argument: tuple[str, tuple[Any, ...], dict[str, Any]]) -> tuple[Any, ...]:
        """What a method or attribute of every environment gives."""
        name, args, kwargs = argument
        return tuple(self.venv.call(name, *args, **kwargs))  # type: ignore[attr-defined]

    def set_attr(self, argument: tuple[str, list[Any]]) -> None:
        """Set an attribute of every environment."""
        name, values = argument
        self.venv.set_attr(name, values)  # type: ignore[attr-defined]

    def render(self, _: None) -> Any:
        """What every environment renders."""
        return self.venv.render()

    def get_state(self, _: None) -> dict[str, Any]:
        """The state of all environments."""
        state: dict[str, Any] = self.venv.get_state()  # type: ignore[attr-defined]
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.venv.set_state(state)  # type: ignore[attr-defined]

    def state_obstacle(self, _: None) -> str | None:
        """Why the state cannot be saved, or None if it can."""
        if can_save_state(self.venv):
            return None
        told = getattr(self.venv, "state_obstacle", None)
        return str(told()) if callable(told) else f"{type(self.venv).__name__} has no get_state"
