"""The networks alone make as many passes as PPO does, and nothing more."""

from __future__ import annotations

from maskrl.bench.groups.network_alone import NetworkAlone
from maskrl.bench.groups.training import QUICK_SETTINGS
from maskrl.bench.groups.training_world import native_world
from maskrl.networks.towers import Towers
from maskrl.trainers.ppo import PPO


def test_as_many_minibatches_pass_as_in_training(monkeypatch):
    passes = []
    forward, backward = Towers.forward, Towers.backward
    monkeypatch.setattr(
        Towers, "forward", lambda *a: passes.append(len(a[1]["observation"])) or forward(*a)
    )
    monkeypatch.setattr(Towers, "backward", lambda *a: passes.append("back") or backward(*a))
    for config in QUICK_SETTINGS:
        NetworkAlone(config)()
        alone = passes.copy()
        passes.clear()
        PPO(native_world(config.num_envs, seed=0), config).step()
        assert alone == passes and len(alone) > 2
        passes.clear()


def test_the_weights_move():
    alone = NetworkAlone(QUICK_SETTINGS[0])
    before = alone.policy.value_head.linear.weight.clone()
    alone()
    assert not before.equal(alone.policy.value_head.linear.weight)
