"""Masked PPO learns an environment that nobody here wrote, from the mask in its info.

Taxi's optimum over its 300 start states is 7.93. With the settings below, after the same
200,000 steps, the same agent without the mask scores about -190 (270 or more starts
unsolved), and random play among the allowed actions -186.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from maskrl.envs import find_entry
from maskrl.trainers.ppo import PPO, PPOConfig

SCRIPT = Path(__file__).parents[2] / "examples" / "taxi_all_starts.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("taxi_all_starts", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.slow
@pytest.mark.learning
def test_masked_ppo_drives_nearly_optimally_from_every_start(script):
    settings = {**find_entry("gymnasium:Taxi-v4").presets["ppo"], "evaluate_every": 0}
    settings.pop("total_steps")
    trainer = PPO("gymnasium:Taxi-v4", PPOConfig.from_json({**settings, "threads": 1}), seed=0)
    trainer.learn(200_000)
    result = script.evaluate_all_starts(lambda seen: int(trainer.predict(seen)[0]), script.taxi())
    assert result.returns.mean() >= 7.7
    assert result.solved.all()
    assert result.illegal_actions == 0 and trainer.env.illegal_actions == 0
