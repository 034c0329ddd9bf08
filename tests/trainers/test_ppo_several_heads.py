"""PPO on actions of every shape: worlds of one decision, repeated, with a known optimum.

What is asked for stands in the observation; a step pays 1 for doing exactly that. Masks
are drawn anew in every step and always allow the right answer, so the optimum is 1 a
step. Over 20,000 steps a random valid agent gets: dials 0.35, switches 0.42, orders 0.37,
candidates 0.27; one that ignores the masks 0.08, 0.06, 0.16 and 0.16.
"""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.distributions import MaskedMultiCategorical, PointerCategorical
from maskrl.envs.contract import mask_space
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import ConfigError, NoAllowedActionError
from maskrl.masks.heads import choices_of, random_actions
from maskrl.masks.tree import ActionTree, Head
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.load import load_policy
from maskrl.trainers.callbacks import Callback
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig


class World(gymnasium.Env):
    """Four decisions an episode; a subclass draws questions and judges answers."""

    idle_share = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.illegal_actions = getattr(self, "illegal_actions", 0)
        self.t = 0
        return self._ask(), {}

    def step(self, action):
        assert self.action_space.contains(action), (action, self.action_space)
        masks = {k: np.array(v) for k, v in self.masks.items()}
        seen = choices_of(np.asarray(action).reshape(-1), masks, self.heads)
        self.illegal_actions += int(seen.illegal)
        reward = float(self._is_right(np.asarray(action)))
        self.t += 1
        return self._ask(), reward, self.t == 4, False, {}

    def _ask(self):
        question = self._question()
        return {**question, **{k: v.copy() for k, v in self.masks.items()}}


def one_hot(value, size):
    return np.eye(size, dtype=np.float32)[value]


class Dials(World):
    """Two dials of 3 and 4 positions; in some steps one of them is locked."""

    heads = (3, 4)
    action_space = spaces.MultiDiscrete([3, 4])
    observation_space = spaces.Dict(
        {"wanted": spaces.Box(0, 1, (7,), np.float32), "action_mask": mask_space(7)}
    )

    def _question(self):
        self.wanted = self.np_random.integers(0, self.heads)
        mask = self.np_random.random(7) < 0.4
        mask[[self.wanted[0], 3 + self.wanted[1]]] = True
        self.locked = -1
        if self.np_random.random() < self.idle_share:
            self.locked = int(self.np_random.integers(3))
        if self.locked != -1:  # 2: both
            mask[0 if self.locked != 1 else 3 : 3 if self.locked == 0 else 7] = False
        self.masks = {"action_mask": mask}
        rows = [one_hot(w, n) for w, n in zip(self.wanted, self.heads, strict=True)]
        return {"wanted": np.concatenate(rows)}

    def _is_right(self, action):
        right = action == self.wanted
        if self.locked != -1:
            right[self.locked if self.locked < 2 else slice(None)] = True
        return right.all()


class LockedDials(Dials):
    idle_share = 0.4


class Switches(World):
    """Four switches, some of them stuck; the mask comes in pairs."""

    heads = (2,) * 4
    action_space = spaces.MultiBinary(4)
    observation_space = spaces.Dict(
        {"wanted": spaces.Box(0, 1, (4,), np.float32), "action_mask": mask_space(4, 2)}
    )

    def _question(self):
        self.wanted = self.np_random.integers(0, 2, 4)
        mask = self.np_random.random((4, 2)) < 0.4
        mask[np.arange(4), self.wanted] = True
        self.masks = {"action_mask": mask}
        return {"wanted": self.wanted.astype(np.float32)}

    def _is_right(self, action):
        return (action.reshape(-1) == self.wanted).all()


class SquareOfSwitches(Switches):
    """The same as a square, with a flat mask."""

    action_space = spaces.MultiBinary([2, 2])
    observation_space = spaces.Dict(
        {"wanted": spaces.Box(0, 1, (4,), np.float32), "action_mask": mask_space(8)}
    )

    def _question(self):
        question = super()._question()
        self.masks = {"action_mask": self.masks["action_mask"].reshape(-1)}
        return question


