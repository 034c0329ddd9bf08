"""A masked corridor with a known optimum, as vector and as single environment.

Of many actions only two do something in each cell: one step left, one step right. The
right end pays 1, the left end 0; the optimum is 1. Random valid play gets about 0.5,
and whoever does not know the mask mostly stands still until the time is up. Beside it:
a small finished run of the panda, to evaluate.
"""

from __future__ import annotations

import json

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space


class CorridorVectorEnv(VectorEnv):
    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self, num_envs=4, *, length=7, n_actions=10, limit=20, masked=True, cooldown=False
    ):
        self.num_envs = num_envs
        self.length, self.n_actions, self.limit = length, n_actions, limit
        self.masked, self.cooldown = masked, cooldown
        self.single_observation_space = spaces.Dict(
            {
                "observation": spaces.Box(0, 1, (length,), np.float32),
                "action_mask": spaces.Box(0, 1, (n_actions,), np.bool_),
            }
        )
        self.single_action_space = spaces.Discrete(n_actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        cells = np.arange(length)
        self.left, self.right = (3 * cells) % n_actions, (3 * cells + 1) % n_actions
        self.cell_masks = np.zeros((length, n_actions), np.bool_)
        self.cell_masks[cells, self.left] = self.cell_masks[cells, self.right] = True
        self.rows = np.arange(num_envs)
        self.cell = np.zeros(num_envs, np.int64)
        self.time = np.zeros(num_envs, np.int64)
        self.frozen = np.zeros(num_envs, np.bool_)
        self.illegal_actions = 0
        self.rng = np.random.default_rng(0)

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self._restart(np.ones(self.num_envs, np.bool_))
        return self._observe(), {}

    def step(self, actions):
        actions = np.asarray(actions)
        moves = (actions == self.right[self.cell]).astype(np.int64)
        moves -= actions == self.left[self.cell]
        if self.masked:
            self.illegal_actions += int(((moves == 0) & ~self.frozen).sum())
        moves[self.frozen] = 0
        self.cell = np.clip(self.cell + moves, 0, self.length - 1)
        self.time += 1
        self.frozen = (moves != 0) & self.cooldown
        won = self.cell == self.length - 1
        terminated = won | (self.cell == 0)
        truncated = (self.time >= self.limit) & ~terminated
        ended = terminated | truncated
        infos = {}
        if ended.any():
            infos["final_obs"] = self._observe()
            self._restart(ended)
        return self._observe(), won.astype(np.float64), terminated, truncated, infos

    def get_state(self):
        return {
            "cell": self.cell.copy(),
            "time": self.time.copy(),
            "frozen": self.frozen.copy(),
            "illegal": self.illegal_actions,
            "rng": json.dumps(self.rng.bit_generator.state),
        }

    def set_state(self, state):
        self.cell, self.time = state["cell"].copy(), state["time"].copy()
        self.frozen, self.illegal_actions = state["frozen"].copy(), state["illegal"]
        self.rng.bit_generator.state = json.loads(state["rng"])

    def _restart(self, which):
        fresh = self.rng.integers(1, self.length - 1, self.num_envs)
        self.cell = np.where(which, fresh, self.cell)
        self.time = np.where(which, 0, self.time)
        self.frozen &= ~which

    def _observe(self):
        observation = np.zeros((self.num_envs, self.length), np.float32)
        observation[self.rows, self.cell] = 1.0
        mask = (
            self.cell_masks[self.cell] if self.masked else np.ones_like(self.cell_masks)[self.cell]
        )
        return {"observation": observation, "action_mask": mask & ~self.frozen[:, None]}


class CorridorEnv(gymnasium.Env):
    """The corridor as Gymnasium environments have their mask: int8, in info."""

    def __init__(self, length=7):
        self.world = CorridorVectorEnv(1, length=length)
        self.observation_space = self.world.single_observation_space["observation"]
        self.action_space = self.world.single_action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        obs, _ = self.world.reset(seed=seed)
        return obs["observation"][0], {"action_mask": obs["action_mask"][0].astype(np.int8)}

    def step(self, action):
        obs, reward, terminated, truncated, infos = self.world.step([action])
        last = infos.get("final_obs", obs)
        info = {"action_mask": last["action_mask"][0].astype(np.int8)}
        return last["observation"][0], reward[0], bool(terminated[0]), bool(truncated[0]), info


@pytest.fixture
def corridor():
    return CorridorVectorEnv


@pytest.fixture
def corridor_env():
    return CorridorEnv


@pytest.fixture(scope="session")
def small_config():
    """Settings with which 128 steps take a moment."""
    from maskrl.networks.encoders import NetworkConfig
    from maskrl.trainers.ppo_config import PPOConfig

    network = NetworkConfig(hidden=(8,), entity_dim=8, entity_heads=2, entity_depth=1)
    return PPOConfig(
        num_envs=4,
        rollout_steps=16,
        minibatch_size=32,
        epochs=1,
        threads=1,
        network=network,
        evaluate_every=64,
        evaluation_episodes=4,
        checkpoint_every=64,
    )


@pytest.fixture(scope="session")
def small_run(tmp_path_factory, small_config):
    """A finished run's folder; tests must not write into it."""
    from maskrl.runs.run_dir import RunDir
    from maskrl.trainers.ppo import PPO

    run = RunDir.create(tmp_path_factory.mktemp("small") / "run")
    PPO("panda-open", small_config, seed=5).learn(128, run_dir=run)
    return run
