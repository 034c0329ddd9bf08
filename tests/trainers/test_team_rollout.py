"""Acting as a team: what is stored is what happened, and what cannot be is told with its place."""

from __future__ import annotations

import re

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import nn

from maskrl.distributions import GridwiseCategorical
from maskrl.envs.teams import describe_team
from maskrl.errors import ConfigError, NoAllowedActionError, NonFiniteLogitsError
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.acting import Acting
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

B, T = 3, 40
NETWORK = NetworkConfig(hidden=(8,), entity_dim=8, entity_heads=2, entity_depth=1)
CONFIG = PPOConfig(
    num_envs=B, rollout_steps=T, minibatch_size=32, threads=1, death="terminal", network=NETWORK
)
FORMS = ("own", "grid", "scene")
CHOICES = {"one head": {}, "heads": {"heads": (5, 3)}, "tree": {"tree": True}}


def watch(env):
    """The environment, and the list that its steps are appended to."""
    steps, step, reset = [], env.step, env.reset

    def watched_reset(**given):
        answer = reset(**given)
        steps.append({"obs": answer[0]})
        return answer

    def watched_step(actions):
        before = env.cell.copy()
        answer = step(actions)
        steps[-1] |= {"actions": np.array(actions), "cell": before, "answer": answer}
        steps.append({"obs": answer[0]})
        return answer

    env.reset, env.step = watched_reset, watched_step
    return env, steps


@pytest.mark.parametrize("choices", CHOICES)
@pytest.mark.parametrize("form", FORMS)
def test_what_is_stored_is_what_happened(shifts, form, choices):
    env, steps = watch(shifts(B, form=form, **CHOICES[choices]))
    trainer = PPO(env, CONFIG, seed=3)
    collector, buffer = trainer.collector, trainer.buffer
    for _ in range(2):  # the second goes on where the first ended
        steps[:] = steps[-1:]
        with trainer.parts.trusted():
            collector.collect()
    assert len(steps) == T + 1 and env.illegal_actions == 0 == collector.illegal_actions
    acted, row = buffer.acted, 0
    next_alive = np.zeros((T, B, 3), np.bool_)
    for t, step in enumerate(steps[:T]):
        obs, (_, reward, terminated, truncated, infos) = step["obs"], step["answer"]
        np.testing.assert_array_equal(buffer.rewards[t], reward)
        np.testing.assert_array_equal(buffer.agent_rewards[t], infos["agent_rewards"])
        np.testing.assert_array_equal(buffer.terminated[t], terminated)
        np.testing.assert_array_equal(buffer.truncated[t], truncated)
        next_alive[t] = steps[t + 1]["obs"]["alive"]
        cut = truncated & ~terminated
        if cut.any():
            next_alive[t, cut] = infos["final_obs"]["alive"][cut]
        acting = Acting.read({k: torch.from_numpy(x) for k, x in obs.items()}, buffer.team)
        given = acting.gather(torch.from_numpy(step["actions"]), buffer.team)
        here = slice(row, row + len(acting))
        np.testing.assert_array_equal(acted.actions[here].reshape(given.shape), given)
        np.testing.assert_array_equal(acted.places[here], acting.place)
        np.testing.assert_array_equal(acted.slots[here], acting.slot)
        np.testing.assert_array_equal(acted.entries[here], t * B + acting.row.numpy())
        if form == "grid":
            np.testing.assert_array_equal(acting.place, step["cell"][acting.row, acting.slot])
        np.testing.assert_array_equal(
            acted.masks_at(here)["action_mask"], acting.action_mask, err_msg=str(t)
        )
        elsewhere = acting.scatter(torch.full_like(given, -7), buffer.team) == 0
        assert not step["actions"][elsewhere.numpy()].any()  # nobody is there: idle_action
        row += len(acting)
    assert row == len(acted) and 0 in np.diff(acted.offsets)  # some steps have nobody
    np.testing.assert_array_equal(buffer.next_alive, next_alive)
    assert (buffer.truncated & ~buffer.terminated).any() and buffer.terminated.any()


