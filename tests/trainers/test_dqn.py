"""DQN from outside: what it trains on, what it takes and refuses, and that it learns.

In the corridor random valid play returns about 0.5, the optimum is 1.
"""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import nn

from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError, NoMaskError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.q_policy import QPolicy
from maskrl.trainers.callbacks import Callback
from maskrl.trainers.dqn import DQN, DQNConfig
from maskrl.trainers.ppo_config import PPOConfig

SMALL = DQNConfig(
    num_envs=8,
    replay_size=2_000,
    learning_starts=64,
    train_every=8,
    gradient_steps=1,
    batch_size=32,
    gamma=0.9,
    learning_rate=3e-3,
    target_every=20,
    log_every=200,
    threads=1,
    evaluate_every=0,
    checkpoint_every=0,
    low=-0.5,
    high=1.5,
    atoms=21,
    network=NetworkConfig(hidden=(32,), entity_dim=8, entity_heads=2, entity_depth=1),
)


class Log(Callback):
    def __init__(self):
        self.rows = []

    def on_rollout(self, trainer, metrics):
        self.rows.append(dict(metrics))
        return True


def greedy_return(trainer, env, steps=60):
    """Mean return of the episodes that end within so many steps."""
    obs, _ = env.reset(seed=123)
    total = episodes = 0
    for _ in range(steps):
        actions, _ = trainer.predict(obs)
        obs, rewards, terminated, truncated, _ = env.step(actions)
        total += rewards.sum()
        episodes += int((terminated | truncated).sum())
    assert env.illegal_actions == 0
    return total / episodes


VARIANTS = {
    "default": {},
    "plain": {"double": False, "dueling": False, "n_step": 1, "huber": None},
    "prioritised": {"priority_exponent": 0.6, "target_every": 1, "target_rate": 0.05},
    "categorical": {"returns": "categorical", "max_grad_norm": 0.0},
    "quantile": {"returns": "quantile", "exploration": "boltzmann", "temperature": 0.5},
    "noisy": {"exploration": "noisy", "normalize_observations": True},
}


FAST = ("default", "categorical", "noisy")


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=[] if x in FAST else pytest.mark.slow) for x in VARIANTS]
)
def test_every_variant_learns_the_corridor(corridor, name):
    log = Log()
    trainer = DQN(corridor(8), SMALL.replace(**VARIANTS[name]), seed=1)
    trainer.learn(3_000, callbacks=[log])
    assert greedy_return(trainer, corridor(8)) == 1.0
    assert trainer.env.illegal_actions == trainer.collector.illegal_actions == 0
    assert all(np.isfinite(list(row.values())).all() for row in log.rows[2:])
    # The discounted value one step before the right end is the reward.
    obs, _ = trainer.env.reset(seed=0)
    obs = {key: torch.from_numpy(x[:1].copy()) for key, x in obs.items()}
    obs["observation"][...] = torch.eye(7)[5]
    obs["action_mask"][...] = torch.from_numpy(trainer.env.cell_masks[5])
    assert float(trainer.policy.value(obs).detach()) == pytest.approx(1.0, abs=0.15)


def test_rows_that_allow_nothing_idle_and_are_learned_from(corridor):
    config = SMALL.replace(empty="idle", idle_action=4)
    trainer = DQN(corridor(8, cooldown=True), config, seed=0)
    trainer.learn(3_000)
    assert greedy_return(trainer, corridor(8, cooldown=True), steps=120) == 1.0
    # A frozen step costs one discount: it has the value of its idle action.
    obs = {
        "observation": torch.eye(7)[[4]],
        "action_mask": torch.zeros(1, 10, dtype=torch.bool),
    }
    assert float(trainer.policy.value(obs).detach()) == pytest.approx(0.9**3, abs=0.2)


def test_metrics_say_what_was_learned(corridor):
    log = Log()
    trainer = DQN(corridor(8), SMALL, seed=0)
    trainer.learn(1_000, callbacks=[log])
    names = {"loss", "q_mean", "td_error", "target_mean", "grad_norm", "epsilon", "episodes"}
    names |= {"return_mean", "length_mean", "gradient_steps", "learning_rate", "replay_size"}
    names |= {"allowed_share", "forced_share", "idle_share", "illegal_actions", "disallowed_mass"}
    assert names <= log.rows[-1].keys()
    epsilons = [row["epsilon"] for row in log.rows]
    assert epsilons[-1] == pytest.approx(SMALL.epsilon_final) and epsilons[0] > epsilons[1]
    assert log.rows[-1]["allowed_share"] == pytest.approx(0.2)
    assert all(0 <= row["disallowed_mass"] <= 1 for row in log.rows)


