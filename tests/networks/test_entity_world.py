"""A network of any pooling in the world: what the panda does not see moves no bit of it.

Two copies of each world differ only in where the scorpion or the dragon stands, out of the
panda's sight in both. Features from the network must be equal to the bit, and those of an encoder
that is given the whole `observer_view`. Policies, with and without memory, are tested beside
them, over histories.
"""

import numpy as np
import pytest
import torch

import maskrl
from maskrl.attention import EntityEncoder, observer_view
from maskrl.envs.games.panda.settings import S_DRAGON, S_SCORPION
from maskrl.networks.entity import EntityNetwork

WORLDS = 512
LEAST = 10_000
CREATURES = (S_SCORPION, S_DRAGON)


def observation(env):
    return {key: torch.from_numpy(np.array(part)) for key, part in env.observation().items()}


def known(obs):
    """All that the panda may know of its world, as numbers [B, ...]."""
    seen = obs["visibility"][:, 0] & obs["entity_mask"]
    seen[:, 0] = True
    entities = torch.where(seen.unsqueeze(-1), obs["entities"], 0)
    return torch.cat([entities.flatten(1), seen, obs["entity_mask"], obs["action_mask"]], 1)


@pytest.fixture(scope="module")
def pairs():
    """Observations of 10^4 worlds and of their copies, which the panda cannot tell apart."""
    env = maskrl.make_vec("panda", WORLDS, seed=3, min_trees=8, max_trees=12)
    rng = np.random.default_rng(0)
    env.reset()
    cells = env.settings.width * env.settings.height
    first, second = [], []
    for moment in range(200):
        saved, here = env.get_state(), observation(env)
        state, column = saved["state"].copy(), CREATURES[moment % len(CREATURES)]
        state[:, column] = rng.integers(0, cells, WORLDS)
        free = torch.from_numpy(~saved["tree_at"][np.arange(WORLDS), state[:, column]])
        env.set_state({**saved, "state": state})
        there = observation(env)
        unnoticed = free & (known(here) == known(there)).all(-1)
        unnoticed &= (here["entities"] != there["entities"]).flatten(1).any(-1)
        first.append({key: part[unnoticed] for key, part in here.items()})
        second.append({key: part[unnoticed] for key, part in there.items()})
        if sum(len(part["entities"]) for part in first) >= LEAST:
            break
        env.set_state(saved)
        allowed = here["action_mask"].numpy()
        env.step((rng.random(allowed.shape) * allowed).argmax(-1))
    joined = [
        {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        for parts in (first, second)
    ]
    assert len(joined[0]["entities"]) >= LEAST
    return joined


@pytest.mark.parametrize("pool", ["self", "mean", "max", "attention"])
def test_hidden_creatures_move_no_bit_of_the_features(pairs, pool):
    torch.manual_seed(0)
    features = pairs[0]["entities"].shape[-1]
    network = EntityNetwork(features, 16, 2, 2, pool=pool, count_feature=True, feed_forward=8)
    with torch.inference_mode():
        here, there = (network(obs) for obs in pairs)
    assert torch.equal(here, there)
    everything = EntityNetwork(features, 16, 2, 2, pool=pool, see="everything")
    with torch.inference_mode():
        here, there = (everything(obs) for obs in pairs)
    assert (here != there).any(-1).float().mean() > 0.9, "the same pairs tell a leak"


def test_nor_of_an_encoder_under_the_view(pairs):
    """The view of pairs instead of a mask of keys; under the graph as it is, others tell."""
    torch.manual_seed(0)
    features = pairs[0]["entities"].shape[-1]
    encoder = EntityEncoder(features, 16, 2, 2, pool="mean")

    def encoded(obs, view):
        with torch.inference_mode():
            return encoder(obs["entities"], obs["entity_mask"], view(obs["visibility"]), observer=0)

    here, there = (encoded(obs, lambda graph: observer_view(graph, 0)) for obs in pairs)
    assert torch.equal(here, there)
    # depth_safe hides what somebody sees and not that somebody does: the graph has moved.
    here, there = (encoded(obs, lambda graph: graph) for obs in pairs)
    assert not torch.equal(here, there)
