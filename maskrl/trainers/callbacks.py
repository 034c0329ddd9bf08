"""Hooks into training: watch it, log it elsewhere, end it early.

Derive from `Callback` and override what is needed. Callbacks are called in the order in
which they were given, in the training process, between steps: what they do slowly slows
training, and what they raise ends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


class Callback:
    """Called during `learn`; every method does nothing until it is overridden.

    The trainer's public attributes tell the rest: `steps`, `total_steps`, `fraction`,
    `updates`, `config`, `policy`, `env`, `run_dir`.
    """

    def on_start(self, trainer: Any) -> None:
        """Called before the first rollout of a call of `learn`."""

    def on_rollout(self, trainer: Any, metrics: Mapping[str, float]) -> bool | None:
        """Called after each rollout and its update; return False to end training."""

    def on_evaluation(self, trainer: Any, result: Any) -> None:
        """Called after each evaluation during training with what the evaluator returned."""

    def on_end(self, trainer: Any) -> None:
        """Called when `learn` ends, also by an error or an interruption."""


class Callbacks:
    """Several callbacks called as one.

    Args:
        callbacks: In the order of the calls.
    """

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self.callbacks = list(callbacks)

    def start(self, trainer: Any) -> None:
        """Pass on `on_start`."""
        for callback in self.callbacks:
            callback.on_start(trainer)

    def rollout(self, trainer: Any, metrics: Mapping[str, float]) -> bool:
        """Pass on `on_rollout` to all; return whether training goes on."""
        answers = [callback.on_rollout(trainer, metrics) for callback in self.callbacks]
        # A comparison of numpy's numbers gives numpy's own False.
        return not any(isinstance(a, bool | np.bool_) and not a for a in answers)

    def evaluation(self, trainer: Any, result: Any) -> None:
        """Pass on `on_evaluation`."""
        for callback in self.callbacks:
            callback.on_evaluation(trainer, result)

    def end(self, trainer: Any) -> None:
        """Pass on `on_end`."""
        for callback in self.callbacks:
            callback.on_end(trainer)
