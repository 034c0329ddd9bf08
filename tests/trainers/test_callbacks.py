"""Callbacks: called in order, and one False is enough to stop."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.trainers.callbacks import Callback, Callbacks


class Recorder(Callback):
    def __init__(self, name, calls, answer=None):
        self.name, self.calls, self.answer = name, calls, answer

    def on_start(self, trainer):
        self.calls.append((self.name, "start", trainer))

    def on_rollout(self, trainer, metrics):
        self.calls.append((self.name, "rollout", metrics))
        return self.answer

    def on_evaluation(self, trainer, result):
        self.calls.append((self.name, "evaluation", result))

    def on_end(self, trainer):
        self.calls.append((self.name, "end", trainer))


def test_all_are_called_in_order():
    calls = []
    hooks = Callbacks([Recorder("a", calls), Recorder("b", calls)])
    hooks.start("t")
    assert hooks.rollout("t", "m")
    hooks.evaluation("t", "r")
    hooks.end("t")
    stages = [("start", "t"), ("rollout", "m"), ("evaluation", "r"), ("end", "t")]
    assert calls == [(name, *stage) for stage in stages for name in "ab"]


@pytest.mark.parametrize(
    ("answers", "goes_on"),
    [
        ((None, True), True),
        ((False, None), False),
        ((0, None), True),
        ((np.float64(1) < 0, None), False),
    ],
)
def test_false_stops_and_nothing_else_does(answers, goes_on):
    calls = []
    hooks = Callbacks([Recorder(str(i), calls, answer) for i, answer in enumerate(answers)])
    assert hooks.rollout("t", {}) is goes_on
    assert len(calls) == 2  # the later one is asked all the same


def test_the_base_does_nothing():
    hooks = Callbacks([Callback()])
    hooks.start(None)
    assert hooks.rollout(None, {})
    hooks.evaluation(None, None)
    hooks.end(None)
