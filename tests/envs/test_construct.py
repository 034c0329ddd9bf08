"""From a name to an environment, and every way in which that goes wrong."""

from __future__ import annotations

import sys
import textwrap

import gymnasium
import pytest
from gymnasium.vector import SyncVectorEnv

from maskrl.envs import construct
from maskrl.envs.adapters.gymnasium_info import MaskFromInfo
from maskrl.envs.contract import require_same_step
from maskrl.envs.registry import make
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError, NoMaskError, UnknownEnvError

MODULE = """
import gymnasium, numpy as np
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

class Walk(gymnasium.Env):
    observation_space = spaces.Discrete(9)
    action_space = spaces.Discrete(2)
    def __init__(self, length=8):
        if length > 8:
            raise ValueError("length is at most 8")
        self.length = length
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return 0, {"action_mask": [0, 1], "blocked": [1, 0]}
    def step(self, action):
        self.at += 1
        info = {"action_mask": [1, 1], "blocked": [0, 0]}
        return self.at, 1.0, self.at == self.length, False, info

class NoEnv:
    pass

class VectorOfWalks(SyncVectorEnv):
    def __init__(self, num_envs, mode="SameStep"):
        super().__init__([Walk] * num_envs, autoreset_mode=mode)

def build(length=8) -> Walk:
    return Walk(length)

def build_late(length=8) -> "gymnasium.Env[int, int]":
    return Walk(length)

def build_other() -> gymnasium.Env:
    return "no environment"

def says_nothing():
    return Walk()

number = 3
"""


@pytest.fixture
def my_module(tmp_path, monkeypatch):
    (tmp_path / "mymodule_of_this_test.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "fails_of_this_test.py").write_text("1 / 0\n")
    (tmp_path / "needs_of_this_test.py").write_text("import surely_not_installed\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part])
    yield "mymodule_of_this_test"
    for name in ("mymodule_of_this_test", "fails_of_this_test", "needs_of_this_test"):
        sys.modules.pop(name, None)


def test_a_class_in_the_current_directory_is_found(my_module):
    env = construct.make_class(f"{my_module}:Walk", length=3)
    assert isinstance(env, MaskFromInfo) and env.unwrapped.length == 3
    assert env.name == f"{my_module}:Walk"
    assert env.reset()[0]["action_mask"].tolist() == [False, True]
    for function in ("build", "build_late"):
        assert construct.make_class(f"{my_module}:{function}").reset()[0]["observation"] == 0


def test_the_mask_key_and_polarity_can_be_named(my_module):
    env = construct.make_class(f"{my_module}:Walk", mask_key="blocked", mask_allowed=0)
    assert env.reset()[0]["action_mask"].tolist() == [False, True]


def test_a_class_is_vectorised(my_module):
    venv = construct.make_class_vec(f"{my_module}:Walk", 3, seed=1, length=4)
    assert isinstance(venv, GymnasiumVectorEnv) and venv.num_envs == 3
    assert venv.reset()[0]["action_mask"].shape == (3, 2)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
def test_a_vector_class_is_made_to_keep_the_contract(my_module, mode):
    path = f"{my_module}:VectorOfWalks"
    venv = construct.make_class_vec(path, 2, mode=mode)
    require_same_step(venv)
    assert isinstance(venv.unwrapped, SyncVectorEnv) and venv.name == path
    assert venv.reset()[0]["action_mask"].tolist() == [[False, True]] * 2
    other = construct.make_class_vec(path, 2, mode=mode, mask_key="blocked", mask_allowed=0)
    assert other.reset()[0]["action_mask"].tolist() == [[False, True]] * 2
    with pytest.raises(ConfigError, match="no single form"):
        construct.make_class(path)


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("nowhere_at_all:Env", UnknownEnvError, "no module 'nowhere_at_all'"),
        ("gymnasium.nowhere:Env", UnknownEnvError, "no module 'gymnasium.nowhere'"),
        ("fails_of_this_test:Env", ConfigError, "importing .* fails: ZeroDivisionError"),
        ("needs_of_this_test:Env", ConfigError, "No module named 'surely_not_installed'"),
        ("mymodule_of_this_test:Wolk", UnknownEnvError, "no 'Wolk'. Its environments: Walk"),
        ("mymodule_of_this_test:Nope", UnknownEnvError, "no 'Nope'. Its environments: Walk, Vec"),
        ("json:Walk", UnknownEnvError, "defines no environment"),
        ("mymodule_of_this_test:NoEnv", ConfigError, "derived from gymnasium.Env.*object"),
        ("mymodule_of_this_test:says_nothing", ConfigError, "annotated as returning one"),
        ("mymodule_of_this_test:number", ConfigError, "derived from gymnasium.Env.*got 3"),
    ],
)
def test_names_that_lead_nowhere(my_module, path, kind, message):
    with pytest.raises(kind, match=message):
        construct.find_class(path)


@pytest.mark.parametrize("path", ["os:system", "subprocess:run", "numpy:load", "builtins:exec"])
def test_functions_that_build_no_environment_are_never_called(path, tmp_path):
    trace = tmp_path / "trace"
    with pytest.raises(ConfigError, match="annotated as returning one"):
        make(path, command=f"touch {trace}")
    assert not trace.exists()


def test_a_constructor_that_fails_is_named_with_its_arguments(my_module):
    with pytest.raises(ConfigError, match="length=9.*ValueError: length is at most 8"):
        construct.make_class(f"{my_module}:Walk", length=9)
    with pytest.raises(ConfigError, match="colour='red'.*TypeError"):
        construct.make_class(f"{my_module}:Walk", colour="red")
    with pytest.raises(ConfigError, match=r"expected a gymnasium.Env.*str"):
        construct.make_class(f"{my_module}:build_other")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Taxi-v3", r"retired in Gymnasium .* Use gymnasium:Taxi-v4 instead"),
        ("Taxi-v99", "gymnasium:Taxi-v4"),
        ("taxi-v4", "Did you mean gymnasium:Taxi-v4"),
        ("nowhere_at_all:Env-v0", "no module 'nowhere_at_all'"),
        ("json:Nothing-v0", "does not know 'json:Nothing-v0'"),
        ("nospace/Env-v0", "does not know"),
    ],
)
def test_gymnasium_ids_that_lead_nowhere(name, message):
    with pytest.raises(UnknownEnvError, match=message):
        construct.find_gymnasium_spec(name)


def test_gymnasium_environments_are_made_and_adapted():
    env = construct.make_gymnasium("Taxi-v4", max_episode_steps=7)
    assert isinstance(env, MaskFromInfo) and env.name == "gymnasium:Taxi-v4"
    assert env.spec.max_episode_steps == 7
    with pytest.raises(ConfigError, match="speed=3"):
        construct.make_gymnasium("Taxi-v4", speed=3)
    with pytest.raises(NoMaskError, match="gymnasium:CartPole-v1.*action_masks"):
        construct.make_gymnasium("CartPole-v1")
    venv = construct.make_gymnasium_vec("Taxi-v4", 2, max_episode_steps=7)
    assert venv.envs[1].spec.max_episode_steps == 7


def test_lazy_callables_import_at_the_call():
    lazy = construct.LazyCallable("nowhere_at_all:make")
    assert "nowhere_at_all:make" in repr(lazy)
    with pytest.raises(ModuleNotFoundError):
        lazy()
    assert construct.LazyCallable("gymnasium:Env").resolve() is gymnasium.Env


def test_call_keeps_our_own_errors():
    def refuse(**kwargs):
        raise NoMaskError("as it is")

    with pytest.raises(NoMaskError, match="^as it is$"):
        construct.call("here", refuse, {})