class Orders(World):
    """A unit waits, moves in a direction to a place, or shoots at a place."""

    heads = action_tree = ActionTree(
        Head("type", 3),
        Head("direction", 2, relevant={"type": [1]}, logits_by="type"),
        Head("target", 4, relevant={"type": [1, 2]}, mask_by="type"),
    )
    action_space = spaces.MultiDiscrete(action_tree.nvec)
    observation_space = spaces.Dict(
        {
            "wanted": spaces.Box(0, 1, (9,), np.float32),
            **{key: mask_space(*shape) for key, shape in action_tree.mask_shapes.items()},
        }
    )

    def _question(self):
        self.wanted = self.np_random.integers(0, self.action_tree.nvec)
        flat = self.np_random.random(9) < 0.6
        table = self.np_random.random((3, 4)) < 0.5
        flat[[self.wanted[0], 3 + self.wanted[1], 5 + self.wanted[2]]] = True
        table[:, self.wanted[2]] = True
        self.masks = {"action_mask": flat, "action_mask:target": table}
        if self.np_random.random() < self.idle_share:
            flat[3:5] = False  # whoever moves cannot choose a direction
        rows = [one_hot(w, n) for w, n in zip(self.wanted, self.action_tree.nvec, strict=True)]
        return {"wanted": np.concatenate(rows)}

    def _is_right(self, action):
        counts = self.action_tree.relevant(self.wanted)
        return ((action == self.wanted) | ~counts).all()


class LockedOrders(Orders):
    idle_share = 0.4


class Candidates(World):
    """Up to 6 offers, some not to be had, and padding full of rubbish; the best one pays 1."""

    heads = (6,)
    action_space = spaces.Discrete(6)
    observation_space = spaces.Dict(
        {
            "candidates": spaces.Box(-np.inf, np.inf, (6, 3), np.float32),
            "action_mask": mask_space(6),
        }
    )

    def _question(self):
        offers = self.np_random.random((6, 3)).astype(np.float32)
        mask = self.np_random.random(6) < 0.6
        mask[self.np_random.integers(6)] = True
        self.gain = np.where(mask, offers[:, 0] - offers[:, 1], -np.inf)
        offers[~mask] = 1e9
        self.masks = {"action_mask": mask}
        return {"candidates": offers}

    def _is_right(self, action):
        return self.gain[int(action)] == self.gain.max()


WORLDS = {
    "dials": Dials,
    "locked dials": LockedDials,
    "switches": Switches,
    "square of switches": SquareOfSwitches,
    "orders": Orders,
    "locked orders": LockedOrders,
    "candidates": Candidates,
}

CONFIG = PPOConfig(
    num_envs=8,
    rollout_steps=16,
    minibatch_size=64,
    epochs=2,
    threads=1,
    evaluate_every=0,
    empty="idle",
    network=NetworkConfig(hidden=(16,), entity_dim=16),
)


class Log(Callback):
    def __init__(self):
        self.rows = []

    def on_rollout(self, trainer, metrics):
        self.rows.append(metrics)


def venv(name, count=8):
    return GymnasiumVectorEnv([WORLDS[name]] * count, seed=0)


@pytest.mark.parametrize("name", WORLDS)
def test_training_keeps_to_the_masks_and_scores_what_it_sampled(name):
    log = Log()
    trainer = PPO(venv(name), CONFIG, seed=1)
    trainer.learn(3 * CONFIG.batch_size, callbacks=[log])
    assert len(log.rows) == 3
    for row in log.rows:
        assert row["illegal_actions"] == 0
        assert row["ratio_drift"] <= 1e-5
        assert 0 < row["allowed_share"] < 1
        assert 0 < row["disallowed_mass"] < 1
        assert 0 < row["entropy_normalized"] <= 1
        assert all(np.isfinite(value) for value in row.values())
        assert (row["idle_share"] > 0) == (name == "locked dials"), "one head idling is no idle row"
    assert trainer.env.illegal_actions == 0


@pytest.mark.parametrize("name", WORLDS)
def test_a_joint_ratio_is_one_before_the_first_step(name):
    trainer = PPO(venv(name), CONFIG, seed=2)
    trainer.collector.collect()
    buffer = trainer.buffer
    batch = buffer.minibatch(np.arange(CONFIG.batch_size), torch.device("cpu"))
    distribution = trainer.policy.heads.distribution(
        trainer.policy.logits(batch.observations),
        batch.observations,
        empty="idle",
    )
    drift = torch.expm1(distribution.log_prob(batch.actions) - batch.log_probs.sum(-1)).abs()
    assert drift.max() <= 1e-5 * max(10, batch.log_probs.shape[-1])


@pytest.mark.parametrize("name", WORLDS)
def test_stopped_and_resumed_is_the_same_to_the_digit(name, tmp_path):
    through, after = Log(), Log()
    PPO(venv(name), CONFIG, seed=3).learn(4 * CONFIG.batch_size, callbacks=[through])
    first = PPO(venv(name), CONFIG, seed=3)
    first.total_steps = 4 * CONFIG.batch_size
    for _ in range(2):
        first.step()
    first.save(tmp_path / "checkpoint")
    again = PPO.load(tmp_path / "checkpoint", env=venv(name))
    again.learn(4 * CONFIG.batch_size, callbacks=[after])
    assert after.rows == through.rows[2:]


