"""PPO learns an environment that nobody here wrote, whose agents die and have no action mask.

Teams of two archers and two knights who choose at random hit 2.4 zombies in an episode,
all together, before they are dead or a zombie is through. With the settings of the preset
and a fortieth of a million steps, one network for all of them hits more than 4.5, choosing
by its probabilities.
"""

from __future__ import annotations

import pytest

from maskrl.envs import find_entry
from maskrl.trainers.evaluate import evaluate, evaluate_random
from maskrl.trainers.ppo import PPO, PPOConfig

KNIGHTS = "pettingzoo:knights_archers_zombies_v11"


@pytest.mark.slow
@pytest.mark.learning
@pytest.mark.timeout(1800)  # seven minutes beside other work
def test_knights_and_archers_learn_to_hit_zombies():
    settings = {**find_entry(KNIGHTS).presets["ppo"], "evaluate_every": 0}
    settings.pop("total_steps")
    trainer = PPO(KNIGHTS, PPOConfig.from_json(settings), seed=0)
    trainer.learn(25 * 1024)
    judged = evaluate(trainer.policy, KNIGHTS, episodes=24, deterministic=False, seed=1)
    random = evaluate_random(KNIGHTS, episodes=24, seed=1)
    assert random.mean < 4
    assert judged.mean > 4.5
