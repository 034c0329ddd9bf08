"""A vector environment whose environments step in processes of their own, side by side.

Each of k processes steps several of them, so that one message a step serves them all.
Observations, masks among them, lie in shared memory: nothing is asked for twice and nothing
large goes through a pipe. Processes are started by forkserver or spawn and never forked: a
fork copies threads' locks and a running Java machine in whatever state they are.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.util import Finalize
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import CloudpickleWrapper, batch_space, create_empty_array

from maskrl.envs.entries import entries_of
from maskrl.envs.process_worker import Chunk, Failure, run_worker
from maskrl.envs.shared_arrays import SharedArrays
from maskrl.envs.vector_infos import joined_infos
from maskrl.envs.worker_processes import WorkerProcesses
from maskrl.errors import ConfigError, WorkerError
from maskrl.masks.tree import ActionTree

FIXED = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
"""Spaces whose values have a fixed size, so that they can lie in shared memory."""

MakeVec = Callable[..., VectorEnv[Any, Any, Any]]


class ProcessVectorEnv(VectorEnv[dict[str, np.ndarray], Any, np.ndarray]):
    """Vector environments in processes of their own, as one; it resets in SAME_STEP mode.

    Args:
        chunks: One function per process, each making a vector environment that keeps the
            contract; pickled by value where they cannot be imported.
        seed: Seed of a first `reset()` that gives none.
        context: How processes start: "forkserver" where there is one, otherwise "spawn".
        name: What messages call it.

    Raises:
        ConfigError: Environments of several processes differ, or an observation has an entry
            without a fixed size; whatever making an environment raises, with its traceback.
        WorkerError: A process died.

    The same seed gives the transitions of the same environments in one process, where an
    environment's generator goes by the seed alone that it gets: seed + i for environment i.
    """

    def __init__(
        self,
        chunks: Sequence[Callable[[], VectorEnv[Any, Any, Any]]],
        *,
        seed: int | None = None,
        context: Literal["forkserver", "spawn"] | None = None,
        name: str = "the environment",
    ) -> None:
        if not chunks:
            raise ConfigError("ProcessVectorEnv: expected at least one function, got none")
        self.name = name
        self._first_seed = seed
        methods = multiprocessing.get_all_start_methods()
        method = context or ("forkserver" if "forkserver" in methods else "spawn")
        if method not in ("forkserver", "spawn") or method not in methods:
            raise ConfigError(
                f"{name}: processes are started by forkserver or spawn, got {method!r}. A fork "
                "copies locks and threads in whatever state they are"
            )
        self._workers = WorkerProcesses(served=method == "forkserver")
        # at an exit before multiprocessing waits for its processes, which do not mind SIGTERM
        self._finish = Finalize(self, self._workers.stop, exitpriority=100)
        starts: Any = multiprocessing.get_context(method)
        packed = [_packed(make, name) for make in chunks]
        try:
            for number in range(len(chunks)):
                here, there = multiprocessing.Pipe()
                process = starts.Process(
                    target=run_worker,
                    args=(there,),
                    name=f"maskrl environments {number}",
                    daemon=True,
                )
                self._workers.add(process, here)
                process.start()
                there.close()
            self._make(packed)
        except BaseException:
            self._finish()
            raise

    def _make(self, packed: Sequence[bytes]) -> None:
        """Have the environments made, all at once, and lay out the memory that they share."""
        made: list[Chunk] = self._ask("make", packed)
        first = made[0]
        for number, chunk in enumerate(made):
            if (chunk.observation_space, chunk.action_space) != (
                first.observation_space,
                first.action_space,
            ):
                raise ConfigError(
                    f"{self.name}: process {number} has the spaces {chunk.observation_space} and "
                    f"{chunk.action_space}, process 0 {first.observation_space} and "
                    f"{first.action_space}"
                )
        self.sizes = [chunk.num_envs for chunk in made]
        self.starts = np.cumsum([0, *self.sizes]).tolist()
        self.num_envs = self.starts[-1]
        self.metadata = {**first.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        self.render_mode = first.render_mode
        self.single_observation_space = first.observation_space
        self.single_action_space = first.action_space
        self.observation_space = batch_space(first.observation_space, self.num_envs)
        self.action_space = batch_space(first.action_space, self.num_envs)
        batch = (self.num_envs,)
        arrays: dict[str, tuple[tuple[int, ...], np.dtype]] = {
            "actions": (self.action_space.shape or batch, np.dtype(self.action_space.dtype)),
            "rewards": (batch, np.dtype(np.float64)),
            "terminated": (batch, np.dtype(np.bool_)),
            "truncated": (batch, np.dtype(np.bool_)),
            "illegal": (batch, np.dtype(np.int64)),
        }
        for key, space in entries_of(first.observation_space).items():
            if not isinstance(space, FIXED):
                raise ConfigError(
                    f"{self.name}: observation {key!r} is {space}, which has no fixed size and "
                    "cannot lie in shared memory; step these environments in one process "
                    "(workers=0)"
                )
            like: Any = create_empty_array(space, n=self.num_envs, fn=np.zeros)
            arrays[f"now {key}"] = arrays[f"end {key}"] = (like.shape, like.dtype)
        self._workers.shared = shared = SharedArrays(arrays)
        self._ask("attach", [(shared.layout, start) for start in self.starts[:-1]])
        shared.hide()
        parts = shared.arrays
        self._actions = parts["actions"]
        self._illegal = parts["illegal"]
        self._results = [parts[n] for n in ("rewards", "terminated", "truncated")]
        keys = list(entries_of(first.observation_space))
        self._now = {key: parts[f"now {key}"] for key in keys}
        self._end = {key: parts[f"end {key}"] for key in keys}

    @property
    def workers(self) -> int:
        """How many processes there are."""
        return len(self._workers)

    @property
    def process_ids(self) -> tuple[int | None, ...]:
        """Their ids."""
        return tuple(process.pid for process in self._workers.processes)

    @property
    def illegal_actions(self) -> int:
        """Actions executed against the mask handed out, over all sub-environments."""
        return int(self._illegal.sum())

    @property
    def action_tree(self) -> ActionTree | None:
        """How the parts of an action depend on each other, where the environments say so."""
        told: list[ActionTree] = self.attribute_values("action_tree")
        return told[0] if told else None

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Reset all; without a seed, the first time with the one given at construction.

        Args:
            seed: One number, from which environment i gets seed + i, or one for each.
            options: For every environment. Gymnasium's "reset_mask" bool `[B]` resets some.
        """
        if seed is None:
            seed = self._first_seed
        self._first_seed = None
        options = dict(options or {})
        mask = options.pop("reset_mask", None)
        given = []
        for start, stop in zip(self.starts[:-1], self.starts[1:], strict=True):
            mine = seed
            if isinstance(seed, int | np.integer):
                mine = int(seed) + start
            elif seed is not None:
                if len(seed) != self.num_envs:
                    raise ConfigError(
                        f"reset: seed has {len(seed)} entries, expected one for each of the "
                        f"{self.num_envs} environments"
                    )
                mine = list(seed[start:stop])
            some = {} if mask is None else {"reset_mask": np.array(mask[start:stop], np.bool_)}
            given.append((mine, {**options, **some} or None))
        if mask is None:
            infos = joined_infos(self._ask("reset", given), self.sizes)
            return self._seen(), infos
        asked = [i for i, (_, told) in enumerate(given) if told and told["reset_mask"].any()]
        answers = self._ask("reset", [given[i] for i in asked], asked)
        parts: list[dict[str, Any]] = [{} for _ in self.sizes]
        for i, told in zip(asked, answers, strict=True):
            parts[i] = told
        return self._seen(), joined_infos(parts, self.sizes)

    def step(
        self, actions: Any
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all environments; where an episode ends, the next one has begun."""
        given = np.asarray(actions)
        if given.shape != self._actions.shape:
            raise ConfigError(
                f"{self.name}: actions has shape {given.shape}, expected {self._actions.shape}"
            )
        self._actions[...] = given
        answers = self._ask("step", [None] * self.workers)
        rewards, terminated, truncated = (array.copy() for array in self._results)
        infos = joined_infos(answers, self.sizes)
        ended = terminated | truncated
        if ended.any():
            infos["final_obs"] = {key: array.copy() for key, array in self._end.items()}
            infos["_final_obs"] = ended
        return self._seen(), rewards, terminated, truncated, infos

    def _seen(self) -> dict[str, np.ndarray]:
        return {key: array.copy() for key, array in self._now.items()}

    def attribute_values(self, name: str) -> list[Any]:
        """An attribute of all sub-environments; empty if they have none."""
        return [x for part in self._ask("attribute", [name] * self.workers) for x in part]

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """What a method or attribute of every sub-environment gives."""
        parts = self._ask("call", [(name, args, kwargs)] * self.workers)
        return tuple(x for part in parts for x in part)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of every sub-environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of every sub-environment: a list of one for each, or one for all."""
        each = values if isinstance(values, list | tuple) else [values] * self.num_envs
        if len(each) != self.num_envs:
            raise ConfigError(
                f"set_attr: {name!r} has {len(each)} values, expected one for each of the "
                f"{self.num_envs} environments"
            )
        spans = zip(self.starts[:-1], self.starts[1:], strict=True)
        self._ask("set_attr", [(name, list(each[start:stop])) for start, stop in spans])

    def render(self) -> tuple[Any, ...] | None:
        """What every sub-environment renders."""
        parts = self._ask("render", [None] * self.workers)
        return tuple(x for part in parts if part is not None for x in part)

    def get_state(self) -> dict[str, Any]:
        """The state of all sub-environments, by process.

        Raises:
            ConfigError: An attribute of an environment is no plain data; it is named.
        """
        parts = self._ask("get_state", [None] * self.workers)
        state = {f"{i}.{key}": value for i, part in enumerate(parts) for key, value in part.items()}
        return {**state, "sizes": np.array(self.sizes, np.int64)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue where `get_state` was called on an environment made in the same way.

        Raises:
            ConfigError: The state is damaged, or of other, fewer or otherwise divided ones.
        """
        sizes = np.asarray(state.get("sizes", ())).tolist()
        if sizes != self.sizes:
            raise ConfigError(
                f"set_state: the saved state is of {sizes or 'no'} environments by process, these "
                f"are {self.sizes}; give num_envs and workers as they were"
            )
        parts: list[dict[str, Any]] = [{} for _ in sizes]
        for key, value in state.items():
            number, dot, rest = key.partition(".")
            if dot and number.isdecimal() and int(number) < len(parts):
                parts[int(number)][rest] = value
        self._ask("set_state", parts)
        self._first_seed = None

    def state_obstacle(self) -> str | None:
        """Why the state cannot be saved, or None if it can."""
        told = self._ask("state_obstacle", [None] * self.workers)
        return next((obstacle for obstacle in told if obstacle is not None), None)

    def can_save_state(self) -> bool:
        """Whether `get_state` works."""
        return self.state_obstacle() is None

    def close_extras(self, **kwargs: Any) -> None:
        """End the processes, and give the shared memory back."""
        self._finish()

    def _ask(
        self, command: str, arguments: Sequence[Any], workers: Sequence[int] | None = None
    ) -> list[Any]:
        """Have processes do something at the same time; their answers.

        Raises:
            ConfigError: All of this is closed.
            WorkerError: A process died.
        """
        asked = range(len(self._workers)) if workers is None else workers
        if self._workers.stopped:
            raise ConfigError(f"{self.name}: {command} after close(), or after a process failed")
        try:
            for number, argument in zip(asked, arguments, strict=True):
                self._workers.send(number, (command, argument))
            answers = [self._workers.receive(number) for number in asked]
        except (BrokenPipeError, ConnectionResetError, EOFError):
            raise self._death() from None
        except BaseException:
            self.close()  # answers to this command would be taken for those to the next
            raise
        failed = [i for i, (worked, _) in enumerate(answers) if not worked]
        if failed:
            number, failure = asked[failed[0]], answers[failed[0]][1]
            if command in ("make", "reset", "step"):
                self.close()  # the others have gone on
            raise _error(failure, f"{self.name}, process {number} of {self.workers}")
        return [answer for _, answer in answers]

    def _death(self) -> WorkerError:
        """Which process is dead, and how it died."""
        number, how = self._workers.dead()
        started = hasattr(self, "num_envs")
        which = (
            f"with environments {self.starts[number]} to {self.starts[number + 1] - 1} "
            if (started)
            else "before it had made its environments "
        )
        hint = (
            "It was killed from outside, perhaps for want of memory, or its environment crashed."
            if started
            else "If this is a script of your own, put what it does under "
            "if __name__ == '__main__':, because every process imports it."
        )
        workers = self.workers
        self.close()
        return WorkerError(
            f"{self.name}: process {number} of {workers} died {which}({how}). {hint}"
        )


class RemoteError(Exception):
    """The traceback of another process, as the cause of the error that came from it."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _error(failure: Failure, where: str) -> BaseException:
    """The error that a process met, with the traceback of there as its cause."""
    error: BaseException = ConfigError(f"{where}: {failure.text}")
    if failure.error is not None:
        # an error's class may be one that only the process there can import
        with contextlib.suppress(Exception):
            error = pickle.loads(failure.error)
    error.add_note(f"raised in {where}")
    error.__cause__ = RemoteError(failure.trace)
    return error


def _packed(make: Callable[[], VectorEnv[Any, Any, Any]], name: str) -> bytes:
    """A function as bytes; what cannot be imported elsewhere goes by value."""
    try:
        return pickle.dumps(CloudpickleWrapper(make))
    except Exception as error:  # whatever the objects inside it raise
        raise ConfigError(
            f"{name}: what makes its environments cannot be sent to another process: "
            f"{type(error).__name__}: {error}. Let it make what it needs itself, or step them in "
            "one process (workers=0)"
        ) from error


def in_processes(
    make: MakeVec,
    num_envs: int,
    workers: int,
    *,
    seed: int | None = None,
    name: str = "the environment",
) -> ProcessVectorEnv:
    """Divide environments among processes, as evenly as it goes.

    Args:
        make: `make(num_envs=n)` gives a vector environment of n that keeps the contract.
        num_envs: How many in all.
        workers: Number of processes.
        seed: As in `ProcessVectorEnv`.
        name: What messages call it.

    Raises:
        ConfigError: There are fewer environments than processes; or as `ProcessVectorEnv`.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= num_envs:
        raise ConfigError(
            f"{name}: workers is {workers!r}; expected a whole number from 1 to num_envs = "
            f"{num_envs}: every process steps one environment at least"
        )
    sizes = [num_envs // workers + (i < num_envs % workers) for i in range(workers)]
    chunks = [_Chunk(make, size) for size in sizes]
    return ProcessVectorEnv(chunks, seed=seed, name=name)


class _Chunk:
    """Makes the environments of one process."""

    def __init__(self, make: MakeVec, num_envs: int) -> None:
        self.make, self.num_envs = make, num_envs

    def __call__(self) -> VectorEnv[Any, Any, Any]:
        return self.make(num_envs=self.num_envs)