@pytest.mark.parametrize("name", WORLDS)
def test_a_loaded_policy_acts_as_the_trained_one(name, tmp_path):
    trainer = PPO(venv(name), CONFIG.replace(normalize_observations=True), seed=4)
    trainer.learn(CONFIG.batch_size)
    trainer.save(tmp_path / "checkpoint")
    policy = load_policy(tmp_path / "checkpoint")
    env = venv(name)
    obs, _ = env.reset(seed=9)
    for _ in range(5):
        mine, _ = trainer.predict(obs)
        theirs, _ = policy.predict(obs)
        np.testing.assert_array_equal(mine, theirs)
        assert env.single_action_space.contains(mine[0])
        alone, _ = policy.predict({key: value[3] for key, value in obs.items()})
        np.testing.assert_array_equal(alone, mine[3])
        assert env.single_action_space.contains(alone)
        obs, *_ = env.step(mine)
    assert policy.action_tree == trainer.policy.action_tree


class ManyPrefixes(World):
    """The fourth head counts under three others together: 50 x 50 x 50 prefixes."""

    heads = action_tree = ActionTree(
        *(Head(name, 50) for name in "abc"),
        Head("d", 2, relevant={name: range(25) for name in "abc"}),
    )
    action_space = spaces.MultiDiscrete(action_tree.nvec)
    observation_space = spaces.Dict(
        {"wanted": spaces.Box(0, 1, (1,), np.float32), "action_mask": mask_space(152)}
    )

    def _question(self):
        mask = self.np_random.random(152) < 0.6
        mask[[0, 50, 100, 150]] = True
        self.masks = {"action_mask": mask}
        return {"wanted": np.zeros(1, np.float32)}

    def _is_right(self, action):
        return action[0] == 0


def test_a_tree_with_too_many_prefixes_trains_on_an_estimate_of_its_entropy(tmp_path):
    def env():
        return GymnasiumVectorEnv([ManyPrefixes] * 8, seed=0)

    logs = [Log(), Log()]
    for log in logs:
        PPO(env(), CONFIG, seed=5).learn(2 * CONFIG.batch_size, callbacks=[log])
    for row in logs[0].rows:
        assert 3 < row["entropy"] < 3 * np.log(50) + np.log(2)
        assert np.isnan(row["entropy_normalized"])
        assert row["illegal_actions"] == 0
    for mine, again in zip(logs[0].rows, logs[1].rows, strict=True):
        np.testing.assert_equal(mine, again)


def score(trainer, env, steps=100):
    obs, _ = env.reset(seed=77)
    total = 0.0
    for _ in range(steps):
        action, _ = trainer.predict(obs)
        obs, reward, *_ = env.step(action)
        total += reward.mean()
    assert env.illegal_actions == 0
    return total / steps


@pytest.mark.learning
@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["dials", "switches", "orders", "candidates"])
def test_it_learns_what_is_asked_for(name, seed):
    """At least 95 % of the optimum, where random valid play gets at most 42 %."""
    config = CONFIG.replace(
        num_envs=16,
        rollout_steps=32,
        minibatch_size=128,
        epochs=6,
        learning_rate=3e-3,
        gamma=0.0,
        empty="raise",
        network=NetworkConfig(hidden=(32,), entity_dim=32),
    )
    trainer = PPO(venv(name, 16), config, seed=seed)
    trainer.learn(16 * config.batch_size)
    assert score(trainer, venv(name, 16)) >= 0.95


@pytest.mark.parametrize(
    ("name", "said"), [("dials", 0.35), ("switches", 0.42), ("orders", 0.37), ("candidates", 0.27)]
)
def test_random_valid_play_scores_what_is_said(name, said):
    env, rng = WORLDS[name](), np.random.default_rng(0)
    env.reset(seed=0)
    total = 0.0
    for _ in range(2000):
        action = random_actions(env.masks, env.heads, rng)
        total += env.step(action[0] if name == "candidates" else action)[1]
    assert total / 2000 == pytest.approx(said, abs=0.04)


class Stuck(Orders):
    """From the third step on, whoever shoots may shoot at nothing."""

    def _question(self):
        question = super()._question()
        self.masks["action_mask"][:] = True
        if self.t == 2:
            self.masks["action_mask"][:2] = False
            self.masks["action_mask:target"][2] = False
        return question


