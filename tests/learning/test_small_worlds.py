"""Masked PPO learns to choose from a varying set, and to give commands in two parts.

Both worlds know their optimum. On the 500 test layouts, as shares of it:

    packing   random valid play 53 %, the best simple rule (most worth first) 90 %
    outpost   random valid play 10 %, a greedy commander 75 %

The same agent without the mask reaches, after the same number of steps, 59 to 72 % in packing
(82 % if it samples its actions) and 70 to 85 % at the outpost. The masked one has to reach 95 %
with every seed; it was measured at 97.9 to 98.1 % and 96.1 to 96.7 %.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SEEDS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("small_worlds", EXAMPLES / "small_worlds.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.slow
@pytest.mark.learning
@pytest.mark.timeout(1800)  # minutes on two idle cores, much longer on shared ones
@pytest.mark.parametrize(("world", "steps"), [("packing", 250_000), ("outpost", 1_500_000)])
def test_every_seed_comes_near_the_optimum(script, world, steps, monkeypatch, tmp_path) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))  # where the processes find what they are to do
    known = script.references(world)
    assert known["random"] < 0.6 * known["optimum"]
    results = script.make_runs(
        [script.Run(world, "masked", seed, steps, tmp_path) for seed in SEEDS], jobs=2
    )
    assert sorted(result["seed"] for result in results) == list(SEEDS)
    shares = {result["seed"]: result["greedy"] / known["optimum"] for result in results}
    assert min(shares.values()) >= 0.95, shares
    assert all(result["illegal"] == result["illegal_sampled"] == 0 for result in results)
