"""Memory while acting: carried, kept and cleared, told by a policy that counts its steps."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from maskrl.buffers.rollout import RolloutBuffer
from maskrl.distributions import MaskedCategorical
from maskrl.errors import ConfigError, RunFolderError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.actor_critic import ActorCritic, trusted
from maskrl.trainers.rollout import RolloutCollector

T, B, LENGTH = 24, 4, 7
STARTS = [0, 6, 12, 18]


class Counting(nn.Module):
    """Remembers how many steps of the episode it has seen; its value tells that and the cell."""

    state_size = 1

    def __init__(self):
        super().__init__()
        self.logits_of_all = nn.Parameter(torch.zeros(10))

    def initial_state(self, batch):
        return torch.zeros(batch, 1)

    def act(self, obs, state, episode_start):
        count = torch.where(episode_start.unsqueeze(-1), 0.0, state) + 1
        value = 100 * count[:, 0] + obs["observation"].argmax(-1)
        logits = self.logits_of_all.expand(len(state), -1)
        return MaskedCategorical(logits, obs["action_mask"]), value, count


def collector(env, steps=T, *, policy=None, length=LENGTH):
    policy = policy or Counting()
    return RolloutCollector(
        env,
        RolloutBuffer(
            env.single_observation_space,
            env.num_envs,
            steps,
            state_size=policy.state_size,
            sequence_length=length,
        ),
        policy,
        generator=torch.Generator().manual_seed(7),
        device=torch.device("cpu"),
        seed=3,
    )


def test_memory_is_carried_kept_and_cleared_as_episodes_go(corridor):
    acting = collector(corridor(B, limit=6))
    replay = corridor(B, limit=6)
    obs, _ = replay.reset(seed=3)
    begins, count = np.ones(B, np.bool_), np.zeros(B)
    ends = {"terminated": 0, "truncated": 0}
    for _ in range(3):
        successors = acting.collect().numpy()
        buffer = acting.buffer
        assert buffer.sequence_starts.tolist() == STARTS
        for t in range(T):
            np.testing.assert_array_equal(buffer.episode_starts[t], begins)
            if t in STARTS:  # what was remembered, whether it is about to be cleared or not
                kept = buffer.states[STARTS.index(t), :, 0]
                np.testing.assert_array_equal(kept, count)
            count = np.where(begins, 0, count) + 1
            cell = obs["observation"].argmax(-1)
            np.testing.assert_array_equal(buffer.values[t], 100 * count + cell)
            obs, _, terminated, truncated, infos = replay.step(buffer.actions[t])
            begins = terminated | truncated
            following = 100 * (np.where(begins, 0, count) + 1) + obs["observation"].argmax(-1)
            if truncated.any():  # the final observation comes after all the steps before it
                final = 100 * (count + 1) + infos["final_obs"]["observation"].argmax(-1)
                following = np.where(truncated, final, following)
            np.testing.assert_array_equal(successors[t][~terminated], following[~terminated])
            ends["terminated"] += int(terminated.sum())
            ends["truncated"] += int(truncated.sum())
    assert min(ends.values()) > 0


@pytest.mark.parametrize("at", [0, 1, 6, 7, 23])
def test_a_step_that_did_not_happen_is_not_remembered(corridor, at):
    class Stopped(corridor):
        steps, broken = 0, False

        def step(self, actions):
            if self.steps == at and not self.broken:
                self.broken = True
                raise KeyboardInterrupt
            self.steps += 1
            return super().step(actions)

    acting = collector(Stopped(B, limit=6))
    with pytest.raises(KeyboardInterrupt):
        acting.collect()
    acting.collect()
    np.testing.assert_array_equal(acting.get_state()[0]["running_length"], acting.env.time)
    counted = np.where(acting.memory.start, 0, acting.memory.state[:, 0])
    np.testing.assert_array_equal(counted, acting.env.time)


class InPlace(Counting):
    def act(self, obs, state, episode_start):
        distribution, value, count = super().act(obs, state, episode_start)
        return distribution, value, state.copy_(count)


class Reading(Counting):
    value_reads = ("observation",)

    def value(self, obs):
        raise AssertionError("nothing that is remembered goes into this")


class Learned(Counting):
    def __init__(self):
        super().__init__()
        self.begin = nn.Parameter(torch.zeros(1))

    def initial_state(self, batch):
        return self.begin.expand(batch, 1)


def test_values_of_a_policy_with_memory_are_those_that_it_acts_with(corridor):
    plain, reading = collector(corridor(B)), collector(corridor(B), policy=Reading())
    assert torch.equal(reading.collect(), plain.collect())
    np.testing.assert_array_equal(reading.buffer.values, plain.buffer.values)


def test_what_an_episode_begins_with_may_be_learned(corridor):
    acting = collector(corridor(B), policy=Learned())
    arrays, _ = acting.get_state()
    np.testing.assert_array_equal(arrays["memory.state"], np.zeros((B, 1)))
    assert torch.equal(copy.deepcopy(acting).collect(), acting.collect())


def test_a_policy_may_write_into_the_state_it_is_given(corridor):
    plain = collector(corridor(B, limit=6))
    writing = collector(corridor(B, limit=6), policy=InPlace())
    for _ in range(3):
        assert torch.equal(writing.collect(), plain.collect())
        np.testing.assert_array_equal(writing.buffer.states, plain.buffer.states)
        np.testing.assert_array_equal(writing.buffer.values, plain.buffer.values)


def test_a_final_observation_may_allow_nothing(corridor):
    class Closed(corridor):
        def step(self, actions):
            obs, reward, terminated, truncated, infos = super().step(actions)
            if "final_obs" in infos:
                final = infos["final_obs"]
                infos["final_obs"] = {
                    **final,
                    "action_mask": np.zeros_like(final["action_mask"]),
                }
            return obs, reward, terminated, truncated, infos

    open_, closed = collector(corridor(B, limit=6)), collector(Closed(B, limit=6))
    torch.testing.assert_close(closed.collect(), open_.collect(), rtol=0, atol=0)
    assert closed.buffer.truncated.any()


def actor_critic(env, **network):
    torch.manual_seed(0)
    config = NetworkConfig(hidden=(8,), memory="gru", memory_size=5, **network)
    return ActorCritic(env.single_observation_space, env.single_action_space, config)


@pytest.mark.parametrize("shared", [False, True])
def test_ours_goes_by_the_same_states(corridor, shared):
    """Against every environment's own episodes, stepped through one by one."""
    env = corridor(B, limit=6)
    policy = actor_critic(env, shared=shared)
    with trusted(policy):
        acting = collector(env, policy=policy)
        successors = acting.collect()
    buffer = acting.buffer
    replay = corridor(B, limit=6)
    obs, _ = replay.reset(seed=3)
    state, begins = policy.initial_state(B), torch.ones(B, dtype=torch.bool)
    values, finals = [], {}
    with torch.no_grad():
        for t in range(T + 1):
            rows = {key: torch.from_numpy(x) for key, x in obs.items()}
            if t in STARTS:
                kept = torch.from_numpy(buffer.states[STARTS.index(t)])
                torch.testing.assert_close(kept, state, rtol=0, atol=1e-6)
            distribution, value, state = policy.act(rows, state, begins)
            values.append(value)
            if t == T:
                break
            actions = torch.from_numpy(buffer.actions[t])
            scored = torch.from_numpy(buffer.log_probs[t, :, 0])
            torch.testing.assert_close(distribution.log_prob(actions), scored, rtol=0, atol=1e-6)
            obs, _, terminated, truncated, infos = replay.step(buffer.actions[t])
            begins = torch.from_numpy(terminated | truncated)
            for b in np.flatnonzero(truncated):
                final = {k: torch.from_numpy(x[[b]]) for k, x in infos["final_obs"].items()}
                going_on = torch.zeros(1, dtype=torch.bool)
                finals[t, int(b)] = policy.recall(final, state[[b]], going_on)[1].item()
    values = torch.stack(values)
    torch.testing.assert_close(torch.from_numpy(buffer.values), values[:-1], rtol=0, atol=1e-5)
    expected = values[1:].clone()
    assert finals
    for place, value in finals.items():
        assert abs(value - expected[place]) > 1e-4  # the next episode's value is another
        expected[place] = value
    torch.testing.assert_close(successors, expected, rtol=0, atol=1e-5)