class Jammed(Dials):
    def _question(self):
        question = super()._question()
        self.masks["action_mask"][3:] &= self.t < 2
        return question


@pytest.mark.parametrize(
    ("world", "message"),
    [
        (
            Stuck,
            "environment 0 of 3 allows no choice in head 'target' at step 2 of its episode .*"
            "what action_mask leaves of it after type = 2 is all False",
        ),
        (
            Jammed,
            "environment 0 of 3 allows no choice in head 1 at step 2 of its episode .*"
            "action_mask is all False",
        ),
    ],
)
def test_a_head_that_allows_nothing_is_named(world, message):
    env = GymnasiumVectorEnv([world] * 3)
    config = CONFIG.replace(num_envs=3, minibatch_size=48, empty="raise")
    with pytest.raises(NoAllowedActionError, match=message):
        PPO(env, config, seed=0).learn(48)
    PPO(env, config.replace(empty="idle"), seed=0).learn(48)


def test_only_steps_without_any_decision_are_left_out_of_the_policy_loss():
    trainer = PPO(venv("locked dials"), CONFIG, seed=6)
    trainer.collector.collect()
    buffer = trainer.buffer
    flat = buffer.choices().allowed
    some, none = (flat == 0).any(-1), (flat == 0).all(-1)
    assert none.any() and (some & ~none).any()
    np.testing.assert_array_equal(buffer.idle, none)
    assert (buffer.log_probs[flat == 0] == 0).all()
    assert (buffer.actions[flat == 0] == CONFIG.idle_action).all()
    assert trainer.collector.mask_metrics()["idle_share"] == pytest.approx(none.mean())


class OwnPolicy(torch.nn.Module):
    """A policy of one's own for the dials."""

    def __init__(self):
        super().__init__()
        self.actor, self.critic = torch.nn.Linear(7, 7), torch.nn.Linear(7, 1)

    def distribution(self, obs):
        logits = self.actor(obs["wanted"])
        return MaskedMultiCategorical(logits, [3, 4], obs["action_mask"])

    def value(self, obs):
        return self.critic(obs["wanted"]).squeeze(-1)


def test_a_policy_of_ones_own_trains_on_several_heads():
    log = Log()
    config = CONFIG.replace(network=NetworkConfig(), empty="raise")
    trainer = PPO(venv("dials"), config, policy=OwnPolicy(), seed=7)
    trainer.learn(2 * config.batch_size, callbacks=[log])
    assert log.rows[-1]["illegal_actions"] == 0
    assert np.isnan(log.rows[-1]["disallowed_mass"]), "it does not say its logits"
    action, _ = trainer.predict(trainer.env.reset(seed=0)[0])
    assert trainer.action_space.contains(action[0])


class OwnPointer(torch.nn.Module):
    """A policy of one's own for the candidates, which sees only what may be chosen."""

    def __init__(self):
        super().__init__()
        self.actor = torch.nn.Linear(3, 1)

    def _rows(self, obs):
        return torch.where(obs["action_mask"].unsqueeze(-1), obs["candidates"], 0.0)

    def distribution(self, obs):
        scores = self.actor(self._rows(obs)).squeeze(-1)
        return PointerCategorical(scores, obs["action_mask"])

    def value(self, obs):
        return self._rows(obs).mean((-1, -2))


def test_a_pointer_of_ones_own_trains_on_candidates():
    log = Log()
    config = CONFIG.replace(network=NetworkConfig(), empty="raise")
    trainer = PPO(venv("candidates"), config, policy=OwnPointer(), seed=9)
    trainer.learn(2 * config.batch_size, callbacks=[log])
    assert log.rows[-1]["illegal_actions"] == 0 and log.rows[-1]["ratio_drift"] <= 1e-5
    assert 0 < log.rows[-1]["entropy_normalized"] <= 1


@pytest.mark.parametrize("name", ["dials", "locked orders"])
def test_a_trust_region_for_every_head(name):
    log = Log()
    PPO(venv(name), CONFIG.replace(ratio="head", clip=0.01, learning_rate=1e-2), seed=8).learn(
        3 * CONFIG.batch_size, callbacks=[log]
    )
    assert all(row["ratio_drift"] <= 1e-5 and 0 < row["clip_fraction"] < 1 for row in log.rows)
    with pytest.raises(ConfigError, match="expected 'auto', 'joint', 'agent' or 'head', got 'all'"):
        CONFIG.replace(ratio="all")
    with pytest.raises(ConfigError, match="'agent' has no meaning in .*one agent acts"):
        PPO(venv(name), CONFIG.replace(ratio="agent"))
