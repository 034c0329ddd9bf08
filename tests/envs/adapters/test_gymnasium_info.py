"""The adapter: masks from info, observation or method, checked, copied and counted."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.gymnasium_info import (
    MaskFromInfo,
    MaskFromMethod,
    MaskFromObservation,
    adapt,
    is_adapted,
    name_of,
)
from maskrl.errors import ConfigError, MaskDtypeError, MaskShapeError, NoMaskError

FORMS = {
    "bool": lambda flags: np.array(flags, dtype=bool),
    "int8": lambda flags: np.array(flags, dtype=np.int8),
    "uint8": lambda flags: np.array(flags, dtype=np.uint8),
    "int32": lambda flags: np.array(flags, dtype=np.int32),
    "int64": lambda flags: np.array(flags, dtype=np.int64),
    "float32": lambda flags: np.array(flags, dtype=np.float32),
    "float64": lambda flags: np.array(flags, dtype=np.float64),
    "list of int": list,
    "list of bool": lambda flags: [bool(flag) for flag in flags],
    "tuple": tuple,
    "mapping": lambda flags: dict(enumerate(flags)),
}


def play(env, actions):
    """Reset and take the actions; all observations, and whether it is over."""
    seen, over = [env.reset(seed=0)[0]], False
    for action in actions:
        observation, _, terminated, truncated, _ = env.step(action)
        seen.append(observation)
        over = terminated or truncated
    return seen, over


@pytest.mark.parametrize("form", FORMS)
def test_every_unmistakable_form_becomes_the_same_boolean_mask(corridor, form):
    seen, _ = play(MaskFromInfo(corridor(give=FORMS[form])), [0, 1])
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]]
    for observation, flags in zip(seen, expected, strict=True):
        assert observation["action_mask"].dtype == np.bool_
        assert observation["action_mask"].tolist() == [bool(flag) for flag in flags]


@pytest.mark.parametrize("observe", ["discrete", "box", "image", "dict"])
def test_every_kind_of_observation_becomes_a_dict_in_its_space(corridor, observe):
    env = MaskFromInfo(corridor(observe=observe))
    seen, over = play(env, [0, 1, 2, 3, 0])
    assert over
    assert env.observation_space["action_mask"].dtype == np.bool_
    for observation in seen:
        assert env.observation_space.contains(observation)
    features = {"position", "t"} if observe == "dict" else {"observation"}
    assert set(seen[0]) == features | {"action_mask"}


def test_what_was_handed_out_does_not_change_later(corridor):
    kept = np.array([1, 0, 0, 0], dtype=np.int8)

    def give(flags):  # one array, changed in place at every step
        kept[:] = flags
        return kept

    env = MaskFromInfo(corridor(give=give, observe="box"))
    seen, _ = play(env, [0, 1])
    assert [int(observation["action_mask"].sum()) for observation in seen] == [1, 2, 3]
    assert [float(observation["observation"][0]) for observation in seen] == [0, 1, 2]
    seen[-1]["action_mask"][:] = True  # the receiver writes into its copy
    env.step(3)
    assert env.illegal_actions == 1, "counted against what was handed out, not what was made of it"


def test_a_terminal_info_may_omit_the_mask(corridor):
    seen, over = play(MaskFromInfo(corridor(terminal_mask=False)), [0] * 5)
    assert over and not seen[-1]["action_mask"].any()
    seen, over = play(MaskFromInfo(corridor(terminal_mask=True)), [0] * 5)
    assert over and seen[-1]["action_mask"].all()


def test_a_mask_that_goes_missing_is_an_error_naming_environment_and_step(corridor):
    env = MaskFromInfo(corridor(forget_at=2), name="my-env")
    env.reset()
    env.step(0)
    with pytest.raises(NoMaskError, match=r"'my-env', episode 1, step 2.*info\['action_mask'\]"):
        env.step(0)


def test_none_is_a_missing_mask(corridor):
    with pytest.raises(NoMaskError, match="step 0"):
        MaskFromInfo(corridor(give=lambda flags: None)).reset()


@pytest.mark.parametrize("value", [-1, 2, 4, 0.5, np.nan, -np.inf])
def test_values_other_than_0_and_1_are_refused(corridor, value):
    env = MaskFromInfo(corridor(give=lambda flags: np.array([1.0, 0.0, value, 0.0])))
    with pytest.raises(MaskDtypeError, match=r"'Corridor', episode 1, step 0, info.*\(2,\)"):
        env.reset()


def test_a_mask_of_wrong_length_is_refused_with_a_hint(corridor):
    with pytest.raises(MaskShapeError, match=r"shape \(5,\), expected \(4,\)"):
        MaskFromInfo(corridor(give=lambda flags: [*flags, 0])).reset()
    ids = corridor(give=lambda flags: [0, 1])
    with pytest.raises(MaskShapeError, match="list of allowed action ids"):
        MaskFromInfo(ids).reset()
    ids = corridor(give=lambda flags: [3, 0])
    with pytest.raises(MaskDtypeError, match="holds 3 .*list of allowed action ids"):
        MaskFromInfo(ids).reset()


def test_a_mask_that_marks_what_is_forbidden_is_turned_round_on_request(corridor):
    env = MaskFromInfo(corridor(give=lambda flags: [1 - flag for flag in flags]), allowed=0)
    assert env.reset()[0]["action_mask"].tolist() == [True, False, False, False]


def test_a_mask_that_only_allows_what_changes_nothing_is_doubted():
    upside_down = gymnasium.make("Taxi-v4", disable_env_checker=True)
    env = MaskFromInfo(upside_down, allowed=0)  # Taxi's mask says 1 where an action has an effect
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    with pytest.warns(UserWarning, match="64 steps with several different actions.*mask_allowed=0"):
        for _ in range(64):
            allowed = np.flatnonzero(observation["action_mask"])
            observation, *_ = env.step(rng.choice(allowed))


def test_an_environment_that_fails_is_named_with_step_and_action(corridor):
    class Strict(corridor):
        def step(self, action):
            if action == 1:
                raise ValueError("no such move")
            return super().step(action)

    env = MaskFromInfo(Strict())
    play(env, [0])
    with pytest.raises(ConfigError, match=r"'Strict', episode 1, step 1: step\(1\) fails: Value"):
        env.step(1)
    play(env, [])
    with pytest.raises(ConfigError) as raised:
        env.step(1)  # not allowed here: no doubt about the polarity
    assert "no such move" in str(raised.value) and "mask_allowed" not in str(raised.value)


def test_actions_against_the_mask_are_counted(corridor):
    env = MaskFromInfo(corridor())
    play(env, [0, 1, 3, 3])  # masks before: 0 | 0, 1 | 0..2 | 0..3
    assert env.illegal_actions == 1
    play(env, [2, 0])
    assert env.illegal_actions == 2, "the count goes on over episodes"


def test_a_row_that_allows_nothing_counts_no_action_as_illegal(corridor):
    env = MaskFromInfo(corridor(give=lambda flags: [0, 0, 0, 0]))
    seen, _ = play(env, [2])
    assert not seen[0]["action_mask"].any(), "passed on as it is"
    assert env.illegal_actions == 0


def test_several_heads(corridor):
    env = MaskFromInfo(
        corridor(action_space=spaces.MultiDiscrete([1, 3]), give=lambda f: (f[:1], f[1:]))
    )
    seen, _ = play(env, [np.array([0, 0]), np.array([0, 0]), np.array([0, 2])])
    assert seen[1]["action_mask"].tolist() == [True, True, False, False]
    # step 1: head 1 allows nothing, so it decides nothing; step 3: its choice 2 is not allowed
    assert env.illegal_actions == 1


def test_actions_are_numbered_from_zero(corridor):
    env = MaskFromInfo(corridor(action_space=spaces.Discrete(4, start=5)))
    assert env.action_space == spaces.Discrete(4)
    play(env, [np.int64(0), 1])
    assert env.unwrapped.received == [5, 6] and type(env.unwrapped.received[0]) is int
    assert env.illegal_actions == 0


def test_masks_in_the_observation(corridor):
    env = adapt(corridor(where="observation"))
    assert isinstance(env, MaskFromObservation)
    seen, _ = play(env, [0, 3])
    assert seen[1]["action_mask"].tolist() == [True, True, False, False]
    assert env.observation_space.contains(seen[1]) and env.illegal_actions == 1


def test_masks_from_a_method(corridor_with_method):
    env = adapt(corridor_with_method(where="nowhere"))
    assert isinstance(env, MaskFromMethod)
    seen, over = play(env, [0] * 5)
    assert seen[1]["action_mask"].tolist() == [True, True, False, False]
    assert over and seen[-1]["action_mask"].all()


def test_an_entity_mask_alone_is_enough():
    class Scene(gymnasium.Env):
        observation_space = spaces.Dict(
            {"entities": spaces.Box(-1, 1, (2, 3)), "entity_mask": spaces.MultiBinary(2)}
        )
        action_space = spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            entities = np.zeros((2, 3), np.float32)
            return {"entities": entities, "entity_mask": np.array([1, 0], np.int8)}, {}

    env = adapt(Scene())
    observation, _ = env.reset()
    assert observation["entity_mask"].tolist() == [True, False]
    assert observation["entity_mask"].dtype == np.bool_
    assert set(env.observation_space.spaces) == {"entities", "entity_mask"}


def test_an_environment_without_masks_is_told_what_was_looked_for(corridor):
    with pytest.raises(NoMaskError) as raised:
        adapt(corridor(where="nowhere", observe="dict"), name="mine:Env")
    for part in ("'mine:Env'", "['position', 't']", "info has no keys", "action_masks()"):
        assert part in str(raised.value)
    with pytest.raises(NoMaskError, match=r"a Box\(2,\)"):
        adapt(corridor(where="nowhere", observe="box"))
    with pytest.raises(NoMaskError, match=r"\['action_mask'\].*\?mask_key=NAME"):
        adapt(corridor(), mask_key="legal")


def test_a_reset_that_fails_is_named(corridor):
    class Broken(corridor):
        def reset(self, *, seed=None, options=None):
            raise ValueError("no map")

    with pytest.raises(ConfigError, match=r"'Broken'.*reset\(\) fails: ValueError: no map"):
        adapt(Broken())


def test_adapting_twice_is_adapting_once(corridor):
    env = gymnasium.wrappers.TimeLimit(adapt(corridor()), 3)
    assert is_adapted(env) and adapt(env) is env
    assert not is_adapted(corridor())


def test_names():
    assert name_of(gymnasium.make("Taxi-v4")) == "Taxi-v4"


def test_taxi_masks_are_its_own_and_exact():
    env = adapt(gymnasium.make("Taxi-v4", disable_env_checker=True))
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    for _ in range(600):
        state = observation["observation"]
        keep = observation["action_mask"]
        changes = [env.unwrapped.P[state][a][0][1] != state for a in range(6)]
        assert keep.tolist() == changes
        observation, _, terminated, truncated, _ = env.step(rng.choice(np.flatnonzero(keep)))
        if terminated or truncated:
            observation, _ = env.reset()
    assert env.illegal_actions == 0
