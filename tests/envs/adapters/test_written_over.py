"""Environments that write over what they handed out, found out by the traces that it leaves."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.envs.adapters.written_over import ENDS, RepeatedEnds, gives_the_same_arrays
from maskrl.envs.autoreset import SameStep, as_same_step
from maskrl.errors import ConfigError, MaskDtypeError

SAME = AutoresetMode.SAME_STEP


class Line(gymnasium.Env):
    """Three steps to the end; `give` makes the mask of what is left."""

    action_space = spaces.Discrete(3)

    def __init__(self, give, *, native=False, reuses=False):
        self.give, self.native, self.reuses = give, native, reuses
        box = spaces.Box(0, 9, (1,), np.float32)
        flags = spaces.Box(0, 1, (3,), np.bool_)
        self.observation_space = spaces.Dict({"x": box, "action_mask": flags}) if native else box
        self.x, self.flags = np.zeros(1, np.float32), np.zeros(3, np.bool_)

    def look(self, t):
        if not self.reuses:
            self.x, self.flags = self.x.copy(), self.flags.copy()
        self.t = self.x[0] = t
        self.flags[:] = np.arange(3) >= min(t, 2)
        if self.native:
            return {"x": self.x, "action_mask": self.flags}, {}
        return self.x, {"action_mask": self.give(t)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.look(0)

    def step(self, action):
        observation, info = self.look(self.t + 1)
        return observation, 0.0, False, bool(self.t == 3), info


def final_of(venv):
    venv.reset(seed=0)
    for _ in range(3):
        *_, infos = venv.step(np.full(2, 2))
    return infos["final_obs"]


def list_in_place():
    kept = [1, 1, 1]

    def give(t):
        kept[:] = [int(a >= min(t, 2)) for a in range(3)]
        return kept

    return give


def test_a_list_that_is_changed_in_place_is_refused():
    """Gymnasium copies arrays when it stacks them; of a list it keeps the list itself."""
    venv = as_same_step(SyncVectorEnv([lambda: Line(list_in_place())] * 2, autoreset_mode=SAME))
    with pytest.raises(ConfigError, match=r"environment 0 of 2 .*final mask .*DISABLED"):
        final_of(venv)
    disabled = SyncVectorEnv(
        [lambda: Line(list_in_place())] * 2, autoreset_mode=AutoresetMode.DISABLED
    )
    final = final_of(as_same_step(disabled))
    assert final["action_mask"].tolist() == [[False, False, True]] * 2


@pytest.mark.parametrize("constant", [[1, 1, 1], np.ones(3, np.int8), (1, 1, 1)])
def test_a_constant_is_let_be(constant):
    venv = as_same_step(SyncVectorEnv([lambda: Line(lambda t: constant)] * 2, autoreset_mode=SAME))
    assert final_of(venv)["action_mask"].all()


def test_arrays_are_copied_in_time_in_one_process():
    kept = np.ones(3, np.int8)

    def give(t):
        kept[:] = np.arange(3) >= min(t, 2)
        return kept

    venv = as_same_step(SyncVectorEnv([lambda: Line(give)] * 2, autoreset_mode=SAME))
    assert final_of(venv)["action_mask"].tolist() == [[False, False, True]] * 2


@pytest.mark.parametrize("reuses", [True, False])
def test_native_masks_are_looked_at_before_they_are_believed(reuses):
    """What keeps the contract but for its arrays is wrapped, and refused where it matters."""

    def build(mode=SAME):
        return SyncVectorEnv([lambda: Line(None, native=True, reuses=reuses)] * 2,
                             autoreset_mode=mode)  # fmt: skip

    assert gives_the_same_arrays(build()) == reuses
    venv = as_same_step(build())
    assert isinstance(venv, SameStep) == reuses
    if reuses:
        with pytest.raises(ConfigError, match=r"written over the final observation .*DISABLED"):
            final_of(venv)
        final = final_of(as_same_step(build(AutoresetMode.DISABLED)))
        assert final["x"].tolist() == [[3.0], [3.0]]
        assert final["action_mask"].tolist() == [[False, False, True]] * 2


def test_what_is_adapted_is_copied():
    venv = SyncVectorEnv(
        [lambda: adapt(Line(None, native=True, reuses=True))] * 2, autoreset_mode=SAME
    )
    assert not gives_the_same_arrays(venv) and as_same_step(venv) is venv
    assert [row["x"].tolist() for row in final_of(venv)] == [[3.0], [3.0]]


class Own(VectorEnv):
    """Somebody's batched environment of two steps, whose final observations may be lost."""

    metadata = {"autoreset_mode": SAME}
    num_envs = 2
    single_observation_space = spaces.Box(0, 9, (1,), np.float32)
    single_action_space = spaces.Discrete(2)

    def __init__(self, *, loses, varies=True):
        self.loses, self.varies = loses, varies

    def _out(self, **more):
        seen = self.t.astype(np.float32)[:, None] * self.varies
        return seen, {"action_mask": np.ones((2, 2), np.int8), **more}

    def reset(self, *, seed=None, options=None):
        self.t = np.zeros(2, np.int64)
        return self._out()

    def step(self, actions):
        self.t += 1
        last = self.t.copy()
        cut = self.t == 2
        self.t[cut] = 0
        shown = (self.t if self.loses else last).astype(np.float32)[:, None] * self.varies
        more = {"final_obs": shown} if cut.any() else {}
        seen, infos = self._out(**more)
        return seen, np.zeros(2), np.zeros(2, bool), cut, infos


def play(venv):
    venv.reset()
    for _ in range(2 * ENDS):
        venv.step(np.zeros(2, int))


def test_ends_that_all_look_like_beginnings_are_doubted_once():
    venv = as_same_step(Own(loses=True))
    with pytest.warns(UserWarning, match=r"'Own': 16 of 16 episodes ended .*DISABLED") as caught:
        play(venv)
        play(venv)
    assert len(caught) == 1


@pytest.mark.parametrize("kind", [{"loses": False}, {"loses": True, "varies": False}])
def test_other_ends_are_not(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        play(as_same_step(Own(**kind)))


def test_one_other_end_is_enough():
    watch = RepeatedEnds("mine")
    ended, at = np.ones(1, bool), np.zeros((1, 1))
    watch.look({"x": at}, None, ~ended)
    watch.look({"x": at + 1}, None, ~ended)
    watch.look({"x": at}, {"x": at + 2}, ended)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(ENDS):
            watch.look({"x": at}, {"x": at}, ended)


@pytest.mark.parametrize("kind", ["gradients", "objects"])
def test_a_mask_that_cannot_be_looked_at_is_named(kind):
    """Under SAME_STEP too, where masks are looked at on their way through Gymnasium."""

    class Foreign(gymnasium.Env):
        observation_space, action_space = spaces.Discrete(2), spaces.Discrete(3)

        def reset(self, *, seed=None, options=None):
            mask = torch.ones(3, requires_grad=True) if kind == "gradients" else Unequal()
            return 0, {"action_mask": mask}

    class Unequal:
        def __eq__(self, other):
            raise ValueError("the truth value is ambiguous")

    with pytest.raises(MaskDtypeError, match=r"environment 0 of 2, info\['action_mask'\]"):
        as_same_step(SyncVectorEnv([Foreign] * 2, autoreset_mode=AutoresetMode.SAME_STEP)).reset()
