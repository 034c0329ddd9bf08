"""PPO with memory: ratios of 1 for every action, resuming to the digit, policies of one's own."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import nn

from maskrl.distributions import MaskedCategorical
from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError, RatioDriftError, RunFolderError
from maskrl.masks.tree import ActionTree, Head
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.normalize import ObservationNormalizer
from maskrl.networks.recurrent import RecurrentCore
from maskrl.policies.actor_critic import ActorCritic, trusted
from maskrl.policies.load import load_policy
from maskrl.trainers.callbacks import Callback
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

B = 4
TREE = ActionTree(Head("type", 3), Head("what", 4, relevant={"type": [1, 2]}, mask_by="type"))
FLAT = {"observation": spaces.Box(-1, 1, (3,), np.float32)}
WORLDS = {
    "discrete": (FLAT | {"action_mask": mask_space(7)}, spaces.Discrete(7), None),
    "heads": (FLAT | {"action_mask": mask_space(7)}, spaces.MultiDiscrete([3, 4]), None),
    "bits": (FLAT | {"action_mask": mask_space(3, 2)}, spaces.MultiBinary(3), None),
    "tree": (
        FLAT | {key: mask_space(*shape) for key, shape in TREE.mask_shapes.items()},
        spaces.MultiDiscrete(TREE.nvec),
        TREE,
    ),
    "candidates": (
        {"candidates": spaces.Box(-1, 1, (4, 2), np.float32), "action_mask": mask_space(4)},
        spaces.Discrete(4),
        None,
    ),
    "scene": (
        {
            "entities": spaces.Box(-1, 1, (5, 2), np.float32),
            "entity_mask": mask_space(5),
            "visibility": mask_space(5, 5),
            "action_mask": mask_space(5),
        },
        spaces.Discrete(5),
        None,
    ),
}


class Noise(VectorEnv):
    """Draws what is seen, what is allowed and when episodes end; rewards the last action."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, kind="discrete", num_envs=B, *, idle=0.0, ends=0.15):
        entries, self.single_action_space, tree = WORLDS[kind]
        if tree is not None:
            self.action_tree = tree
        self.num_envs, self.idle, self.ends = num_envs, idle, ends
        self.single_observation_space = spaces.Dict(entries)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.rng = np.random.default_rng(0)
        self.length = np.zeros(num_envs, np.int64)

    def reset(self, *, seed=None, options=None):
        self.rng = np.random.default_rng(seed)
        self.length[...] = 0
        return self._draw(), {}

    def step(self, actions):
        ended = self.rng.random((2, self.num_envs)) < self.ends
        terminated, truncated = ended[0] & ~ended[1], ended[1]
        rewards = np.asarray(actions).reshape(self.num_envs, -1).sum(-1) % 3 - 1.0
        infos = {"final_obs": self._draw()} if ended.any() else {}
        self.length = np.where(terminated | truncated, 0, self.length + 1)
        return self._draw(), rewards, terminated, truncated, infos

    def _draw(self):
        obs = {}
        for key, space in self.single_observation_space.spaces.items():
            shape = (self.num_envs, *space.shape)
            if space.dtype != np.bool_:
                obs[key] = self.rng.normal(size=shape).astype(np.float32)
                continue
            obs[key] = self.rng.random(shape) < 0.7
            if key == "action_mask":
                obs[key].reshape(self.num_envs, -1)[:, [0, -1]] = True
                if key == "action_mask" and shape[1:] == (3, 2):
                    obs[key][..., 0] = True
                if hasattr(self, "action_tree"):
                    obs[key][:, :4] = True
                if self.idle:
                    obs[key][self.rng.random(self.num_envs) < self.idle] = False
            elif key.startswith("action_mask:"):
                obs[key][..., -1] = True
            elif key == "visibility":
                obs[key][:, np.arange(5), np.arange(5)] = True
            elif key == "entity_mask":
                obs[key][:, 0] = True
        return obs

    def get_state(self):
        return {"rng": json.dumps(self.rng.bit_generator.state), "length": self.length.copy()}

    def set_state(self, state):
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.length = state["length"].copy()


class Log(Callback):
    def __init__(self, stop_after=None):
        self.rows, self.stop_after = [], stop_after

    def on_rollout(self, trainer, metrics):
        self.rows.append(dict(metrics))
        return trainer.updates != self.stop_after


