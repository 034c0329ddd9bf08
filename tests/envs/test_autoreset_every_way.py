"""One toy environment, stepped in every way there is: each transition the same, bit for bit.

Here transitions are written down by hand from single environments (observation, both masks,
reward, terminated, truncated) and looked for in what vector environments hand out, in this
process and in others, in all of Gymnasium's modes, and in what a replay buffer draws.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from maskrl.buffers import ReplayBuffer
from maskrl.envs import make_vec
from maskrl.envs.autoreset import as_same_step
from maskrl.envs.contract import final_observations
from maskrl.envs.subprocesses import in_processes
from maskrl.errors import ConfigError

A, B, STEPS, SEED = 9, 5, 40, 20
ID = "EveryWayOfThisTest-v0"


def toy_class(*, reuses=True):
    """By value, so that processes need not import this file."""

    class Toy(gymnasium.Env):
        """Ends, is cut off, or both at once; its mask may be one array, changed in place.

        The mask of a state is told in `info`, at the end of an episode too, and no two states
        have the same: an observation or mask of a neighbour, of the step before or of the next
        episode is another one. Rewards need all bits of a float64.
        """

        observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        action_space = spaces.Discrete(9)

        def __init__(self):
            self.mask = np.zeros(9, np.int8)

        def look(self):
            if not reuses:
                self.mask = self.mask.copy()
            self.mask[:] = self.np_random.random(9) < 0.4
            self.mask[self.np_random.integers(9)] = 1
            return self.np_random.normal(size=2), {"action_mask": self.mask}

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.look()

        def step(self, action):
            if not self.mask[action]:
                raise LookupError(f"{action} is not allowed by {self.mask}")
            dice = self.np_random.random(3)
            ended, cut = bool(dice[0] < 0.12), bool(dice[1] < 0.12)
            observation, info = self.look()
            return observation, float(dice[2] + action), ended, cut, info

    return Toy


class Step(NamedTuple):
    """One transition as bytes, so that equal means equal to the bit."""

    seen: bytes
    allowed: bytes
    action: int
    reward: bytes
    next_seen: bytes
    next_allowed: bytes
    terminated: bool
    truncated: bool


def choose(t: int, env: int, allowed: np.ndarray) -> int:
    """A random allowed action, by nothing but the step, the environment and the mask."""
    choices = np.flatnonzero(allowed)
    return int(choices[np.random.default_rng((t, env)).integers(len(choices))])


def as_bytes(observation: Any, mask: Any) -> tuple[bytes, bytes]:
    return np.asarray(observation, np.float64).tobytes(), np.asarray(mask, np.bool_).tobytes()


def by_hand() -> list[list[Step]]:
    """What happens in B single environments; no code of this package."""
    told = []
    for i in range(B):
        env, steps = toy_class()(), []
        observation, info = env.reset(seed=SEED + i)
        here = as_bytes(observation, info["action_mask"])
        for t in range(STEPS):
            action = choose(t, i, np.frombuffer(here[1], np.bool_))
            observation, reward, ended, cut, info = env.step(action)
            there = as_bytes(observation, info["action_mask"])
            steps.append(Step(*here, action, np.float64(reward).tobytes(), *there, ended, cut))
            here = there
            if ended or cut:
                observation, info = env.reset()
                here = as_bytes(observation, info["action_mask"])
        told.append(steps)
    return told


def together(venv: VectorEnv) -> tuple[list[list[Step]], ReplayBuffer]:
    """What a vector environment that keeps the contract hands out, and a buffer of it."""
    told: list[list[Step]] = [[] for _ in range(B)]
    buffer = ReplayBuffer(venv.single_observation_space, B, STEPS * B)
    obs, _ = venv.reset(seed=SEED)
    buffer.begin(obs)
    for t in range(STEPS):
        actions = np.array([choose(t, i, obs["action_mask"][i]) for i in range(B)])
        following, rewards, terminated, truncated, infos = venv.step(actions)
        index = np.flatnonzero(terminated | truncated)
        ends = final_observations(infos, index) if len(index) else None
        some = {} if ends is None else {"final_obs": ends, "final_index": index}
        buffer.add(actions, rewards, terminated, truncated, following, **some)
        for i in range(B):
            there = {key: value[i] for key, value in following.items()}
            if i in index:
                there = {key: value[index.tolist().index(i)] for key, value in ends.items()}
            told[i].append(
                Step(
                    *as_bytes(obs["observation"][i], obs["action_mask"][i]),
                    int(actions[i]),
                    rewards[i].tobytes(),
                    *as_bytes(there["observation"], there["action_mask"]),
                    bool(terminated[i]),
                    bool(truncated[i]),
                )
            )
        obs = following
    return told, buffer


def require_stored(expected: list[list[Step]], buffer: ReplayBuffer) -> None:
    """Every transition is in the buffer, as float32, with both masks and the right successor."""
    batch = buffer.sample(4000, np.random.default_rng(0))
    first = {place: row for row, place in enumerate(batch.index.tolist())}
    assert len(first) == B * STEPS, "4000 draws of 200 miss one in 400 million times"
    now, then = (
        (obs["observation"].numpy(), obs["action_mask"].unpack().numpy())
        for obs in (batch.observations, batch.next_observations)
    )
    for place, row in first.items():
        t, i = divmod(place, B)
        step = expected[i][t]
        for (seen, allowed), (features, masks) in (
            ((step.seen, step.allowed), now),
            ((step.next_seen, step.next_allowed), then),
        ):
            assert features[row].tobytes() == np.frombuffer(seen).astype(np.float32).tobytes()
            assert masks[row].tobytes() == allowed
        assert int(batch.actions[row]) == step.action
        assert batch.rewards[row].item() == np.float32(np.frombuffer(step.reward)[0])
        assert bool(batch.terminated[row]) == step.terminated
        assert bool(batch.truncated[row]) == (step.truncated and not step.terminated)


@pytest.fixture(scope="module")
def expected() -> list[list[Step]]:
    told = by_hand()
    flat = [step for steps in told for step in steps]
    assert len({step.allowed for step in flat}) > 100, "masks tell states apart"
    ends = {(step.terminated, step.truncated) for step in flat}
    assert len(ends) == 4, "every kind of end is met, both at once too"
    assert any(step.terminated and len(told[i]) > 1 for i in range(B) for step in told[i][:-1])
    return told


@pytest.fixture(scope="module", autouse=True)
def registered():
    gymnasium.register(ID, entry_point=toy_class())
    yield
    gymnasium.registry.pop(ID)


def sync(mode: AutoresetMode, *, num_envs: int = B, copy: bool = True) -> VectorEnv:
    return as_same_step(SyncVectorEnv([toy_class()] * num_envs, copy=copy, autoreset_mode=mode))


def asynchronous(mode: AutoresetMode) -> VectorEnv:
    toy = toy_class(reuses=mode is not AutoresetMode.SAME_STEP)  # see the next test
    return as_same_step(AsyncVectorEnv([toy] * B, context="forkserver", autoreset_mode=mode))


def ours(workers: int) -> VectorEnv:
    return make_vec(f"gymnasium:{ID}", B, workers=workers)


def divided(mode: AutoresetMode) -> VectorEnv:
    """Somebody's vector environments of any mode, two and three of them in a process each."""
    return in_processes(partial(sync, mode), B, 2)


