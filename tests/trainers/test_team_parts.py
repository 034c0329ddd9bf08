"""PPO for teams from end to end: repeated, resumed, unmoved by who is not there, and learning."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from maskrl.distributions import GridwiseCategorical
from maskrl.envs.teams import describe_team
from maskrl.errors import ConfigError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.load import load_policy
from maskrl.policies.team_actor_critic import TeamActorCritic
from maskrl.trainers.callbacks import Callback
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

B, T = 4, 16
NETWORK = NetworkConfig(hidden=(16,), entity_dim=8, entity_heads=2, entity_depth=1)
SMALL = PPOConfig(
    num_envs=B,
    rollout_steps=T,
    minibatch_size=24,
    epochs=2,
    learning_rate=3e-3,
    threads=1,
    evaluate_every=0,
    death="terminal",
    network=NETWORK,
)
FORMS = ("own", "grid", "scene")


class Log(Callback):
    def __init__(self, stop_after=None):
        self.rows = []
        self.stop_after = stop_after

    def on_rollout(self, trainer, metrics):
        self.rows.append(dict(metrics))
        return trainer.updates != self.stop_after


def train(env, config=SMALL, *, updates=3, seed=2, **given):
    log = Log()
    trainer = PPO(env, config, seed=seed, **given)
    trainer.learn(updates * config.batch_size, callbacks=[log])
    return trainer, log.rows


def everything(trainer):
    """All that was learned, as comparable values."""
    tensors = dict(trainer.policy.state_dict())
    for index, slots in trainer.update.optimizer.state_dict()["state"].items():
        tensors |= {f"{index}.{name}": tensor for name, tensor in slots.items()}
    if trainer.reward_scale is not None:
        tensors |= {f"reward.{k}": x for k, x in trainer.reward_scale.state_dict().items()}
    return tensors


def require_same(first, second):
    ours, theirs = everything(first), everything(second)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


VARIANTS = {
    "terminal": {},
    "posthumous": {"death": "posthumous"},
    "joint": {"death": "posthumous", "ratio": "joint", "weight": "env_step"},
    "head": {"ratio": "head", "target_kl": 0.05, "value_clip": 0.3},
    "team value": {"critic": "team", "waiting_discount": False},
    "normalised": {"normalize_observations": True, "normalize_rewards": True},
    "normalised team": {
        "normalize_observations": True,
        "normalize_rewards": True,
        "critic": "team",
    },
    "shared network": {"network": NetworkConfig(**{**vars(NETWORK), "shared": True})},
    "idle": {"empty": "idle"},
}
METRICS = {
    "clip_fraction_joint",
    "clip_fraction_agent",
    "clip_fraction_head",
    "agents_acting",
    "agents_alive",
    "agent_steps",
}


@pytest.mark.parametrize("choices", [{}, {"heads": (5, 3)}, {"tree": True}], ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_option_trains_and_keeps_the_ratio(shifts, variant, choices):
    stuck = 0.1 if variant == "idle" else 0.0
    form = FORMS[list(VARIANTS).index(variant) % 3]
    env = shifts(B, form=form, stuck=stuck, **choices)
    before = {
        name: x.clone() for name, x in PPO(env, _of(variant), seed=2).policy.state_dict().items()
    }
    trainer, rows = train(shifts(B, form=form, stuck=stuck, **choices), _of(variant))
    assert max(row["ratio_drift"] for row in rows) <= 1e-5
    assert rows[0].keys() >= METRICS
    for row in rows:
        for name, value in row.items():
            assert np.isfinite(value) or name in ("explained_variance", "disallowed_mass"), name
        assert row["illegal_actions"] == 0
    after = trainer.policy.state_dict()
    moved = [name for name, x in before.items() if not torch.equal(x, after[name])]
    assert len(moved) >= len(before) - 1 and all(torch.isfinite(x).all() for x in after.values())


def _of(variant):
    return SMALL.replace(**VARIANTS[variant])


@pytest.mark.parametrize("form", FORMS)
def test_equal_seeds_give_equal_metrics(shifts, form):
    (first, rows), (second, others) = (train(shifts(B, form=form)) for _ in range(2))
    assert repr(rows) == repr(others)
    require_same(first, second)
    _, different = train(shifts(B, form=form), seed=3)
    assert repr(different) != repr(rows)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("variant", ["terminal", "normalised", "joint"])
def test_three_updates_saved_loaded_and_three_more(shifts, tmp_path, form, variant):
    config, total = _of(variant), 6 * SMALL.batch_size
    straight, rows = train(shifts(B, form=form), config, updates=6)
    stopped, going_on = Log(stop_after=3), Log()
    first = PPO(shifts(B, form=form), config, seed=2)
    first.learn(total, callbacks=[stopped])
    first.save(tmp_path / "saved")
    torch.manual_seed(77)
    second = PPO.load(tmp_path / "saved", env=shifts(B, form=form))
    require_same(second, first)
    second.learn(total, callbacks=[going_on])
    assert repr(stopped.rows + going_on.rows) == repr(rows)
    require_same(second, straight)
    assert second.collector.agent_steps == straight.collector.agent_steps == rows[-1]["agent_steps"]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("form", FORMS)
def test_who_is_not_there_leaves_no_trace(shifts, form, variant):
    """NaN in the rows of dead slots and padding, and other masks where nobody acts: bit for bit."""
    stuck = 0.1 if variant == "idle" else 0.0
    twins = [
        train(shifts(B, form=form, poison=poison, stuck=stuck), _of(variant))
        for poison in (False, True)
    ]
    (clean, rows), (poisoned, others) = twins
    if form == "own":
        assert np.isnan(poisoned.buffer.features["observation"]).any()
    if form == "scene":
        assert np.isnan(poisoned.buffer.features["entities"]).any()
    assert repr(rows) == repr(others)
    require_same(clean, poisoned)


class OwnTeam(nn.Module):
    """A team's policy of one's own: logits by cell, and NaN where there is nobody to ask for."""

    critic = "agent"

    def __init__(self, env):
        super().__init__()
        self.team = describe_team(env.single_observation_space, env.single_action_space)
        self.actor, self.valuer = nn.Linear(12, 5), nn.Linear(12, 1)

    def distribution(self, obs, acting=None):
        seen = obs["observation"][acting.row, acting.slot]
        return GridwiseCategorical.from_packed(self.actor(seen), acting.offsets, acting.action_mask)

    def value(self, obs):
        return self.valuer(torch.nan_to_num(obs["observation"])).squeeze(-1)


def test_a_policy_of_ones_own_learns_and_is_filled(shifts, tmp_path):
    config = SMALL.replace(network=NetworkConfig(), learning_rate=0.05, gamma=0.0, epochs=4)
    env = shifts(B, poison=True)
    torch.manual_seed(0)
    trainer, rows = train(env, config, policy=OwnTeam(env), updates=25)
    assert rows[-1]["entropy"] < 0.8 * rows[0]["entropy"]
    trainer.save(tmp_path / "saved")
    with pytest.raises(ConfigError, match="policy="):
        PPO.load(tmp_path / "saved", env=shifts(B))
    loaded = PPO.load(tmp_path / "saved", env=shifts(B), policy=OwnTeam(env))
    require_same(loaded, trainer)
    obs, _ = env.reset(seed=5)
    actions, state = trainer.predict(obs, state="kept")
    assert actions.shape == (B, 3) and state == "kept"
    right = np.where(obs["agent_mask"], env.cell % 5, 0)
    assert (actions == right).mean() > 0.9


class Doubled(TeamActorCritic):
    def value(self, obs):
        return 2.0 * super().value(obs)


def test_a_policy_handed_over_is_what_is_resumed(shifts, tmp_path):
    """Its statistics, and its class, which could be mistaken for ours."""
    env = shifts(B)
    spaces = (env.single_observation_space, env.single_action_space, NETWORK)
    first, _ = train(shifts(B), SMALL.replace(normalize_observations=True))
    first.save(tmp_path / "first")
    second, _ = train(shifts(B), policy=load_policy(tmp_path / "first"))
    second.save(tmp_path / "second")
    resumed = PPO.load(tmp_path / "second", env=shifts(B))
    require_same(resumed, second)
    assert resumed.policy.normalizer.has_learned
    third, _ = train(shifts(B), policy=Doubled(*spaces, critic="agent"))
    third.save(tmp_path / "third")
    with pytest.raises(ConfigError, match="policy="):
        PPO.load(tmp_path / "third", env=shifts(B))
    fresh = Doubled(*spaces, critic="agent")
    require_same(PPO.load(tmp_path / "third", env=shifts(B), policy=fresh), third)


@pytest.mark.parametrize("form", FORMS)
def test_actions_for_what_an_environment_shows(shifts, tmp_path, form):
    env = shifts(B, form=form)
    trainer, _ = train(env, updates=1)
    obs, _ = env.reset(seed=1)
    actions, _ = trainer.predict(obs)
    assert env.action_space.contains(actions)
    one, _ = trainer.predict({key: x[1] for key, x in obs.items()})
    np.testing.assert_array_equal(one, actions[1])
    assert env.single_action_space.contains(one)
    trainer.save(tmp_path / "saved")
    policy = load_policy(tmp_path / "saved")
    np.testing.assert_array_equal(policy.predict(obs)[0], actions)


def test_a_run_folder_is_written_and_resumed(shifts, tmp_path):
    env = shifts(B)
    scores = []

    def evaluator(policy):
        scores.append(policy)
        return {"score": len(scores)}

    config = SMALL.replace(
        evaluate_every=SMALL.batch_size,
        checkpoint_every=SMALL.batch_size,
        anneal_learning_rate=False,
    )
    trainer = PPO(env, config, seed=2)
    trainer.learn(2 * SMALL.batch_size, run_dir=tmp_path / "run", evaluator=evaluator)
    assert trainer.best == 2.0 and len(scores) == 2
    resumed = PPO.load(tmp_path / "run", env=shifts(B))
    assert (resumed.steps, resumed.config.death) == (2 * SMALL.batch_size, "terminal")
    resumed.learn(3 * SMALL.batch_size, run_dir=tmp_path / "run", evaluator=evaluator)
    straight, _ = train(shifts(B), config, updates=3)
    require_same(resumed, straight)


def test_a_rollout_in_which_nobody_ever_acts(shifts):
    """From the second rollout on everybody is dead: only a team's value is learned."""
    for settings in ({}, {"critic": "team"}, {"death": "posthumous", "ratio": "joint"}):
        env = shifts(B, die=1.0, back=0.0, end=0.0, limit=10_000)
        trainer, rows = train(env, SMALL.replace(**settings), updates=3)
        assert rows[0]["agent_steps"] == rows[-1]["agent_steps"] == 3 * B
        assert rows[-1]["agents_acting"] == rows[-1]["policy_loss"] == 0.0
        assert rows[-1]["gradient_steps"] == (0 if not settings else 6)
        assert all(torch.isfinite(x).all() for x in trainer.policy.state_dict().values())


@pytest.mark.slow
@pytest.mark.learning
@pytest.mark.parametrize(
    ("form", "settings"),
    [
        ("own", {}),
        ("grid", {"death": "posthumous"}),
        ("scene", {"death": "posthumous", "ratio": "joint"}),
        ("own", {"heads": (5, 3), "ratio": "head"}),
    ],
    ids=str,
)
def test_a_team_learns(shifts, form, settings):
    """Share of decisions that fit their cell: random valid play has 0.5, the optimum is 1."""
    heads = settings.get("heads")
    settings = {key: x for key, x in settings.items() if key != "heads"}
    config = SMALL.replace(
        **settings, gamma=0.0, entropy_coef=0.0, learning_rate=1e-2, epochs=6, num_envs=8
    )
    env = shifts(8, form=form, heads=heads)
    trainer, _ = train(env, config, updates=25)
    obs, _ = env.reset(seed=9)
    right = decisions = 0.0
    for _ in range(40):
        acts = env.acts.sum()
        obs, reward, *_ = env.step(trainer.predict(obs)[0])
        right, decisions = right + reward.sum(), decisions + acts
    assert right / decisions > 0.9
