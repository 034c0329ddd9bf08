"""Masked DQN learns worlds by the settings that their entries hold.

Taxi's optimum over its 300 start states is 7.93; random play among the allowed actions scores
-186. On the panda's layouts random valid play is 0 and the planner 1.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from maskrl.envs import find_entry
from maskrl.trainers.dqn import DQN, DQNConfig
from maskrl.trainers.evaluate import evaluate

SCRIPT = Path(__file__).parents[2] / "examples" / "taxi_all_starts.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("taxi_every_start", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def settings_of(env_id):
    """The preset without evaluations, and its number of steps."""
    settings = {**find_entry(env_id).presets["dqn"], "evaluate_every": 0, "threads": 1}
    steps = settings.pop("total_steps")
    return DQNConfig.from_json(settings), steps


@pytest.mark.slow
@pytest.mark.learning
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_taxi_is_driven_nearly_optimally_from_every_start(script, seed):
    config, steps = settings_of("gymnasium:Taxi-v4")
    trainer = DQN("gymnasium:Taxi-v4", config, seed=seed).learn(steps)
    result = script.evaluate_all_starts(lambda seen: int(trainer.predict(seen)[0]), script.taxi())
    assert result.returns.mean() >= 7.7
    assert result.solved.all()
    assert result.illegal_actions == 0 and trainer.env.illegal_actions == 0


@pytest.mark.slow
@pytest.mark.learning
@pytest.mark.timeout(1800)
def test_a_panda_that_sees_everything_scores_nine_tenths(script):
    config, steps = settings_of("panda")
    kwargs = {"sight": "full"}
    trainer = DQN("panda", config, env_kwargs=kwargs, seed=0).learn(steps)
    result = evaluate(trainer.policy, "panda", episodes=500, env_kwargs=kwargs, seed=1)
    assert result.illegal_actions == 0
    assert result.score is not None and result.score >= 0.90
