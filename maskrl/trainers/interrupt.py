"""Ctrl-C and SIGTERM as wishes: training ends at the next moment that can be saved.

The first signal is noted and the update under way is finished, so that what is saved
continues exactly as if nothing had happened. A second one ends at once.
"""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

logger = logging.getLogger("maskrl")


class TrainingInterrupted(KeyboardInterrupt):
    """Training ended by a signal, after saving what was learned; the message says how to go on.

    A `KeyboardInterrupt`, so that a script that trains several agents ends too.

    Attributes:
        signal_name: "SIGINT" or "SIGTERM".
    """

    def __init__(self, message: str, signal_name: str) -> None:
        super().__init__(message)
        self.signal_name = signal_name


class InterruptWatch:
    """Notes SIGINT and SIGTERM while it is entered; handlers are put back afterwards.

    Outside the main thread, where Python allows no handlers, it notes nothing.

    Attributes:
        received: Name of the first signal, or None.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> InterruptWatch:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.received is not None:
            raise KeyboardInterrupt(f"second signal ({name}): ended without saving")
        self.received = name
        logger.warning("%s: finishing this update, then saving; once more ends at once", name)
