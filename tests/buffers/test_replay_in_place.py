"""Environments that change their mask in place later: what was stored stays as it was.

Every convention by which a mask is handed over, in every form, with one object that the
environment writes into at each step and that is spoilt in the end, beside the same
environment giving a new one each time. What two replay buffers hold is the same, to the bit.
"""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from maskrl.buffers import ReplayBuffer
from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.envs.contract import final_observations
from maskrl.envs.vectorize import GymnasiumVectorEnv

A, B = 6, 2

FORMS = {
    "int8": lambda flags: np.array(flags, np.int8),
    "bool": lambda flags: np.array(flags, np.bool_),
    "float": lambda flags: np.array(flags, np.float64),
    "list": lambda flags: [bool(flag) for flag in flags],
    "ids": lambda flags: np.flatnonzero(flags).tolist(),
    "set": lambda flags: set(np.flatnonzero(flags).tolist()),
    "dict": lambda flags: dict(enumerate(map(int, flags))),
}


def overwrite(kept, new):
    """Let an object hold what another one holds."""
    if isinstance(kept, np.ndarray):
        kept[...] = new
    elif isinstance(kept, list):
        kept[:] = new
    else:
        kept.clear()
        kept.update(new)


class Keeps(gymnasium.Env):
    """Random masks, ends and cuts; its mask lies where `place` says."""

    action_space = spaces.Discrete(A)

    def __init__(self, place, form, *, reuses):
        self.place, self.form, self.reuses = place, FORMS[form], reuses
        self.given = self.form(np.ones(A))
        self.x = np.zeros(2, np.float32)
        box = spaces.Box(-9, 9, (2,), np.float32)
        self.observation_space = box
        if place == "observation":
            flags = spaces.Box(0, 1, (A,), np.float64)
            self.observation_space = spaces.Dict({"x": box, "action_mask": flags})
        if place == "method":
            self.action_masks = lambda: self.given
        if place == "attribute":
            self.action_mask = self.given
        if place == "state":
            self.legal_actions = lambda state: self.given
            self.state = 0

    def look(self):
        flags = self.np_random.random(A) < 0.5
        flags[self.np_random.integers(A)] = True
        x = self.np_random.normal(size=2)
        if self.reuses:
            overwrite(self.given, self.form(flags))
            self.x[:] = x
        else:
            self.given, self.x = self.form(flags), x.astype(np.float32)
        if self.place == "attribute":
            self.action_mask = self.given
        told = {"action_mask": self.given} if self.place == "info" else {}
        told |= {"options": self.given} if self.place == "key" else {}
        if self.place == "observation":
            return {"x": self.x, "action_mask": self.given}, told
        return self.x, told

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.look()

    def step(self, action):
        ended, cut = self.np_random.random(2) < 0.2
        observation, told = self.look()
        return observation, 0.0, bool(ended), bool(cut), told


def settings_of(place, form):
    given = {"mask_form": "ids"} if form in ("ids", "set") else {}
    given |= {"mask_key": "options"} if place == "key" else {}
    given |= {"mask_fn": lambda env: env.unwrapped.given} if place == "callable" else {}
    return given | ({"mask_form": "mask"} if place == "state" and "mask_form" not in given and
                    form != "dict" else {})  # fmt: skip


def stored(place, form, *, reuses):
    """What a buffer holds after 40 steps, when the environment's own objects are spoilt."""

    def make():
        return adapt(Keeps(place, form, reuses=reuses), **settings_of(place, form))

    venv = GymnasiumVectorEnv([make] * B)
    buffer = ReplayBuffer(venv.single_observation_space, B, 40 * B)
    obs, _ = venv.reset(seed=3)
    buffer.begin(obs)
    for _ in range(40):
        actions = obs["action_mask"].argmax(-1)
        obs, rewards, terminated, truncated, infos = venv.step(actions)
        index = np.flatnonzero(terminated | truncated)
        some = {}
        if len(index):
            some = {"final_obs": final_observations(infos, index), "final_index": index}
        buffer.add(actions, rewards, terminated, truncated, obs, **some)
    assert venv.illegal_actions == 0, "counted against what was handed out"
    for env in venv.envs:
        overwrite(env.unwrapped.given, env.unwrapped.form(np.zeros(A)))
        env.unwrapped.x[:] = -9
    return buffer.get_state()[0]


PLACES = ("observation", "info", "key", "method", "state", "attribute", "callable")
CASES = [(place, form) for place in PLACES for form in FORMS]
CASES = [(p, f) for p, f in CASES if p != "observation" or f in ("int8", "bool", "float")]


@pytest.mark.parametrize(("place", "form"), CASES)
def test_what_was_stored_stays(place, form):
    kept, fresh = (stored(place, form, reuses=reuses) for reuses in (True, False))
    assert kept["truncated"].any() and kept["terminated"].any()
    assert len(np.unique(fresh["observation.action_mask"])) > 20, "masks differ"
    assert len(fresh["finals.kept action_mask"]) > 10
    assert kept.keys() == fresh.keys()
    for name, array in fresh.items():
        assert kept[name].tobytes() == array.tobytes(), name
