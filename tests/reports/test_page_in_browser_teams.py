"""The page of a team in a real browser: it is stepped through, and draws what Python draws.

Needs chromium and chromedriver, as the other tests of the page in a browser.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from maskrl.policies.head_view import HeadLabels
from maskrl.reports.live_policy import LivePolicy
from maskrl.reports.page import render_page
from maskrl.reports.team_data import heads_data


def complaints(browser: Any) -> list[Any]:
    """What the console holds beyond information: errors, warnings, refused requests."""
    return [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"]


@pytest.fixture(scope="module")
def team_page(browser, tmp_path_factory, make_run, team_records) -> Any:
    """A page of a team of four that dies out, loaded by each test that asks for it."""
    path = tmp_path_factory.mktemp("team") / "report.html"
    live = LivePolicy(team_episodes=(team_records.scene_episode(),))
    path.write_text(render_page(make_run(), live), encoding="utf-8")
    size = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(path.as_uri())
    return browser


TEAM = """const team = document.getElementById('team');
          const of = (name) => team.querySelector(`[data-part="${name}"]`);
          return {groups: team.querySelectorAll('.acting').length,
                  rows: team.querySelectorAll('.matrix-row').length,
                  cells: team.querySelectorAll('.matrix .cell').length,
                  waits: team.querySelectorAll('.waits').length,
                  agent: of('agent').selectedOptions[0]?.textContent,
                  actions: of('actions').childElementCount,
                  silent: of('silent').hidden ? '' : of('silent').textContent,
                  entities: of('entities').childElementCount}"""


def test_a_team_is_stepped_through_until_nobody_is_left(team_page, team_records):
    step = team_records.scene_episode().steps[0]
    shown = team_page.execute_script(TEAM)
    assert (shown["groups"], shown["rows"], shown["agent"]) == (4, 4, "panda 1")
    assert shown["cells"] == int(step.action_mask.sum()) and shown["actions"] == 5
    assert shown["entities"] == min(8, int(step.sees[0].sum()))
    team_page.execute_script(
        "document.querySelectorAll('#team .matrix-row')[2].dispatchEvent("
        "new MouseEvent('click', {bubbles: true}))"
    )
    assert team_page.execute_script(TEAM)["agent"] == "panda 3"
    move = "document.querySelector('#team [data-move=\"1\"]').click()"
    team_page.execute_script(move)
    shown = team_page.execute_script(TEAM)
    assert (shown["groups"], shown["waits"], shown["actions"]) == (2, 1, 0)
    assert shown["agent"] == "panda 3 (waits)" and "alive and waits" in shown["silent"]
    frames = "return document.querySelectorAll('#team .resting .target.chosen').length"
    assert team_page.execute_script(frames) == 1
    team_page.execute_script(move)
    shown = team_page.execute_script(TEAM)
    assert (shown["groups"], shown["rows"], shown["cells"]) == (0, 4, 0)
    team_page.execute_script(move)
    assert team_page.execute_script(TEAM)["silent"] == "The episode is over."
    assert team_page.execute_script("return document.documentElement.scrollWidth") <= 1280
    assert complaints(team_page) == []


def test_shapes_of_actions_are_those_of_python(team_page):
    from maskrl.figures import action_glyphs as python

    spots = python.arrange(["stay", "up", "down", "left", "right", "use_item"])
    probs = [0.1, 0.3, 0.004, 0.2, 0.15, 0.246]
    given = [[spot.kind, spot.x, spot.y] for spot in spots]
    drawn = team_page.execute_script("return actions.outlines(...arguments)", given, probs)
    wanted = python.outlines(spots, probs)
    assert [k for k, _ in drawn] == [k for k, _ in wanted] == [0, 1, 3, 4, 5]
    for (_, here), (_, there) in zip(drawn, wanted, strict=True):
        np.testing.assert_allclose(here, there, atol=1e-12)
    ring = team_page.execute_script("return actions.part(0.1, 0.7)")
    np.testing.assert_allclose(ring, python.part(0.1, 0.7), atol=1e-12)
    bar = team_page.execute_script("return actions.bar([0, -1])")
    np.testing.assert_allclose(bar, python.bar((0.0, -1.0)), atol=1e-12)


def test_an_agents_shapes_are_those_of_python(team_page):
    from maskrl.figures.agent_glyph import FAINT, agent_shapes

    heads = (
        HeadLabels("type", ("wait", "go", "hit")),
        HeadLabels("way", ("up", "down")),
        HeadLabels("aim", ("+1,+0", "-1,-2")),
    )
    probs, allowed = [0.2, 0.5, 0.3, 1.0, 0.0, 0.5, 0.5], [True] * 4 + [False] + [True] * 2
    cuts = [(0, 3), (3, 5), (5, 7)]
    for taken, counts in (([1, 0, 0], [True, True, False]), ([2, 0, 1], [True, False, True])):
        decision = [
            {"probs": probs[a:b], "allowed": allowed[a:b], "taken": t, "counts": c}
            for (a, b), t, c in zip(cuts, taken, counts, strict=True)
        ]
        drawn = team_page.execute_script(
            "return actions.shapes(arguments[0], arguments[1], arguments[2])",
            heads_data(heads),
            decision,
            {"tint": "#123456", "barred": "#d4602a", "masks": True, "faint": FAINT},
        )
        wanted = list(
            agent_shapes(
                [(head.name, head.choices) for head in heads],
                np.array(probs),
                np.array(allowed),
                np.array(taken),
                np.array(counts),
                "#123456",
                "entropy",
                True,
            )
        )
        assert [(s["colour"], s["opacity"]) for s in drawn] == [
            (s.colour, s.opacity) for s in wanted
        ]
        for here, there in zip(drawn, wanted, strict=True):
            np.testing.assert_allclose(here["outline"], there.outline, atol=1e-12)


def test_a_picture_in_which_nobody_has_a_place_stays_as_it_is(
    browser, tmp_path, make_run, team_records
):
    episode = team_records.scene_episode()
    steps = tuple(dataclasses.replace(step, at=None, waiting_at=None) for step in episode.steps)
    live = LivePolicy(team_episodes=(dataclasses.replace(episode, steps=steps),))
    path = tmp_path / "report.html"
    path.write_text(render_page(make_run(), live), encoding="utf-8")
    browser.get(path.as_uri())
    shown = browser.execute_script(
        """const of = (name) => document.querySelector(`#team [data-part="${name}"]`);
           return [of("stage").classList.contains("mapped"), of("legend").hidden,
                   of("stage").hidden, getComputedStyle(of("picture")).opacity]"""
    )
    assert shown == [False, True, False, "1"]
    assert complaints(browser) == []


def test_a_map_of_many_cells_is_larger_and_lies_on_its_picture(
    browser, tmp_path, make_run, team_records
):
    places = """const of = (name) => document.querySelector(`#team [data-part="${name}"]`);
                const at = (node) => { const b = node.getBoundingClientRect();
                                       return [b.left, b.top, b.width, b.height]; };
                const style = getComputedStyle(of("map"));
                return [at(of("picture")), at(of("map")), style.getPropertyValue("--frame")]"""
    found = {}
    for agents, entities in ((4, 7), (64, 400)):
        episode = team_records.scene_episode(agents, ((agents, 0),), entities)
        path = tmp_path / f"{agents}.html"
        live = LivePolicy(team_episodes=(episode,))
        path.write_text(render_page(make_run(), live), encoding="utf-8")
        for width in (1280, 400):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get(path.as_uri())
            picture, drawn, frame = browser.execute_script(places)
            assert picture == pytest.approx(drawn, abs=1)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
            found[agents, width] = picture[2], float(frame)
    assert found[64, 1280][0] > 1.2 * found[4, 1280][0]
    assert found[64, 400][0] == pytest.approx(found[4, 400][0], abs=1)
    assert found[64, 1280][1] < found[4, 1280][1] == 4
