"""Java starts once, survives close(), not a fork, and its errors are told as Python errors.

Each case that needs a fresh Java, or none, is a small program in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from maskrl.envs.adapters.microrts import jvm
from maskrl.envs.adapters.microrts.jvm import EngineError, engine_errors, java
from maskrl.envs.adapters.microrts.vector_env import MicrortsVectorEnv
from maskrl.errors import ConfigError

MAP = "maps/8x8/basesWorkers8x8.xml"


def run(program, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_environments_can_be_made_one_after_the_other_and_side_by_side():
    first = MicrortsVectorEnv(MAP, 1)
    first.reset()
    first.close()
    second, third = MicrortsVectorEnv(MAP, 2), MicrortsVectorEnv("maps/4x4/base4x4.xml", 1)
    assert second.reset()[0]["grid"].shape == (2, 27, 8, 8)
    assert third.reset()[0]["grid"].shape == (1, 27, 4, 4)
    assert java() is java()


def test_what_java_raises_becomes_an_error_with_its_message():
    system = java().JClass("java.lang.System")
    with (
        pytest.raises(EngineError, match=r"reset: the engine raised .*NullPointerException"),
        engine_errors("reset"),
    ):
        system.getProperty(None)
    with pytest.raises(ZeroDivisionError), engine_errors("reset"):
        1 / 0  # noqa: B018 - errors of Python stay what they are


def test_an_opponent_that_fails_is_told_with_the_place():
    venv = MicrortsVectorEnv(MAP, 1)
    venv.reset()
    venv.games._clients[0].ai2 = None
    with pytest.raises(EngineError, match=r"microrts: step: .*\n  at tests\.JNIGridnet"):
        venv.step(venv.action_space.sample() * 0)


def _step_in_child(connection):
    try:
        venv = MicrortsVectorEnv(MAP, 1)
        venv.reset()
        connection.send("played")
    except ConfigError as error:
        connection.send(str(error))


@pytest.mark.parametrize(("method", "told"), [("fork", "forked"), ("spawn", "played")])
def test_a_forked_child_is_told_and_a_spawned_one_plays(method, told):
    java()
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    child = context.Process(target=_step_in_child, args=(there,))
    child.start()
    assert here.poll(60), "the child hangs"
    assert told in here.recv()
    child.join(30)
    assert child.exitcode == 0


def test_an_environment_taken_through_a_fork_is_told_too():
    venv = MicrortsVectorEnv(MAP, 1)
    venv.reset()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            venv.step(venv.action_space.sample() * 0)
            os.write(write, b"played")
        except ConfigError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    told = os.read(read, 1000).decode()
    os.waitpid(child, 0)
    assert "forked" in told and "spawn" in told
    venv.step(venv.action_space.sample() * 0)  # the parent goes on


def test_without_java_the_error_says_how_to_get_it():
    done = run(
        f"""
        import jpype
        def nowhere():
            raise jpype.JVMNotFoundException("No JVM shared library file (libjvm.so) found.")
        jpype.getDefaultJVMPath = nowhere
        import maskrl
        try:
            maskrl.make_vec("microrts:{MAP}", 1)
        except ImportError as error:
            print(error)
        """
    )
    assert "no Java was found" in done.stdout, done.stderr
    assert "openjdk-17-jre-headless" in done.stdout and "make microrts" in done.stdout


def test_without_the_bridge_the_error_says_how_to_get_it():
    done = run(
        f"""
        import sys
        sys.modules["jpype"] = None
        import maskrl
        try:
            maskrl.make("microrts:{MAP}")
        except ImportError as error:
            print(error)
        """
    )
    assert "JPype1" in done.stdout and "make microrts" in done.stdout, done.stderr


def test_java_that_something_else_started_is_used_or_refused():
    program = f"""
        import jpype
        from maskrl.envs.adapters.microrts.installation import engine_folder
        jpype.startJVM({{}})
        from maskrl.envs.adapters.microrts.vector_env import MicrortsVectorEnv
        try:
            MicrortsVectorEnv("{MAP}", 1).reset()
            print("played")
        except Exception as error:
            print(type(error).__name__, error)
    """
    with_engine = run(program.format("classpath=[str(engine_folder() / 'microrts.jar')]"))
    assert "played" in with_engine.stdout, with_engine.stderr
    without = run(program.format(""))
    assert "ConfigError microrts: Java was started in this process before" in without.stdout


def test_java_that_was_shut_down_cannot_be_started_again_and_this_is_told():
    done = run(
        f"""
        import jpype
        from maskrl.envs.adapters.microrts.vector_env import MicrortsVectorEnv
        venv = MicrortsVectorEnv("{MAP}", 1)
        venv.reset()
        jpype.shutdownJVM()
        try:
            MicrortsVectorEnv("{MAP}", 1)
        except Exception as error:
            print(type(error).__name__, error)
        """
    )
    assert "ConfigError microrts: Java was running in this process and was shut" in done.stdout


def test_ctrl_c_reaches_python():
    program = f"""
        from maskrl.envs.adapters.microrts.vector_env import MicrortsVectorEnv
        venv = MicrortsVectorEnv("{MAP}", 4)
        venv.reset()
        still = venv.action_space.sample() * 0
        print("ready", flush=True)
        try:
            while True:
                venv.step(still)
        except KeyboardInterrupt:
            print("interrupted")
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=240)[0] == "interrupted\n"
    assert child.returncode == 0


def test_nothing_is_started_by_importing():
    done = run(
        """
        import sys
        import maskrl.envs.adapters.microrts.vector_env, maskrl.envs.adapters.microrts.entry
        print("jpype" in sys.modules)
        """
    )
    assert done.stdout == "False\n", done.stderr
    assert jvm.OLDEST_JAVA <= 17
