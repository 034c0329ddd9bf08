"""rl4co's combinatorial problems (routes, schedules, locations) as the contract has them.

`rl4co:tsp` is a problem by rl4co's name. The library steps B problems of one length at a
time and gives a reward when all are solved; here each begins anew when it is solved, with a
seed of its own, and its reward is there in that step. Some problems read the whole batch
where they mean a row (the first step, the end), so rows are stepped together with those of
their age where that matters. Torch's own random numbers are left as they were.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from maskrl.envs.adapters.batches import BatchEnv, BatchVectorEnv, Observation, Stepped
from maskrl.envs.adapters.library_import import RL4CO
from maskrl.envs.adapters.rl4co_entries import Form, find_layout
from maskrl.errors import ConfigError, NoMaskError, UnknownEnvError
from maskrl.masks.tree import FLAT_MASK

PREFIX = "rl4co:"

OPTIONS = {
    "form": "candidates (a row of features per choice, scored by one network) or flat (every "
    "array an entry); candidates where nodes or jobs are chosen, if nothing is said.",
    "rewards": "end (all in the last step, as rl4co does) or dense (minus the way gone in every "
    "step, and what is missing in the last: the return is the same); dense where the return is "
    "minus the length of a tour, if nothing is said.",
    "num_loc": "Nodes of a problem; all other arguments of the problem's generator may be given "
    "likewise.",
}
"""Settings that every problem takes."""

DENSE = ("tsp", "shpp", "cvrp", "cvrpmvc", "cvrptw", "sdvrp", "pdp")
"""Problems whose return is minus the length of a tour."""

ALONE = ("ffsp", "mcp")
"""Problems whose rows are stepped one by one: they read or write across the batch."""

DOWNLOADS = ("dpp", "mdpp")
"""Problems that fetch their data from the network when they are made."""

IMPROVE = ("tsp_kopt", "pdp_ruin_repair")
"""Problems that improve a solution by moves for which rl4co has no mask in its state."""


HIDDEN = {"pctsp": ("stochastic_prize",), "spctsp": ("stochastic_prize", "real_prize")}
"""Entries of a state that a solver may not know: prizes that are only drawn on arrival."""


class Rl4coBatch:
    """B problems of rl4co's; see `Batch` for its methods.

    Args:
        problem: As rl4co calls it.
        num_envs: B, at least 1.
        form: As in `find_layout`.
        rewards: "dense" or "end"; None as `OPTIONS` says.
        generator: Arguments of the problem's generator.

    Attributes:
        layout: How arrays become observations; `layout.columns` names what candidates tell.

    Raises:
        LibraryMissingError: rl4co is not installed.
        UnknownEnvError: It has no such problem.
        NoMaskError: The problem has no mask.
        ConfigError: A setting is out of range or unknown, or it cannot be made.
    """

    rendered: tuple[str, ...] = ()

    def __init__(
        self,
        problem: str,
        num_envs: int,
        *,
        form: Form | None = None,
        rewards: str | None = None,
        **generator: Any,
    ) -> None:
        self.name = PREFIX + problem
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise ConfigError(
                f"{self.name}: num_envs must be a whole number from 1 on; got {num_envs!r}"
            )
        check_name(problem)
        self._torch = RL4CO.load(self.name, "torch")  # the library's own tensors
        self.num_envs = num_envs
        with self._own_randomness(0):
            self.env = _make(problem, generator)
        self._seeds = np.zeros(num_envs, np.uint64)
        self._episodes = np.zeros(num_envs, np.int64)
        first = self._fresh(np.zeros(1, np.int64))
        self._keys = list(first.keys())
        self._forms = {key: (first[key].shape[1:], first[key].dtype) for key in self._keys}
        if FLAT_MASK not in self._keys:
            raise NoMaskError(f"environment {self.name!r}: its state has no {FLAT_MASK!r}")
        self._hidden = HIDDEN.get(problem, ())
        self.layout = find_layout(self.name, self._shown(first), form)
        self.observation_space = self.layout.space
        self.action_space: spaces.Space[Any] = spaces.Discrete(self.layout.n_actions)
        self.nvec: tuple[int, ...] = (self.layout.n_actions,)
        self._dense = self._pays_per_step(problem, rewards, first)
        self._groups = "alone" if problem in ALONE else "age" if "i" in self._keys else "all"
        self._state = self._cat([first] * num_envs)
        self._ages = np.zeros(num_envs, np.int64)
        self._actions = np.zeros((num_envs, 64), np.int64)
        self._paid = np.zeros(num_envs)

    def seed(self, seeds: list[int]) -> None:
        """Give every problem the seed of itself and all that follow it."""
        self._seeds = np.array([s % 2**64 for s in seeds], np.uint64)
        self._episodes[:] = 0

    def begin(self, rows: npt.NDArray[np.int64]) -> None:
        """New problems in some rows."""
        if not len(rows):
            return
        index = self._torch.as_tensor(rows)
        self._state[index] = self._fresh(rows)
        self._episodes[rows] += 1
        self._ages[rows] = 0
        self._paid[rows] = 0.0

    def step(self, actions: npt.NDArray[np.int64]) -> Stepped:
        """Take a node, a job, a set in every problem."""
        here = self._places() if self._dense else None
        self._note(actions)
        rewards = np.zeros(self.num_envs)
        over = np.zeros(self.num_envs, np.bool_)
        groups = self._rows_together()
        for rows in groups:
            whole = len(rows) == self.num_envs
            index = self._torch.as_tensor(rows)
            part = self._state if whole else self._state[index]
            part = part.clone()
            part.set("action", self._torch.as_tensor(actions[rows]))
            after = self.env.step(part)["next"]
            over[rows] = np.asarray(after["done"]).reshape(len(rows), -1)[:, 0]
            ended = np.flatnonzero(over[rows])
            if len(ended):
                rewards[rows[ended]] = self._returns(after, rows, ended)
            kept = self._as_after_reset(after, len(rows))
            if whole:
                self._state = kept
            else:
                self._state[index] = kept
        if here is not None:
            way = np.linalg.norm(self._chosen_places(actions) - here, axis=-1)
            way = np.nan_to_num(way)  # nowhere before the first node of a tour without a depot
            rewards = np.where(over, rewards - self._paid, -way)
            self._paid += np.where(over, 0.0, -way)
        return Stepped(rewards, over, np.zeros(self.num_envs, np.bool_))

    def observe(self) -> Observation:
        """The present observation of all problems."""
        return self.layout.observe(self._shown(self._state))

    def render(self, row: int, mode: str) -> Any:
        """Nothing: `rendered` is empty."""
        raise ConfigError(f"{self.name} has no pictures")

    def get_state(self) -> dict[str, npt.NDArray[Any]]:
        """All arrays of all problems, and what was chosen so far."""
        own = {name: getattr(self, f"_{name}").copy() for name in _SAVED}
        state = {f"td.{key}": value.copy() for key, value in _arrays(self._state).items()}
        return own | state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `get_state`.

        Raises:
            ConfigError: The state has other arrays than these problems.
        """
        here = self.get_state()
        for name, array in here.items():
            saved = np.asarray(state[name])
            grows = name == "actions" and saved.ndim == 2 and len(saved) == self.num_envs
            if saved.dtype != array.dtype or (saved.shape != array.shape and not grows):
                raise ConfigError(
                    f"{self.name}: {name} of the saved state is {saved.dtype} {saved.shape}, "
                    f"expected {array.dtype} {array.shape}: it is of another problem, or of more "
                    "or fewer"
                )
        for name in _SAVED:
            setattr(self, f"_{name}", np.array(state[name]))
        for key in self._keys:
            saved = self._torch.as_tensor(np.array(state[f"td.{key}"]))
            self._state.set(key, saved)

    # --- inside ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def _own_randomness(self, seed: int) -> Iterator[None]:
        """Torch's generator under a seed of ours, and as it was afterwards."""
        with self._torch.random.fork_rng(devices=[]):
            self._torch.manual_seed(seed)
            yield

    def _fresh(self, rows: npt.NDArray[np.int64]) -> Any:
        """The first states of the next problems of some rows, each from its own seed."""
        made = []
        for row in rows:
            words = [int(self._seeds[row]), int(self._episodes[row])]
            seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
            with self._own_randomness(seed):
                made.append(self.env.reset(batch_size=[1]))
        return self._cat(made)

    def _shown(self, state: Any) -> dict[str, npt.NDArray[Any]]:
        return {key: rows for key, rows in _arrays(state).items() if key not in self._hidden}

    def _as_after_reset(self, after: Any, count: int) -> Any:
        """A state with the arrays of a reset: steps add some, and drop or add axes of size 1."""
        kept = after.select(*self._keys)
        for key, (shape, dtype) in self._forms.items():
            if kept[key].shape[1:] != shape or kept[key].dtype != dtype:
                kept.set(key, kept[key].reshape(count, *shape).to(dtype))
        return kept

    def _cat(self, parts: list[Any]) -> Any:
        return self._torch.cat(parts, 0).clone()

    def _note(self, actions: npt.NDArray[np.int64]) -> None:
        """Remember what was chosen: rewards are of whole solutions."""
        if self._ages.max(initial=0) >= self._actions.shape[1]:
            self._actions = np.pad(self._actions, ((0, 0), (0, self._actions.shape[1])))
        self._actions[np.arange(self.num_envs), self._ages] = actions
        self._ages += 1

    def _rows_together(self) -> list[npt.NDArray[np.int64]]:
        """Rows that may be stepped in one call."""
        rows = np.arange(self.num_envs)
        if self._groups == "all":
            return [rows]
        if self._groups == "alone":
            return [rows[i : i + 1] for i in rows]
        return [np.flatnonzero(self._ages == age) for age in np.unique(self._ages)]

    def _returns(
        self, after: Any, rows: npt.NDArray[np.int64], ended: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """What whole solutions are worth; those of one length in one call."""
        worth = np.zeros(len(ended))
        ages = self._ages[rows[ended]]
        for age in np.unique(ages):
            place = np.flatnonzero(ages == age)
            index = self._torch.as_tensor(ended[place])
            chosen = self._torch.as_tensor(self._actions[rows[ended[place]], :age])
            part = after if len(place) == len(rows) else after[index]
            told = self.env.get_reward(part, chosen, check_solution=False)
            worth[place] = np.asarray(told, np.float64).reshape(len(place), -1)[:, 0]
        return worth

    def _pays_per_step(self, problem: str, rewards: str | None, first: Any) -> bool:
        if rewards not in (None, "dense", "end"):
            raise ConfigError(
                f"environment {self.name!r}: rewards is {rewards!r}; expected 'dense' or 'end'"
            )
        able = {"locs", "current_node"} <= set(first.keys())
        if rewards == "dense" and not able:
            raise ConfigError(
                f"environment {self.name!r}: rewards=dense needs nodes that have places, and this "
                "problem has none; take rewards=end."
            )
        return rewards == "dense" or (rewards is None and able and problem in DENSE)

    def _places(self) -> npt.NDArray[Any]:
        """Where each row is now, [B, 2]; NaN before the first node where there is no depot."""
        arrays = _arrays(self._state)
        here = self._chosen_places(arrays["current_node"].reshape(self.num_envs))
        if "depot" not in arrays:
            here = np.where(self._ages[:, None] > 0, here, np.nan)
        return here

    def _chosen_places(self, nodes: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        places = np.asarray(self._state["locs"], np.float64)
        return np.array(places[np.arange(self.num_envs), nodes])


_SAVED = ("seeds", "episodes", "ages", "actions", "paid")


def check_name(problem: str) -> None:
    """Check that a name means a problem, without making it.

    Raises:
        LibraryMissingError: rl4co is not installed.
        UnknownEnvError: It means none; the message offers the nearest.
        NoMaskError: rl4co has no mask for it.
        ConfigError: It would fetch data from the network.
    """
    known = list(RL4CO.load(PREFIX + problem, "rl4co.envs").ENV_REGISTRY)
    usable = [name for name in known if name not in (*DOWNLOADS, *IMPROVE)]
    if problem in DOWNLOADS:
        raise ConfigError(
            f"environment {PREFIX + problem!r}: rl4co downloads its data when it is made, and "
            "nothing is downloaded here. Problems without data: " + ", ".join(usable)
        )
    if problem in IMPROVE:
        raise NoMaskError(
            f"environment {PREFIX + problem!r}: it improves a solution by moves, and rl4co has no "
            "action_mask for them. Problems with masks: " + ", ".join(usable)
        )
    if problem not in known:
        near = difflib.get_close_matches(problem.lower(), usable, n=3, cutoff=0.5)
        advice = f" Did you mean {' or '.join(PREFIX + one for one in near)}?" if near else ""
        raise UnknownEnvError(
            f"environment {PREFIX + problem!r}: rl4co has no such problem.{advice} It has "
            f"{', '.join(usable)}."
        )


def make_rl4co(
    problem: str, *, render_mode: str | None = None, seed: int = 0, **settings: Any
) -> gymnasium.Env[Any, Any]:
    """One problem by its name."""
    return BatchEnv(Rl4coBatch(problem, 1, **settings), seed=seed, render_mode=render_mode)


def make_rl4co_vec(
    problem: str, num_envs: int, *, seed: int = 0, **settings: Any
) -> VectorEnv[Any, Any, Any]:
    """`num_envs` problems by their name, stepped together."""
    return BatchVectorEnv(Rl4coBatch(problem, num_envs, **settings), seed=seed)


def _make(problem: str, generator: dict[str, Any]) -> Any:
    """The environment of rl4co's, with arguments that its generator knows."""
    name = PREFIX + problem
    package = RL4CO.load(name, "rl4co.envs")
    try:
        env = package.get_env(problem)
        if not generator:
            return env
        parameters = inspect.signature(type(env.generator)).parameters
        known = [key for key, p in parameters.items() if p.kind is not p.VAR_KEYWORD]
        for key in generator:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                advice = f" Did you mean {near[0]}?" if near else ""
                raise ConfigError(
                    f"environment {name!r}: {key!r} is no argument of its generator, which takes "
                    f"{', '.join(known)}.{advice} Beside them there are form and rewards."
                )
        return package.get_env(problem, generator_params=generator)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"environment {name!r}: it cannot be made with the arguments {generator or 'none'}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _arrays(state: Any) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a state as arrays that share their memory."""
    return {key: value.detach().cpu().numpy() for key, value in state.items()}