def config(memory="gru", *, network=None, **changes):
    small = {"hidden": (8,), "entity_dim": 8, "entity_heads": 2, "entity_depth": 1}
    settings = {
        "num_envs": B,
        "rollout_steps": 22,  # sequences of 7, 7 and 8 steps
        "sequence_length": 8,
        "minibatch_size": 32,
        "epochs": 2,
        "threads": 1,
        "evaluate_every": 0,
        "learning_rate": 3e-3,
        "network": NetworkConfig(memory=memory, memory_size=6, **{**small, **(network or {})}),
    }
    return PPOConfig(**{**settings, **changes})


SETTINGS = {
    "plain": {},
    "head": {"ratio": "head", "value_clip": 0.2},
    "idle": {"empty": "idle", "target_kl": 0.05},
    "normalised": {"normalize_observations": True, "normalize_rewards": True},
}


@pytest.mark.parametrize(
    ("settings", "memory"),
    [("plain", "gru"), ("head", "lstm"), ("idle", "gru"), ("normalised", "lstm")],
)
@pytest.mark.parametrize("kind", WORLDS)
def test_before_the_first_step_every_ratio_is_one(kind, memory, settings):
    """X9, for every kind of action and in every kind of training."""
    idle = 0.3 if settings == "idle" else 0.0
    trainer = PPO(Noise(kind, idle=idle), config(memory, **SETTINGS[settings]), seed=1)
    for _ in range(2):
        metrics, _ = trainer.step()
        assert metrics["ratio_drift"] <= 2e-6
        assert metrics["illegal_actions"] == 0
        assert np.isfinite([metrics[k] for k in ("policy_loss", "value_loss", "grad_norm")]).all()
    assert metrics["grad_norm"] > 0
    if idle:
        assert 0.1 < metrics["idle_share"] < 0.5
    buffer = trainer.buffer
    assert buffer.sequence_starts.tolist() == [0, 7, 14]
    assert np.abs(buffer.states).max() > 1e-3
    assert buffer.episode_starts[1:].any()


@pytest.mark.parametrize(
    "network",
    [
        {"shared": True},
        {"critic_sees": "everything"},
        {"critic_sees": "everything", "shared": True},
        {"memory_layers": 2},
        {"hidden": ()},
    ],
    ids=str,
)
@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_every_network_remembers(memory, network):
    trainer = PPO(Noise("scene"), config(memory, network=network), seed=1)
    before = {name: p.clone() for name, p in trainer.policy.named_parameters()}
    for _ in range(2):
        metrics, _ = trainer.step()
        assert metrics["ratio_drift"] <= 2e-6
    for name, parameter in trainer.policy.named_parameters():
        assert not torch.equal(parameter, before[name]), name
        assert parameter.isfinite().all()


@pytest.mark.parametrize("what", ["state", "start", "other policy"])
def test_another_state_than_at_acting_stops_training(what):
    trainer = PPO(Noise(), config(minibatch_size=88), seed=1)
    with torch.no_grad():
        trainer.policy.policy_head.linear.weight.mul_(100.0)
    with trusted(trainer.policy):
        trainer.parts.judge(trainer.collector.collect())
        buffer = trainer.buffer
        if what == "state":
            buffer.states[1, 2] += 1.0
            buffer.episode_starts[7, 2] = False
        elif what == "start":
            t, env = np.argwhere(~buffer.episode_starts[8:])[0] + [8, 0]
            buffer.episode_starts[t, env] = True
        else:
            with torch.no_grad():
                trainer.policy.memory.actor.network.bias_hh_l0.add_(0.5)
        before = [p.clone() for p in trainer.policy.parameters()]
        with pytest.raises(RatioDriftError, match="what it remembers is not what it remembered"):
            trainer.update.run(buffer, learning_rate=1e-3, entropy_coef=0.0)
    for parameter, old in zip(trainer.policy.parameters(), before, strict=True):
        assert torch.equal(parameter, old)