@pytest.mark.parametrize("critic", ["team", "agent"])
@pytest.mark.parametrize("shared", [True, False], ids=["one pass", "values later"])
@pytest.mark.parametrize("form", FORMS)
def test_values_are_those_of_what_was_seen_and_what_followed(shifts, form, shared, critic):
    env, steps = watch(shifts(B, form=form))
    network = NetworkConfig(**{**vars(NETWORK), "shared": shared})
    trainer = PPO(env, CONFIG.replace(network=network, critic=critic), seed=1)
    assert (trainer.policy.value_reads is None) == shared
    successors = trainer.collector.collect()
    buffer, policy = trainer.buffer, trainer.policy

    def value(obs):
        with torch.no_grad():
            return policy.value({k: torch.from_numpy(np.asarray(x)) for k, x in obs.items()})

    for t, step in enumerate(steps[:T]):
        expected = value(step["obs"])
        here = torch.ones_like(expected, dtype=torch.bool)
        if critic == "agent":  # where nobody is values are never read
            here = torch.from_numpy(step["obs"]["alive"])
        got = torch.from_numpy(buffer.values[t])
        torch.testing.assert_close(got[here], expected[here], rtol=1e-5, atol=1e-6)
        following = value(steps[t + 1]["obs"])
        cut = buffer.truncated[t] & ~buffer.terminated[t]
        alive = steps[t + 1]["obs"]["alive"].copy()
        if cut.any():
            final = step["answer"][4]["final_obs"]
            following[cut] = value({k: x[cut] for k, x in final.items()})
            alive[cut] = final["alive"][cut]
        here = torch.from_numpy(alive) if critic == "agent" else here
        torch.testing.assert_close(
            successors[t][here], following[here], rtol=1e-5, atol=1e-6, msg=str(t)
        )


def test_what_is_logged(shifts):
    env, steps = watch(shifts(B))
    trainer = PPO(env, CONFIG, seed=1)
    metrics, _ = trainer.step()
    acts = np.stack([step["obs"]["agent_mask"] for step in steps[:T]])
    alive = np.stack([step["obs"]["alive"] for step in steps[:T]])
    assert metrics["agents_acting"] == pytest.approx(acts.sum() / (T * B))
    assert metrics["agents_alive"] == pytest.approx(alive.sum() / (T * B))
    assert metrics["agent_steps"] == acts.sum() == len(trainer.buffer.acted)
    assert metrics["allowed_share"] == pytest.approx(0.4)  # two of five, always
    assert (metrics["forced_share"], metrics["idle_share"]) == (0.0, 0.0)
    first = metrics["agent_steps"]
    metrics, _ = trainer.step()
    assert metrics["agent_steps"] == first + len(trainer.buffer.acted)
    # The team's return is that of the episode: what all its agents got together.
    returns, running = [], np.zeros(B)
    for step in steps[: 2 * T]:
        _, reward, terminated, truncated, _ = step["answer"]
        running += reward
        ended = terminated | truncated
        returns += running[ended].tolist()
        running[ended] = 0
    assert metrics["return_mean"] == pytest.approx(np.mean(returns[-100:]))
    assert metrics["episodes"] == len(returns)


@pytest.mark.parametrize("form", FORMS)
def test_an_agent_that_may_do_nothing_is_named(shifts, form):
    env, steps = watch(shifts(B, form=form, stuck=0.05))
    with pytest.raises(NoAllowedActionError) as told:
        PPO(env, CONFIG, seed=1).step()
    message = str(told.value)
    found = re.search(r"environment (\d) of 3 allows (.*) no choice at step (\d+) of its", message)
    where, who, step = int(found[1]), found[2], int(found[3])
    slot = int(re.search(r"agent (\d)", who)[1])
    assert env.blocked[where, slot] and env.acts[where, slot] and env.time[where] == step
    if form == "grid":
        row, column = divmod(int(env.cell[where, slot]), 4)
        assert who.endswith(f"in cell ({row}, {column})")
    assert "agent_mask says that it acts" in message and "empty='idle'" in message


def test_a_head_that_may_choose_nothing_is_named(shifts):
    env = shifts(2, heads=(5, 3))
    env.table[:, 5:] = False
    with pytest.raises(NoAllowedActionError, match="allows agent 0 no choice in head 1 at step 0"):
        PPO(env, CONFIG, seed=1).step()
    env = shifts(2, tree=True)
    env.table[:, 5:] = False
    with pytest.raises(
        NoAllowedActionError, match="no choice in head 'how' at .* after what = [12] is all False"
    ):
        PPO(env, CONFIG, seed=1).step()


