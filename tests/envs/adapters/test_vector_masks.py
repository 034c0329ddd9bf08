"""Masks of vector environments, wherever they are and however they are written."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.envs.adapters.mask_sources import MaskSettings
from maskrl.envs.adapters.vector_masks import VectorMasks
from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError, NoMaskError


class Batched(VectorEnv):
    """Two environments whose only content is what the test gives."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
    num_envs = 2

    def __init__(self, observation=None, infos=None, action_space=None, space=None):
        self.observation, self.infos = observation, infos or {}
        self.single_observation_space = space or spaces.Box(0, 9, (1,), np.float32)
        self.single_action_space = action_space or spaces.Discrete(3)
        if observation is None:
            self.observation = np.zeros((2, 1), np.float32)

    def reset(self, *, seed=None, options=None):
        return self.observation, self.infos


def masks_of(venv, observation=None, infos=None, rows=None, **settings):
    masks = VectorMasks(venv, MaskSettings(**settings), "mine")
    given = venv.observation if observation is None else observation
    seen = masks.observe(given, venv.infos if infos is None else infos, rows=rows)
    return seen["action_mask"].astype(int).tolist(), masks


FLAGS = [[1, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint8, np.int64, np.float32])
def test_flags_of_any_type(dtype):
    keep, masks = masks_of(Batched(infos={"action_mask": np.array(FLAGS, dtype)}))
    assert keep == FLAGS
    assert masks.convention.describe() == (
        f"action mask from info['action_mask'], {np.dtype(dtype)}, 1 = allowed, 2 environments"
    )
    assert masks.space["action_mask"] == mask_space(3)


def loose(*rows):
    out = np.full(len(rows), None, object)
    out[:] = rows
    return out


@pytest.mark.parametrize(
    ("raw", "settings"),
    [
        (loose([1, 0, 1], (0, 1, 0)), {}),
        (loose([True, False, True], np.array([0.0, 1.0, 0.0])), {}),
        (loose({0, 2}, [1]), {"mask_form": "ids"}),
        (loose({0: 1, 1: 0, 2: 1}, {2: 0, 1: 1, 0: 0}), {}),
        (np.array([[0, 1, 0], [1, 0, 1]]), {"mask_allowed": 0}),
    ],
)
def test_every_form(raw, settings):
    short = {name.removeprefix("mask_"): value for name, value in settings.items()}
    assert masks_of(Batched(infos={"action_mask": raw}), **short)[0] == FLAGS


def test_under_another_name():
    venv = Batched(infos={"options": np.array(FLAGS)})
    assert masks_of(venv, key="options")[0] == FLAGS
    with pytest.raises(NoMaskError, match=r"infos \(at reset it has \['options'\]\).*mask_key"):
        masks_of(venv)


def test_rows_of_others_are_never_read():
    """What Gymnasium fills up with is no mask, whatever it says."""
    venv = Batched(infos={"action_mask": np.array(FLAGS)})
    part = {
        "action_mask": np.array([[1, 1, 0], [7, 7, 7]]),
        "_action_mask": np.array([True, False]),
    }
    rows = np.array([True, False])
    assert masks_of(venv, infos=part, rows=rows)[0] == [[1, 1, 0], [0, 0, 0]]
    with pytest.raises(NoMaskError, match="environment 1 of 2: action_mask is missing"):
        masks_of(venv, infos=part)
    assert masks_of(venv, infos=part, missing="all")[0] == [[1, 1, 0], [1, 1, 1]]


def test_after_an_episode_a_mask_may_be_missing():
    venv = Batched(infos={"action_mask": np.array(FLAGS)})
    masks = VectorMasks(venv, MaskSettings(missing="all"), "mine")
    part = {"action_mask": np.array(FLAGS), "_action_mask": np.array([False, False])}
    over, cut = np.array([True, False]), np.array([False, True])
    seen = masks.observe(venv.observation, part, terminated=over, truncated=cut)
    # a state that was cut off goes on, and what is not said there means what it always means
    assert seen["action_mask"].tolist() == [[False] * 3, [True] * 3]
    strict = VectorMasks(venv, MaskSettings(), "mine")
    seen = strict.observe(venv.observation, part, terminated=over, truncated=cut)
    assert not seen["action_mask"].any()


def test_everything_is_copied():
    flags, picture = np.array(FLAGS, bool), np.ones((2, 1), np.float32)
    for venv in (
        Batched(picture, {"action_mask": flags}),
        Batched(
            {"x": picture, "action_mask": flags},
            space=spaces.Dict({"x": spaces.Box(0, 9, (1,)), "action_mask": mask_space(3)}),
        ),
    ):
        masks = VectorMasks(venv, MaskSettings(), "mine")
        seen = masks.observe(*venv.reset())
        for value in seen.values():
            assert not np.shares_memory(value, flags) and not np.shares_memory(value, picture)


