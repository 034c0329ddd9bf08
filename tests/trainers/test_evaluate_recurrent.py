"""Our own recurrent policy, evaluated: the same to the bit as stepping it by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.envs import make, make_vec
from maskrl.envs.contract import action_tree_of
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.actor_critic import ActorCritic
from maskrl.runs.seeding import Seeds
from maskrl.trainers.evaluate import evaluate

ENVS, EACH = 6, 3
KINDS = {
    "gru": {"memory": "gru"},
    "lstm of two layers": {"memory": "lstm", "memory_layers": 2},
    "shared": {"memory": "gru", "shared": True},
    "shared twice": {"memory": "lstm", "shared": True, "critic_sees": "everything"},
}


def policy_for(world, kind):
    torch.manual_seed(2)
    env = make_vec(world, 1)
    config = NetworkConfig(
        hidden=(16,), entity_dim=16, entity_heads=2, memory_size=12, **KINDS[kind]
    )
    policy = ActorCritic(
        env.single_observation_space,
        env.single_action_space,
        config,
        action_tree=action_tree_of(env),
    )
    head = policy.policy_head
    with torch.no_grad():  # choices that depend on what is remembered
        for parameter in head.parameters():
            parameter.mul_(50)
    return policy


def by_hand(policy, world, kwargs, deterministic):
    """Returns and lengths of the first episodes of each environment, by `predict`."""
    generator = torch.Generator().manual_seed(Seeds(7).integer("evaluation.actions"))
    venv = make_vec(world, ENVS, seed=7, **kwargs)
    obs, _ = venv.reset(seed=7)
    returns, lengths = ([[0.0] for _ in range(ENVS)] for _ in range(2))
    state, over = None, np.zeros(ENVS, np.bool_)
    while min(len(of) for of in returns) <= EACH:
        action, state = policy.predict(
            obs,
            state=state,
            episode_start=over,
            deterministic=deterministic,
            generator=generator,
        )
        obs, rewards, terminated, truncated, _ = venv.step(action)
        over = terminated | truncated
        for row in range(ENVS):
            returns[row][-1] += rewards[row]
            lengths[row][-1] += 1
            if over[row]:
                returns[row].append(0.0)
                lengths[row].append(0)
    venv.close()
    order = [(row, k) for k in range(EACH) for row in range(ENVS)]
    return [returns[row][k] for row, k in order], [lengths[row][k] for row, k in order]


@pytest.mark.parametrize("deterministic", [True, False], ids=["greedy", "sampled"])
@pytest.mark.parametrize("world", ["panda?panda_view_radius=2", "packing", "outpost"])
@pytest.mark.parametrize("kind", ["gru", "lstm of two layers"])
def test_evaluation_is_stepping_by_hand_to_the_bit(world, kind, deterministic):
    policy = policy_for(world, kind).eval()
    result = evaluate(
        policy,
        world,
        episodes=ENVS * EACH,
        num_envs=ENVS,
        seed=7,
        deterministic=deterministic,
        with_reference=False,
    )
    returns, lengths = by_hand(policy, world, result.env_kwargs, deterministic)
    np.testing.assert_array_equal(result.returns, returns)
    np.testing.assert_array_equal(result.lengths, lengths)
    assert world == "outpost" or len(set(lengths)) > 2  # they end at different times


@pytest.mark.parametrize("kind", ["shared", "shared twice"])
def test_a_shared_network_too(kind):
    policy = policy_for("panda", kind).eval()
    result = evaluate(
        policy, "panda", episodes=ENVS * EACH, num_envs=ENVS, seed=7, with_reference=False
    )
    returns, lengths = by_hand(policy, "panda", result.env_kwargs, True)
    np.testing.assert_array_equal(result.returns, returns)
    np.testing.assert_array_equal(result.lengths, lengths)


def test_one_environment_alone_plays_what_single_observations_predict():
    """Row by row of one: an environment that is no vector, and a state without a batch."""
    world = "panda?panda_view_radius=2"
    policy = policy_for(world, "gru").eval()
    result = evaluate(policy, world, episodes=4, num_envs=1, with_reference=False)
    env = make(world, **result.env_kwargs)
    for length, total in zip(result.lengths, result.returns, strict=True):
        obs, _ = env.reset()
        state, over, rewards = None, False, []
        while not over:
            action, state = policy.predict(obs, state=state)
            obs, reward, terminated, truncated, _ = env.step(action)
            rewards.append(reward)
            over = terminated or truncated
        assert len(rewards) == length
        assert sum(rewards) == pytest.approx(total)


def test_memory_matters_to_what_is_played():
    """Without it the same weights play otherwise, so the tests above can fail."""
    world = "panda?panda_view_radius=2"
    policy = policy_for(world, "gru").eval()
    settings = {"episodes": 18, "num_envs": 6, "seed": 7, "with_reference": False}
    remembered = evaluate(policy, world, **settings)
    act = policy.act
    policy.act = lambda obs, state, start: act(obs, state, torch.ones_like(start))
    forgotten = evaluate(policy, world, **settings)
    assert not np.array_equal(remembered.lengths, forgotten.lengths)
