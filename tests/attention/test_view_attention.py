"""Own views in one call: equal to whole scenes under an `observer_view`, blind to the hidden."""

import pytest
import torch
from torch import nn

from maskrl.attention import observer_view
from maskrl.attention.entity_encoder import EntityEncoder
from maskrl.attention.record import record_attention
from maskrl.attention.view_attention import Observers, looks_once, observed

SCENES, ENTITIES, AGENTS, FEATURES = 6, 9, 4, 3


def made(seed=0, **settings):
    torch.manual_seed(seed)
    encoder = EntityEncoder(
        FEATURES, **({"dim": 16, "depth": 1, "heads": 2, "pool": "self"} | settings)
    )
    for block in encoder.blocks:
        if block.position_bias is not None:
            nn.init.normal_(block.position_bias.table)
    return encoder


def scenes(seed=0):
    """Entities, who is there, who sees whom, and positions; some observers are padding."""
    g = torch.Generator().manual_seed(seed)
    there = torch.rand(SCENES, ENTITIES, generator=g) < 0.7
    there[0, 0] = False
    sees = torch.rand(SCENES, ENTITIES, ENTITIES, generator=g) < 0.4
    sees[1, 1] = False  # nobody but itself
    x = torch.randn(SCENES, ENTITIES, FEATURES, generator=g)
    return x, there, sees, torch.randint(0, 9, (SCENES, ENTITIES, 2), generator=g)


def observers(there, sees, slots=AGENTS):
    row = torch.arange(SCENES).repeat_interleave(slots)
    slot = torch.arange(slots).repeat(SCENES)
    return Observers(row, slot, sees[row, slot] & there[row], there[row, slot])


def rows_of(encoder, x, there, sees, positions, slots=AGENTS):
    embedded = encoder.embed([x], there)
    assert looks_once(encoder, embedded)
    return observed(encoder, embedded, observers(there, sees, slots), positions)


def whole(encoder, x, there, sees, positions):
    """The encoder on every agent's view of the whole scene."""
    agents = torch.arange(AGENTS)
    view = observer_view(sees, agents.expand(SCENES, -1))
    asked = {"queries" if encoder.pool is None else "observer": agents.view(1, -1, 1)}
    if encoder.relative_position is not None:
        asked["positions"] = positions.unsqueeze(1)
    out = encoder(x.unsqueeze(1), there.unsqueeze(1), view, **asked)
    return out.reshape(SCENES * AGENTS, -1)


OPTIONS = [
    {},
    {"pool": None},
    {"feed_forward": 8},
    {"count_feature": True},
    {"relative_position": 2},
    {"relative_position": 1, "heads": 4, "feed_forward": 4, "count_feature": True},
    {"dim_head": 6, "relative_position": 3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equal_to_whole_scenes_under_an_observer_view(options):
    encoder, (x, there, sees, positions) = made(**options), scenes()
    mine = rows_of(encoder, x, there, sees, positions)
    plain = whole(encoder, x, there, sees, positions)
    torch.testing.assert_close(mine, plain, atol=2e-5, rtol=2e-5)
    assert not mine[0].any()  # is not there
    upstream, parameters = torch.randn_like(mine), list(encoder.parameters())
    first = torch.autograd.grad((mine * upstream).sum(), parameters)
    second = torch.autograd.grad((plain * upstream).sum(), parameters)
    for one, two in zip(first, second, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_what_is_hidden_moves_no_bit_and_no_gradient(options):
    encoder, (x, there, sees, positions) = made(**options), scenes()
    before = rows_of(encoder, x, there, sees, positions).view(SCENES, AGENTS, -1)
    moved_by_seen = 0
    for entity in range(ENTITIES):
        others, cells, gone = x.clone(), positions.clone(), there.clone()
        others[:, entity], cells[:, entity] = torch.tensor([1e30, -3.0, 0.5]), 10**6
        gone[:, entity] ^= True
        looks = sees[:, :AGENTS, entity].clone()
        looks[:, entity : entity + 1] = True
        for now, known in (
            ((others, there, sees, cells), there),
            ((x, gone, sees, positions), None),
        ):
            after = rows_of(encoder, *now).view(SCENES, AGENTS, -1)
            unseen = ~looks if known is None else ~(looks & known[:, entity : entity + 1])
            assert torch.equal(after[unseen], before[unseen])
            moved_by_seen += int((after[~unseen] != before[~unseen]).any())
    assert moved_by_seen > ENTITIES
    x.requires_grad_()
    rows = rows_of(encoder, x, there, sees, positions)
    for r, (scene, slot) in enumerate((s, a) for s in range(SCENES) for a in range(AGENTS)):
        (g,) = torch.autograd.grad(rows[r].square().sum(), x, retain_graph=True)
        read = sees[scene, slot].clone() & there[scene]
        read[slot] = there[scene, slot]
        blind = torch.ones(SCENES, ENTITIES, dtype=torch.bool)
        blind[scene] = ~read if there[scene, slot] else True
        assert not g[blind].any()


def test_no_bit_tells_how_many_others_look_or_how_much_they_see():
    encoder, (x, there, sees, positions) = made(relative_position=2), scenes()
    few = rows_of(encoder, x, there, sees, positions)
    many = rows_of(encoder, x, there, sees, positions, slots=8)
    assert torch.equal(many.view(SCENES, 8, -1)[:, :AGENTS].flatten(0, 1), few)
    all_but_one = sees.clone()
    all_but_one[:, 1:] = True
    seeing = rows_of(encoder, x, there, all_but_one, positions).view(SCENES, AGENTS, -1)
    assert torch.equal(seeing[:, 0], few.view(SCENES, AGENTS, -1)[:, 0])
    assert not torch.equal(seeing, few.view(SCENES, AGENTS, -1))


def test_who_is_turned_away():
    x = torch.zeros(SCENES, ENTITIES, 16)
    assert looks_once(made(), x)
    assert not looks_once(made(depth=2), x)
    assert not looks_once(made(pool="mean"), x)
    assert not looks_once(made(dim=18), torch.zeros(SCENES, ENTITIES, 18))
    assert not looks_once(made().double(), x.double())
    hooked = made()
    hooked.blocks[0].attention.qkv.register_forward_hook(lambda *_: None)
    assert not looks_once(hooked, x)
    recorded = made()
    with record_attention(recorded):
        assert not looks_once(recorded, x)
    assert looks_once(recorded, x)