def test_a_method_of_the_whole_environment():
    class WithMethod(Batched):
        def get_action_mask(self):
            return np.array(FLAGS, np.int32)

    keep, masks = masks_of(WithMethod())
    assert keep == FLAGS and masks.convention.where == "get_action_mask()"

    class TooFew(Batched):
        action_masks = property(lambda self: [[1, 1, 1]])

    with pytest.raises(MaskShapeError, match="gave 1 masks, expected one for each of the 2"):
        masks_of(TooFew())


def test_several_heads():
    space = spaces.MultiDiscrete([2, 3])
    rows = loose([[1, 0], [1, 1, 0]], [1, 1, 0, 0, 1])
    keep, masks = masks_of(Batched(infos={"action_mask": rows}, action_space=space))
    assert keep == [[1, 0, 1, 1, 0], [1, 1, 0, 0, 1]] and masks.heads == (2, 3)


def test_an_entity_mask_alone():
    space = spaces.Dict({"entities": spaces.Box(0, 1, (2, 3)), "entity_mask": mask_space(2)})
    given = {"entities": np.ones((2, 2, 3)), "entity_mask": np.array([[1, 0], [1, 1]], np.int8)}
    masks = VectorMasks(Batched(given, space=space), MaskSettings(), "mine")
    assert masks.heads == () and list(masks.space) == ["entities", "entity_mask"]
    assert masks.observe(given, {})["entity_mask"].tolist() == [[True, False], [True, True]]


def test_a_team_has_its_masks_in_its_observation():
    space = spaces.Dict({"agent_mask": mask_space(2), "action_mask": mask_space(2, 3)})
    given = {"agent_mask": np.ones((2, 2)), "action_mask": np.ones((2, 2, 3))}
    venv = Batched(given, {"action_mask": np.zeros((2, 9))}, spaces.MultiDiscrete([3, 3]), space)
    masks = VectorMasks(venv, MaskSettings(), "mine")
    seen = masks.observe(given, venv.infos)
    assert seen["action_mask"].shape == (2, 2, 3) and seen["action_mask"].all()


@pytest.mark.parametrize(
    ("raw", "error", "message"),
    [
        (np.array([[1, 0, 1], [0, 2, 0]]), MaskDtypeError, r"environment 1 of 2, .*holds 2"),
        (np.array([[1, 0], [0, 1]]), MaskShapeError, r"environment 0 of 2.*shape \(2,\), expected"),
        (np.array([[1, 0, 1], [0, np.nan, 0]]), MaskDtypeError, r"environment 1 of 2"),
    ],
)
def test_what_is_no_mask_is_named(raw, error, message):
    with pytest.raises(error, match=message):
        masks_of(Batched(infos={"action_mask": raw}))


def test_a_form_that_can_be_read_in_two_ways_is_refused():
    with pytest.raises(ConfigError, match="mask_form"):
        masks_of(Batched(infos={"legal_actions": loose([1, 0], [0, 1])},
                         action_space=spaces.Discrete(2)))  # fmt: skip


def test_final_observations_come_from_infos():
    venv = Batched(infos={"action_mask": np.array(FLAGS)})
    masks = VectorMasks(venv, MaskSettings(), "mine")
    ended, no = np.array([False, True]), np.zeros(2, bool)
    infos = {
        "action_mask": np.array(FLAGS),
        "final_obs": loose(None, np.array([4.0])),
        "final_info": {"action_mask": np.array([[0, 0, 0], [0, 0, 1]]), "_action_mask": ended},
    }
    final = masks.observe_final(infos, ended, no)
    assert final["observation"][1].tolist() == [4.0]
    assert final["action_mask"].tolist() == [[False] * 3, [False, False, True]]
    with pytest.raises(ConfigError, match="infos has no 'final_obs'"):
        masks.observe_final({}, ended, no)
    with pytest.raises(ConfigError, match="environment 0 of 2 ended"):
        masks.observe_final(infos, np.array([True, True]), no)


def test_sub_environments_are_asked(corridor_with_method):
    venv = SyncVectorEnv([lambda: corridor_with_method(where="nowhere")] * 2)
    masks = VectorMasks(venv, MaskSettings(), "mine")
    observation, infos = venv.reset()
    assert masks.convention.where == "action_masks()"
    assert masks.observe(observation, infos)["action_mask"].sum(-1).tolist() == [1, 1]


