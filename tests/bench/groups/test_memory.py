"""Peak memory: what a call holds at most, measured in this process and in one of its own."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from maskrl.bench.contenders.plain_torch import TORCH, TORCH_INVERSE_CDF
from maskrl.bench.groups import memory as module
from maskrl.bench.groups.memory import GRADIENT, measure_in_process, memory, peak_bytes
from maskrl.bench.tasks import Entrant

needs_linux = pytest.mark.skipif(
    module.unavailable() is not None, reason="peak memory is read from Linux's /proc"
)
MB = 2**20


@pytest.fixture
def entrants():
    return [Entrant(c, c.load()) for c in (TORCH, TORCH_INVERSE_CDF)]


@needs_linux
def test_what_is_held_for_a_moment_counts():
    def call():
        passing = np.ones(64 * MB, np.uint8)
        return passing[: 16 * MB].copy()

    (peak,) = peak_bytes(call, calls=1)
    assert 76 * MB < peak < 90 * MB


@needs_linux
def test_a_contender_is_measured():
    # 2 x 500,000 float32 logits are 4 MB; plain torch holds several of them at once.
    peaks = module.measure_contender("torch", 2, 500_000)
    assert len(peaks) == 3 and all(4e6 < peak < 100e6 for peak in peaks)


@needs_linux
@pytest.mark.slow
def test_a_process_of_its_own_measures_a_contender():
    peaks = measure_in_process("torch", 2, 500_000, 1)
    assert len(peaks) == 3 and all(4e6 < peak < 100e6 for peak in peaks)


@needs_linux
def test_who_does_not_learn_is_left_out_and_failures_are_notes(entrants):
    def measure(name, rows, actions, threads):
        assert (name, rows, actions, threads) == ("torch", 64, 6, 2)
        return [30, 10, 20]

    (cell,), notes = memory(entrants, quick=True, threads=2, measure=measure)
    assert [(t.contender, t.median) for t in cell.timings] == [("torch", 20), (GRADIENT, 1536)]
    assert cell.unit == "bytes" and notes == []

    def fail(name, rows, actions, threads):
        raise RuntimeError("memory of torch: killed")

    (cell,), notes = memory(entrants, quick=True, threads=2, measure=fail)
    assert [t.contender for t in cell.timings] == [GRADIENT]
    assert notes == ["memory of torch: killed"]


def test_where_it_cannot_be_measured_a_note_says_so(entrants, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_PROCESS", tmp_path / "nothing")
    cells, (note,) = memory(entrants, quick=True, threads=1)
    assert cells == [] and "needs Linux" in note


def test_a_failing_process_tells_its_last_line(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "first\nKeyError: 'nobody'\n")
    monkeypatch.setattr(module.subprocess, "run", lambda *words, **settings: failed)
    with pytest.raises(RuntimeError, match="memory of nobody: KeyError: 'nobody'"):
        measure_in_process("nobody", 1, 2, 1)


def test_a_contender_that_does_not_learn_is_refused():
    with pytest.raises(KeyError, match="has no way to learn"):
        module.measure_contender(TORCH_INVERSE_CDF.name, 1, 2)
