"""What functions that give masks are called with, and which are never called."""

from __future__ import annotations

import functools
import sys

import gymnasium
import pytest
from gymnasium import spaces

from maskrl.envs.adapters.call_arguments import (
    arguments_of,
    call_with,
    function_path,
    import_function,
)
from maskrl.errors import ConfigError, UnknownEnvError

MODULE = """
def by_env(env): return [1, 0]
def by_state(state, info=None): return [0, 1]
def nothing(): raise SystemExit
def anything(*parts): raise SystemExit
def command(command): raise SystemExit
def only_by_name(*, env): raise SystemExit
class Moves:
    def of(env): return [1, 1]
    def __call__(self, env): return [1, 0]
moves = Moves()
"""


class Counter(gymnasium.Env):
    observation_space = action_space = spaces.Discrete(3)

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def method(self, state):
        return ("method", state)


@pytest.fixture
def my_module(tmp_path, monkeypatch):
    (tmp_path / "moves_of_this_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part])
    yield "moves_of_this_test"
    sys.modules.pop("moves_of_this_test", None)


def asked(function, env=None, **said):
    env = env or Counter()
    arguments = arguments_of(function, env, "f", **said)
    return call_with(function, arguments, env, "seen", {"t": 1})


def test_parameters_get_what_their_names_say():
    env = Counter()
    assert asked(lambda: 1) == 1
    assert asked(lambda env: env, env) is env
    assert asked(lambda observation, info: (observation, info)) == ("seen", {"t": 1})
    assert asked(lambda info, obs: (info, obs)) == ({"t": 1}, "seen")
    assert asked(lambda obs, player=7, *rest, **more: (obs, player)) == ("seen", 7)


def test_a_state_is_looked_up_in_the_environment():
    assert arguments_of(Counter().method, Counter(state=3, s=4), "f") == ("env.state",)
    assert asked(lambda state: state, Counter(state=3, s=4)) == 3
    assert asked(lambda s: s, Counter(state=None, s=4)) == 4
    assert asked(lambda state: state, Counter()) == "seen"
    wrapped = gymnasium.wrappers.TimeLimit(Counter(s=5), 3)
    assert asked(wrapped.unwrapped.method, wrapped) == ("method", 5)


def test_the_state_is_read_at_every_call():
    env = Counter(s=1)
    arguments = arguments_of(lambda s: s, env, "f")
    env.s = 2
    assert call_with(lambda s: s, arguments, env, None, {}) == 2


def test_a_parameter_of_unknown_name_is_not_filled_by_guessing():
    with pytest.raises(ConfigError, match=r"f takes player.*'player'.*mask_fn=lambda env"):
        asked(lambda player: player)
    with pytest.raises(ConfigError, match="'obs2'"):
        asked(lambda env, obs2: None, only="env")
    with pytest.raises(ConfigError, match="'env'.*by position"):
        asked(eval("lambda *, env: env"))
    env = Counter()
    assert asked(lambda e: e, env, only="env") is env, "as sb3-contrib's ActionMasker does"


def test_partial_functions_and_objects_are_functions_too():
    class Moves:
        def __call__(self, observation):
            return observation

    assert asked(Moves()) == "seen"
    assert asked(functools.partial(lambda depth, info: (depth, info), 2)) == (2, {"t": 1})


def test_functions_by_name(my_module):
    assert import_function(f"{my_module}:by_env")(None) == [1, 0]
    assert import_function(f"{my_module}:by_state")(0) == [0, 1]
    assert import_function(f"{my_module}:Moves.of")(None) == [1, 1]
    with pytest.raises(ConfigError, match="has no 'by_eye'"):
        import_function(f"{my_module}:by_eye")
    with pytest.raises(UnknownEnvError, match="no module 'nowhere_at_all'"):
        import_function("nowhere_at_all:f")
    for wrong in ("by_env", ":f", "module:"):
        with pytest.raises(ConfigError, match="package.module:function"):
            import_function(wrong)


@pytest.mark.parametrize(
    "path",
    ["os:abort", "os:system", "builtins:exec", "shutil:rmtree", "subprocess:run", "json:decoder"],
)
def test_functions_that_compute_no_mask_are_never_called(path):
    with pytest.raises(ConfigError, match="expected a function written in Python"):
        import_function(path)


@pytest.mark.parametrize("name", ["nothing", "anything", "command", "only_by_name", "moves"])
def test_a_function_by_name_must_ask_for_what_is_known(my_module, name):
    with pytest.raises(ConfigError, match="names out of env"):
        import_function(f"{my_module}:{name}")


def test_the_name_of_a_function_leads_back_to_it(my_module):
    found = import_function(f"{my_module}:by_env")
    assert function_path(found) == f"{my_module}:by_env"
    assert import_function(function_path(found)) is found


def test_functions_that_no_name_leads_to(my_module):
    def inner(env):
        return [1]

    found = import_function(f"{my_module}:by_env")
    stray = type(found)(found.__code__, {}, "by_env")
    stray.__module__, stray.__qualname__ = my_module, "by_env"
    for function in (lambda env: [1], inner, functools.partial(found), stray):
        with pytest.raises(ConfigError, match="no name leads back to it"):
            function_path(function)
