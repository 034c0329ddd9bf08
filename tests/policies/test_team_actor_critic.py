"""Actor and critic of a team: shapes, shared parts, settings, and what is refused."""

import itertools

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl import ActionTree
from maskrl.distributions import GridwiseCategorical
from maskrl.envs.entries import mask_space
from maskrl.errors import ConfigError, MaskShapeError, NoAllowedActionError, NoMaskError
from maskrl.masks.tree import Head
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies import TeamActorCritic, TeamPolicy
from maskrl.policies.acting import Acting
from maskrl.policies.actor_critic import trusted
from maskrl.policies.team_protocol import require_team_answer, require_team_policy

AGENTS, ENTITIES, ACTIONS, BATCH = 4, 7, 5, 6
H, W = 3, 5
TREE = ActionTree(
    Head("type", 6),
    *(Head(name, 4, relevant={"type": [i]}) for i, name in enumerate(("move", "get", "put"), 1)),
    Head("produce", 4, relevant={"type": [4]}),
    Head("unit", 7, relevant={"type": [4]}),
    Head("target", 49, relevant={"type": [5]}),
)


def some(*shape, share=0.6, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


def scene():
    space = spaces.Dict(
        {
            "entities": spaces.Box(-9, 9, (ENTITIES, 3), np.float32),
            "entity_mask": mask_space(ENTITIES),
            "visibility": mask_space(ENTITIES, ENTITIES),
            "agent_mask": mask_space(AGENTS),
            "alive": mask_space(AGENTS),
            "action_mask": mask_space(AGENTS, ACTIONS),
        }
    )
    alive = some(BATCH, AGENTS, share=0.8)
    entity_mask = some(BATCH, ENTITIES, share=0.9, seed=1)
    entity_mask[:, :AGENTS] = alive
    obs = {
        "entities": torch.randn(BATCH, ENTITIES, 3),
        "entity_mask": entity_mask,
        "visibility": some(BATCH, ENTITIES, ENTITIES, share=0.5, seed=2),
        "agent_mask": alive & some(BATCH, AGENTS, seed=3),
        "alive": alive,
        "action_mask": allowed(BATCH, AGENTS, ACTIONS),
    }
    return space, spaces.MultiDiscrete([ACTIONS] * AGENTS), obs


def own(heads=()):
    nvec = np.tile(heads, (AGENTS, 1)) if heads else np.full(AGENTS, ACTIONS)
    size = sum(heads) or ACTIONS
    space = spaces.Dict(
        {
            "observation": spaces.Box(-9, 9, (AGENTS, 3), np.float32),
            "agent_mask": mask_space(AGENTS),
            "action_mask": mask_space(AGENTS, size),
        }
    )
    obs = {
        "observation": torch.randn(BATCH, AGENTS, 3),
        "agent_mask": some(BATCH, AGENTS),
        "action_mask": allowed(BATCH, AGENTS, size),
    }
    return space, spaces.MultiDiscrete(nvec), obs


def grid(identity=True, heads=()):
    nvec = np.full((H, W), ACTIONS)
    if heads:
        nvec = np.tile(np.array(heads)[:, None, None], (1, H, W))
    size = sum(heads) or ACTIONS
    entries = {
        "grid": spaces.Box(0, 1, (2, H, W), np.bool_),
        "agent_mask": mask_space(H, W),
        "action_mask": mask_space(size, H, W),
    }
    cells = torch.stack([torch.randperm(H * W)[:AGENTS] for _ in range(BATCH)])
    alive = some(BATCH, AGENTS, share=0.8)
    cells[~alive] = -1
    here = torch.zeros(BATCH, H * W + 1, dtype=torch.bool)
    here.scatter_(1, torch.where(cells < 0, H * W, cells), alive & some(BATCH, AGENTS, seed=3))
    obs = {
        "grid": some(BATCH, 2, H, W),
        "agent_mask": here[:, :-1].view(BATCH, H, W),
        "action_mask": allowed(BATCH, size, H, W, actions_at=1),
    }
    if identity:
        entries["agent_cells"] = spaces.Box(-1, H * W - 1, (AGENTS,), np.int64)
        entries["alive"] = mask_space(AGENTS)
        obs |= {"agent_cells": cells, "alive": alive}
    return spaces.Dict(entries), spaces.MultiDiscrete(nvec), obs


def allowed(*shape, actions_at=-1):
    mask = some(*shape, seed=4)
    mask.select(actions_at, 0)[:] = True
    return mask


SOURCES = {"scene": scene, "own": own, "grid": grid}
CASES = [
    (source, critic, shared, sees)
    for source, critic, shared, sees in itertools.product(
        SOURCES, ("team", "agent"), (False, True), ("same", "everything")
    )
    if sees == "same" or source == "scene" or (source == "own" and critic == "agent")
]


def policy_of(source, critic="team", shared=False, sees="same", **settings):
    torch.manual_seed(0)
    space, actions, obs = SOURCES[source]()
    config = NetworkConfig(
        shared=shared, critic_sees=sees, hidden=(8,), entity_dim=8, entity_heads=2, channels=(4, 4)
    )
    made = TeamActorCritic.from_spaces(space, actions, config, critic=critic, **settings)
    torch.nn.init.normal_(made.policy_head.linear.weight)  # not near zero, as policies begin
    return made, obs


@pytest.mark.parametrize(("source", "critic", "shared", "sees"), CASES)
def test_it_answers_as_a_team_policy_and_in_one_pass_as_in_two(source, critic, shared, sees):
    policy, obs = policy_of(source, critic, shared, sees)
    assert isinstance(policy, TeamPolicy)
    require_team_policy(policy, policy.team)
    acting = Acting.read(obs, policy.team)
    distribution, value = policy(obs)
    require_team_answer(policy, distribution, value, acting)
    assert value.isfinite().all()
    torch.testing.assert_close(policy.value(obs), value)
    two = policy.distribution(obs, acting)
    torch.testing.assert_close(two.logits, distribution.logits)
    assert torch.equal(two.action_mask, acting.action_mask)
    without_mask = {key: x for key, x in obs.items() if key != "action_mask"}
    again, _ = policy(without_mask, acting)
    assert torch.equal(again.logits, distribution.logits)


@pytest.mark.parametrize(("source", "critic", "shared", "sees"), CASES)
def test_every_weight_is_trained(source, critic, shared, sees):
    policy, obs = policy_of(source, critic, shared, sees)
    distribution, value = policy(obs)
    score = distribution.log_prob(distribution.sample()).sum()
    (score + value.square().sum()).backward()
    for name, p in policy.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
        assert (p.grad != 0).any() or "up." in name, name


@pytest.mark.parametrize(("source", "critic", "shared", "sees"), CASES)
def test_nobody_anywhere_or_in_some_rows_is_no_trouble(source, critic, shared, sees):
    policy, obs = policy_of(source, critic, shared, sees)
    obs["agent_mask"][2] = False
    acting = Acting.read(obs, policy.team)
    distribution, value = policy(obs)
    actions = distribution.sample()
    assert distribution.log_prob(actions)[2] == 0 and distribution.entropy()[2] == 0
    obs["agent_mask"][:] = False
    if "alive" in obs:
        obs["alive"][:] = False
    if "agent_cells" in obs:
        obs["agent_cells"][:] = -1
    nobody, value = policy(obs)
    assert len(nobody.sample()) == 0 and len(acting) > 0
    assert nobody.log_prob(nobody.sample()).tolist() == [0.0] * BATCH
    assert value.isfinite().all()
    (nobody.log_prob(nobody.sample()).sum() + nobody.entropy().sum() + value.sum()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in policy.parameters())


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("shared", [False, True])
def test_who_waits_has_a_value_and_who_is_dead_has_none(source, shared):
    policy, obs = policy_of(source, "agent", shared)
    value = policy.value(obs)
    alive = obs.get("alive", obs["agent_mask"])
    assert value.shape == (BATCH, AGENTS)
    assert (value[alive] != 0).all() and (value[~alive] == 0).all()
    nobody_acts = {**obs, "agent_mask": torch.zeros_like(obs["agent_mask"])}
    if "alive" in obs:
        torch.testing.assert_close(policy.value(nobody_acts), value)


def test_agents_have_no_order():
    policy, obs = policy_of("own", "agent")
    order = torch.randperm(AGENTS)
    turned = {key: x[:, order] for key, x in obs.items()}
    dense = policy.distribution(obs).of_agents.logits.new_full((BATCH, AGENTS, ACTIONS), 0.0)
    acting, other = Acting.read(obs, policy.team), Acting.read(turned, policy.team)
    dense[acting.row, acting.slot] = policy.logits(obs)
    back = dense[:, order][other.row, other.slot]
    torch.testing.assert_close(policy.logits(turned), back)
    torch.testing.assert_close(policy.value(turned), policy.value(obs)[:, order])


@pytest.mark.parametrize(("source", "critic", "shared", "sees"), CASES)
def test_what_the_value_reads_is_what_it_says(source, critic, shared, sees):
    policy, obs = policy_of(source, critic, shared, sees)
    if shared:
        assert policy.value_reads is None
        return
    few = {key: obs[key] for key in policy.value_reads}
    assert "action_mask" not in few
    assert torch.equal(policy.value(few), policy.value(obs))


def test_several_heads_and_trees_have_rows_of_their_own():
    heads = (2, 3)
    for make in (own, grid):
        space, actions, obs = make(heads=heads)
        obs["action_mask"][:] = True
        policy = TeamActorCritic(space, actions, NetworkConfig(hidden=(8,)))
        distribution = policy.distribution(obs)
        assert distribution.event_shape == (2,)
        scores = distribution.log_prob(distribution.sample(), reduce="none")
        assert scores.shape == (len(Acting.read(obs, policy.team)), 2)


def test_a_tree_of_units_on_a_grid():
    space, actions, obs = grid(identity=False, heads=TREE.nvec)
    obs["action_mask"][:] = True
    policy = TeamActorCritic(space, actions, NetworkConfig(hidden=(8,)), action_tree=TREE)
    distribution, value = policy(obs)
    assert value.shape == (BATCH,) and distribution.event_shape == (7,)
    taken = distribution.sample()
    scores = distribution.log_prob(taken, reduce="none")
    counts = torch.from_numpy(TREE.relevant(taken.numpy()))
    assert ((scores != 0) == counts).all(), "heads that do not count add nothing"
    actions_of_all, _ = policy.predict({key: x.numpy() for key, x in obs.items()})
    assert actions_of_all.shape == (BATCH, 7, H, W)
    again = TeamActorCritic.from_json(policy.to_json())
    assert again.action_tree == TREE


@pytest.mark.parametrize(("source", "critic", "shared", "sees"), CASES)
def test_a_description_builds_it_again(source, critic, shared, sees):
    policy, obs = policy_of(
        source, critic, shared, sees, empty="idle", idle_action=2,
        normalize_observations=source != "grid",
    )  # fmt: skip
    again = TeamActorCritic.from_json(policy.to_json())
    again.load_state_dict(policy.state_dict())
    assert again.to_json() == policy.to_json()
    assert (again.critic, again.idle_action) == (critic, 2)
    assert torch.equal(again.logits(obs), policy.logits(obs))
    assert torch.equal(again.value(obs), policy.value(obs))
    with pytest.raises(ConfigError, match="kind is 'other'"):
        TeamActorCritic.from_json({**policy.to_json(), "kind": "other"})


def test_an_agent_that_may_do_nothing_is_answered_as_set():
    policy, obs = policy_of("own")
    acting = Acting.read(obs, policy.team)
    row, slot = int(acting.row[1]), int(acting.slot[1])
    obs["action_mask"][row, slot] = False
    with pytest.raises(NoAllowedActionError):
        policy.distribution(obs)
    with trusted(policy):
        distribution = policy.distribution(obs)
        assert distribution.sample()[1] == policy.idle_action
    with pytest.raises(NoAllowedActionError):
        policy.distribution(obs)
    idle, _ = policy_of("own", empty="idle", idle_action=3)
    assert idle.distribution(obs).mode[1] == 3


def test_a_mask_that_is_missing_is_no_mask_that_allows_everything():
    policy, obs = policy_of("scene")
    del obs["action_mask"]
    with pytest.raises(NoMaskError, match="action_mask"):
        policy.distribution(obs)


def test_the_distribution_is_that_of_slots():
    policy, obs = policy_of("scene")
    acting = Acting.read(obs, policy.team)
    packed = policy.distribution(obs)
    logits = torch.full((BATCH, AGENTS, ACTIONS), torch.nan)
    logits[acting.row, acting.slot] = policy.logits(obs).detach()
    slots = GridwiseCategorical.from_slots(logits, obs["agent_mask"], obs["action_mask"])
    torch.testing.assert_close(packed.entropy(), slots.entropy())
    actions = acting.scatter(packed.mode, policy.team)
    torch.testing.assert_close(packed.log_prob(packed.mode), slots.log_prob(actions))


@pytest.mark.parametrize(
    ("source", "config", "critic", "message"),
    [
        ("scene", {"memory": "gru"}, "team", "network.memory='gru'"),
        ("scene", {}, "both", "critic: expected 'team' or 'agent', got 'both'"),
        ("scene", {"entity_offsets": 2}, "team", "network.entity_offsets: .*positions"),
        ("scene", {"entity_dim": 6, "entity_heads": 2}, "team", "entity_dim: .*multiple of 4.*6"),
        ("scene", {"entity_feed_forward": 5}, "agent", "entity_feed_forward: .*multiple of 4.*5"),
        ("own", {"entity_offsets": 2}, "team", "network.entity_offsets: .*no scene"),
        ("own", {"critic_sees": "everything"}, "team", "critic_sees='everything'.*sees all"),
        ("grid", {"critic_sees": "everything"}, "agent", "critic_sees='everything'.*sees all"),
        ("grid", {"kernels": (3, 3)}, "team", r"network.kernels=\(3, 3\): .*would be ignored"),
    ],
)
def test_settings_that_contradict_are_refused(source, config, critic, message):
    space, actions, _ = SOURCES[source]()
    with pytest.raises(ConfigError, match=message):
        TeamActorCritic(space, actions, NetworkConfig(**config), critic=critic)


def test_values_of_agents_need_an_identity():
    space, actions, _ = grid(identity=False)
    with pytest.raises(ConfigError, match="critic='agent': .*no identity"):
        TeamActorCritic(space, actions, critic="agent")
    with pytest.raises(ConfigError, match="idle_action: 9"):
        TeamActorCritic(space, actions, idle_action=9)


@pytest.mark.parametrize(("source", "critic", "shared", "sees"), CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_in_another_precision_it_reads_what_environments_give(source, critic, shared, sees, dtype):
    policy, obs = policy_of(source, critic, shared, sees)
    expected, value = policy(obs)
    policy.to(dtype)
    with torch.no_grad():
        other, other_value = policy(obs)
    assert other_value.dtype == dtype
    near = 1e-5 if dtype == torch.float64 else 0.2
    torch.testing.assert_close(other_value.float(), value, atol=near, rtol=near)
    torch.testing.assert_close(other.logits.float(), expected.logits, atol=near, rtol=near)
    assert policy.predict({key: x.numpy() for key, x in obs.items()})[0].shape[0] == BATCH


@pytest.mark.parametrize(("source", "critic", "shared", "sees"), CASES)
def test_of_no_observation_it_says_nothing(source, critic, shared, sees):
    policy, obs = policy_of(source, critic, shared, sees)
    distribution, value = policy({key: x[:0] for key, x in obs.items()})
    assert distribution.batch_shape == (0,)
    assert value.shape == ((0,) if critic == "team" else (0, AGENTS))


@pytest.mark.parametrize("source", SOURCES)
def test_entries_of_different_batches_are_refused(source):
    policy, obs = policy_of(source, "agent")
    for key in obs:
        for other in (obs[key][:1], torch.cat([obs[key], obs[key]])):
            with pytest.raises(MaskShapeError, match="team: "):
                policy({**obs, key: other})
    acting = Acting.read({key: x[:2] for key, x in obs.items()}, policy.team)
    with pytest.raises(MaskShapeError, match="who acts is told of 2; expected one batch"):
        policy.distribution(obs, acting)


def test_rows_of_agents_that_are_missing_are_named():
    policy, obs = policy_of("own")
    for other in (obs["observation"][:, 1:], torch.zeros(BATCH, AGENTS + 1, 3)):
        with pytest.raises(MaskShapeError, match="observation has shape .*a row for every agent"):
            policy({**obs, "observation": other})