def test_nobody_tells_who_lives_where_agents_have_no_identity(shifts):
    """A unit of a map that waits cannot be told from one that is not there."""
    env = shifts(B, form="grid", identity=False, own_rewards=False)
    metrics, _ = PPO(env, CONFIG.replace(death="posthumous"), seed=1).step()
    assert np.isnan(metrics["agents_alive"]) and metrics["agents_acting"] > 0


def test_agents_without_identity_are_named_by_their_cell(shifts):
    env = shifts(B, form="grid", identity=False, own_rewards=False, stuck=0.1)
    with pytest.raises(NoAllowedActionError, match=r"allows the agent in cell \(\d, \d\) no choi"):
        PPO(env, CONFIG.replace(death="posthumous"), seed=1).step()


@pytest.mark.parametrize("choices", CHOICES)
def test_idle_agents_are_counted_and_not_illegal(shifts, choices):
    env = shifts(B, stuck=0.2, **CHOICES[choices])
    trainer = PPO(env, CONFIG.replace(empty="idle", idle_action=1), seed=1)
    metrics, _ = trainer.step()
    buffer = trainer.buffer
    blocked = ~buffer.acted.masks_at(slice(None))["action_mask"].any(-1)
    np.testing.assert_array_equal(buffer.idle, blocked)
    assert metrics["idle_share"] == pytest.approx(blocked.mean()) and blocked.any()
    assert metrics["illegal_actions"] == 0
    assert (buffer.acted.actions[blocked, 0] == 1).all()


class Unmasked(nn.Module):
    """A team's policy of one's own, which may ignore the masks."""

    critic = "team"

    def __init__(self, env, *, masked=False, logit=0.0):
        super().__init__()
        self.team = describe_team(
            env.single_observation_space, env.single_action_space, env.action_tree
        )
        self.actor, self.valuer = nn.Linear(12, 5), nn.Linear(12, 1)
        self.masked, self.logit = masked, logit
        self.asked = []

    def distribution(self, obs, acting=None):
        self.asked.append(len(acting))
        seen = obs["observation"][acting.row, acting.slot]
        mask = acting.action_mask if self.masked else None
        return GridwiseCategorical.from_packed(self.actor(seen) + self.logit, acting.offsets, mask)

    def value(self, obs):
        there = obs["alive"].unsqueeze(-1)
        return self.valuer(torch.where(there, obs["observation"], 0.0).sum(1)).squeeze(-1)


OWN = CONFIG.replace(network=NetworkConfig())


def test_actions_against_their_mask_are_counted_by_agents(shifts, caplog):
    env = shifts(B)
    trainer = PPO(env, OWN, policy=Unmasked(env), seed=1)
    metrics, _ = trainer.step()
    assert metrics["illegal_actions"] == env.illegal_actions > 100
    assert "allows action" in caplog.text and "which its action_mask disallows" in caplog.text


def test_a_policy_is_not_asked_for_nobody(shifts):
    env = shifts(1, disaster=0.5, back=0.1)
    config = OWN.replace(num_envs=1, rollout_steps=60, minibatch_size=4)
    trainer = PPO(env, config, policy=Unmasked(env, masked=True), seed=1)
    metrics, _ = trainer.step()
    assert (trainer.buffer.acted.counts == 0).sum() > 20
    assert 0 not in trainer.policy.asked
    assert all(np.isfinite(x) for name, x in metrics.items() if "mass" not in name)


def test_logits_that_are_no_numbers(shifts):
    env = shifts(B)
    with pytest.raises(NonFiniteLogitsError, match="logits are not finite any more; training has"):
        PPO(env, OWN, policy=Unmasked(env, masked=True, logit=float("nan"))).step()
    env = shifts(B, poison=True)
    observe = env._observe

    def broken():
        obs = observe()
        obs["observation"][1, 2] = np.nan
        return obs

    env._observe = broken
    with pytest.raises(NonFiniteLogitsError, match="environment 1 of 3 gave an observation 'obs"):
        PPO(env, OWN, policy=Unmasked(env, masked=True)).step()


