"""What an agent's step costs in teams of 4, 16 and 64 pandas: the policy alone, and training.

Two policies: attention from every panda's own view of the scene (`pandas`), and an
encoder-decoder over the whole grid (`pandas-grid`), both as the environments' presets build
them. *Policy* is forward and backward of a minibatch: distribution, log-probability, entropy,
values, and the gradient of a weighted sum of them. *PPO* is a rollout and the learning from it, the
world's steps included. Larger teams get fewer worlds, so that about as many agents act in all.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from maskrl.bench.correctness import TOLERANCE, Check
from maskrl.bench.tasks import Run, Task
from maskrl.bench.timing import TimedWork, timed
from maskrl.envs.registry import find_entry, make_vec
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.acting import Acting
from maskrl.policies.team_actor_critic import TeamActorCritic
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig

OWN_VIEWS, ACTION_MAP = "maskrl, own views", "maskrl, action map"
WORLDS = {OWN_VIEWS: "pandas", ACTION_MAP: "pandas-grid"}

TEAMS = (4, 16, 64)
QUICK_TEAMS = (2,)
AGENTS, QUICK_AGENTS = 256, 8
"""Pandas in all worlds together."""

STEPS, EPOCHS, MINIBATCHES = 16, 3, 4
AHEAD = 10
"""Random valid steps before a policy is timed: some pandas are gone by then, and some chew."""


def teams(*, quick: bool) -> Iterator[Task]:
    """The policy alone and whole training, for each size of a team."""
    agents = QUICK_AGENTS if quick else AGENTS
    for pandas in QUICK_TEAMS if quick else TEAMS:
        case, minibatch = f"{pandas} pandas", agents * STEPS // MINIBATCHES
        runs = [_policy_run(name, pandas, minibatch) for name in WORLDS]
        yield Task("teams", case, "policy", None, runs, steps=minibatch, ours=OWN_VIEWS)
        runs = [Run(name, _training(name, pandas, agents)) for name in WORLDS]
        yield Task("teams", case, "PPO", None, runs, steps=agents * STEPS, ours=OWN_VIEWS)


def network_of(env_id: str) -> NetworkConfig:
    """The network of an environment's preset."""
    return NetworkConfig(**find_entry(env_id).presets["ppo"]["network"])


def config_for(env_id: str, pandas: int, agents: int) -> PPOConfig:
    """As many worlds as hold so many pandas, and minibatches in proportion."""
    worlds = agents // pandas
    return PPOConfig(
        num_envs=worlds,
        rollout_steps=STEPS,
        minibatch_size=max(1, worlds * STEPS // MINIBATCHES),
        epochs=EPOCHS,
        death="terminal",
        threads=torch.get_num_threads(),
        network=network_of(env_id),
    )


def _training(name: str, pandas: int, agents: int) -> TimedWork:
    """One rollout and the learning from it, as long as it would take if everybody acted."""
    config = config_for(WORLDS[name], pandas, agents)
    trainer = PPO(make_vec(WORLDS[name], config.num_envs, pandas=pandas), config)
    everybody = config.batch_size * pandas
    acted = 0.0

    def loop(calls: int) -> float:
        nonlocal acted
        seconds = 0.0
        for _ in range(calls):
            start = time.perf_counter()
            metrics, _ = trainer.step()
            took = time.perf_counter() - start
            now = metrics["agent_steps"]
            seconds += took * everybody / (now - acted)
            acted = now
        return seconds

    return loop


def _policy_run(name: str, pandas: int, agents: int) -> Run:
    """Forward and backward of a policy, as long as it would take if everybody acted."""
    env_id = WORLDS[name]
    env = make_vec(env_id, agents // pandas, pandas=pandas)
    space = env.single_observation_space
    assert isinstance(space, spaces.Dict)
    policy = TeamActorCritic(
        space,
        env.single_action_space,
        network_of(env_id),
        critic="agent",
    )
    obs = _some_steps_on(env, policy)
    acting = Acting.read(obs, policy.team)
    with torch.no_grad():
        distribution, value = policy(obs, acting)
        actions = distribution.sample()
    upstream = [torch.randn(len(acting)), torch.randn(len(acting)), torch.randn(value.shape)]
    parameters = tuple(policy.parameters())

    def outputs(of: TeamActorCritic, seen: Mapping[str, Tensor]) -> list[Tensor]:
        distribution, value = of(seen, acting)
        return [
            distribution.log_prob(actions, reduce="agent"),
            distribution.entropy(reduce="agent"),
            value,
        ]

    def learn() -> tuple[Tensor, ...]:
        return torch.autograd.grad(outputs(policy, obs), parameters, upstream)

    def check() -> Check:
        wide = {k: v.double() if v.dtype == torch.float32 else v for k, v in obs.items()}
        with torch.no_grad():
            pairs = zip(
                outputs(policy, obs), outputs(copy.deepcopy(policy).double(), wide), strict=True
            )
            error = max(float((ours - exact).abs().max()) for ours, exact in pairs)
        return Check(error, None if error <= TOLERANCE else f"off by {error:.1e}")

    work = timed(learn)
    share = len(acting) / agents
    return Run(name, lambda calls: work(calls) / share, check)


def _some_steps_on(env: Any, policy: TeamActorCritic) -> dict[str, Tensor]:
    """What is observed after some steps of random valid actions."""
    obs, _ = env.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(AHEAD):
        actions, _ = policy.predict(obs, deterministic=False, generator=generator)
        obs = env.step(actions)[0]
    return {key: torch.from_numpy(np.array(entry)) for key, entry in obs.items()}
