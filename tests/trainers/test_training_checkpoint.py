"""A stopped and resumed training equals one that was never stopped, bit for bit."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
from torch import nn

from maskrl.distributions import MaskedCategorical
from maskrl.errors import ConfigError, RunFolderError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.load import load_policy
from maskrl.trainers.callbacks import Callback
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

SMALL = PPOConfig(
    num_envs=4,
    rollout_steps=16,
    minibatch_size=32,
    epochs=2,
    threads=1,
    evaluate_every=0,
    network=NetworkConfig(hidden=(16,)),
)
TOTAL = 6 * SMALL.batch_size


class Log(Callback):
    def __init__(self, stop_after=None):
        self.rows = []
        self.stop_after = stop_after

    def on_rollout(self, trainer, metrics):
        self.rows.append(dict(metrics))
        return trainer.updates != self.stop_after


def everything(trainer):
    """All that the rest of a training depends on, as comparable values."""
    tensors = dict(trainer.policy.state_dict())
    for index, slots in trainer.update.optimizer.state_dict()["state"].items():
        tensors |= {f"{index}.{name}": tensor for name, tensor in slots.items()}
    if trainer.reward_scale is not None:
        tensors |= {f"reward.{k}": x for k, x in trainer.reward_scale.state_dict().items()}
    return tensors, json.dumps(trainer.seeds.get_state())


def compare(first, second):
    (tensors, seeds), (other, other_seeds) = everything(first), everything(second)
    assert tensors.keys() == other.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, other[name]), name
    assert seeds == other_seeds


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"normalize_observations": True, "normalize_rewards": True},
        {"empty": "idle", "target_kl": 0.01},
    ],
    ids=["plain", "normalised", "idle"],
)
def test_three_updates_saved_loaded_and_three_more(corridor, tmp_path, changes):
    config = SMALL.replace(**changes)
    cooldown = config.empty == "idle"
    straight_log, first_log, second_log = Log(), Log(stop_after=3), Log()
    straight = PPO(corridor(4, cooldown=cooldown), config, seed=2)
    straight.learn(TOTAL, callbacks=[straight_log])

    first = PPO(corridor(4, cooldown=cooldown), config, seed=2)
    first.learn(TOTAL, callbacks=[first_log])
    first.save(tmp_path / "saved")
    torch.manual_seed(77)
    second = PPO.load(tmp_path / "saved", env=corridor(4, cooldown=cooldown))
    compare(second, first)
    second.learn(TOTAL, callbacks=[second_log])

    assert [row["step"] for row in straight_log.rows] == [64, 128, 192, 256, 320, 384]
    assert repr(first_log.rows + second_log.rows) == repr(straight_log.rows)
    compare(second, straight)
    assert second.updates == 6


def test_environment_by_id_is_made_anew_and_continued(tmp_path):
    config = SMALL.replace(network=NetworkConfig(hidden=()))
    env = "gymnasium:Taxi-v4"
    straight_log, first_log, second_log = Log(), Log(stop_after=1), Log()
    straight = PPO(env, config).learn(2 * SMALL.batch_size, callbacks=[straight_log])
    PPO(env, config).learn(2 * SMALL.batch_size, callbacks=[first_log]).save(tmp_path / "saved")
    resumed = PPO.load(tmp_path / "saved").learn(2 * SMALL.batch_size, callbacks=[second_log])
    assert repr(first_log.rows + second_log.rows) == repr(straight_log.rows)
    compare(resumed, straight)


def test_checkpoint_holds_no_code(corridor, tmp_path):
    trainer = PPO(corridor(4), SMALL)
    trainer.learn(SMALL.batch_size)
    trainer.save(tmp_path / "saved")
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [
        "state.json",
        "tensors.safetensors",
    ]


def test_policy_alone_is_loaded_without_an_environment(corridor, tmp_path):
    trainer = PPO(corridor(4), SMALL.replace(normalize_observations=True))
    trainer.learn(2 * SMALL.batch_size)
    trainer.save(tmp_path / "saved")
    policy = load_policy(tmp_path / "saved")
    obs, _ = corridor(4).reset(seed=1)
    np.testing.assert_array_equal(policy.predict(obs)[0], trainer.predict(obs)[0])


def test_environment_that_cannot_save_its_state_begins_anew(corridor, tmp_path, caplog):
    class Forgetful(corridor):
        get_state = None

    trainer = PPO(Forgetful(4), SMALL)
    trainer.learn(2 * SMALL.batch_size)
    with caplog.at_level(logging.WARNING, logger="maskrl"):
        trainer.save(tmp_path / "saved")
        trainer.save(tmp_path / "saved")
    assert [r.message for r in caplog.records] == [
        "Forgetful cannot save its state: a resumed training begins new episodes"
    ]
    resumed = PPO.load(tmp_path / "saved", env=Forgetful(4))
    assert not resumed.collector.started
    assert resumed.collector.episodes == trainer.collector.episodes
    assert resumed.collector.seed != trainer.collector.seed  # not the first episodes once more
    resumed.learn(3 * SMALL.batch_size)
    assert resumed.updates == 3


def test_saving_before_training_is_fine(corridor, tmp_path):
    trainer = PPO(corridor(4), SMALL, seed=4)
    trainer.save(tmp_path / "saved")
    resumed = PPO.load(tmp_path / "saved", env=corridor(4))
    straight = PPO(corridor(4), SMALL, seed=4).learn(SMALL.batch_size)
    compare(resumed.learn(SMALL.batch_size), straight)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor, self.critic = nn.Linear(7, 10), nn.Linear(7, 1)

    def distribution(self, obs):
        return MaskedCategorical(self.actor(obs["observation"]), obs["action_mask"])

    def value(self, obs):
        return self.critic(obs["observation"]).squeeze(-1)


def test_policy_of_ones_own_is_filled(corridor, tmp_path):
    config = SMALL.replace(network=NetworkConfig())
    trainer = PPO(corridor(4), config, policy=Own()).learn(SMALL.batch_size)
    trainer.save(tmp_path / "saved")
    with pytest.raises(ConfigError, match="policy="):
        PPO.load(tmp_path / "saved", env=corridor(4))
    compare(PPO.load(tmp_path / "saved", env=corridor(4), policy=Own()), trainer)


def test_what_is_missing_or_different_is_named(corridor, tmp_path):
    trainer = PPO(corridor(4), SMALL).learn(SMALL.batch_size)
    trainer.save(tmp_path / "saved")
    with pytest.raises(ConfigError, match="pass env="):
        PPO.load(tmp_path / "saved")
    with pytest.raises(RunFolderError, match="does not fit this network"):
        PPO.load(tmp_path / "saved", env=corridor(4, n_actions=12))
    with pytest.raises(RunFolderError, match="other settings"):
        PPO.load(tmp_path / "saved", env=corridor(5))

    class Forgetful(corridor):
        set_state = None

    with pytest.raises(RunFolderError, match="cannot take one"):
        PPO.load(tmp_path / "saved", env=Forgetful(4))
    with pytest.raises(RunFolderError):
        PPO.load(tmp_path / "nowhere", env=corridor(4))


def test_new_episodes_begin_with_returns_of_zero(corridor, tmp_path):
    """Also in another number of environments."""

    class Forgetful(corridor):
        get_state = None

    trainer = PPO(Forgetful(4), SMALL.replace(normalize_rewards=True))
    trainer.learn(2 * SMALL.batch_size)
    trainer.reward_scale.running.fill_(7.0)
    trainer.save(tmp_path / "saved")
    for number in (4, 6):
        resumed = PPO.load(tmp_path / "saved", env=Forgetful(number))
        assert resumed.reward_scale.running.tolist() == [0.0] * number
        assert resumed.reward_scale.moments.count == trainer.reward_scale.moments.count > 0


class Doubled(ActorCritic):
    def value(self, obs):
        return 2.0 * super().value(obs)


def test_a_class_made_from_ours_is_not_mistaken_for_it(corridor, tmp_path):
    env = corridor(4)
    spaces = (env.single_observation_space, env.single_action_space)
    trainer = PPO(env, SMALL, policy=Doubled(*spaces, SMALL.network))
    trainer.learn(2 * SMALL.batch_size)
    trainer.save(tmp_path / "saved")
    with pytest.raises(ConfigError, match="policy="):
        PPO.load(tmp_path / "saved", env=corridor(4))
    fresh = Doubled(*spaces, SMALL.network)
    compare(PPO.load(tmp_path / "saved", env=corridor(4), policy=fresh), trainer)


def test_a_policy_handed_over_keeps_what_the_settings_do_not_say(corridor, tmp_path):
    first = PPO(corridor(4), SMALL.replace(normalize_observations=True))
    first.learn(2 * SMALL.batch_size)
    first.save(tmp_path / "first")
    given = load_policy(tmp_path / "first")
    given.empty, given.idle_action = "idle", 1
    second = PPO(corridor(4), SMALL, policy=given)
    stopped, log = Log(stop_after=3), Log()
    second.learn(TOTAL, callbacks=[stopped])
    second.save(tmp_path / "second")
    resumed = PPO.load(tmp_path / "second", env=corridor(4))
    compare(resumed, second)
    assert (resumed.policy.empty, resumed.policy.idle_action) == ("idle", 1)
    resumed.learn(TOTAL, callbacks=[log])
    second.learn(TOTAL)
    compare(resumed, second)