def test_what_an_environment_must_not_give(shifts):
    env, _ = watch(shifts(B))
    step = env.step

    def strange(actions):
        obs, reward, *rest = step(actions)
        return obs, reward * np.nan, *rest

    env.step = strange
    with pytest.raises(ConfigError, match="gave the reward nan at step 0"):
        PPO(env, CONFIG).step()

    def silent(actions):
        *rest, infos = step(actions)
        return *rest, {key: x for key, x in infos.items() if key != "agent_rewards"}

    env.step = silent
    with pytest.raises(ConfigError, match="infos have no agent_rewards of sub-environment 0"):
        PPO(env, CONFIG).step()


def test_rewards_of_agents_that_are_too_large_are_named(shifts):
    env = shifts(2)
    step = env.step

    def large(actions):
        given, rewards, *ends, infos = step(actions)
        infos["agent_rewards"] = np.full((2, 3), 1e39)
        return given, rewards, *ends, infos

    env.step = large
    with np.errstate(over="ignore"), pytest.raises(ConfigError, match="agent 0 .* as float32"):
        PPO(env, CONFIG, seed=0).collector.collect()


def test_a_rollout_that_breaks_off_is_forgotten_and_taken_up_again(shifts):
    env, _ = watch(shifts(B))
    trainer = PPO(env, CONFIG, seed=1)
    step, calls = env.step, []

    def breaking(actions):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return step(actions)

    env.step = breaking
    with pytest.raises(KeyboardInterrupt):
        trainer.step()
    at = {key: x.copy() for key, x in env._observe().items()}
    state, _ = trainer.collector.get_state()
    for key, x in at.items():
        np.testing.assert_array_equal(state[f"observation.{key}"], x)
    assert trainer.buffer.acted.filled == 6 * B
    metrics, _ = trainer.step()
    assert trainer.buffer.acted.filled == T * B and metrics["illegal_actions"] == 0


def test_a_value_cannot_go_by_action_masks(shifts):
    env = shifts(B)
    policy = Unmasked(env, masked=True)
    policy.value_reads = ("observation", "alive")
    assert PPO(env, OWN, policy=policy).step()[0]["gradient_steps"] > 0
    policy.value_reads = ("observation", "action_mask")
    with pytest.raises(ConfigError, match="Unmasked.value_reads names 'action_mask', which a roll"):
        PPO(env, OWN, policy=policy)


class OneTeam(gymnasium.Env):
    """A single team environment, as Gymnasium's own vector environments take it."""

    gives_agent_rewards = True

    def __init__(self, make):
        self.world = make(1)
        self.observation_space = self.world.single_observation_space
        self.action_space = self.world.single_action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        obs, _ = self.world.reset(seed=seed)
        return {key: x[0] for key, x in obs.items()}, {"agent_rewards": np.zeros(3)}

    def step(self, action):
        obs, reward, terminated, truncated, infos = self.world.step(action[None])
        last = infos.get("final_obs", obs)
        info = {"agent_rewards": infos["agent_rewards"][0]}
        last = {key: x[0] for key, x in last.items()}
        return last, reward[0], bool(terminated[0]), bool(truncated[0]), info


def test_single_environments_that_gymnasium_runs_in_parallel(shifts):
    venv = SyncVectorEnv(
        [lambda: OneTeam(shifts)] * B, autoreset_mode=AutoresetMode.SAME_STEP, copy=True
    )
    trainer = PPO(venv, CONFIG, seed=1)
    assert trainer.config.critic == "agent"
    metrics, _ = trainer.step()
    assert metrics["ratio_drift"] <= 1e-5 and metrics["illegal_actions"] == 0
    buffer = trainer.buffer
    assert (buffer.truncated & ~buffer.terminated).any()
    # Also in the steps that end an episode the team's reward is the sum of its agents'.
    ended = buffer.terminated | buffer.truncated
    assert buffer.rewards[ended].any()
    np.testing.assert_array_equal(buffer.agent_rewards.sum(-1), buffer.rewards)
    one = PPO(OneTeam(shifts), CONFIG, seed=1)
    assert one.config.num_envs == 1 and one.step()[0]["illegal_actions"] == 0
