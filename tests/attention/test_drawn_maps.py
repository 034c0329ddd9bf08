"""Recorded maps as figures: the numbers drawn are those recorded, and what is hidden is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskrl.attention import EntityEncoder, record_attention
from maskrl.attention.record import AttentionMaps
from maskrl.envs.registry import make
from maskrl.errors import ConfigError, MaskDtypeError, MaskError, MaskShapeError
from maskrl.figures.visibility_map import CROSS

NAMES = ["panda", "watermelon", "scorpion", "dragon"]
SEES = torch.ones(4, 4, dtype=torch.bool)
SEES[[0, 1, 3], 2] = False


def recorded(pool=None, **call) -> AttentionMaps:
    """Maps of an encoder of two layers, of three scenes of four entities."""
    torch.manual_seed(0)
    encoder = EntityEncoder(3, 8, depth=2, heads=2, pool=pool)
    with record_attention(encoder) as maps:
        encoder(torch.randn(3, 4, 3), **call)
    return maps


def drawn(figure, layer: int, head: int) -> dict[tuple[int, int], float]:
    """The arrows of a choice: (from, to) -> weight."""
    (trace,) = (
        t for t in figure.data if t.meta == {"layer": layer, "head": head} and t.mode == "markers"
    )
    return {(int(i), int(j)): weight for i, j, weight in trace.customdata}


def test_the_cells_are_the_weights_of_the_sample():
    maps = recorded(visibility=SEES)
    figure = maps.plot(NAMES, sample=1, visibility=SEES)
    assert len(figure.data) == 2 * 3 + 1
    for trace in figure.data[:-1]:
        layer = maps[trace.meta["layer"]][1]
        head = trace.meta["head"]
        wanted = (layer.mean(0) if head < 0 else layer[head]).numpy()
        cells = np.array([[0.0 if z is None else z for z in row] for row in trace.z])
        np.testing.assert_allclose(cells, wanted, atol=6e-5)
        crossed = np.array(trace.text) == CROSS
        assert (crossed == (maps[trace.meta["layer"]][1].numpy() == 0).all(0)).all()
        assert crossed[[0, 1, 3], 2].all() and not crossed[2, 2]
    assert list(figure.layout.xaxis.ticktext) == NAMES
    assert [b.label for b in figure.layout.updatemenus[0].buttons][3] == "layer 2, mean of heads"


def test_the_arrows_are_the_weights_too():
    maps = recorded(visibility=SEES)
    places = np.random.default_rng(0).random((4, 2))
    for observer in (0, 2):
        figure = maps.arrows(places, NAMES, sample=2, observer=observer, visibility=SEES)
        weights = maps[0][2, 1, observer].numpy()
        wanted = {(observer, j): weights[j] for j in np.flatnonzero(weights)}
        assert drawn(figure, 0, 1) == pytest.approx(wanted)
    assert (0, 2) not in drawn(maps.arrows(places, observer=None, at_least=0), 0, -1)
    assert (2, 0) in drawn(maps.arrows(places, observer=None, at_least=0), 0, -1)


def test_the_founding_articles_scene_from_an_environment():
    env = make("panda-trees", features="xyt", render_mode="rgb_array")
    obs, _ = env.reset(seed=0)
    world = env.unwrapped
    torch.manual_seed(0)
    encoder = EntityEncoder(3, 8, depth=1, heads=1)
    scene = {key: torch.from_numpy(np.asarray(value)) for key, value in obs.items()}
    with record_attention(encoder) as maps:
        encoder(scene["entities"], scene["entity_mask"], scene["visibility"])
    figure = maps.plot(world.entity_names, visibility=obs["visibility"])
    assert [list(row) for row in np.array(figure.data[0].text) == CROSS] == [
        [False, False, True, False],
        [False, False, True, False],
        [False, False, False, False],
        [False, False, True, False],
    ]
    arrows = maps.arrows(world.entity_places, world.entity_names, picture=env.render())
    assert set(drawn(arrows, 0, -1)) == {(0, 0), (0, 1), (0, 3)}
    env.close()


def test_slots_that_hold_nothing_are_left_out():
    there = torch.tensor([True, False, True, True])
    maps = recorded(entity_mask=there)
    by_name = maps.plot(["panda", None, "scorpion", "dragon"])
    by_padding = maps.plot(entity_mask=there.expand(3, 4))
    assert list(by_name.layout.xaxis.ticktext) == ["panda", "scorpion", "dragon"]
    assert list(by_padding.layout.xaxis.ticktext) == ["entity 0", "entity 2", "entity 3"]
    for figure in (by_name, by_padding):
        np.testing.assert_allclose(
            np.array(figure.data[1].z, float), maps[0][0, 0][there][:, there].numpy(), atol=6e-5
        )
    places = [(0, 0), None, (1, 0), (0, 1)]
    figure = maps.arrows(places, ["panda", None, "scorpion", "dragon"], observer=2)
    assert set(drawn(figure, 0, 0)) == {(1, 0), (1, 1), (1, 2)}
    with pytest.raises(ConfigError, match=r"observer is 1; expected .* \[0, 2, 3\]"):
        maps.arrows(places, ["panda", None, "scorpion", "dragon"], observer=1)


def test_rows_that_a_layer_does_not_compute():
    maps = recorded("self", observer=0)
    with pytest.raises(ConfigError, match=r"'blocks.1.attention' has 1 rows for 4 entities; say"):
        maps.plot(NAMES)
    last = maps.plot(NAMES, queries=0).data[-1]
    np.testing.assert_allclose(np.array(last.z[0], float), maps[1][0, 1, 0].numpy(), atol=6e-5)
    assert list(last.z[1]) == [None] * 4
    with pytest.raises(ConfigError, match="queries has 2; say whose"):
        maps.plot(NAMES, queries=[0, 1])
    for wrong in (4, [0, 0], [-1], 0.5, torch.zeros(1, 1)):
        with pytest.raises(ConfigError, match="expected different whole numbers from 0 to 3"):
            maps.plot(NAMES, queries=wrong)


def test_names_of_layers():
    maps = recorded("attention", observer=torch.tensor([[0, 3]]))
    labels = [b.label for b in maps.plot(queries=[0, 3]).layout.updatemenus[0].buttons]
    assert labels[::3] == [
        "layer 1, mean of heads",
        "layer 2, mean of heads",
        "pooling, mean of heads",
    ]
    maps.names[0] = "critic.blocks.0.attention"
    labels = [b.label for b in maps.plot(queries=[0, 3]).layout.updatemenus[0].buttons]
    assert labels[0] == "critic.blocks.0.attention, mean of heads"


def test_calls_samples_and_parts():
    torch.manual_seed(0)
    encoder = EntityEncoder(3, 8, depth=1, heads=1)
    with record_attention(encoder) as maps:
        for _ in range(2):
            encoder(torch.randn(2, 5, 4, 3))
    for index, call, sample in ((1, -1, (1, 2)), (0, 0, 7), (1, 1, -1)):
        place = sample if isinstance(sample, tuple) else divmod(sample % 10, 5)
        cells = np.array(maps.plot(sample=sample, call=call).data[0].z, float)
        np.testing.assert_allclose(cells, maps[index][place][0].numpy(), atol=6e-5)
    for wrong in (10, (2, 0), (0,) * 3):
        with pytest.raises(ConfigError, match=r"sample is .* a batch of shape \(2, 5\)"):
            maps.plot(sample=wrong)
    with pytest.raises(ConfigError, match="call is 2; layer 'blocks.0.attention' was called 2"):
        maps.plot(call=2)
    assert len(maps.of("blocks").plot().data) == 2
    with pytest.raises(ConfigError, match="nothing was recorded"):
        maps.of("elsewhere").plot()


def test_other_types_and_batched_masks():
    maps = AttentionMaps()
    weights = torch.softmax(torch.randn(2, 1, 4, 4).masked_fill(~SEES, float("-inf")), -1)
    maps.add("", weights.bfloat16())
    sees = SEES.expand(2, 4, 4).numpy().astype(int)
    figure = maps.plot(sample=1, visibility=sees)
    assert figure.data[0].name == "layer 1, mean of heads"
    positions = torch.rand(2, 4, 2)
    entities = maps.arrows(positions, sample=1).data[-1]
    np.testing.assert_allclose(entities.x, positions[1, :, 0].numpy(), atol=1e-6)


def test_messages():
    maps = recorded(visibility=SEES)
    with pytest.raises(ConfigError, match="plot: nothing was recorded; expected the module"):
        AttentionMaps().plot()
    with pytest.raises(ConfigError, match="plot: names is 3 names; expected 4, one per entity"):
        maps.plot(NAMES[:3])
    with pytest.raises(ConfigError, match="plot: names is 'abcd'"):
        maps.plot("abcd")
    with pytest.raises(ConfigError, match="no slot holds an entity"):
        maps.plot([None] * 4)
    with pytest.raises(MaskShapeError, match=r"plot: visibility has shape \(3, 3\)"):
        maps.plot(visibility=SEES[:3, :3])
    with pytest.raises(MaskShapeError, match=r"plot: entity_mask has shape \(3,\)"):
        maps.plot(entity_mask=SEES[0, :3])
    with pytest.raises(MaskDtypeError):
        maps.plot(visibility=SEES.float() * 2)
    with pytest.raises(ConfigError, match=r"arrows: positions have shape \[3, 2\]; expected"):
        maps.arrows(torch.zeros(3, 2))
    with pytest.raises(ConfigError, match="arrows: positions have shape"):
        maps.arrows(["here", "there", "", ""])
    maps.add("other", torch.ones(1, 5, 5))
    with pytest.raises(ConfigError, match=r"the layers have \[4, 5\] entities; .* maps.of"):
        maps.plot()


def test_a_visibility_that_the_maps_contradict_is_refused():
    maps = recorded()
    message = r"visibility hides scorpion from panda \(\[0, 2\] is False\), yet panda gives it 0\."
    for draw in (maps.plot, lambda names, **how: maps.arrows(torch.rand(4, 2), names, **how)):
        with pytest.raises(MaskError, match=message):
            draw(NAMES, visibility=SEES)
