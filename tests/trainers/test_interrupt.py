"""Signals are noted once and obeyed at once the second time; handlers are put back."""

from __future__ import annotations

import signal
import threading

import pytest

from maskrl.trainers.interrupt import InterruptWatch, TrainingInterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_noted_second_ends(number):
    before = signal.getsignal(number)
    with InterruptWatch() as watch:
        assert watch.received is None
        signal.raise_signal(number)
        assert watch.received == number.name
        with pytest.raises(KeyboardInterrupt, match="without saving"):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_handlers_are_put_back_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), InterruptWatch():
        raise RuntimeError
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_the_main_thread_nothing_is_installed():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def run():
        with InterruptWatch() as watch:
            seen.append((watch.received, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(None, before)]


def test_interruption_is_a_keyboard_interrupt_with_a_message():
    error = TrainingInterrupted("how to go on", "SIGTERM")
    assert isinstance(error, KeyboardInterrupt)
    assert (str(error), error.signal_name) == ("how to go on", "SIGTERM")
