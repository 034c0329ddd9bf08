"""Training by discrete soft actor-critic, from environments of every kind to a folder and back."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.errors import ConfigError, NoAllowedActionError, RunFolderError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.load import load_policy
from maskrl.policies.soft_actor_critic import SoftActorCritic
from maskrl.trainers.algorithms import load_trainer
from maskrl.trainers.callbacks import Callback
from maskrl.trainers.evaluate import evaluate
from maskrl.trainers.ppo import PPO
from maskrl.trainers.sac import DiscreteSAC, SACConfig

SMALL = SACConfig(
    num_envs=4,
    replay_size=400,
    learning_starts=32,
    train_every=8,
    gradient_steps=1,
    batch_size=16,
    threads=1,
    log_every=64,
    evaluate_every=0,
    network=NetworkConfig(hidden=(16,)),
)
METRICS = {
    "step",
    "return_mean",
    "critic_loss",
    "q_mean",
    "policy_loss",
    "entropy",
    "entropy_share",
    "entropy_share_target",
    "temperature",
    "gradient_steps",
    "disallowed_mass",
    "allowed_share",
    "forced_share",
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


def train(env, steps=256, config=SMALL, stop_after=None, **settings):
    log = Log(stop_after)
    trainer = DiscreteSAC(env, config, **settings)
    trainer.learn(steps, callbacks=[log])
    return trainer, log.rows


def same_rows(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name] == b[name] or (math.isnan(a[name]) and math.isnan(b[name])), name


def everything(trainer):
    """All that the rest of a training depends on."""
    tensors = dict(trainer.policy.state_dict())
    tensors |= {f"target.{k}": x for k, x in trainer.target.state_dict().items()}
    tensors["temperature"] = trainer.temperature.log
    for name, optimizer in trainer.parts.optimizers().items():
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{slot}": x for slot, x in slots.items()}
    return tensors, json.dumps(trainer.seeds.get_state())


def same_state(first, second):
    (tensors, seeds), (other, other_seeds) = everything(first), everything(second)
    assert tensors.keys() == other.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, other[name]), name
    assert seeds == other_seeds


def test_metrics_are_all_there(corridor):
    trainer, rows = train(corridor(4))
    assert rows[-1].keys() >= METRICS
    assert [row["step"] for row in rows] == [64, 128, 192, 256]
    assert rows[-1]["illegal_actions"] == 0 and rows[-1]["allowed_share"] == pytest.approx(0.2)
    # the first 32 steps fill the memory; then one gradient step for 8 steps
    assert sum(row["gradient_steps"] for row in rows) == trainer.parts.taken == (256 - 32) / 8 + 1
    assert 0.0 < rows[-1]["entropy"] <= math.log(2) + 1e-6  # two actions of ten are allowed


def test_equal_seeds_give_equal_metrics_and_weights(corridor):
    first, first_rows = train(corridor(4), seed=5)
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002 - whatever the global generators hold must not matter
    second, second_rows = train(corridor(4), seed=5)
    same_rows(first_rows, second_rows)
    for name, tensor in everything(first)[0].items():
        assert torch.equal(tensor, everything(second)[0][name]), name
    _, other = train(corridor(4), seed=6)
    assert other[-1]["critic_loss"] != first_rows[-1]["critic_loss"]


def test_a_copy_goes_on_like_the_first_and_apart_from_it(corridor):
    first, _ = train(corridor(4), 128)
    twin = copy.deepcopy(first)
    before = copy.deepcopy(everything(first)[0])
    twin.learn(256)
    assert all(torch.equal(x, before[name]) for name, x in everything(first)[0].items())
    first.learn(256)
    for name, tensor in everything(first)[0].items():
        assert torch.equal(tensor, everything(twin)[0][name]), name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_step": 3, "priority_exponent": 0.6, "normalize_observations": True},
        {"empty": "idle", "network": NetworkConfig(hidden=(8,), shared=True)},
    ],
    ids=["plain", "prioritised", "idle"],
)
def test_stopped_loaded_and_gone_on_is_the_same_to_the_digit(corridor, tmp_path, changes):
    config = SMALL.replace(**changes)
    idle = config.empty == "idle"
    straight, rows = train(corridor(4, cooldown=idle), 384, config, seed=2)
    first, first_rows = train(corridor(4, cooldown=idle), 384, config, stop_after=3, seed=2)
    first.save(tmp_path / "saved")
    second = DiscreteSAC.load(tmp_path / "saved", corridor(4, cooldown=idle))
    assert len(second.replay) == len(first.replay) == 192
    log = Log()
    second.learn(384, callbacks=[log])
    same_rows(rows, first_rows + log.rows)
    same_state(straight, second)


def test_a_run_folder_is_loaded_evaluated_and_gone_on_with(tmp_path):
    config = SMALL.replace(
        num_envs=8,
        evaluate_every=64,
        evaluation_episodes=4,
        network=NetworkConfig(hidden=(8,), entity_dim=8, entity_heads=2, entity_depth=1),
    )
    trainer = DiscreteSAC("panda-open", config, env_kwargs={"sight": "full"})
    trainer.learn(128, run_dir=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["algorithm"] == "sac"
    policy = load_policy(tmp_path / "run", "last")
    assert type(policy) is SoftActorCritic
    for name, tensor in trainer.policy.state_dict().items():
        assert torch.equal(tensor, policy.state_dict()[name]), name
    given = {"env_kwargs": {"sight": "full"}, "episodes": 6, "seed": 3}
    result = evaluate(policy, "panda-open", **given)
    assert result.illegal_actions == 0
    assert result.mean == evaluate(trainer.policy, "panda-open", **given).mean
    again = load_trainer(tmp_path / "run")
    assert type(again) is DiscreteSAC and again.steps == 128
    again.learn(192, run_dir=tmp_path / "run")
    assert again.steps == 192
    with pytest.raises(RunFolderError, match=r"'sac'.*PPO"):
        PPO.load(tmp_path / "run")


def test_an_environment_that_sometimes_allows_nothing(corridor):
    with pytest.raises(NoAllowedActionError, match="environment .* of 4 allows no action"):
        train(corridor(4, cooldown=True))
    trainer, rows = train(corridor(4, cooldown=True), config=SMALL.replace(empty="idle"))
    assert rows[-1]["idle_share"] > 0.2 and rows[-1]["illegal_actions"] == 0
    assert all(math.isfinite(x) for name, x in rows[-1].items() if "mean" not in name)
    assert trainer.policy.empty == "idle"


def test_an_environment_of_forced_moves_alone_leaves_policy_and_temperature(corridor):
    class OneWay(corridor):
        def _observe(self):
            obs = super()._observe()
            obs["action_mask"][:] = False
            obs["action_mask"][self.rows, self.right[self.cell]] = True
            return obs

    config = SMALL.replace(temperature=0.3, temperature_rate=0.5)
    fresh = DiscreteSAC(OneWay(4), config)
    before = {k: x.clone() for k, x in fresh.policy.state_dict().items()}
    fresh.learn(256)
    assert fresh.parts.taken > 20
    assert fresh.temperature().item() == pytest.approx(0.3)
    moved = {k for k, x in fresh.policy.state_dict().items() if not torch.equal(x, before[k])}
    assert moved and all(name.startswith("critics") for name in moved)


def test_environments_of_every_kind(corridor, corridor_env):
    for env in (corridor(4), corridor_env(), "panda-open"):
        trainer, rows = train(env, 64)
        assert trainer.steps == 64 and rows[-1]["illegal_actions"] == 0


def test_a_choice_of_candidates():
    config = SMALL.replace(network=NetworkConfig(hidden=(8,), entity_dim=8))
    trainer, rows = train("packing", 96, config)
    assert rows[-1]["illegal_actions"] == 0 and rows[-1]["gradient_steps"] > 0
    assert all(math.isfinite(x) for name, x in rows[-1].items() if "mean" not in name)
    obs, _ = trainer.env.reset(seed=1)
    actions, _ = trainer.predict(obs)
    assert obs["action_mask"][np.arange(4), actions].all()


def test_a_scene_whose_critics_see_everything_and_whose_padding_is_nan(scene):
    network = NetworkConfig(
        hidden=(8,), entity_dim=8, entity_depth=1, entity_heads=2, critic_sees="everything"
    )
    config = SMALL.replace(network=network, normalize_observations=True)
    trainer, rows = train(scene(4), 128, config)
    assert math.isfinite(rows[-1]["critic_loss"]) and math.isfinite(rows[-1]["policy_loss"])
    obs = {k: torch.from_numpy(x) for k, x in scene(4).reset(seed=0)[0].items()}
    moved = {**obs, "entities": obs["entities"].clone()}
    moved["entities"][:, 1, 0] += 3.0
    policy = trainer.policy
    assert torch.equal(policy.logits(obs), policy.logits(moved))
    assert not torch.equal(policy.values(obs), policy.values(moved))


def test_predict_obeys_the_mask_and_draws_by_its_generator(corridor):
    trainer, _ = train(corridor(4), 64)
    obs, _ = corridor(4).reset(seed=0)
    drawn = [
        trainer.predict(obs, deterministic=False, generator=torch.Generator().manual_seed(k))[0]
        for k in (1, 1, 2, 3, 4)
    ]
    assert all(obs["action_mask"][np.arange(4), actions].all() for actions in drawn)
    assert (drawn[0] == drawn[1]).all() and any((drawn[0] != other).any() for other in drawn[2:])
    one = {key: value[0] for key, value in obs.items()}
    assert trainer.predict(one)[0] == trainer.predict(obs)[0][0]


def test_a_policy_of_ones_own(corridor, tmp_path):
    class Own(torch.nn.Module):
        out_features = 7

        def forward(self, obs):
            return obs["observation"]

    def built():
        env = corridor(4)
        space, actions = env.single_observation_space, env.single_action_space
        return SoftActorCritic(space, actions, dueling=False, empty="idle", encoder=Own)

    trainer, _ = train(corridor(4), 64, policy=built())
    assert trainer.config.dueling is False and trainer.config.empty == "idle"
    trainer.save(tmp_path / "saved")
    with pytest.raises(ConfigError, match="a policy of one's own"):
        DiscreteSAC.load(tmp_path / "saved", corridor(4))
    again = DiscreteSAC.load(tmp_path / "saved", corridor(4), policy=built())
    same_state(trainer, again)


def test_what_does_not_go_together_is_refused(corridor, shifts):
    with pytest.raises(ConfigError, match=r"expected a SACConfig, got dict; as in SACConfig"):
        DiscreteSAC("panda", {"gamma": 0.9})
    with pytest.raises(ConfigError, match=r"SAC: .* team of 3 agents"):
        DiscreteSAC(shifts(2), SMALL)
    with pytest.raises(ConfigError, match="expected a maskrl.policies.SoftActorCritic, got Linear"):
        DiscreteSAC(corridor(2), SMALL, policy=torch.nn.Linear(2, 2))
    env = corridor(2)
    other = SoftActorCritic(env.single_observation_space, spaces.Discrete(10))
    with pytest.raises(ConfigError, match=r"normalize_observations: .* without a normalizer"):
        DiscreteSAC(env, SMALL.replace(normalize_observations=True), policy=other)
    with pytest.raises(ConfigError, match="its observation space"):
        DiscreteSAC(corridor(2, length=9), SMALL, policy=other)
