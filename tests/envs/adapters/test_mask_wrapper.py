"""What becomes of a mask, whatever place it came from: at steps, at the end, in every type."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError, NoMaskError

ABSENT = object()


class Scripted(gymnasium.Env):
    """Hands out the masks of a list, one at reset and one at each step; then the episode ends.

    `where` is "info", "observation", "method" or "attribute"; `cut` ends by truncation.
    """

    observation_space = spaces.Discrete(9)

    def __init__(self, masks, *, where="info", key=None, space=None, cut=False):
        self.masks = masks
        self.where = where
        self.cut = cut
        self.action_space = space or spaces.Discrete(4)
        self.received = []
        self.key = key or {"method": "action_masks"}.get(where, "action_mask")
        if where == "observation":
            entry = spaces.Box(0, 1, (4,), np.int8)
            self.observation_space = spaces.Dict({"x": spaces.Discrete(9), self.key: entry})
        if where == "method":
            setattr(self, self.key, self.now)

    def now(self):
        mask = self.masks[self.t]
        if isinstance(mask, Exception):
            raise mask
        return mask

    def out(self):
        if self.where == "method":
            return self.t, {}
        mask = self.now()
        if self.where == "attribute":
            setattr(self, self.key, mask)
            return self.t, {}
        entry = {} if mask is ABSENT else {self.key: mask}
        return ({"x": self.t, **entry}, {}) if self.where == "observation" else (self.t, entry)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.out()

    def step(self, action):
        self.received.append(action)
        self.t += 1
        over = self.t == len(self.masks) - 1
        observation, info = self.out()
        return observation, 0.0, over and not self.cut, over and self.cut, info


def rows(env):
    """The masks of an episode in which action 0 is always taken."""
    seen, over = [env.reset(seed=0)[0]["action_mask"]], False
    while not over:
        observation, _, terminated, truncated, _ = env.step(0)
        seen.append(observation["action_mask"])
        over = terminated or truncated
    assert all(row.dtype == np.bool_ for row in seen)
    return [[int(flag) for flag in row] for row in seen]


PLACES = ["info", "observation", "method", "attribute"]

TYPES = {
    "bool": lambda row: np.array(row, np.bool_),
    "int8": lambda row: np.array(row, np.int8),
    "uint8": lambda row: np.array(row, np.uint8),
    "int16": lambda row: np.array(row, np.int16),
    "int32": lambda row: np.array(row, np.int32),
    "int64": lambda row: np.array(row, np.int64),
    "float16": lambda row: np.array(row, np.float16),
    "float32": lambda row: np.array(row, np.float32),
    "float64": lambda row: np.array(row, np.float64),
    "list of int": list,
    "list of bool": lambda row: [bool(flag) for flag in row],
    "list of float": lambda row: [float(flag) for flag in row],
    "tuple": tuple,
    "objects": lambda row: np.array([bool(flag) for flag in row], dtype=object),
    "by number": lambda row: {k: row[k] for k in (2, 0, 3, 1)},
    "not contiguous": lambda row: np.repeat(np.array(row, np.int8), 2)[::2],
}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kind", TYPES)
def test_every_type_from_every_place(kind, where):
    masks = [[1, 0, 1, 0], [0, 1, 1, 1], [0, 0, 0, 0]]
    assert rows(adapt(Scripted([TYPES[kind](row) for row in masks], where=where))) == masks


IDS = {
    "sorted": [0, 2],
    "unsorted": [2, 0],
    "set": {0, 2},
    "array": np.array([2, 0], np.int32),
    "numpy numbers": [np.int64(2), np.uint8(0)],
    "range": range(0, 4, 2),
    "keys": {2: "up", 0: "down"}.keys(),
    "objects": np.array([2, 0], dtype=object),
}


@pytest.mark.parametrize("where", ["info", "method", "attribute"])
@pytest.mark.parametrize("kind", IDS)
def test_ids_in_every_container(kind, where):
    script = [IDS[kind], [1, 0], [0, 1, 2, 3], [3, 3], []]
    env = adapt(Scripted(script, where=where, key="legal_actions"))
    expected = [[1, 0, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert rows(env) == expected, "[1, 0] are ids because the first mask was"


def test_ids_from_an_iterator():
    class Moves(Scripted):
        def legal_moves(self):
            return (k for k in range(4) if k != self.t)

    assert rows(adapt(Moves([None] * 3, where="attribute")))[:2] == [[0, 1, 1, 1], [1, 0, 1, 1]]


def test_ids_are_in_the_environments_own_numbers():
    env = adapt(Scripted([[7, 5], [6], []], key="legal_actions", space=spaces.Discrete(3, start=5)))
    assert rows(env) == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert env.unwrapped.received == [5, 5] and env.illegal_actions == 1


def test_flags_by_number_begin_where_actions_do():
    space = spaces.Discrete(3, start=5)
    masks = [{5: 1, 7: 1, 6: 0}, {0: 0, 1: 1, 2: 0}, {}]
    assert rows(adapt(Scripted(masks, space=space))) == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    with pytest.raises(MaskShapeError, match="numbers 5 to 7 once"):
        adapt(Scripted([{4: 1, 5: 1, 6: 1}], space=space)).reset()


def test_ids_for_each_part_where_it_is_said():
    space = spaces.MultiDiscrete([2, 3])
    env = adapt(Scripted([[[1], [0, 2]], [[0, 1], []], [[], []]], space=space), mask_form="ids")
    seen = env.reset()[0]["action_mask"]
    assert seen.tolist() == [False, True, True, False, True]
    seen = env.step(np.array([1, 2]))[0]["action_mask"]
    assert seen.tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("value", [-1, 2, 4, 0.5, np.nan, -np.inf])
def test_other_values_are_refused_wherever_they_appear(value, where):
    env = adapt(Scripted([[1.0, 0.0, 1.0, 0.0], [1.0, value, 0.0, 0.0], [0.0] * 4], where=where))
    env.reset()
    with pytest.raises(MaskDtypeError, match=r"episode 1, step 1, .*at index \(1,\)"):
        env.step(0)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("wrong", [[1, 0, 1], [1, 0, 1, 0, 1], [[1, 0, 1, 0]], 1, []])
def test_another_length_is_refused_wherever_it_appears(wrong, where):
    env = adapt(Scripted([[1, 0, 1, 0], wrong, [0] * 4], where=where))
    env.reset()
    with pytest.raises(MaskShapeError, match=r"step 1.*expected \(4,\)"):
        env.step(0)


def test_flags_after_ids_are_refused():
    env = adapt(Scripted([[3, 1], [1, 0, 0, 1], []], key="legal_actions"))
    env.reset()
    with pytest.raises(MaskDtypeError, match="step 1.*looks like one flag for each of the 4"):
        env.step(0)


def test_ids_after_flags_are_refused():
    env = adapt(Scripted([[0, 1, 0, 1], [3, 1], []], key="legal_actions"))
    env.reset()
    with pytest.raises(MaskDtypeError, match="step 1.*mask_form='ids'"):
        env.step(0)


LAST = {
    "zeros": ([0, 0, 0, 0], PLACES),
    "as if it went on": ([1, 1, 0, 1], PLACES),
    "None": (None, PLACES),
    "left out": (ABSENT, ["info", "observation"]),
    "an empty list": ([], PLACES),
    "an empty array": (np.zeros(0), PLACES),
    "an error": (RuntimeError("the game is over"), ["method"]),
}


@pytest.mark.parametrize(
    ("last", "where"), [(name, where) for name, (_, some) in LAST.items() for where in some]
)
def test_after_the_end_nothing_needs_to_be_said(last, where):
    seen = rows(adapt(Scripted([[1, 0, 1, 0], LAST[last][0]], where=where)))
    assert seen[-1] == ([1, 1, 0, 1] if last == "as if it went on" else [0, 0, 0, 0])


def test_a_method_that_fails_before_the_end_is_an_error():
    for cut in (False, True):
        masks = [[1, 0, 1, 0], RuntimeError("no board"), [0] * 4]
        env = adapt(Scripted(masks[: 2 if cut else 3], where="method", cut=cut))
        env.reset()
        with pytest.raises(ConfigError, match=r"step 1: action_masks\(\) fails: Runtime.*no board"):
            env.step(0)


@pytest.mark.parametrize("gap", [None, ABSENT])
def test_masks_at_some_steps_only(gap):
    masks = [[1, 0, 1, 0], gap, [0, 1, 0, 0], gap]
    env = adapt(Scripted(masks))
    env.reset()
    with pytest.raises(NoMaskError, match=r"step 1: .*missing from info.*mask_missing='all'"):
        env.step(0)
    expected = [[1, 0, 1, 0], [1, 1, 1, 1], [0, 1, 0, 0]]
    assert rows(adapt(Scripted(masks), mask_missing="all")) == [*expected, [0, 0, 0, 0]]
    cut = adapt(Scripted(masks, cut=True), mask_missing="all")
    assert rows(cut) == [*expected, [1, 1, 1, 1]], "a state that is cut off would have gone on"


def test_a_mask_that_comes_only_after_the_reset():
    env = adapt(
        Scripted([ABSENT, [1, 0, 0, 1], ABSENT]), mask_key="action_mask", mask_missing="all"
    )
    assert rows(env)[:2] == [[1, 1, 1, 1], [1, 0, 0, 1]]


def test_rows_that_allow_nothing_before_the_end_are_passed_on():
    env = adapt(Scripted([[1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0] * 4]))
    assert rows(env)[1] == [0, 0, 0, 0] and env.illegal_actions == 0


@pytest.mark.parametrize("where", PLACES)
def test_an_array_changed_in_place_changes_nothing_handed_out(where):
    kept = np.array([1, 0, 0, 0], np.int8)
    env = adapt(Scripted([kept, kept, kept], where=where))
    first = env.reset()[0]
    kept[:] = [0, 1, 1, 1]
    assert first["action_mask"].tolist() == [True, False, False, False]
    env.step(0)
    assert env.illegal_actions == 0, "0 was allowed by what was handed out"
    env.step(0)
    assert env.illegal_actions == 1


@pytest.mark.parametrize("key", ["action_mask", "legal_actions"])
def test_an_entry_that_is_the_mask_is_no_feature(key):
    env = adapt(Scripted([[1, 0, 0, 0], [0] * 4], where="observation", key=key))
    observation, _ = env.reset()
    assert set(observation) == set(env.observation_space.spaces) == {"x", "action_mask"}
    assert env.observation_space.contains(observation)


def test_the_doubt_about_polarity_ends_where_actions_are_not_allowed(recwarn):
    class Stuck(Scripted):
        def step(self, action):
            return 0, 0.0, False, False, {"action_mask": [1, 0, 0, 0]}

    env = adapt(Stuck([[1, 0, 0, 0]]))
    env.reset()
    for step in range(200):  # as without its mask: what it forbids may well do nothing
        env.step(step % 4)
    assert not recwarn.list and env.illegal_actions == 150


def test_allowed_actions_that_never_change_anything_are_still_doubted():
    class Stuck(Scripted):
        def step(self, action):
            return 0, 0.0, False, False, {"action_mask": [1, 1, 0, 0]}

    env = adapt(Stuck([[1, 1, 0, 0]]))
    env.reset()
    with pytest.warns(UserWarning, match="mask_allowed=0"):
        for step in range(64):
            env.step(step % 2)


@pytest.mark.parametrize("action", [4, -1, np.array([1]), None, "east"])
def test_what_is_no_action_is_refused(action):
    env = adapt(Scripted([[1, 0, 1, 0], [1, 0, 1, 0], [1, 0, 1, 0]]))
    env.reset()
    with pytest.raises(ConfigError, match="step 0: step was given the action .* from 0 to 3"):
        env.step(action)
    for right in (0, np.int64(2), np.array(2)):
        env.reset()
        env.step(right)
    assert env.illegal_actions == 0


@pytest.mark.parametrize("reward", [None, np.array([1.0, 2.0]), "much"])
def test_a_reward_that_is_no_number_is_refused(reward):
    env = Scripted([[1, 0, 1, 0], [1, 0, 1, 0]])
    step = env.step
    env.step = lambda action: (0, reward, *step(action)[2:])
    env = adapt(env)
    env.reset()
    with pytest.raises(ConfigError, match="'Scripted', episode 1, step 1: step gave the reward"):
        env.step(0)
