"""Acting: what is stored is what happened, step by step, also at the ends of episodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import nn

from maskrl.buffers.rollout import RolloutBuffer
from maskrl.distributions import MaskedCategorical
from maskrl.envs.adapters.gymnasium_info import adapt
from maskrl.envs.registry import make_vec
from maskrl.envs.vectorize import GymnasiumVectorEnv
from maskrl.errors import (
    ConfigError,
    MaskDtypeError,
    NoAllowedActionError,
    NonFiniteLogitsError,
    RunFolderError,
)
from maskrl.policies.actor_critic import ActorCritic, trusted
from maskrl.trainers.rollout import RolloutCollector


class CellPolicy(nn.Module):
    """Prefers nothing; its value is the number of the cell, so that it can be recognised."""

    empty = "raise"

    def __init__(self, n_actions=10):
        super().__init__()
        self.logits_of_all = nn.Parameter(torch.zeros(n_actions))

    def distribution(self, obs):
        logits = self.logits_of_all.expand(len(obs["observation"]), -1)
        return MaskedCategorical(logits, obs["action_mask"], empty=self.empty)

    def value(self, obs):
        return obs["observation"].argmax(-1).float()


def collector(env, steps=24, *, empty="raise", seed=3):
    policy = CellPolicy()
    policy.empty = empty
    return RolloutCollector(
        env,
        RolloutBuffer(env.single_observation_space, env.num_envs, steps),
        policy,
        generator=torch.Generator().manual_seed(7),
        device=torch.device("cpu"),
        empty=empty,
        seed=seed,
    )


def test_what_is_stored_happened(corridor):
    acting = collector(corridor(4, limit=6))
    successors = acting.collect().numpy()
    buffer = acting.buffer
    replay = corridor(4, limit=6)
    obs, _ = replay.reset(seed=3)
    ends = {"terminated": 0, "truncated": 0}
    for t in range(buffer.steps):
        np.testing.assert_array_equal(buffer.features["observation"][t], obs["observation"])
        np.testing.assert_array_equal(buffer.values[t], obs["observation"].argmax(-1))
        assert obs["action_mask"][np.arange(4), buffer.actions[t]].all()
        np.testing.assert_allclose(buffer.log_probs[t, :, 0], -np.log(2), rtol=1e-6)
        obs, reward, terminated, truncated, infos = replay.step(buffer.actions[t])
        np.testing.assert_array_equal(buffer.rewards[t], reward)
        np.testing.assert_array_equal(buffer.terminated[t], terminated)
        np.testing.assert_array_equal(buffer.truncated[t], truncated)
        following = obs["observation"].argmax(-1)
        if truncated.any():
            final = infos["final_obs"]["observation"].argmax(-1)
            following = np.where(truncated, final, following)
        np.testing.assert_array_equal(successors[t][~terminated], following[~terminated])
        ends["terminated"] += int(terminated.sum())
        ends["truncated"] += int(truncated.sum())
    assert min(ends.values()) > 0  # both kinds of end were there to be checked
    assert acting.episodes == sum(ends.values())
    assert not buffer.idle.any()
    assert acting.illegal_actions == 0


def test_an_environment_that_writes_into_its_actions_changes_no_record(corridor):
    class Overwriting(corridor):
        def step(self, actions):
            answer = super().step(actions)
            actions[...] = -1
            return answer

    first, second = collector(corridor(3)), collector(Overwriting(3))
    first.collect()
    second.collect()
    np.testing.assert_array_equal(second.buffer.actions, first.buffer.actions)


@pytest.mark.parametrize("kind", ["corridor", "panda", "packing"])
def test_values_computed_at_the_end_are_those_of_each_step(kind, corridor):
    """Whatever the value reads: features alone, entities and their masks, candidates."""
    env = corridor(4, limit=6) if kind == "corridor" else make_vec(kind, 4, seed=0)
    torch.manual_seed(0)
    policy = ActorCritic(
        env.single_observation_space, env.single_action_space, normalize_observations=True
    )
    with trusted(policy):
        acting = collector(env)
        acting.policy = policy
        first = acting.collect().numpy()
    assert policy.value_reads is not None
    buffer = acting.buffer
    everything = np.arange(buffer.steps * buffer.num_envs)
    with torch.no_grad():
        values = policy.value(buffer.observations_at(everything, torch.device("cpu")))
    np.testing.assert_allclose(buffer.values.reshape(-1), values.numpy(), rtol=1e-4, atol=1e-5)
    going = ~(buffer.terminated | buffer.truncated)[:-1]
    np.testing.assert_array_equal(first[:-1][going], buffer.values[1:][going])


@pytest.mark.parametrize("closing", [9, 10, 11, 12])
def test_messages_count_the_steps_of_earlier_rollouts_too(corridor, closing):
    class Closing(corridor):
        steps = 0

        def _observe(self):
            obs = super()._observe()
            obs["action_mask"][2] &= self.steps < closing
            return obs

        def step(self, actions):
            self.steps += 1
            return super().step(actions)

    acting = collector(Closing(3), 4)
    with pytest.raises(NoAllowedActionError) as caught:
        for _ in range(4):
            acting.collect()
    where = f"environment 2 of 3 allows no action at step {acting.env.time[2]} of its episode"
    assert where in str(caught.value)


def test_rollouts_join_without_a_seam(corridor):
    long, short = collector(corridor(3), 20), collector(corridor(3), 10)
    long.collect()
    for half in range(2):
        short.collect()
        part = slice(10 * half, 10 * half + 10)
        for name in ("actions", "rewards", "values", "terminated", "truncated"):
            np.testing.assert_array_equal(
                getattr(short.buffer, name), getattr(long.buffer, name)[part], err_msg=name
            )
        np.testing.assert_array_equal(
            short.buffer.bits["action_mask"], long.buffer.bits["action_mask"][part]
        )
    assert short.episode_metrics() == long.episode_metrics()


@pytest.mark.parametrize("at", [0, 1, 7, 23])
def test_a_rollout_that_is_broken_off_loses_nothing(corridor, at):
    """A second Ctrl-C, as in a notebook where training then goes on: no step is forgotten."""

    class Stopped(corridor):
        steps, finished, broken = 0, 0, False

        def step(self, actions):
            if self.steps == at and not self.broken:
                self.broken = True
                raise KeyboardInterrupt
            self.steps += 1
            out = super().step(actions)
            self.finished += int((out[2] | out[3]).sum())
            return out

    acting = collector(Stopped(4, limit=6), 24)
    with pytest.raises(KeyboardInterrupt):
        acting.collect()
    acting.collect()
    env = acting.env
    assert env.steps == at + 24 and env.illegal_actions == 0
    assert acting.episodes == env.finished
    np.testing.assert_array_equal(acting.get_state()[0]["running_length"], env.time)


def test_steps_before_a_strange_reward_are_counted(corridor):
    class Strange(corridor):
        def step(self, actions):
            out = super().step(actions)
            out[1][2] = np.nan if self.time[2] == 4 else out[1][2]
            return out

    acting = collector(Strange(4, limit=20, length=40), 8)
    with pytest.raises(ConfigError, match="environment 2 of 4 gave the reward nan at step 3 of"):
        acting.collect()
    np.testing.assert_array_equal(acting.get_state()[0]["running_length"], acting.env.time)


def test_gymnasiums_vector_environment_gives_the_same(corridor, corridor_env):
    """Object arrays of final observations and a mask in info, against our own format."""
    ours = GymnasiumVectorEnv([lambda: adapt(corridor_env())] * 3)
    theirs = SyncVectorEnv(
        [lambda: adapt(corridor_env())] * 3, autoreset_mode=AutoresetMode.SAME_STEP
    )
    first, second = collector(ours, 60), collector(theirs, 60)
    torch.testing.assert_close(first.collect(), second.collect())
    assert first.episodes > 3
    np.testing.assert_array_equal(first.buffer.actions, second.buffer.actions)


def test_episode_statistics(corridor):
    acting = collector(corridor(2), 200)
    assert np.isnan(acting.episode_metrics()["return_mean"])
    acting.collect()
    ended = acting.buffer.terminated | acting.buffer.truncated
    lengths, returns = [], []
    for env in range(2):
        start = 0
        for t in np.flatnonzero(ended[:, env]):
            lengths.append(t + 1 - start)
            returns.append(acting.buffer.rewards[start : t + 1, env].sum())
            start = t + 1
    metrics = acting.episode_metrics()
    assert metrics["episodes"] == len(lengths) <= 100
    assert metrics["return_mean"] == pytest.approx(np.mean(returns))
    assert metrics["length_mean"] == pytest.approx(np.mean(lengths))


def test_mask_metrics_by_hand(corridor):
    acting = collector(corridor(2), 4)
    assert acting.collect().shape == (4, 2)
    assert acting.mask_metrics() == {
        "allowed_share": 0.2,
        "forced_share": 0.0,
        "idle_share": 0.0,
    }
    masks = np.zeros((4, 2, 10), np.bool_)
    masks[0, 0, 3] = True  # forced
    masks[1, :, :5] = True  # half
    acting.buffer.bits["action_mask"][...] = np.packbits(masks, axis=-1, bitorder="little")
    assert acting.mask_metrics() == {
        "allowed_share": pytest.approx(11 / 80),
        "forced_share": 1 / 8,
        "idle_share": 5 / 8,
    }


def test_row_that_allows_nothing_names_environment_and_step(corridor):
    acting = collector(corridor(3, cooldown=True))
    with pytest.raises(NoAllowedActionError) as caught:
        acting.collect()
    message = str(caught.value)
    assert "environment 0 of 3 allows no action at step 1 of its episode" in message
    assert "empty='idle'" in message


def test_idle_rows_are_played_and_marked(corridor):
    acting = collector(corridor(3, cooldown=True), empty="idle")
    acting.collect()
    idle = acting.buffer.idle
    assert 0.2 < idle.mean() < 0.6
    assert (acting.buffer.actions[idle] == 0).all()
    assert (acting.buffer.log_probs[idle] == 0).all()
    assert acting.illegal_actions == 0
    assert acting.mask_metrics()["idle_share"] == pytest.approx(idle.mean())


def test_a_policy_that_answers_in_another_form_is_named(corridor):
    class Column(CellPolicy):
        def value(self, obs):
            return super().value(obs).unsqueeze(-1)

    acting = collector(corridor(3))
    acting.policy = Column()
    with pytest.raises(ConfigError, match=r"Column.value\(obs\) gave \(3, 1\)"):
        acting.collect()


def test_executed_illegal_actions_are_counted(corridor):
    class Stubborn(CellPolicy):
        def distribution(self, obs):
            return MaskedCategorical(self.logits_of_all.expand(len(obs["observation"]), -1))

    acting = collector(corridor(3))
    acting.policy = Stubborn()
    acting.collect()
    assert acting.illegal_actions == acting.env.illegal_actions > 0


def test_mask_that_is_not_boolean_is_refused(corridor):
    class Bytes(corridor):
        def _observe(self):
            obs = super()._observe()
            return obs | {"action_mask": obs["action_mask"].astype(np.int8)}

    with pytest.raises(MaskDtypeError, match="as_mask_array"):
        collector(Bytes(2)).collect()


def test_numbers_that_are_none_are_traced_to_their_source(corridor):
    class Broken(corridor):
        broken = ""

        def step(self, actions):
            obs, reward, *rest = super().step(actions)
            if self.broken == "reward":
                reward[1] = np.inf
            if self.broken == "observation":
                obs["observation"][2, 0] = np.nan
            return obs, reward, *rest

    acting = collector(Broken(3))
    acting.env.broken = "reward"
    with pytest.raises(ConfigError, match="environment 1 of 3 gave the reward inf at step 0"):
        acting.collect()

    class Linear(CellPolicy):
        def distribution(self, obs):
            logits = obs["observation"].sum(-1, keepdim=True) + self.logits_of_all
            return MaskedCategorical(logits, obs["action_mask"], validate_args=False)

    acting = collector(Broken(3))
    acting.policy = Linear()
    acting.env.broken = "observation"
    with pytest.raises(NonFiniteLogitsError, match="environment 2 of 3 gave an observation"):
        acting.collect()
    acting = collector(corridor(3))
    acting.policy = Linear()
    acting.policy.logits_of_all.data[:] = torch.nan
    with pytest.raises(NonFiniteLogitsError, match="training has diverged. Lower learning_rate"):
        acting.collect()


def test_state_continues_to_the_digit(corridor):
    acting = collector(corridor(3))
    acting.collect()
    arrays, counters = acting.get_state()
    arrays = {name: array.copy() for name, array in arrays.items()}
    env_state = acting.env.get_state()
    generator = acting.generator.get_state()
    want = acting.collect()

    fresh = collector(corridor(3), seed=99)
    fresh.env.set_state(env_state)
    fresh.set_state(arrays, counters)
    fresh.generator.set_state(generator)
    assert torch.equal(fresh.collect(), want)
    np.testing.assert_array_equal(fresh.buffer.actions, acting.buffer.actions)
    assert fresh.episode_metrics() == acting.episode_metrics()


def test_state_of_other_environments_is_refused(corridor):
    acting = collector(corridor(3))
    acting.collect()
    with pytest.raises(RunFolderError, match=r"shape \(3, 7\)"):
        collector(corridor(4)).set_state(*acting.get_state())


def test_a_fresh_start_keeps_the_counts(corridor):
    acting = collector(corridor(3))
    acting.collect()
    fresh = collector(corridor(3))
    fresh.set_counters(acting.get_state()[1])
    assert not fresh.started
    assert fresh.episode_metrics() == acting.episode_metrics()
