"""In the world of pandas: what a panda does not see moves no bit of what it would do.

Two copies of each world differ in one thing: where a scorpion stands, whether a watermelon was
eaten, or whether another panda is dead. A panda that cannot tell the copies apart must have
equal logits to the bit, though others see more or less, and fewer act.
"""

import numpy as np
import pytest
import torch

import maskrl
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies import TeamActorCritic, obs_to_tensors
from maskrl.policies.acting import Acting

WORLDS, PANDAS = 96, 8


def observation(env):
    return obs_to_tensors({key: np.array(part) for key, part in env.observation().items()})


def known(obs):
    """All that each panda may know of its world: numbers [B, N, ...]."""
    seen = obs["visibility"][:, :PANDAS] & obs["entity_mask"].unsqueeze(1)
    rows = torch.cat([obs["entities"], obs["positions"]], -1).unsqueeze(1)
    return torch.cat([torch.where(seen.unsqueeze(-1), rows, 0).flatten(2), seen], -1)


@pytest.fixture(scope="module")
def pairs():
    """Observations of worlds and their copies, and who cannot tell them apart: bool [B, N]."""
    env = maskrl.make_vec("pandas", WORLDS, seed=5, pandas=PANDAS)
    env.reset()
    rng = np.random.default_rng(0)
    cells = env.settings.width * env.settings.height
    found = []
    for moment in range(60):
        here, saved = observation(env), env.get_state()
        state = {key: np.copy(part) for key, part in saved.items()}
        if moment % 3 == 0:
            to = rng.integers(0, cells, WORLDS)
            taken = state["pandas"] == to[:, None]
            trees = (state["tree_cells"] == to[:, None]).any(1)
            free = ~(taken.any(1) | trees | (state["melons"] == to[:, None]).any(1))
            state["scorpions"][free, 0] = to[free]
        elif moment % 3 == 1:
            state["melons"][:, moment % state["melons"].shape[1]] = -1
        else:
            state["rest"][:, moment % PANDAS] = -1
        env.set_state(state)
        there = observation(env)
        both = here["agent_mask"] & there["agent_mask"]
        unnoticed = both & (known(here) == known(there)).all(-1)
        changed = (here["entities"] != there["entities"]).flatten(1).any(-1)
        found.append((here, there, unnoticed & changed.unsqueeze(1), both & ~unnoticed))
        env.set_state(saved)
        allowed = here["action_mask"].numpy()
        env.step((rng.random(allowed.shape) * allowed).argmax(-1))
    assert sum(int(unnoticed.sum()) for _, _, unnoticed, _ in found) >= 10_000
    return env, found


@pytest.mark.parametrize(
    "config",
    [
        {"entity_depth": 1, "entity_offsets": 5, "shared": True},
        {"entity_depth": 2},
        {"entity_depth": 2, "entity_pool": "attention", "entity_count": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("one_by_one", [False, True])
def test_what_a_panda_does_not_see_moves_no_bit_of_its_logits(pairs, config, one_by_one):
    env, found = pairs
    torch.manual_seed(0)
    policy = TeamActorCritic(
        env.single_observation_space,
        env.single_action_space,
        NetworkConfig(hidden=(32,), entity_dim=32, entity_heads=2, **config),
    )
    torch.nn.init.normal_(policy.policy_head.linear.weight)
    for block in policy.actor.encoder.blocks:
        if block.position_bias is not None:
            torch.nn.init.normal_(block.position_bias.table)
    noticed = []

    @torch.no_grad()
    def logits(obs):
        acting = Acting.read(obs, policy.team)
        rows = torch.full((*obs["agent_mask"].shape, 5), torch.nan)
        rows[acting.row, acting.slot] = policy.logits(obs, acting)
        return rows

    for here, there, unnoticed, others in found[:: 20 if one_by_one else 1]:
        rows = range(0, WORLDS, 9) if one_by_one else [slice(None)]
        for row in rows:
            part = slice(row, row + 1) if one_by_one else row
            first = logits({key: x[part] for key, x in here.items()})
            second = logits({key: x[part] for key, x in there.items()})
            same = (first == second).all(-1)
            assert same[unnoticed[part]].all()
            noticed.append(~same[others[part]])
    assert torch.cat(noticed).float().mean() > 0.95, "the same pairs tell a leak"
