"""PPO as a whole: what it trains on, repeats to the digit, predicts and refuses."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import nn

from maskrl.distributions import MaskedCategorical
from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.errors import ConfigError, NoAllowedActionError, NoMaskError
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.normalize import ObservationNormalizer
from maskrl.policies.actor_critic import ActorCritic
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
BATCH = SMALL.batch_size

METRICS = {
    "step",
    "return_mean",
    "length_mean",
    "episodes",
    "value_loss",
    "policy_loss",
    "entropy",
    "entropy_normalized",
    "approx_kl",
    "clip_fraction",
    "explained_variance",
    "learning_rate",
    "grad_norm",
    "ratio_drift",
    "allowed_share",
    "forced_share",
    "idle_share",
    "disallowed_mass",
    "illegal_actions",
}


class Log(Callback):
    """Keeps the metrics; ends training after so many updates."""

    def __init__(self, stop_after=None):
        self.rows = []
        self.stop_after = stop_after

    def on_rollout(self, trainer, metrics):
        self.rows.append(dict(metrics))
        return trainer.updates != self.stop_after


def train(env, updates=3, config=SMALL, **settings):
    log = Log()
    trainer = PPO(env, config, **settings)
    trainer.learn(updates * trainer.config.batch_size, callbacks=[log])
    return trainer, log.rows


def same(first, second):
    """Equal to the digit, NaN included."""
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name] == b[name] or (math.isnan(a[name]) and math.isnan(b[name])), name


def test_settings_of_another_type_are_named():
    with pytest.raises(ConfigError, match=r"expected a PPOConfig, got dict; as in PPOConfig"):
        PPO("panda", {"gamma": 0.9})


def test_metrics_are_all_there(corridor):
    trainer, rows = train(corridor(4))
    assert rows[-1].keys() >= METRICS
    assert [row["step"] for row in rows] == [BATCH, 2 * BATCH, 3 * BATCH]
    assert (trainer.steps, trainer.updates) == (3 * BATCH, 3)
    assert rows[-1]["allowed_share"] == pytest.approx(0.2)
    assert rows[-1]["illegal_actions"] == 0
    assert max(row["ratio_drift"] for row in rows) <= 1e-5


def test_equal_seeds_give_equal_metrics_and_weights(corridor):
    first, first_rows = train(corridor(4), seed=5)
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002 - whatever the global generators hold must not matter
    second, second_rows = train(corridor(4), seed=5)
    same(first_rows, second_rows)
    for a, b in zip(first.policy.parameters(), second.policy.parameters(), strict=True):
        assert torch.equal(a, b)
    _, other = train(corridor(4), seed=6)
    assert other[-1]["policy_loss"] != first_rows[-1]["policy_loss"]


def test_a_copy_goes_on_like_the_first_and_apart_from_it(corridor):
    first, _ = train(corridor(4), updates=2)
    twin = copy.deepcopy(first)
    before = copy.deepcopy(first.policy.state_dict())
    twin.learn(4 * BATCH)
    assert all(torch.equal(x, before[name]) for name, x in first.policy.state_dict().items())
    first.learn(4 * BATCH)
    for name, tensor in first.policy.state_dict().items():
        assert torch.equal(tensor, twin.policy.state_dict()[name]), name


def test_learning_in_two_calls_goes_on(corridor):
    trainer = PPO(corridor(4), SMALL.replace(anneal_learning_rate=False))
    trainer.learn(2 * BATCH)
    trainer.learn(3 * BATCH)
    straight, _ = train(corridor(4), config=SMALL.replace(anneal_learning_rate=False))
    for a, b in zip(trainer.policy.parameters(), straight.policy.parameters(), strict=True):
        assert torch.equal(a, b)
    trainer.learn(BATCH)  # reached long ago: nothing to do
    assert trainer.updates == 3


def test_steps_outside_of_learn_are_not_annealed_away(corridor):
    """There is no end then that a rate could fall towards."""
    trainer = PPO(corridor(4), SMALL)
    rates = [trainer.step()[0]["learning_rate"] for _ in range(3)]
    assert rates == [SMALL.learning_rate] * 3


def test_annealing_follows_the_steps(corridor):
    config = SMALL.replace(learning_rate=0.4, entropy_coef=0.1, entropy_coef_final=0.0)
    _, rows = train(corridor(4), updates=4, config=config)
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert [row["entropy_coef"] for row in rows] == pytest.approx([0.1, 0.075, 0.05, 0.025])


def test_annealing_may_go_on_for_longer_than_the_run(corridor):
    config = SMALL.replace(learning_rate=0.4, anneal_steps=8 * SMALL.num_envs * SMALL.rollout_steps)
    trainer = PPO(corridor(4), config)
    rates = [trainer.step()[0]["learning_rate"] for _ in range(10)]
    assert rates == pytest.approx([0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.0, 0.0])


def test_time_ends_training_and_drives_annealing(corridor, monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr("maskrl.trainers.training_loop.time.perf_counter", lambda: next(clock))
    log = Log()
    trainer = PPO(corridor(4), SMALL)
    trainer.learn(10**9, max_minutes=1.0, callbacks=[log])
    assert trainer.elapsed >= 60
    rates = [row["learning_rate"] for row in log.rows]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.1 * SMALL.learning_rate


@pytest.mark.parametrize("kind", ["vector", "synchronous", "single"])
def test_environments_of_every_kind(corridor, corridor_env, kind):
    env = {
        "vector": lambda: corridor(3),
        "synchronous": lambda: SyncVectorEnv(
            [lambda: adapt(corridor_env())] * 3, autoreset_mode=AutoresetMode.SAME_STEP
        ),
        "single": corridor_env,
    }[kind]()
    trainer, rows = train(env, updates=1)
    assert trainer.config.num_envs == (1 if kind == "single" else 3)
    assert trainer.config.minibatch_size == (16 if kind == "single" else 32)
    assert rows[0]["illegal_actions"] == 0


def test_environment_by_id():
    config = SMALL.replace(network=NetworkConfig(hidden=()))
    trainer, rows = train("gymnasium:Taxi-v4?is_rainy=false", updates=1, config=config)
    assert trainer.env_id == "gymnasium:Taxi-v4?is_rainy=false"
    assert rows[0]["illegal_actions"] == 0
    assert 0.3 < rows[0]["allowed_share"] < 0.7


@pytest.mark.parametrize(
    "changes",
    [
        {"normalize_observations": True, "normalize_rewards": True},
        {"value_clip": 0.2, "target_kl": 0.001, "normalize_advantage": False},
        {"max_grad_norm": 0.0, "epochs": 1, "minibatch_size": 64},
        {"network": NetworkConfig(hidden=(8,), shared=True, activation="relu")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_option_runs_and_keeps_the_ratio(corridor, changes):
    trainer, rows = train(corridor(4), config=SMALL.replace(**changes))
    assert max(row["ratio_drift"] for row in rows) <= 1e-5
    if trainer.config.normalize_observations:
        assert trainer.policy.normalizer.normalizers[0].moments.count == 3 * BATCH
        assert trainer.reward_scale.moments.count == 3 * BATCH


def test_value_clip_limits_how_far_values_move(corridor):
    free, _ = train(corridor(4), config=SMALL.replace(learning_rate=0.01, epochs=10))
    bound, _ = train(
        corridor(4), config=SMALL.replace(learning_rate=0.01, epochs=10, value_clip=1e-4)
    )
    obs = {"observation": torch.eye(7), "action_mask": torch.ones(7, 10, dtype=torch.bool)}
    assert bound.policy.value(obs).abs().max() < free.policy.value(obs).abs().max()


def test_environment_that_sometimes_allows_nothing(corridor):
    with pytest.raises(NoAllowedActionError, match="environment .* of 4 allows no action"):
        train(corridor(4, cooldown=True))
    trainer, rows = train(corridor(4, cooldown=True), config=SMALL.replace(empty="idle"))
    assert rows[-1]["idle_share"] > 0.2
    assert rows[-1]["illegal_actions"] == 0
    assert trainer.policy.empty == "idle"


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor, self.critic = nn.Linear(7, 10), nn.Linear(7, 1)

    def distribution(self, obs):
        return MaskedCategorical(self.actor(obs["observation"]), obs["action_mask"])

    def value(self, obs):
        return self.critic(obs["observation"]).squeeze(-1)


def test_policy_of_ones_own(corridor):
    config = SMALL.replace(network=NetworkConfig())
    trainer, rows = train(corridor(4), config=config, policy=Own())
    assert max(row["ratio_drift"] for row in rows) <= 1e-5
    assert math.isnan(rows[-1]["disallowed_mass"])  # its logits are its own business
    obs, _ = corridor(4).reset(seed=0)
    actions, _ = trainer.predict(obs)
    assert obs["action_mask"][np.arange(4), actions].all()
    with pytest.raises(NoMaskError):
        trainer.predict({"observation": obs["observation"]})


def test_own_policy_with_a_normaliser_of_its_own(corridor):
    env = corridor(4)

    class Normalizing(Own):
        def __init__(self):
            super().__init__()
            self.normalizer = ObservationNormalizer(env.single_observation_space)

        def distribution(self, obs):
            return super().distribution(self.normalizer(obs))

        def value(self, obs):
            return super().value(self.normalizer(obs))

    config = SMALL.replace(network=NetworkConfig(), normalize_observations=True)
    trainer, rows = train(env, config=config, policy=Normalizing())
    assert trainer.policy.normalizer.normalizers[0].moments.count == 3 * BATCH
    assert max(row["ratio_drift"] for row in rows) <= 1e-5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": Own()}, "no effect on a policy of one's own"),
        (
            {"policy": Own(), "config": PPOConfig(normalize_observations=True)},
            "an attribute normalizer",
        ),
        ({"policy": nn.Linear(2, 2), "config": PPOConfig()}, "no method distribution"),
        ({"config": PPOConfig(device="nowhere")}, "device: 'nowhere' cannot be used here"),
        ({"config": PPOConfig(idle_action=10)}, "not one of the 10 actions"),
        ({"seed": -1}, "seed"),
        ({"env_kwargs": {"length": 3}}, "exists already"),
    ],
)
def test_what_does_not_go_together_is_refused(corridor, settings, message):
    with pytest.raises(ConfigError, match=message):
        PPO(corridor(4), **{"config": SMALL, **settings})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total_steps": 0}, "total_steps: expected a positive whole number"),
        ({"total_steps": 1.5}, "total_steps"),
        ({"total_steps": 10, "max_minutes": 0}, "max_minutes"),
    ],
)
def test_impossible_lengths_are_refused(corridor, arguments, message):
    with pytest.raises(ConfigError, match=message):
        PPO(corridor(4), SMALL).learn(**arguments)


def test_predict_obeys_the_mask_and_moves_no_statistic(corridor):
    trainer, _ = train(corridor(4), config=SMALL.replace(normalize_observations=True))
    before = {name: x.clone() for name, x in trainer.policy.state_dict().items()}
    obs, _ = corridor(4).reset(seed=0)
    for deterministic in (True, False):
        actions, state = trainer.predict(obs, deterministic=deterministic)
        assert obs["action_mask"][np.arange(4), actions].all()
        assert state is None
    one = {key: value[0] for key, value in obs.items()}
    assert trainer.predict(one)[0] == trainer.predict(obs)[0][0]
    for name, tensor in trainer.policy.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_scene_of_entities_with_an_omniscient_critic(scene):
    network = NetworkConfig(
        hidden=(8,), entity_dim=8, entity_depth=2, entity_heads=2, critic_sees="everything"
    )
    config = SMALL.replace(network=network, normalize_observations=True)
    trainer, rows = train(scene(4), config=config)
    assert max(row["ratio_drift"] for row in rows) <= 1e-5
    assert isinstance(trainer.policy, ActorCritic)
    assert np.isfinite([row["value_loss"] for row in rows]).all()
    moments = trainer.policy.normalizer.normalizers[0].moments
    assert moments.mean[1] == 0  # the hidden marker's second feature is 1
