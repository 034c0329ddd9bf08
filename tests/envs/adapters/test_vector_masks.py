"""Masks of vector environments, wherever they are and however they are written."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

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
