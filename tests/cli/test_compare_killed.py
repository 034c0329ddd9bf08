"""A comparison that is killed, twice, at random moments, ends up with the same tables."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import maskrl

SMALL = [
    "--ppo.num-envs=4",
    "--ppo.rollout-steps=16",
    "--ppo.minibatch-size=32",
    "--ppo.epochs=1",
    "--ppo.network.hidden=8",
    "--ppo.network.entity-dim=8",
    "--ppo.network.entity-heads=2",
    "--ppo.network.entity-depth=1",
    "--ppo.evaluate-every=640",
    "--ppo.evaluation-episodes=4",
    "--ppo.checkpoint-every=320",
]
TABLES = ("summary.json", "summary.csv", "curves.csv", "compare.json")


def start(out: Path, log: Path) -> subprocess.Popen[bytes]:
    words = ["compare", "panda-open", "--regimes", "masked", "naive", "penalty:0.1", "--seeds=1"]
    words += ["--steps=3200", "--episodes=5", "--workers=2", f"--out={out}", *SMALL]
    root = Path(maskrl.__file__).parents[1]
    paths = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    with open(log, "ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "maskrl", *words],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )


def kill(process: subprocess.Popen[bytes], out: Path) -> None:
    """SIGKILL to the command and to its workers, which nobody can prepare for."""
    workers = [int(lock.read_text() or 0) for lock in out.glob("*/*/.lock")]
    process.send_signal(signal.SIGKILL)
    for pid in filter(None, workers):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_killed_twice_and_the_tables_are_the_same(tmp_path):
    whole, broken = tmp_path / "whole" / "out", tmp_path / "broken" / "out"
    log = tmp_path / "log.txt"
    assert start(whole, log).wait(timeout=500) == 0, log.read_text()[-3000:]
    draw = random.Random(20061)
    kills = 0
    for _ in range(2):
        seen = log.stat().st_size
        process = start(broken, log)
        while process.poll() is None:
            if b": training" in log.read_bytes()[seen:]:
                time.sleep(draw.uniform(0.0, 2.0))
                kill(process, broken)
                kills += 1
            time.sleep(0.05)
    assert kills >= 1  # the second may have had nothing left to train
    unfinished = not (broken / "summary.json").exists()
    assert start(broken, log).wait(timeout=500) == 0, log.read_text()[-3000:]
    assert unfinished or kills < 2
    for name in TABLES:
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
    for path in sorted(whole.glob("*/*/*.csv")):
        if path.name in ("metrics.csv", "episodes.csv"):
            other = broken / path.relative_to(whole)
            assert path.read_bytes() == other.read_bytes(), path