class Scenes(VectorEnv):
    """Two or more parts of an observation say which of the actions pays 1; one step each."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, kind, num_envs=8):
        self.kind, self.num_envs, self.illegal_actions = kind, num_envs, 0
        parts = {
            "entities": {
                "entities": spaces.Box(-1, 1, (4, 3), np.float32),
                "entity_mask": mask_space(4),
                "visibility": spaces.Box(0, 1, (4, 4), np.bool_),
            },
            "image": {"picture": spaces.Box(0, 255, (12, 12, 1), np.uint8)},
            "candidates": {"candidates": spaces.Box(-1, 1, (4, 3), np.float32)},
        }[kind]
        self.single_observation_space = spaces.Dict({**parts, "action_mask": mask_space(4)})
        self.single_action_space = spaces.Discrete(4)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed=None, options=None):
        self.rng = np.random.default_rng(seed)
        return self.draw(), {}

    def step(self, actions):
        rows = np.arange(self.num_envs)
        self.illegal_actions += int((~self.obs["action_mask"])[rows, actions].sum())
        rewards = (actions == self.best).astype(np.float64)
        ends = np.ones(self.num_envs, np.bool_)
        final = self.obs
        return self.draw(), rewards, ends, ~ends, {"final_obs": final}

    def draw(self):
        n, rng = self.num_envs, self.rng
        mask = rng.random((n, 4)) < 0.6
        mask[np.arange(n), rng.integers(4, size=n)] = True
        scores = rng.random((n, 4)).astype(np.float32)
        self.best = np.where(mask, scores, -1).argmax(-1)
        if self.kind == "candidates":
            rows = rng.random((n, 4, 3)).astype(np.float32)
            rows[..., 1] = scores
            self.obs = {"candidates": np.where(mask[..., None], rows, np.nan)}
        elif self.kind == "image":
            picture = np.zeros((n, 12, 12, 1), np.uint8)
            for k in range(4):
                y, x = 6 * (k // 2), 6 * (k % 2)
                picture[:, y : y + 6, x : x + 6, 0] = (255 * scores[:, k])[:, None, None]
            self.obs = {"picture": picture}
        else:
            scene = np.zeros((n, 4, 3), np.float32)
            best = np.eye(4, dtype=np.float32)[self.best]
            scene[:, 0, :2], scene[:, 1, :2] = best[:, :2], best[:, 2:]
            scene[:, 1, 2] = 1.0
            scene[:, 3] = np.nan
            there = np.tile(np.array([True, True, True, False]), (n, 1))
            sight = np.zeros((n, 4, 4), np.bool_)
            sight[:, 0, :2] = True
            self.obs = {"entities": scene, "entity_mask": there, "visibility": sight}
        self.obs["action_mask"] = mask
        return self.obs


@pytest.mark.parametrize("kind", ["entities", "image", "candidates"])
def test_scenes_pictures_and_candidates_go_through_the_same_encoders(kind):
    """Random valid play finds the best of the allowed ones in about half of the cases."""
    config = SMALL.replace(epsilon_final=0.1, exploration_fraction=0.5, train_every=16)
    trainer = DQN(Scenes(kind), config, seed=0)
    trainer.learn(6_000)
    env = Scenes(kind)
    obs, _ = env.reset(seed=5)
    right = 0
    for _ in range(50):
        actions, _ = trainer.predict(obs)
        right += int((actions == env.best).sum())
        obs, *_ = env.step(actions)
    assert right / 400 > 0.75
    assert trainer.env.illegal_actions == env.illegal_actions == 0


def test_candidates_are_valued_as_means_only():
    for settings in ({"returns": "quantile"}, {"exploration": "noisy"}):
        with pytest.raises(ConfigError, match="value of a candidate is learned as a mean"):
            DQN(Scenes("candidates"), SMALL.replace(**settings))


def test_a_policy_of_ones_own(corridor):
    env = corridor(8)
    space, actions = env.single_observation_space, env.single_action_space

    class Encoder(nn.Module):
        out_features = 16

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(7, 16)

        def forward(self, obs):
            return self.layer(obs["observation"]).relu()

    policy = QPolicy(space, actions, encoder=Encoder(), dueling=False, empty="idle", idle_action=2)
    trainer = DQN(env, SMALL, policy=policy, seed=0)
    assert trainer.policy is policy and not trainer.config.dueling
    assert (trainer.config.empty, trainer.config.idle_action) == ("idle", 2)
    trainer.learn(400)
    assert trainer.policy_json()["kind"] == "own"
    with pytest.raises(ConfigError, match=r"expected a maskrl\.policies\.QPolicy.*Linear"):
        DQN(corridor(8), SMALL, policy=nn.Linear(2, 3))
    with pytest.raises(ConfigError, match="its observation space .* is not that"):
        DQN(corridor(8, length=9), SMALL, policy=QPolicy(space, actions))
    with pytest.raises(ConfigError, match="without a normalizer"):
        DQN(corridor(8), SMALL.replace(normalize_observations=True), policy=QPolicy(space, actions))
    with pytest.raises(ConfigError, match=r"exploration: 'noisy' does not go"):
        DQN(corridor(8), SMALL.replace(exploration="noisy"), policy=QPolicy(space, actions))


def test_a_policy_that_idles_idles_in_training_too(corridor):
    env = corridor(8, cooldown=True)
    policy = QPolicy(env.single_observation_space, env.single_action_space, empty="idle")
    log = Log()
    DQN(env, SMALL, policy=policy).learn(400, callbacks=[log])
    assert log.rows[-1]["idle_share"] > 0


def test_a_policy_keeps_its_own_temperature(corridor, tmp_path):
    env = corridor(8)
    policy = QPolicy(
        env.single_observation_space, env.single_action_space, SMALL.network, temperature=2.0
    )
    trainer = DQN(env, SMALL, policy=policy)
    trainer.save(tmp_path / "saved")
    loaded = DQN.load(tmp_path / "saved", env=corridor(8))
    assert trainer.policy.temperature == loaded.policy.temperature == 2.0
    obs, _ = env.reset(seed=1)
    seen = {key: torch.from_numpy(x) for key, x in obs.items()}
    with torch.no_grad():
        expected = trainer.policy.distribution(seen).probs
        assert torch.equal(loaded.policy.distribution(seen).probs, expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_an_environment_of_other_real_numbers(corridor_env, dtype):
    class Exact(gymnasium.ObservationWrapper):
        def __init__(self, env):
            super().__init__(env)
            self.observation_space = spaces.Box(0, 1, env.observation_space.shape, dtype)

        def observation(self, observation):
            return observation.astype(dtype)

    log = Log()
    config = SMALL.replace(learning_starts=8, log_every=32)
    DQN(Exact(corridor_env()), config).learn(64, callbacks=[log])
    assert log.rows[-1]["gradient_steps"] == 4.0 and np.isfinite(log.rows[-1]["loss"])


def test_what_it_refuses(corridor):
    with pytest.raises(ConfigError, match=r"expected a DQNConfig, got PPOConfig"):
        DQN(corridor(4), PPOConfig())
    with pytest.raises(ConfigError, match=r"network\.memory"):
        DQN(corridor(8), SMALL.replace(network=NetworkConfig(memory="gru")))
    with pytest.raises(ConfigError, match="idle_action: 10 is not one of the 10 actions"):
        DQN(corridor(8), SMALL.replace(empty="idle", idle_action=10))
    trainer = DQN(corridor(8), SMALL)
    with pytest.raises(NoMaskError):
        trainer.predict(np.zeros(7, np.float32))
    with pytest.raises(ConfigError, match="total_steps"):
        trainer.learn(0)


def test_a_single_environment_with_its_mask_in_info(corridor_env):
    trainer = DQN(corridor_env(), SMALL.replace(learning_starts=8, log_every=32), seed=0)
    assert trainer.config.num_envs == 1
    log = Log()
    trainer.learn(64, callbacks=[log])
    assert log.rows[-1]["gradient_steps"] == 4.0  # one for each eight steps


def test_equal_seeds_are_equal_and_others_not(corridor):
    logs = []
    for seed in (3, 3, 4):
        log = Log()
        DQN(corridor(8), SMALL, seed=seed).learn(600, callbacks=[log])
        logs.append(repr(log.rows))
    assert logs[0] == logs[1] != logs[2]