def test_first_step_is_that_of_episodes_replayed_from_their_beginning():
    """Of one whole rollout without cuts: the gradient of the loss written out, step by step."""
    given = config(
        minibatch_size=88, epochs=1, sequence_length=22, normalize_advantage=False, max_grad_norm=0
    )
    trainer = PPO(Noise(), given, seed=1)
    reference = ActorCritic.from_json(trainer.policy.to_json())
    reference.load_state_dict(trainer.policy.state_dict())
    trainer.step()
    buffer = trainer.buffer
    state, terms = reference.initial_state(B), []
    for t in range(22):
        rows = {"observation": torch.from_numpy(buffer.features["observation"][t])}
        mask = torch.from_numpy(buffer.unpacked("action_mask", buffer.bits["action_mask"][t]))
        start = torch.from_numpy(buffer.episode_starts[t])
        distribution, value, state = reference.act({**rows, "action_mask": mask}, state, start)
        actions = torch.from_numpy(buffer.actions[t])
        plain = torch.distributions.Categorical(
            logits=distribution.logits.masked_fill(~mask, -1e30)
        )
        ratio = (plain.log_prob(actions) - torch.from_numpy(buffer.log_probs[t, :, 0])).exp()
        terms.append(
            -ratio * torch.from_numpy(buffer.advantages[t])
            - 0.01 * plain.entropy()
            + 0.25 * (value - torch.from_numpy(buffer.returns[t])) ** 2
        )
    optimizer = torch.optim.Adam(reference.parameters(), lr=3e-3, eps=1e-5)
    torch.stack(terms).mean().backward()
    optimizer.step()
    for (name, mine), theirs in zip(
        trainer.policy.named_parameters(), reference.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=2e-5, msg=name)


def everything(trainer):
    tensors = dict(trainer.policy.state_dict())
    for index, slots in trainer.update.optimizer.state_dict()["state"].items():
        tensors |= {f"{index}.{name}": tensor for name, tensor in slots.items()}
    tensors["memory"] = trainer.collector.memory.state
    tensors["start"] = torch.from_numpy(trainer.collector.memory.start)
    return tensors


def compare(first, second):
    mine, theirs = everything(first), everything(second)
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert torch.equal(tensor, theirs[name]), name
    assert json.dumps(first.seeds.get_state()) == json.dumps(second.seeds.get_state())


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_stopped_and_resumed_is_never_stopped(memory, settings, tmp_path):
    given = config(memory, **SETTINGS[settings])
    total, idle = 6 * given.batch_size, 0.3 if settings == "idle" else 0.0
    whole, begun, resumed = Log(), Log(stop_after=3), Log()
    straight = PPO(Noise(idle=idle), given, seed=2).learn(total, callbacks=[whole])
    first = PPO(Noise(idle=idle), given, seed=2).learn(total, callbacks=[begun])
    first.save(tmp_path / "saved")
    assert first.collector.memory.state.abs().max() > 0
    torch.manual_seed(77)
    second = PPO.load(tmp_path / "saved", env=Noise(idle=idle))
    compare(second, first)
    second.learn(total, callbacks=[resumed])
    assert repr(begun.rows + resumed.rows) == repr(whole.rows)
    compare(second, straight)
    policy = load_policy(tmp_path / "saved")
    assert policy.state_size == second.policy.state_size


def test_environments_that_cannot_be_resumed_are_not_remembered(tmp_path):
    class Forgetful(Noise):
        get_state = None

    trainer = PPO(Forgetful(), config(), seed=2).learn(88)
    trainer.save(tmp_path / "saved")
    resumed = PPO.load(tmp_path / "saved", env=Forgetful())
    assert not resumed.collector.memory.state.any() and resumed.collector.memory.start.all()
    assert resumed.learn(176).updates == 2


def test_a_checkpoint_of_another_memory_is_refused(tmp_path):
    trainer = PPO(Noise(), config(), seed=2).learn(88)
    trainer.save(tmp_path / "saved")
    network = config(network={"memory_layers": 2}).network
    entries, actions, _ = WORLDS["discrete"]
    other = ActorCritic(spaces.Dict(entries), actions, network)
    with pytest.raises(RunFolderError, match="does not fit this network"):
        load_policy(tmp_path / "saved", policy=other)


