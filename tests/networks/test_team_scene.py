"""The scene of a team: equal to whole scenes under an `observer_view`, and blind to what is hidden.

The plain formulation runs the encoder on every agent's view of the whole scene, [B, N, E, E].
"""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.attention import observer_view
from maskrl.envs.entries import mask_space
from maskrl.errors import ConfigError, MaskShapeError
from maskrl.networks.encoders import NetworkConfig
from maskrl.networks.team_members import Members
from maskrl.networks.team_scene import SceneTeam, require_scene

AGENTS, ENTITIES, FEATURES = 5, 11, 4


def space(entities=ENTITIES, agents=AGENTS, **more):
    return spaces.Dict(
        {
            "entities": spaces.Box(-9, 9, (entities, FEATURES), np.float32),
            "positions": spaces.Box(0, 9, (entities, 2), np.int64),
            "entity_mask": mask_space(entities),
            "visibility": mask_space(entities, entities),
            "agent_mask": mask_space(agents),
            **more,
        }
    )


def scenes(batch, entities=ENTITIES, agents=AGENTS, seed=0, dtype=torch.float32):
    """Random scenes in which all agents are there and other entities may be padding."""
    g = torch.Generator().manual_seed(seed)
    entity_mask = torch.rand(batch, entities, generator=g) < 0.8
    entity_mask[:, :agents] = True
    share = torch.rand(batch, 1, 1, generator=g)
    return {
        "entities": torch.randn(batch, entities, FEATURES, generator=g, dtype=dtype),
        "positions": torch.randint(0, 9, (batch, entities, 2), generator=g),
        "entity_mask": entity_mask,
        "visibility": torch.rand(batch, entities, entities, generator=g) < share,
    }


def everybody(batch, agents=AGENTS):
    row = torch.arange(batch).repeat_interleave(agents)
    slot = torch.arange(agents).repeat(batch)
    return Members(row, slot, slot)


def network(seed=0, dtype=torch.float32, **settings):
    torch.manual_seed(seed)
    settings = {"entity_dim": 16, "entity_heads": 2, "hidden": (16,)} | settings
    made = SceneTeam(space(), NetworkConfig(**settings), agents=AGENTS).to(dtype)
    for block in made.encoder.blocks:
        if block.position_bias is not None:
            torch.nn.init.normal_(block.position_bias.table)
    return made


def plainly(made, obs, members):
    """The whole scene under an `observer_view` for every agent, [B, N, E, E]."""
    agents = torch.arange(AGENTS).unsqueeze(0)
    view = observer_view(obs["visibility"], agents.expand(len(obs["entities"]), -1))
    positions = None
    if made.encoder.relative_position is not None:
        positions = obs["positions"].unsqueeze(1)
    pooled = made.encoder(
        obs["entities"].unsqueeze(1),
        obs["entity_mask"].unsqueeze(1),
        view,
        observer=agents.T.unsqueeze(0),
        positions=positions,
    )
    return made.trunk(pooled.squeeze(2))[members.row, members.slot]