class Clock(gymnasium.Env):
    """Ends after three steps."""

    observation_space = spaces.Box(0, 9, (1,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self, told=None):
        self.told, self.state = told, 0

    def _out(self):
        return np.full(1, self.state, np.float32), {} if self.told is None else {
            "action_mask": self.told
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = 0
        return self._out()

    def step(self, action):
        self.state += 1
        observation, info = self._out()
        return observation, 0.0, self.state == 3, False, info


class ClockWithMethod(Clock):
    def action_masks(self):
        if self.state == 3:
            raise RuntimeError("the game is over")
        return [True, self.state == 1, False]


class ClockWithAttribute(Clock):
    def _out(self):
        self.action_mask = np.array([1, 0, self.state % 2], np.int8)
        return super()._out()


class ClockWithState(Clock):
    def legal_actions(self, state):
        return [0] if state else [2, 1, 0]


def stack(make):
    return SyncVectorEnv([make, make], autoreset_mode=AutoresetMode.DISABLED)


def test_a_method_may_fail_after_the_end_and_nowhere_else():
    venv = stack(ClockWithMethod)
    masks = VectorMasks(venv, MaskSettings(), "mine")
    venv.reset()
    for _ in range(3):
        observation, _, terminated, truncated, infos = venv.step(np.zeros(2, int))
    seen = masks.observe(observation, infos, terminated=terminated, truncated=truncated)
    assert terminated.all() and not seen["action_mask"].any()
    with pytest.raises(ConfigError, match=r"environment 0 of 2: action_masks\(\) fails: Runtime"):
        masks.observe(observation, infos)


def test_what_a_method_would_have_said_of_a_state_left_behind_is_unknown():
    """Also where a mask that is not given allows everything: this one was never asked for."""
    masks = VectorMasks(stack(ClockWithMethod), MaskSettings(missing="all"), "mine")
    cut, no = np.array([True, True]), np.array([False, False])
    final = np.zeros((2, 1), np.float32)
    seen = masks.observe(final, {}, terminated=no, truncated=cut, final=True)
    assert not seen["action_mask"].any()


def test_a_method_that_takes_the_state_is_given_it():
    venv = stack(ClockWithState)
    masks = VectorMasks(venv, MaskSettings(), "mine")
    assert masks.observe(*venv.reset())["action_mask"].all()
    observation, *_, infos = venv.step(np.zeros(2, int))
    assert masks.observe(observation, infos)["action_mask"].tolist() == [[True, False, False]] * 2

    class AsksForInfo(Clock):
        def action_masks(self, info):
            return [1, 1, 1]

    with pytest.raises(ConfigError, match=r"action_masks takes info, .*Stack adapted ones"):
        VectorMasks(stack(AsksForInfo), MaskSettings(), "mine")


def test_an_attribute_of_the_environments():
    for settings in (MaskSettings(), MaskSettings(source="attribute")):
        masks = VectorMasks(stack(ClockWithAttribute), settings, "mine")
        assert (masks.source, masks.key) == ("attribute", "action_mask")
        assert masks.convention.where == "action_mask"


def test_a_constant_of_the_class_is_no_mask():
    class Constant(Clock):
        valid_actions = [0, 1, 2]

    with pytest.raises(NoMaskError, match="mine offers no mask"):
        VectorMasks(stack(Constant), MaskSettings(), "mine")
    masks = VectorMasks(stack(Constant), MaskSettings(key="valid_actions"), "mine")
    assert masks.form == "ids"


def test_masks_that_disagree_are_refused():
    def both(told):
        return stack(lambda: ClockWithAttribute(told=np.array(told, np.int8)))

    with pytest.raises(
        ConfigError,
        match=r"environment 0 of 2: info\['action_mask'\] allows \[1, 2\] and action_mask allows "
        r"\[0\].*mask_source=attribute",
    ):
        VectorMasks(both([0, 1, 1]), MaskSettings(), "mine")
    assert VectorMasks(both([1, 0, 0]), MaskSettings(), "mine").source == "info"
    chosen = VectorMasks(both([0, 1, 1]), MaskSettings(source="attribute"), "mine")
    assert chosen.source == "attribute"


def test_what_an_adapter_made_of_a_mask_is_not_compared_with_it():
    """Turned round by the adapter, and still as it was in info."""

    def adapted():
        return adapt(Clock(told=np.array([0, 1, 0], np.int8)), mask_allowed=0, name="turned")

    masks = VectorMasks(stack(adapted), MaskSettings(), "mine")
    assert masks.source == "observation"


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_first_reset_that_fails_is_explained(mode):
    class Ragged(gymnasium.Env):
        observation_space, action_space = spaces.Discrete(2), spaces.Discrete(3)
        lengths = iter([1, 2, 3, 1, 2, 3])

        def reset(self, *, seed=None, options=None):
            return 0, {"legal_actions": np.arange(next(Ragged.lengths))}

    stacked = SyncVectorEnv([Ragged] * 2, autoreset_mode=mode)
    with pytest.raises(
        ConfigError, match=r"first reset\(\) fails: ValueError.*Gymnasium cannot st"
    ):
        VectorMasks(stacked, MaskSettings(), "mine")
