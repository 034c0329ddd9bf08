"""What the panda cannot know moves no bit of what it does, memory included.

Pairs of worlds are equal but for where a creature stands that the panda does not see, and go
on under the same actions. As long as the panda has seen the same in both since its episode
began, its action probabilities must be equal to the bit.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.envs import make_vec
from maskrl.envs.games.panda.settings import S_DRAGON, S_SCORPION
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies.actor_critic import ActorCritic
from maskrl.policies.playing import Player
from maskrl.policies.predict import obs_to_tensors

WORLDS = 256
STEPS = 5  # that a pair goes on before the next one begins, from wherever the first has come
BEHIND_TREES = "panda?min_trees=8&max_trees=12"
NEAR_ONLY = "panda?panda_view_radius=2"


def own_view(obs):
    """All that the panda knows at a step: bytes per world."""
    seen = obs["visibility"][:, 0] & obs["entity_mask"]
    seen[:, 0] = True
    parts = [np.where(seen[..., None], obs["entities"], 0), seen, obs["entity_mask"]]
    rows = [np.ascontiguousarray(p).reshape(WORLDS, -1).view(np.uint8) for p in parts]
    return np.concatenate([*rows, obs["action_mask"].view(np.uint8)], -1)


def everything(obs):
    """What there is, seen or not: numbers per world."""
    there = obs["entity_mask"][..., None]
    return np.where(there, obs["entities"], 0).reshape(WORLDS, -1)


def relocated(first, second, obs, rng):
    """The observation of `second`, made equal to `first` but for creatures nobody sees move."""
    saved, known = first.get_state(), own_view(obs)
    cells = first.settings.width * first.settings.height
    state = saved["state"].copy()
    for column in (S_SCORPION, S_DRAGON) * 4:
        tried = state.copy()
        rows = np.flatnonzero(tried[:, column] >= 0)
        tried[rows, column] = rng.integers(0, cells, rows.size)
        occupied = (tried == tried[:, column, None])[:, [0, 1, S_SCORPION, S_DRAGON]].sum(1) > 1
        second.set_state({**saved, "state": np.where(occupied[:, None], state, tried)})
        unnoticed = (own_view(second.observation()) == known).all(-1) & ~occupied
        state = np.where(unnoticed[:, None], tried, state)
    second.set_state({**saved, "state": state})
    return {key: np.array(value) for key, value in second.observation().items()}


def copy_of(player, policy):
    """Another player who remembers the same."""
    twin = Player(policy, WORLDS)
    if player.remembers:
        twin.state = player.state.clone()
        twin._starts = player._starts.clone()
    return twin


def count_pairs(policy, world, least, look):
    """Moments at which a pair's histories are equal and hidden things are not; and unequal acts.

    Args:
        policy: Plays both worlds of each pair, each with its own memory.
        world: The worlds.
        least: How many moments to look for.
        look: What becomes of an observation before the policy gets it.
    """
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    first, second = make_vec(world, WORLDS, seed=0), make_vec(world, WORLDS, seed=0)
    obs, _ = first.reset()
    second.reset()
    player = Player(policy, WORLDS)
    pairs = different = later = 0
    for _ in range(60):
        theirs, twin = relocated(first, second, obs, rng), copy_of(player, policy)
        alike = np.ones(WORLDS, np.bool_)
        for step in range(STEPS):
            alike &= (own_view(obs) == own_view(theirs)).all(-1)
            told = alike & (everything(obs) != everything(theirs)).any(-1)
            with torch.inference_mode():
                mine = player.distribution(look(obs_to_tensors(obs)))
                other = twin.distribution(look(obs_to_tensors(theirs)))
                unlike = (mine.probs != other.probs).any(-1).numpy()
                action = mine.sample(generator=generator).numpy()
            pairs += int(told.sum())
            later += int(told.sum()) if step else 0
            different += int((told & unlike).sum())
            obs, _, terminated, truncated, _ = first.step(action)
            theirs, _, ended, cut, _ = second.step(action)
            player.begin(terminated | truncated)
            twin.begin(ended | cut)
            alike &= (terminated == ended) & (truncated == cut)
        if pairs >= least and later >= least // 4:
            return pairs, different
    pytest.fail(f"only {pairs} pairs, {later} of them after the first step")


def policy_with(world, **settings):
    torch.manual_seed(0)
    env = make_vec(world, 1)
    config = NetworkConfig(
        hidden=(16,), entity_dim=16, entity_depth=2, entity_heads=2, memory_size=16, **settings
    )
    policy = ActorCritic(env.single_observation_space, env.single_action_space, config)
    with torch.no_grad():  # a policy whose choices depend strongly on what it sees
        policy.policy_head.linear.weight.mul_(100)
    return policy.eval()


KINDS = {
    "no-memory": {},
    "gru": {"memory": "gru"},
    "lstm-twice": {"memory": "lstm", "shared": True, "critic_sees": "everything"},
    "gru-pooled": {"memory": "gru", "critic_sees": "everything", "entity_pool": "attention"},
}


@pytest.mark.parametrize("world", [BEHIND_TREES, NEAR_ONLY])
@pytest.mark.parametrize("kind", KINDS)
def test_hidden_creatures_move_no_bit_while_the_history_is_equal(world, kind):
    policy = policy_with(world, **KINDS[kind])
    pairs, different = count_pairs(policy, world, 10_000, lambda obs: obs)
    assert pairs >= 10_000
    assert different == 0


@pytest.mark.parametrize("kind", ["no-memory", "gru"])
def test_who_is_told_everything_acts_differently(kind):
    """The same pairs tell a leak, so the test above can fail."""

    def told_everything(obs):
        return {**obs, "visibility": torch.ones_like(obs["visibility"])}

    policy = policy_with(NEAR_ONLY, **KINDS[kind])
    pairs, different = count_pairs(policy, NEAR_ONLY, 1000, told_everything)
    assert different > 0.9 * pairs
