"""Targets: the environment below the adapters, from whatever names it."""

from __future__ import annotations

import gymnasium
import pytest
from gymnasium.vector import SyncVectorEnv

import maskrl
from maskrl.audit.subjects.single import SingleSubject
from maskrl.audit.subjects.team import TeamSubject
from maskrl.audit.subjects.turns import TurnsSubject
from maskrl.audit.subjects.vector import VectorSubject
from maskrl.audit.targets import below_adapters, find_target, settings_of, subject_of
from maskrl.envs.adapters.mask_wrapper import MaskWrapper
from maskrl.errors import ConfigError


def test_an_id_gives_the_raw_environment_and_the_adapted():
    target = find_target("gymnasium:Taxi-v4", {"mask_key": "action_mask"})
    raw = target.make_raw()
    assert not isinstance(raw, MaskWrapper) and isinstance(raw, gymnasium.Env)
    assert isinstance(target.make_adapted(), MaskWrapper)
    assert target.make_many(2).num_envs == 2
    assert target.settings.key == "action_mask"


def test_settings_of_an_id_are_read():
    target = find_target("gymnasium:Taxi-v4?mask_allowed=0&is_rainy=True")
    assert target.settings.allowed == 0
    assert target.make_raw().spec.kwargs["is_rainy"]


def test_our_worlds_are_raw_themselves():
    assert type(find_target("panda").make_raw()).__name__ == "PandaEnv"


def test_kinds_are_told_apart(line):
    settings = settings_of({})
    for env, kind in (
        (line(), SingleSubject),
        (SyncVectorEnv([line]), VectorSubject),
        (maskrl.make("pandas"), TeamSubject),
    ):
        assert type(subject_of(env, "it", settings)) is kind
    turns = find_target("pettingzoo:tictactoe_v3")
    assert type(subject_of(turns.make_raw(), "it", settings)) is TurnsSubject


def test_an_object_is_copied_and_its_adapters_taken_off(line):
    raw = line()
    target = find_target(maskrl.envs.adapters.gymnasium_info.MaskFromInfo(raw))
    made = target.make_raw()
    assert type(made) is line and made is not raw and made is not target.make_raw()
    assert below_adapters(raw) is raw


def test_what_cannot_be_copied_is_used_once(line):
    class Stubborn(line):
        def __deepcopy__(self, memo):
            raise TypeError("never")

    env = Stubborn()
    target = find_target(env)
    assert target.make_raw() is env and not target.can_repeat
    assert "TypeError: never" in target.obstacle


def test_what_makes_one_gets_its_arguments(line):
    target = find_target(line, {"fault": "stale", "mask_allowed": 0})
    assert target.make_raw().fault == "stale" and target.settings.allowed == 0
    assert target.name == "Line"


def test_everything_else_is_refused(line):
    with pytest.raises(ConfigError, match="got int"):
        find_target(3)
    with pytest.raises(ConfigError, match=r"\['limit'\] for an environment that is made"):
        find_target(line(), {"limit": 3})
