"""What an agent's logits may depend on: what it sees, and nothing of the dead, empty or hidden."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.envs.entries import mask_space
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies import TeamActorCritic
from maskrl.policies.acting import Acting

AGENTS, ENTITIES, ACTIONS = 4, 9, 5


def policy_of(seed=0, entities=ENTITIES, agents=AGENTS, critic="team", normalize=False, **settings):
    space = spaces.Dict(
        {
            "entities": spaces.Box(-9, 9, (entities, 3), np.float32),
            "entity_mask": mask_space(entities),
            "visibility": mask_space(entities, entities),
            "agent_mask": mask_space(agents),
            "alive": mask_space(agents),
            "action_mask": mask_space(agents, ACTIONS),
        }
    )
    torch.manual_seed(seed)
    config = NetworkConfig(**({"hidden": (16,), "entity_dim": 16} | settings))
    made = TeamActorCritic(
        space, spaces.MultiDiscrete([ACTIONS] * agents), config, critic=critic,
        normalize_observations=normalize,
    )  # fmt: skip
    torch.nn.init.normal_(made.policy_head.linear.weight)
    return made


def scenes(batch, seed=0):
    g = torch.Generator().manual_seed(seed)

    def some(*shape, share):
        return torch.rand(*shape, generator=g) < share

    alive = some(batch, AGENTS, share=0.8)
    entity_mask = some(batch, ENTITIES, share=0.9)
    entity_mask[:, :AGENTS] = alive
    action_mask = some(batch, AGENTS, ACTIONS, share=0.6)
    action_mask[..., 0] = True
    return {
        "entities": torch.randn(batch, ENTITIES, 3, generator=g),
        "entity_mask": entity_mask,
        "visibility": some(batch, ENTITIES, ENTITIES, share=0.5),
        "agent_mask": alive & some(batch, AGENTS, share=0.9),
        "alive": alive,
        "action_mask": action_mask,
    }


def sight(obs, acting):
    """Whom each acting agent sees, itself included: bool [M, E]."""
    seen = obs["visibility"][acting.row, acting.slot].clone()
    seen[torch.arange(len(acting)), acting.slot] = True
    return seen & obs["entity_mask"][acting.row]


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("shared", [False, True])
def test_an_entity_hidden_from_an_agent_moves_no_bit_of_its_logits(depth, shared):
    policy = policy_of(entity_depth=depth, shared=shared, critic_sees="everything")
    obs = scenes(500)
    acting = Acting.read(obs, policy.team)
    seen = sight(obs, acting)
    before, value = policy.logits_and_value(obs, acting)
    for entity in (1, 5, 8):
        entities = obs["entities"].clone()
        entities[:, entity] += 3
        after, other = policy.logits_and_value({**obs, "entities": entities}, acting)
        moved = (before != after).any(-1)
        assert not moved[~seen[:, entity]].any() and (~seen[:, entity]).sum() > 100
        by = (before - after).abs().amax(-1)[seen[:, entity]]
        assert (by > 1e-4).float().mean() > 0.99
        there = obs["entity_mask"][:, entity]
        assert (value != other)[there].float().mean() > 0.99, "the critic sees everything"
        assert torch.equal(value[~there], other[~there])


@pytest.mark.parametrize("critic", ["team", "agent"])
def test_gradients_of_an_agents_logits_to_what_it_does_not_see_are_exactly_zero(critic):
    policy = policy_of(critic=critic, shared=True)
    obs = scenes(40)
    acting = Acting.read(obs, policy.team)
    seen = sight(obs, acting)
    entities = obs["entities"].requires_grad_()
    logits = policy.logits(obs, acting)
    for m in range(0, len(acting), 5):
        (gradient,) = torch.autograd.grad(logits[m].sum(), entities, retain_graph=True)
        reached = (gradient != 0).any(-1)
        assert not reached[torch.arange(40) != acting.row[m]].any()
        assert torch.equal(reached[acting.row[m]], seen[m])


def test_alone_and_beside_others_an_agent_has_the_same_bits():
    """Other worlds in the batch, others who die, and what others see are none of its business."""
    policy = policy_of()
    obs = scenes(33, seed=4)
    acting = Acting.read(obs, policy.team)
    together = policy.logits(obs, acting)
    for row in range(0, 33, 4):
        alone = {key: x[row : row + 1] for key, x in obs.items()}
        mine = acting.row == row
        assert torch.equal(policy.logits(alone), together[mine])
        own = Acting.read(alone, policy.team)
        for m in range(len(own)):
            fewer = {**alone, "agent_mask": torch.zeros(1, AGENTS, dtype=torch.bool)}
            fewer["agent_mask"][0, own.slot[m]] = True
            fewer["visibility"] = alone["visibility"].clone()
            others = torch.arange(ENTITIES) != own.slot[m]
            fewer["visibility"][0, others] ^= True
            assert torch.equal(policy.logits(fewer)[0], together[mine][m])


@pytest.mark.parametrize(
    "config",
    [
        {"hidden": (33,)},
        {"hidden": (17,), "activation": "silu"},
        {"hidden": (6, 6), "shared": True},
        {"hidden": (), "entity_count": True},
        {"hidden": (5, 16), "entity_count": True, "entity_pool": "mean"},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_how_many_act_before_an_agent_shows_in_no_bit_whatever_the_widths(config, dtype):
    policy = policy_of(**config).to(dtype)
    obs = scenes(6)
    rows = []
    for moment in range(8):
        waits = torch.rand(6, AGENTS, generator=torch.Generator().manual_seed(moment)) < 0.4
        fewer = {**obs, "agent_mask": obs["agent_mask"] & ~waits}
        acting = Acting.read(fewer, policy.team)
        logits = torch.full((6, AGENTS, ACTIONS), torch.nan, dtype=dtype)
        logits[acting.row, acting.slot] = policy.logits(fewer, acting).detach()
        rows.append(logits)
    first = rows[0]
    for other in rows[1:]:
        both = first.isfinite() & other.isfinite()
        assert both.any() and torch.equal(first[both], other[both])


@pytest.mark.parametrize("critic", ["team", "agent"])
@pytest.mark.parametrize("sees", ["same", "everything"])
@pytest.mark.parametrize("shared", [False, True])
def test_nan_of_the_dead_and_of_padding_changes_no_bit(critic, sees, shared):
    results = []
    for spoil in (False, True):
        policy = policy_of(critic=critic, critic_sees=sees, shared=shared, normalize=True)
        obs = scenes(25)
        obs["agent_mask"][3] = obs["alive"][3] = False
        obs["entity_mask"][3] = False
        if spoil:
            absent = ~obs["entity_mask"]
            obs["entities"][absent] = torch.nan
            obs["visibility"][absent] = True  # rows and columns of nobody
            obs["visibility"].transpose(1, 2)[absent] = True
            dead = ~obs["alive"]
            obs["action_mask"][dead] = False
        policy.normalizer.update(obs)
        acting = Acting.read(obs, policy.team)
        distribution, value = policy(obs, acting)
        actions = distribution.mode
        loss = distribution.log_prob(actions).sum() + distribution.entropy().sum() + value.sum()
        loss.backward()
        results.append(
            [distribution.logits, value, actions, *(p.grad for p in policy.parameters()),
             *policy.normalizer.buffers()]
        )  # fmt: skip
    for clean, spoiled in zip(*results, strict=True):
        assert torch.equal(clean, spoiled) and clean.isfinite().any()


@pytest.mark.parametrize("critic", ["team", "agent"])
@pytest.mark.parametrize("sees", ["same", "everything"])
def test_permuting_agents_and_entities_permutes_their_logits(critic, sees):
    policy = policy_of(critic=critic, critic_sees=sees).double()
    obs = scenes(20)
    obs["entities"] = obs["entities"].double()
    of_agents = torch.randperm(AGENTS)
    of_entities = torch.cat([of_agents, AGENTS + torch.randperm(ENTITIES - AGENTS)])
    turned = {
        key: x[:, of_entities if key in ("entities", "entity_mask", "visibility") else of_agents]
        for key, x in obs.items()
    }
    turned["visibility"] = turned["visibility"][:, :, of_entities]

    def dense(obs):
        acting = Acting.read(obs, policy.team)
        rows = torch.zeros(20, AGENTS, ACTIONS, dtype=torch.float64)
        rows[acting.row, acting.slot] = policy.logits(obs, acting)
        return rows, policy.value(obs)

    (logits, value), (other, other_value) = dense(obs), dense(turned)
    torch.testing.assert_close(other, logits[:, of_agents], atol=1e-10, rtol=1e-10)
    value = value[:, of_agents] if critic == "agent" else value
    torch.testing.assert_close(other_value, value, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("critic", ["team", "agent"])
@pytest.mark.parametrize("sees", ["same", "everything"])
def test_more_slots_for_agents_and_entities_change_nothing(critic, sees):
    few = policy_of(critic=critic, critic_sees=sees)
    many = policy_of(entities=31, agents=7, critic=critic, critic_sees=sees)
    many.load_state_dict(few.state_dict())
    obs = scenes(20)
    places = [*range(AGENTS), *range(7, 7 + ENTITIES - AGENTS)]  # others begin behind agents
    more = {}
    for key, x in obs.items():
        if key in ("entities", "entity_mask"):
            wide = x.new_full((20, 31, *x.shape[2:]), torch.nan if key == "entities" else 0)
            wide[:, places] = x
        elif key == "visibility":
            wide = torch.rand(20, 31, 31) < 0.5
            wide[:, torch.tensor(places).unsqueeze(1), torch.tensor(places)] = x
        else:
            wide = x.new_zeros(20, 7, *x.shape[2:])
            wide[:, :AGENTS] = x
        more[key] = wide
    assert torch.equal(few.logits(obs), many.logits(more))
    first, second = few.value(obs), many.value(more)
    second = second[:, :AGENTS] if critic == "agent" else second
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


def test_a_shared_network_that_runs_twice_lets_nothing_of_the_value_into_the_logits():
    policy = policy_of(shared=True, critic_sees="everything")
    assert policy.runs_twice
    obs = scenes(10)
    open_to_all = {**obs, "visibility": torch.ones_like(obs["visibility"])}
    torch.testing.assert_close(policy.value(obs), policy.value(open_to_all))
    assert not torch.equal(policy.logits(obs), policy.logits(open_to_all))
    same = policy_of(shared=True)
    same.load_state_dict(policy.state_dict())
    assert torch.equal(same.logits(obs), policy.logits(obs))
    torch.testing.assert_close(same.value(open_to_all), policy.value(obs), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(same.value(obs), policy.value(obs))