class Own(nn.Module):
    """A policy of one's own: a core for both, a normaliser, and what it is asked is noted."""

    def __init__(self, cell="gru"):
        super().__init__()
        self.core = RecurrentCore(3, 6, cell=cell)
        self.state_size = self.core.state_size
        self.actor, self.critic = nn.Linear(6, 7), nn.Linear(6, 1)
        self.normalizer = ObservationNormalizer(spaces.Dict(WORLDS["discrete"][0]))
        self.valid = []

    def initial_state(self, batch):
        return self.core.initial_state(batch)

    def act(self, obs, state, episode_start):
        x = self.normalizer(obs)["observation"]
        out, state = self.core.step(x, state, episode_start)
        return self._answer(out, obs["action_mask"]), self.critic(out).squeeze(-1), state

    def unroll(self, obs, state, episode_start, valid=None):
        x = self.normalizer(obs)["observation"]
        out, _ = self.core(x, state, episode_start=episode_start, valid=valid)
        self.valid.append(valid)
        if valid is None:
            valid = torch.ones(out.shape[:2], dtype=torch.bool)
        out, mask = out[valid], obs["action_mask"][valid]
        return self._answer(out, mask), self.critic(out).squeeze(-1)

    def _answer(self, out, mask):
        return MaskedCategorical(self.actor(out), mask, empty="idle", idle_action=0)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_policy_of_ones_own_remembers(cell, tmp_path):
    given = config(normalize_observations=True, empty="idle", network={}).replace(
        network=NetworkConfig()
    )
    whole, begun, resumed = Log(), Log(stop_after=2), Log()
    torch.manual_seed(0)
    straight = PPO(Noise(idle=0.2), given, policy=Own(cell), seed=2)
    straight.learn(4 * 88, callbacks=[whole])
    torch.manual_seed(0)
    first = PPO(Noise(idle=0.2), given, policy=Own(cell), seed=2)
    first.learn(4 * 88, callbacks=[begun]).save(tmp_path / "saved")
    second = PPO.load(tmp_path / "saved", env=Noise(idle=0.2), policy=Own(cell))
    compare(second, first)
    second.learn(4 * 88, callbacks=[resumed])
    assert repr(begun.rows + resumed.rows) == repr(whole.rows)
    compare(second, straight)
    assert max(row["ratio_drift"] for row in whole.rows) <= 2e-6
    # Of 12 sequences 4 are a step longer, so minibatches were padded.
    assert any(valid is not None and not valid.all() for valid in straight.policy.valid)
    obs, _ = Noise().reset(seed=3)
    action, state = second.predict(obs)
    again, _ = second.predict(obs, state=state, episode_start=np.ones(B, np.bool_))
    np.testing.assert_array_equal(action, again)
    assert state.shape == (B, straight.policy.state_size)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unroll": None}, "remembers 6 numbers and has no method unroll"),
        ({"act": None}, "has no method act"),
        ({"initial_state": None}, "has no method initial_state"),
        ({"state_size": 2.5}, "state_size is 2.5, expected how many"),
        ({"state_size": True}, "state_size is True"),
        ({"state_size": -1}, "state_size is -1"),
    ],
)
def test_what_a_policy_of_ones_own_lacks_is_named(change, message):
    policy = Own()
    for name, value in change.items():
        setattr(policy, name, value)
    with pytest.raises(ConfigError, match=message):
        PPO(Noise(), PPOConfig(num_envs=B, normalize_observations=True), policy=policy)


def test_lengths_that_do_not_fit_are_lowered_and_said(caplog):
    with caplog.at_level(logging.INFO, logger="maskrl"):
        trainer = PPO(Noise(), config(sequence_length=100, minibatch_size=10))
        assert trainer.config.sequence_length == 22
        assert trainer.buffer.sequence_starts.tolist() == [0]
        assert trainer.step()[0]["gradient_steps"] == 2 * 4
        PPO(Noise(), config("none", sequence_length=100))
    told = [record.message for record in caplog.records]
    assert told[0] == "sequence_length is lowered from 100 to 22, the steps of a rollout"
    assert told[1].startswith("minibatch_size is 10, less than one sequence")
    assert len(told) == 2
    with pytest.raises(ConfigError, match="sequence_length: expected a positive whole number"):
        PPOConfig(sequence_length=0)


def test_one_step_a_sequence_is_a_training_too():
    trainer = PPO(Noise(), config(sequence_length=1), seed=1)
    assert trainer.step()[0]["ratio_drift"] <= 2e-6
    assert len(trainer.buffer.states) == 22


def test_threads_are_measured_on_sequences(monkeypatch):
    from maskrl.trainers import threads

    monkeypatch.setattr(threads, "SMALL", 0.0)
    monkeypatch.setattr(threads, "thread_limit", lambda: 2)
    for policy in (None, Own()):
        given = config(threads=None)
        given = given if policy is None else given.replace(network=NetworkConfig())
        given = given.replace(normalize_observations=policy is not None)
        trainer = PPO(Noise(), given, policy=policy, seed=1)
        trainer._choose_threads()
        assert "a gradient step and its acting take" in trainer.thread_choice.reason
