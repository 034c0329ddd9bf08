"""Three updates of PPO for teams, number by number: a change that should change nothing proves it.

World, network and options are small and fixed. If a number moves on purpose, print the new
ones with `pytest -k golden -s` and say in the commit why they moved.
"""

from __future__ import annotations

import pytest

from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.callbacks import Callback
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

CONFIG = PPOConfig(
    num_envs=4,
    rollout_steps=32,
    minibatch_size=32,
    epochs=3,
    clip=0.05,
    value_clip=0.2,
    learning_rate=3e-3,
    normalize_rewards=True,
    threads=1,
    evaluate_every=0,
    network=NetworkConfig(hidden=(16,)),
)
VARIANTS = {
    "agents": {"death": "terminal"},
    "together": {"death": "posthumous", "ratio": "joint", "weight": "env_step"},
}
GOLDEN = {
    "agents": {
        "return_mean": [6.375, 7.333333333, 7.38],
        "agent_steps": [248.0, 503.0, 770.0],
        "policy_loss": [-0.012550723, -0.005467345, -0.00846718],
        "value_loss": [1.353074551, 0.931948185, 0.666875601],
        "entropy": [0.692454159, 0.690107286, 0.687341392],
        "approx_kl": [0.000643486, 0.000228805, 0.000108136],
        "clip_fraction_joint": [0.306186289, 0.123371206, 0.03363305],
        "clip_fraction_agent": [0.186263099, 0.016305305, 0.0],
        "grad_norm": [0.727896869, 0.730645657, 0.544086516],
        "entropy_normalized": [0.999995708, 0.997264445, 0.993318856],
        "disallowed_mass": [0.599810541, 0.599138141, 0.597395957],
        "explained_variance": [-0.07868731, -0.058216333, -0.097314],
    },
    "together": {
        "return_mean": [6.375, 7.303030303, 7.26],
        "agent_steps": [248.0, 503.0, 770.0],
        "policy_loss": [-0.00836207, -0.001837056, -0.002314679],
        "value_loss": [7.631425381, 1.250434279, 0.820975542],
        "entropy": [1.560274124, 1.521378398, 1.511695504],
        "approx_kl": [0.000962225, 0.000199666, 3.4109e-05],
        "clip_fraction_joint": [0.210293606, 0.040597357, 0.0],
        "clip_fraction_agent": [0.108173586, 0.0, 0.0],
        "grad_norm": [1.178226948, 0.837382734, 1.037307143],
        "entropy_normalized": [0.999995708, 0.998848677, 0.997296751],
        "disallowed_mass": [0.599810541, 0.598679841, 0.598030329],
        "explained_variance": [-0.034217477, 0.004490912, -0.021237612],
    },
}


class Log(Callback):
    def __init__(self):
        self.rows = []

    def on_rollout(self, trainer, metrics):
        self.rows.append(metrics)


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_trace_of_three_updates(shifts, variant):
    log = Log()
    config = CONFIG.replace(**VARIANTS[variant])
    PPO(shifts(4), config, seed=11).learn(3 * CONFIG.batch_size, callbacks=[log])
    trace = {name: [round(row[name], 9) for row in log.rows] for name in GOLDEN[variant]}
    print({variant: trace})
    for name, values in GOLDEN[variant].items():
        assert trace[name] == pytest.approx(values, rel=1e-3, abs=1e-6), name
