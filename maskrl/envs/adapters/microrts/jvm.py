"""Java in this process: started once, never stopped, useless after a fork.

A process can have one Java virtual machine and can start it once. So it is started when the
first environment is made, shared by all, and left running when one is closed. A forked
child inherits a machine without threads, in which every call would hang: it is told so
instead. What the engine raises becomes an `EngineError` with the engine's own message.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

from maskrl.envs.adapters.microrts.installation import (
    BRIDGE_VERSION,
    RECIPE,
    MicrortsMissingError,
    engine_folder,
)
from maskrl.errors import ConfigError, MaskrlError

OLDEST_JAVA: Final = 17
"""The oldest Java that all this is tested with."""

JVM_OPTIONS: Final = (
    "-Djava.awt.headless=true",  # nothing here needs a display
    "-XX:+UseSerialGC",  # one thread: games are small, and learning needs the processors
)

LOCK: Final = threading.RLock()
"""Games step under it: the engine's random numbers belong to the process."""

_started_by: list[int] = []  # the process that started Java: forked children inherit it
_JVM_GONE: Final = "cannot be restarted"  # in the bridge's message


class EngineError(MaskrlError, RuntimeError):
    """The engine, or an opponent, raised an error of its own."""


def java() -> Any:
    """The bridge (the module `jpype`) to a running Java that knows the engine.

    Raises:
        MicrortsMissingError: The engine, the bridge or Java is not installed.
        ConfigError: Java cannot be used in this process.
    """
    with LOCK:
        folder = engine_folder()
        try:
            jpype = importlib.import_module("jpype")
        except ImportError as error:
            raise MicrortsMissingError(
                f"microrts: the package JPype1, the bridge to Java, cannot be imported ({error}). "
                f"Install it with\n{RECIPE}"
            ) from error
        require_own_process()
        if not jpype.isJVMStarted():
            _start(jpype, [folder / "microrts.jar", *sorted((folder / "lib/bots").glob("*.jar"))])
            _started_by.append(os.getpid())
        try:
            jpype.JClass("tests.JNIGridnetSharedMemVecClient")
        except TypeError as error:
            raise ConfigError(
                "microrts: Java was started in this process before, by something else and without "
                f"the engine, and cannot be started again. Make the environment first, or start "
                f"Java with {folder / 'microrts.jar'} on its class path."
            ) from error
        return jpype


def require_own_process() -> None:
    """Refuse to go on in a fork of the process that started Java.

    Raises:
        ConfigError: This is one.
    """
    if _started_by and _started_by[0] != os.getpid():
        raise ConfigError(
            "microrts: this process was forked from one in which Java was running, and Java does "
            "not survive that. Start workers with multiprocessing's 'spawn' or 'forkserver' "
            "(AsyncVectorEnv(..., context='spawn')), or fork before the first environment is "
            "made. One environment with a larger num_envs needs no workers at all."
        )


def _start(jpype: Any, jars: Sequence[Any]) -> None:
    try:
        path = jpype.getDefaultJVMPath()
    except (jpype.JVMNotFoundException, ValueError) as error:
        raise MicrortsMissingError(
            "microrts: no Java was found. Install a runtime, or set JAVA_HOME to the folder of "
            f"one that is installed elsewhere.\n{RECIPE}"
        ) from error
    try:
        for jar in jars:
            jpype.addClassPath(str(jar))
        # not interrupt: Ctrl-C goes to Python, whose trainers save before they stop
        jpype.startJVM(*JVM_OPTIONS, jvmpath=path, convertStrings=False, interrupt=False)
    except (OSError, RuntimeError, TypeError) as error:
        if _JVM_GONE in str(error):
            raise ConfigError(
                "microrts: Java was running in this process and was shut down, by "
                "jpype.shutdownJVM or by another package's close(). It cannot be started twice: "
                "begin a new process. Closing an environment of this package leaves it running."
            ) from error
        raise MicrortsMissingError(
            f"microrts: Java at {path} does not start: {error}. JPype1 {BRIDGE_VERSION} needs Java "
            f"{OLDEST_JAVA} or newer.\n{RECIPE}"
        ) from error


@contextlib.contextmanager
def engine_errors(operation: str) -> Iterator[None]:
    """Turn what the engine raises inside the block into an `EngineError`.

    Args:
        operation: What was being done; the message begins with it.

    Raises:
        EngineError: The block raised a Java exception; its class, its message and the
            uppermost lines of its stack are in the message.
    """
    try:
        yield
    except Exception as error:
        jpype = importlib.import_module("jpype")
        if not isinstance(error, jpype.JException):
            raise
        lines = [str(frame) for frame in error.getStackTrace()[:4]]
        raise EngineError(
            f"microrts: {operation}: the engine raised {type(error).__name__}: "
            f"{error.getMessage()}\n  at " + "\n  at ".join(lines or ["(no stack)"])
        ) from error