WAYS: dict[str, Callable[[], VectorEnv]] = {
    **{f"sync {mode.value}": partial(sync, mode) for mode in AutoresetMode},
    **{f"sync, no copies {mode.value}": partial(sync, mode, copy=False) for mode in AutoresetMode},
    **{f"async {mode.value}": partial(asynchronous, mode) for mode in AutoresetMode},
    **{f"workers={k}": partial(ours, k) for k in (0, 1, 2)},
    **{f"divided {mode.value}": partial(divided, mode) for mode in AutoresetMode},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_transitions_in_every_way(way, expected):
    venv = WAYS[way]()
    try:
        told, buffer = together(venv)
    finally:
        venv.close()
    for i in range(B):
        for t in range(STEPS):
            assert told[i][t] == expected[i][t], f"environment {i}, step {t}"
    require_stored(expected, buffer)


def test_a_mask_that_was_written_over_before_it_was_sent_is_refused():
    """Gymnasium's processes reset before they send the final info, whose array is the same."""
    venv = as_same_step(
        AsyncVectorEnv([toy_class()] * B, context="forkserver", autoreset_mode="SameStep")
    )
    try:
        with pytest.raises(ConfigError, match=r"written over the final mask .*DISABLED"):
            together(venv)
    finally:
        venv.close()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_observations_in_parts_are_followed_through_every_mode(mode):
    class InParts(gymnasium.Env):
        """Counts up to its length, told as a Tuple of a number and a Dict."""

        observation_space = spaces.Tuple(
            (spaces.Discrete(9), spaces.Dict({"count": spaces.Box(0, 9, (1,), np.float32)}))
        )
        action_space = spaces.Discrete(2)

        def __init__(self, length):
            self.length = length

        def tell(self):
            count = np.array([self.count], np.float32)
            return (np.int64(self.count), {"count": count}), {"action_mask": [1, self.count % 2]}

        def reset(self, *, seed=None, options=None):
            self.count = 0
            return self.tell()

        def step(self, action):
            self.count += 1
            observation, info = self.tell()
            return observation, 0.0, self.count == self.length, False, info

    lengths = (2, 3)
    venv = as_same_step(
        SyncVectorEnv([lambda n=n: InParts(n) for n in lengths], autoreset_mode=mode)
    )
    venv.reset(seed=0)
    for step in range(1, 8):
        seen, _, terminated, _, infos = venv.step(np.zeros(2, int))
        number, parts = seen["observation"]
        counts = [step % n for n in lengths]
        assert number.tolist() == parts["count"][:, 0].tolist() == counts
        assert seen["action_mask"][:, 1].tolist() == [count % 2 == 1 for count in counts]
        assert terminated.tolist() == [count == 0 for count in counts]
        if terminated.any():
            last, last_parts = infos["final_obs"]["observation"]
            for env in np.flatnonzero(terminated):
                assert last[env] == last_parts["count"][env, 0] == lengths[env]
