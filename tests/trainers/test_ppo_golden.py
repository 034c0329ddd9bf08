"""Three updates of PPO, number by number: a change that should change nothing proves it.

The world, the network and all options are small and fixed. If a number moves on purpose,
print the new ones with `pytest -k golden -s` and say in the commit why they moved.
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
    entropy_coef_final=0.0,
    normalize_observations=True,
    normalize_rewards=True,
    threads=1,
    evaluate_every=0,
    network=NetworkConfig(hidden=(16,)),
)

GOLDEN = {
    "return_mean": [0.5, 0.485714286, 0.59375],
    "episodes": [14.0, 35.0, 64.0],
    "policy_loss": [-0.009666729, -0.00716986, -0.010959405],
    "value_loss": [0.117329508, 1.310894012, 3.238238096],
    "entropy": [0.691684961, 0.684606969, 0.669759214],
    "approx_kl": [0.001401792, 0.000616344, 0.000292665],
    "clip_fraction": [0.424479157, 0.153645828, 0.036458332],
    "grad_norm": [0.274726957, 0.767667592, 1.875716567],
    "entropy_normalized": [0.999995112, 0.990983486, 0.963084519],
    "disallowed_mass": [0.800029874, 0.796761334, 0.795672774],
    "learning_rate": [0.003, 0.002, 0.001],
    "entropy_coef": [0.01, 0.006666667, 0.003333333],
    "explained_variance": [-0.157419205, 0.096647799, 0.140860319],
}


class Log(Callback):
    def __init__(self):
        self.rows = []

    def on_rollout(self, trainer, metrics):
        self.rows.append(metrics)


def test_golden_trace_of_three_updates(corridor):
    log = Log()
    PPO(corridor(4), CONFIG, seed=11).learn(3 * CONFIG.batch_size, callbacks=[log])
    trace = {name: [row[name] for row in log.rows] for name in GOLDEN}
    print(trace)
    for name, values in GOLDEN.items():
        assert trace[name] == pytest.approx(values, rel=1e-3, abs=1e-6), name