OPTIONS = [
    {"entity_depth": 1},
    {"entity_depth": 2},
    {"entity_depth": 4, "entity_feed_forward": 8},
    {"entity_pool": "mean", "entity_count": True},
    {"entity_pool": "max"},
    {"entity_pool": "attention", "entity_depth": 3},
    {"entity_offsets": 2},
    {"entity_offsets": 1, "entity_pool": "attention", "entity_count": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_to_the_whole_scene_under_an_observer_view(options, dtype):
    made = network(dtype=dtype, **options)
    obs, members = scenes(40, dtype=dtype), everybody(40)
    own = made.of_agents(made.read(obs), members)
    plain = plainly(made, obs, members)
    tolerance = 1e-10 if dtype is torch.float64 else 2e-5
    torch.testing.assert_close(own, plain, atol=tolerance, rtol=tolerance)
    weights = torch.randn_like(own)
    parameters = list(made.parameters())
    first = torch.autograd.grad((own * weights).sum(), parameters, allow_unused=True)
    second = torch.autograd.grad((plain * weights).sum(), parameters, allow_unused=True)
    for mine, theirs in zip(first, second, strict=True):
        scale = 1 if mine is None else float(theirs.abs().max())
        torch.testing.assert_close(mine, theirs, atol=tolerance * max(1, scale), rtol=1e-3)


@pytest.mark.parametrize("see", ["observer", "everything"])
def test_without_visibility_all_see_all(see):
    torch.manual_seed(0)
    made = SceneTeam(space(), NetworkConfig(hidden=(8,)), agents=AGENTS, see=see)
    obs, members = scenes(7), everybody(7)
    open_to_all = {**obs, "visibility": torch.ones_like(obs["visibility"])}
    seen = made.read(obs, everything=True)
    expected = plainly(made, open_to_all, members)
    torch.testing.assert_close(made.of_agents(seen, members), expected, atol=2e-5, rtol=2e-5)
    if see == "observer":
        viewed = made.of_agents(made.read(open_to_all), members)
        torch.testing.assert_close(viewed, expected, atol=2e-5, rtol=2e-5)
    else:
        assert "visibility" not in made.reads
        assert torch.equal(made.of_agents(made.read(obs), members), made.of_agents(seen, members))


HIDDEN_CASES = [
    {"entity_depth": depth, "entity_pool": pool}
    for depth in (1, 2, 3, 4)
    for pool in ("self", "mean", "max", "attention")
] + [{"entity_offsets": 2, "entity_depth": 2}]


@pytest.mark.parametrize("options", HIDDEN_CASES, ids=str)
def test_what_is_hidden_from_an_agent_moves_no_bit_of_it_and_others_by_more(options):
    """500 random scenes: each pair of agent and entity, in one batch and with bits of others."""
    made = network(**options).eval()
    batch = 500 if options.get("entity_pool", "self") == "self" else 60
    obs, members = scenes(batch, seed=3), everybody(batch)
    sees = obs["visibility"] | torch.eye(ENTITIES, dtype=torch.bool)
    sees = sees & obs["entity_mask"].unsqueeze(1)
    before = made.of_agents(made.read(obs), members).view(batch, AGENTS, -1)
    for entity in (0, 3, 8):
        there = obs["entity_mask"][:, entity]
        entities, positions = obs["entities"].clone(), obs["positions"].clone()
        entities[:, entity] = torch.tensor([1e30, -3.0, 0.5, 7.0])
        positions[:, entity] = 10**6
        moved = {**obs, "entities": entities, "positions": positions}
        after = made.of_agents(made.read(moved), members).view(batch, AGENTS, -1)
        seen = sees[:, :AGENTS, entity]
        same = (before == after).all(-1)
        assert same[~seen].all()
        assert (~seen & there.unsqueeze(1)).any()
        # A maximum may lie elsewhere.
        moved_by = (before - after).abs().amax(-1)[seen]
        assert (moved_by > 1e-4).float().mean() > (0.8 if made.encoder.pool == "max" else 0.99)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_gradients_to_what_is_hidden_are_exactly_zero(depth):
    made = network(entity_depth=depth)
    obs, members = scenes(30, seed=5), everybody(30)
    sees = (obs["visibility"] | torch.eye(ENTITIES, dtype=torch.bool)) & obs[
        "entity_mask"
    ].unsqueeze(1)
    entities = obs["entities"].requires_grad_()
    rows = made.of_agents(made.read(obs), members).view(30, AGENTS, -1)
    for agent in range(AGENTS):
        (gradient,) = torch.autograd.grad(rows[:, agent].sum(), entities, retain_graph=True)
        reached = (gradient != 0).any(-1)
        assert not (reached & ~sees[:, agent]).any()
        assert (reached == sees[:, agent]).float().mean() > 0.99


@pytest.mark.parametrize(
    "options",
    [{}, {"entity_pool": "mean"}, {"entity_pool": "attention"}, {"entity_offsets": 2}],
    ids=str,
)
@pytest.mark.parametrize("threads", [1, 2])
def test_how_many_entities_others_see_changes_no_bit(options, threads):
    """An agent beside others who see little, and beside others who see everything; and alone."""
    made = network(**options).eval()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        obs = scenes(64, seed=9, entities=40)
        obs["visibility"][:, :, :] = False
        obs["visibility"][:, :AGENTS, :7] = True
        wide = SceneTeam(
            space(40), NetworkConfig(entity_dim=16, entity_heads=2, hidden=(16,), **options),
            agents=AGENTS,
        )  # fmt: skip
        wide.load_state_dict(made.state_dict())
        for batch in (1, 9, 64)[: 4 - threads]:
            part = {key: x[:batch] for key, x in obs.items()}
            few = wide.of_agents(wide.read(part), everybody(batch))
            open_ = part["visibility"].clone()
            open_[:, 1] = True  # agent 1 sees 40 entities
            open_[batch // 2 :, 2, :20] = True
            many = wide.of_agents(wide.read({**part, "visibility": open_}), everybody(batch))
            few, many = few.view(batch, AGENTS, -1), many.view(batch, AGENTS, -1)
            for agent in (0, 3, 4):
                assert torch.equal(few[:, agent], many[:, agent])
            assert not torch.equal(few[:, 1], many[:, 1])
    finally:
        torch.set_num_threads(before)


def test_nan_in_padding_changes_no_bit_and_no_gradient():
    made = network()
    obs, members = scenes(20), everybody(20)
    spoiled = obs["entities"].clone()
    spoiled[~obs["entity_mask"]] = torch.nan
    results = []
    for entities in (obs["entities"], spoiled):
        made.zero_grad()
        out = made.of_agents(made.read({**obs, "entities": entities}), members)
        out.square().sum().backward()
        results.append([out, *(p.grad.clone() for p in made.parameters())])
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)


def test_an_agent_that_is_padding_has_features_that_depend_on_nothing():
    made = network()
    obs, members = scenes(6), everybody(6)
    obs["entity_mask"][:, 2] = False
    obs["entities"][:, 2] = torch.nan
    rows = made.of_agents(made.read(obs), members).view(6, AGENTS, -1)
    nothing = made.trunk(torch.zeros(1, made.encoder.out_features))
    torch.testing.assert_close(rows[:, 2], nothing.expand(6, -1))
    assert rows.isfinite().all()


def test_agents_and_entities_have_no_order():
    made = network(dtype=torch.float64, entity_offsets=2)
    obs, members = scenes(12, dtype=torch.float64), everybody(12)
    order = torch.cat([torch.randperm(AGENTS), AGENTS + torch.randperm(ENTITIES - AGENTS)])
    turned = {key: x[:, order] for key, x in obs.items()}
    turned["visibility"] = turned["visibility"][:, :, order]
    first = made.of_agents(made.read(obs), members).view(12, AGENTS, -1)
    second = made.of_agents(made.read(turned), members).view(12, AGENTS, -1)
    torch.testing.assert_close(first[:, order[:AGENTS]], second, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("see", ["observer", "everything"])
def test_more_slots_of_padding_change_nothing(see):
    settings = NetworkConfig(hidden=(8,))
    torch.manual_seed(0)
    few = SceneTeam(space(), settings, agents=AGENTS, see=see)
    many = SceneTeam(space(40), settings, agents=AGENTS, see=see)
    many.load_state_dict(few.state_dict())
    obs, members = scenes(9), everybody(9)
    more = scenes(9, entities=40, seed=1)
    for key in obs:
        more[key][:, :ENTITIES] = obs[key] if key != "visibility" else more[key][:, :ENTITIES]
    more["visibility"][:, :ENTITIES, :ENTITIES] = obs["visibility"]
    more["entity_mask"][:, ENTITIES:] = False
    own, wide = few.of_agents(few.read(obs), members), many.of_agents(many.read(more), members)
    if see == "observer":
        assert torch.equal(own, wide)
    torch.testing.assert_close(own, wide, atol=1e-6, rtol=1e-6)


def test_the_teams_own_features_pool_all_entities_that_are_there():
    torch.manual_seed(0)
    made = SceneTeam(
        space(), NetworkConfig(hidden=(8,)), agents=AGENTS, see="everything", whole=True
    )
    obs = scenes(6)
    obs["entity_mask"][4] = False
    before = made.of_team(made.read(obs))
    assert before.shape == (6, made.team_features) and before.isfinite().all()
    spoiled = {**obs, "visibility": ~obs["visibility"]}
    spoiled["entities"] = torch.where(obs["entity_mask"].unsqueeze(-1), obs["entities"], torch.nan)
    assert torch.equal(made.of_team(made.read(spoiled)), before)
    last = int(obs["entity_mask"][0].nonzero()[-1])
    spoiled["entities"][0, last] += 1
    after = made.of_team(made.read(spoiled))
    assert (after[0] != before[0]).any() and torch.equal(after[1:], before[1:])
    order = torch.randperm(ENTITIES)
    turned = {key: x[:, order] for key, x in obs.items()}
    torch.testing.assert_close(made.of_team(made.read(turned)), before, atol=1e-5, rtol=1e-5)


def test_nobody_asked_for_has_no_rows():
    made = network()
    obs = scenes(3)
    none = torch.zeros(0, dtype=torch.int64)
    assert made.of_agents(made.read(obs), Members(none, none, none)).shape == (0, 16)


def test_what_would_be_ignored_is_refused():
    with pytest.raises(ConfigError, match="'speed'.*would be ignored"):
        require_scene(space(speed=spaces.Box(0, 1, (3,), np.float32)), NetworkConfig())
    without = spaces.Dict({k: v for k, v in space().spaces.items() if k != "positions"})
    with pytest.raises(ConfigError, match=r"entity_offsets: .*'positions'.*\(11, 2\)"):
        require_scene(without, NetworkConfig(entity_offsets=2))
    require_scene(without, NetworkConfig())
    made = network()
    with pytest.raises(MaskShapeError, match=r"entities has shape \(3, 10, 4\).*\[B, 11"):
        made.read({**scenes(3), "entities": torch.zeros(3, 10, FEATURES)})


@pytest.mark.parametrize("see", [{"visibility"}, set()], ids=["fog", "open"])
def test_one_layer_looks_once_and_agrees_with_groups(see, monkeypatch):
    made = network(entity_depth=1, entity_offsets=2)
    obs, members = scenes(40), everybody(40)
    seen = made.read(obs, everything=not see)
    with monkeypatch.context() as patched:
        patched.setattr("maskrl.networks.team_scene.looks_once", lambda *_: False)
        grouped = made.of_agents(seen, members)
        assert made.of_agents(seen, members.at(torch.arange(7))).shape == (7, 16)
    for name in ("_viewed", "_queried"):
        monkeypatch.delattr(SceneTeam, name)
    torch.testing.assert_close(made.of_agents(seen, members), grouped, atol=2e-5, rtol=2e-5)