def test_what_is_remembered_is_saved_and_taken_up_again(corridor):
    first = collector(corridor(B, limit=9))
    first.collect()
    arrays, counters = first.get_state()
    second = collector(corridor(B, limit=9))
    second.begin()
    second.set_state({k: np.copy(x) for k, x in arrays.items()}, counters)
    second.env.set_state(first.env.get_state())
    second.generator.set_state(first.generator.get_state())
    assert torch.equal(first.collect(), second.collect())
    np.testing.assert_array_equal(first.buffer.values, second.buffer.values)
    np.testing.assert_array_equal(first.buffer.states, second.buffer.states)
    with pytest.raises(RunFolderError, match=r"holds none of what this policy remembers, \(4, 1\)"):
        second.set_state({k: x for k, x in arrays.items() if "memory" not in k}, counters)
    with pytest.raises(RunFolderError, match=r"holds one of shape \(4, 2\)"):
        second.set_state({**arrays, "memory.state": np.zeros((4, 2))}, counters)
    # Without its environments' state a training begins new episodes, and remembers nothing.
    third = collector(corridor(B, limit=9))
    third.collect()
    third.memory.begin_anew()
    assert third.memory.start.all() and not third.memory.state.any()


def test_copies_remember_for_themselves(corridor):
    acting = collector(corridor(B, limit=6))
    acting.collect()
    other = copy.deepcopy(acting)
    kept = other.memory.state.clone()
    expected = acting.collect()
    assert torch.equal(other.memory.state, kept)
    assert other.memory._buffer is other.buffer
    assert torch.equal(other.collect(), expected)


@pytest.mark.parametrize(
    ("method", "answer", "message"),
    [
        ("initial_state", torch.zeros(B, 2), r"gave the state \(4, 2\).*expected .* \(4, 1\)"),
        ("initial_state", None, "gave the state NoneType"),
        ("initial_state", torch.zeros(B, 1, dtype=torch.int64), "of torch.int64, expected real"),
        ("act", torch.zeros(B), r"gave the state \(4,\)"),
    ],
)
def test_a_state_of_another_shape_is_named(corridor, method, answer, message):
    class Wrong(Counting):
        def initial_state(self, batch):
            return answer if method == "initial_state" else super().initial_state(batch)

        def act(self, *given):
            return *super().act(*given)[:2], answer

    with pytest.raises(ConfigError, match=message):
        collector(corridor(B), policy=Wrong()).collect()
