"""Attention on the page: scenes, masks, layers, heads; arrows where entities stand."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from maskrl.reports.sections.attention import attention_section, layout, rounded_up, scene_data


def test_every_scene_has_who_sees_whom_and_a_map_without_and_with_mask(panda_live):
    section = attention_section(panda_live.scenes)
    assert list(section.figures) == [
        "sees-open",
        "map-open-without",
        "map-open-with",
        "sees-trees",
        "map-trees-without",
        "map-trees-with",
    ]
    assert all(len(figure.data) == 1 for figure in section.figures.values())
    assert section.html.count("<svg") == 4
    # the picture is on the page once for each scene, however often it is seen
    assert section.html.count("data:image/png") == 2


def test_data_are_the_recorded_weights(panda_live):
    scene = panda_live.scenes[1]
    data = scene_data(scene)
    json.dumps(data, allow_nan=False)
    assert data["id"] == "trees" and data["names"] == list(scene.names) and data["pictured"]
    for name, view in (
        ("none", scene.unmasked),
        ("sight", scene.sight),
        ("observer", scene.observer),
    ):
        weights = np.array(data["views"][name]["weights"])
        np.testing.assert_allclose(weights, view.weights, atol=5.1e-5)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-3)
        permitted = [[[c == "1" for c in row] for row in la] for la in data["views"][name]["open"]]
        assert np.array_equal(permitted, view.permitted)
        assert (weights[~np.broadcast_to(view.permitted[:, None], weights.shape)] == 0).all()
    assert data["views"]["sight"]["open"][0] == ["1101", "1101", "1111", "1101"]


def test_little_is_never_rounded_to_nothing():
    assert rounded_up(np.array([0.0, 1e-9, 0.00004, 0.12344, 1.0])) == [0, 1e-4, 1e-4, 0.1234, 1]


def test_where_entities_are_drawn(panda_live):
    scene = panda_live.scenes[0]
    places, ratio = layout(scene)
    assert places is scene.places and ratio == 1.0
    without = dataclasses.replace(scene, picture=None)
    places, ratio = layout(without)
    # the square keeps its shape, with room for names around it
    np.testing.assert_allclose(places, [[0.14, 0.19], [0.86, 0.19], [0.86, 0.91], [0.14, 0.91]])
    circle, ratio = layout(dataclasses.replace(without, places=None))
    np.testing.assert_allclose(circle[0], [0.5, 0.17])
    assert circle.min() > 0 and circle[:, 0].max() < 1 and circle[:, 1].max() < ratio
    one, _ = layout(dataclasses.replace(without, names=("a",), places=np.array([[0.3, 0.3]])))
    assert np.isfinite(one).all()


def test_captions_state_what_the_mask_changes(panda_live):
    html = attention_section(panda_live.scenes).html
    assert "the maps are exactly equal" in html
    assert "The scorpion is hidden from the panda" in html
    assert "the panda&#x27;s view" in html


def test_many_hidden_entities_are_counted_and_a_world_may_draw_nothing(panda_live):
    sees = np.eye(7, dtype=np.bool_)[None]
    weights = np.eye(7)[None, None]
    view = dataclasses.replace(panda_live.scenes[1].sight, weights=weights, permitted=sees)
    even = dataclasses.replace(view, weights=np.full((1, 1, 7, 7), 1 / 7), permitted=sees | True)
    scene = dataclasses.replace(
        panda_live.scenes[1],
        names=tuple("abcdefg"),
        picture=None,
        places=None,
        unmasked=even,
        sight=view,
        observer=view,
    )
    html = attention_section([scene]).html
    assert "6 of 7 entities are hidden from the a. Without the mask 86" in html
    assert html.count('data-view="sees"') == 1 and "<img" not in html


def test_scenes_without_visibility_or_picture(panda_live):
    scene = dataclasses.replace(
        panda_live.scenes[1],
        scene="moment-1",
        names=("<agent>", "box", "box", "wall"),
        picture=None,
        places=None,
        sight=None,
        observer=None,
    )
    section = attention_section([scene])
    assert list(section.figures) == ["map-moment-1-without"]
    assert 'data-name="mask"' not in section.html and "<img" not in section.html
    assert "&lt;agent&gt;" in section.html and "<agent>" not in section.html
    assert list(section.data["attention"][0]["views"]) == ["none"]
    drawn = dataclasses.replace(scene, picture=panda_live.scenes[1].picture)
    assert "data:image/png" not in attention_section([drawn]).html  # nobody knows who is where


def test_later_layers_are_spoken_of_where_they_are_cut_off(panda_live):
    words = "cut off from the second layer on"
    trees = panda_live.scenes[1]
    even = np.repeat(trees.sight.permitted[:1], 2, axis=0)
    cut = even.copy()
    cut[1, 1, 0] = ~cut[1, 1, 0]

    def said(permitted):
        sight = dataclasses.replace(trees.sight, permitted=permitted)
        return words in attention_section([dataclasses.replace(trees, sight=sight)]).html

    assert said(cut) and not said(even)


def test_without_scenes_there_is_no_section():
    assert attention_section(()) is None
