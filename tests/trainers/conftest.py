"""A masked corridor with a known optimum, as vector and as single environment.

Of many actions only two do something in each cell: one step left, one step right. The
right end pays 1, the left end 0; the optimum is 1. Random valid play gets about 0.5,
and whoever does not know the mask mostly stands still until the time is up. Beside it:
a team at work (`shifts`), the corridor told by entities (`scene`), and a small finished run of the
panda, to evaluate.
"""

from __future__ import annotations

import json

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from maskrl.envs.contract import mask_space
from maskrl.masks.tree import ActionTree, Head


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


class ShiftsVectorEnv(VectorEnv):
    """A team at work on a map, as slots, as a grid or as a scene; agents wait, die and come back.

    Each agent stands in a cell of its own, and one choice fits the cell: `cell % 5`. Whoever
    makes it gets 1. Then all go to other cells; some fall out, some for a step only (they wait),
    some for longer (they are dead), and sometimes the whole team at once. Optimum per decision
    1, random valid play 1/2, random play 1/5. `poison` writes NaN and all-False masks where
    nobody is or acts; nothing may change by it.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
    gives_agent_rewards = True

    def __init__(
        self,
        num_envs=4,
        *,
        form="own",
        agents=3,
        shape=(3, 4),
        limit=9,
        die=0.1,
        back=0.3,
        wait=0.15,
        disaster=0.05,
        end=0.05,
        heads=None,
        tree=False,
        poison=False,
        stuck=0.0,
        identity=True,
        alive=True,
        own_rewards=True,
    ):
        self.num_envs, self.agents, self.shape, self.limit = num_envs, agents, shape, limit
        self.form, self.poison, self.stuck = form, poison, stuck
        self.chances = {"die": die, "back": back, "wait": wait, "disaster": disaster, "end": end}
        self.identity = identity or form != "grid"
        self.tells_alive = alive and self.identity
        self.gives_agent_rewards = own_rewards
        self.nvec = (5, 3) if tree else (heads or (5,))
        self.axis = tree or heads is not None
        self.action_tree = None
        if tree:
            self.action_tree = ActionTree(
                [Head("what", 5), Head("how", 3, relevant={"what": [1, 2]})]
            )
        self.illegal_actions = 0
        self.rng = np.random.default_rng(0)
        cells, actions = shape[0] * shape[1], sum(self.nvec)
        here = np.arange(cells)
        self.table = np.zeros((cells, actions), np.bool_)
        start = 0
        for size in self.nvec:
            self.table[here, start + here % size] = True
            self.table[here, start + (here + 1) % size] = True
            start += size
        self._spaces(cells, actions)

    def _spaces(self, cells, actions):
        H, W = self.shape
        N, entries = self.agents, {}
        grid = self.form == "grid"
        if grid:
            entries["grid"] = spaces.Box(0, 1, (7, H, W), np.float32)
            if self.identity:
                entries["agent_cells"] = spaces.Box(-1, cells - 1, (N,), np.int64)
        elif self.form == "scene":
            entries["entities"] = spaces.Box(0, 1, (N + 2, cells), np.float32)
            entries["entity_mask"] = mask_space(N + 2)
            entries["visibility"] = mask_space(N + 2, N + 2)
        else:
            entries["observation"] = spaces.Box(0, 1, (N, cells), np.float32)
        places = (H, W) if grid else (N,)
        entries["agent_mask"] = mask_space(*places)
        if self.tells_alive:
            entries["alive"] = mask_space(N)
        entries["action_mask"] = mask_space(*((actions, H, W) if grid else (N, actions)))
        nvec = np.broadcast_to(np.array(self.nvec), (*places, len(self.nvec)))
        if not self.axis:
            nvec = nvec[..., 0]
        elif grid:
            nvec = np.moveaxis(nvec, -1, 0)
        self.single_observation_space = spaces.Dict(entries)
        self.single_action_space = spaces.MultiDiscrete(np.ascontiguousarray(nvec))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        B, N = self.num_envs, self.agents
        self.cell = np.zeros((B, N), np.int64)
        self.time = np.zeros(B, np.int64)
        self.alive, self.waits = np.ones((B, N), np.bool_), np.zeros((B, N), np.bool_)
        self.blocked = np.zeros((B, N), np.bool_)
        self._restart(np.ones(B, np.bool_))
        return self._observe(), {}

    @property
    def acts(self):
        return self.alive & ~self.waits

    def step(self, actions):
        B, N = self.num_envs, self.agents
        rows = np.arange(B)[:, None]
        actions = np.asarray(actions).reshape(B, *self.single_action_space.shape)
        K = len(self.nvec)
        if self.form == "grid":
            flat = actions.reshape(B, K, -1)
            chosen = flat[rows[..., None], np.arange(K), self.cell[..., None]]
        else:
            chosen = actions.reshape(B, N, K)
        starts = np.cumsum((0, *self.nvec[:-1]))
        legal = np.take_along_axis(self.table[self.cell], chosen + starts, axis=-1)
        if self.action_tree is not None:
            legal |= ~self.action_tree.relevant(chosen)
        self.illegal_actions += int((~legal.all(-1) & self.acts & ~self.blocked).sum())
        right = chosen[..., 0] == self.cell % 5
        got = np.where(self.acts & right & ~self.blocked, 1.0, 0.0)
        self.time += 1
        self._shift(np.ones(B, np.bool_))
        draw = self.rng.random((B, N))
        back = self.rng.random((B, N)) < self.chances["back"]
        fell = (draw < self.chances["die"]) | (self.rng.random((B, 1)) < self.chances["disaster"])
        self.alive = np.where(self.alive, ~fell, back)
        self.waits = self.rng.random((B, N)) < self.chances["wait"]
        self.blocked = self.rng.random((B, N)) < self.stuck
        terminated = self.rng.random(B) < self.chances["end"]
        truncated = (self.time >= self.limit) & ~terminated
        ended = terminated | truncated
        infos = {"agent_rewards": got}
        if ended.any():
            infos["final_obs"] = self._observe()
            self._restart(ended)
        return self._observe(), got.sum(-1), terminated, truncated, infos

    def get_state(self):
        names = ("cell", "time", "alive", "waits", "blocked")
        return {
            **{name: getattr(self, name).copy() for name in names},
            "illegal": self.illegal_actions,
            "rng": json.dumps(self.rng.bit_generator.state),
        }

    def set_state(self, state):
        for name in ("cell", "time", "alive", "waits", "blocked"):
            setattr(self, name, np.array(state[name]))
        self.alive, self.waits, self.blocked = (
            x.astype(np.bool_) for x in (self.alive, self.waits, self.blocked)
        )
        self.illegal_actions = state["illegal"]
        self.rng.bit_generator.state = json.loads(state["rng"])

    def _shift(self, which):
        cells = self.shape[0] * self.shape[1]
        fresh = self.rng.random((self.num_envs, cells)).argsort(axis=1)[:, : self.agents]
        self.cell = np.where(which[:, None], fresh, self.cell)

    def _restart(self, which):
        self._shift(which)
        self.time = np.where(which, 0, self.time)
        self.alive = self.alive | which[:, None]
        self.waits = self.waits & ~which[:, None]
        self.blocked = self.blocked & ~which[:, None]

    def _observe(self):
        B, N, (H, W) = self.num_envs, self.agents, self.shape
        cells = H * W
        code = np.eye(cells, dtype=np.float32)[self.cell]
        allowed = self.table[self.cell] & ~self.blocked[..., None]
        acts, alive = self.acts, self.alive
        obs = {}
        if self.form == "grid":
            at = (np.arange(B)[:, None], self.cell)
            planes = np.zeros((B, 7, cells), np.float32)
            planes[:, np.arange(cells) % 5, np.arange(cells)] = 1.0
            mask = np.zeros((B, cells), np.bool_)
            mask[at] = acts
            planes[:, 5] = mask
            legal = np.full((B, cells, allowed.shape[-1]), not self.poison)
            legal[at] = np.where(acts[..., None], allowed, not self.poison)
            obs["grid"] = planes.reshape(B, 7, H, W)
            if self.identity:
                obs["agent_cells"] = np.where(alive, self.cell, -1)
            obs["agent_mask"] = mask.reshape(B, H, W)
            obs["action_mask"] = np.moveaxis(legal.reshape(B, H, W, -1), -1, 1)
        else:
            nothing = np.nan if self.poison else 0.0
            code = np.where(alive[..., None], code, np.float32(nothing))
            obs["action_mask"] = np.where(acts[..., None], allowed, not self.poison)
            obs["agent_mask"] = acts
            if self.form == "scene":
                things = np.full((B, 2, cells), nothing, np.float32)
                things[:, 0] = 1.0  # one thing that is there, and padding
                there = np.concatenate([alive, np.tile([True, False], (B, 1))], axis=1)
                obs["entities"] = np.concatenate([code, things], axis=1)
                obs["entity_mask"] = there
                obs["visibility"] = np.ones((B, N + 2, N + 2), np.bool_)
            else:
                obs["observation"] = code
        if self.tells_alive:
            obs["alive"] = alive
        return {key: np.array(obs[key]) for key in self.single_observation_space.spaces}


@pytest.fixture(scope="session")
def shifts():
    return ShiftsVectorEnv


class SceneVectorEnv(CorridorVectorEnv):
    """The corridor told by entities: the walker, a marker that it cannot see, padding of NaN."""

    def __init__(self, num_envs):
        super().__init__(num_envs)
        self.single_observation_space = spaces.Dict(
            {
                "entities": spaces.Box(0, 9, (3, 2), np.float32),
                "entity_mask": mask_space(3),
                "visibility": mask_space(3, 3),
                "action_mask": mask_space(10),
            }
        )

    def _observe(self):
        entities = np.full((self.num_envs, 3, 2), np.nan, np.float32)
        entities[:, 0] = np.stack([self.cell, np.zeros_like(self.cell)], -1)
        entities[:, 1] = np.stack([self.time, np.ones_like(self.cell)], -1)
        visibility = np.ones((self.num_envs, 3, 3), np.bool_)
        visibility[:, 0, 1] = False
        return {
            "entities": entities,
            "entity_mask": np.tile([True, True, False], (self.num_envs, 1)),
            "visibility": visibility,
            "action_mask": self.cell_masks[self.cell],
        }


@pytest.fixture
def corridor():
    return CorridorVectorEnv


@pytest.fixture
def scene():
    return SceneVectorEnv


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
