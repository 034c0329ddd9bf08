"""The page in a real browser: it draws, answers, fits, and asks nobody for anything.

Needs chromium and chromedriver. Without them these tests are left out with a
line that says how to get them; with MASKRL_BROWSER=required, as in CI, they fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from maskrl.reports.live_policy import LivePolicy
from maskrl.reports.page import render_page

FIGURES_OFF_THEIR_PLACE = """
  return [...document.querySelectorAll('.canvas')].filter(place => {
    const outer = place.getBoundingClientRect();
    const drawn = [...place.querySelectorAll('.main-svg')].map(svg => svg.getBoundingClientRect());
    return !drawn.length || drawn.some(
      inner => inner.bottom > outer.bottom + 1 || Math.abs(inner.right - outer.right) > 1);
  }).map(place => place.id)"""


@pytest.fixture(scope="module")
def address(tmp_path_factory, make_run, panda_live) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_page(make_run(), panda_live), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def opened(browser, address) -> Any:
    """The page, loaded once: loading it is what takes long."""
    set_window(browser, 1280, "light")
    browser.get(address)
    return browser


@pytest.fixture
def page(opened) -> Any:
    """The page at 1280 pixels, light, every figure drawn."""
    set_window(opened, 1280, "light")
    wait_until_drawn(opened)
    return opened


def set_window(browser: Any, width: int, scheme: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    set_scheme(browser, scheme)


def set_scheme(browser: Any, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def complaints(browser: Any) -> list[Any]:
    """What the console holds beyond information: errors, warnings, refused requests."""
    return [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"]


def wait_for(browser: Any, script: str, *, seconds: float = 20.0) -> Any:
    """What a script returns as soon as it is not empty."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = browser.execute_script(script)
        if value:
            return value
        time.sleep(0.05)
    pytest.fail(f"nothing came of {script}")


def act_until(browser: Any, act: Callable[[], None], script: str, *, seconds: float = 20.0) -> None:
    """Point or tap until it is answered: a busy machine may lay the page out after the first."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        act()
        for _ in range(10):
            if browser.execute_script(script):
                return
            time.sleep(0.05)
    pytest.fail(f"nothing came of {script}")


def wait_until_drawn(browser: Any) -> None:
    """Every figure fills its place and reaches not beyond it, where it would lie over the next."""
    wait_for(browser, f"return (() => {{ {FIGURES_OFF_THEIR_PLACE} }})().length === 0")


def hover(browser: Any, x: float, y: float) -> None:
    for dx in (3, 0):  # two moves: the first enters
        browser.execute_cdp_cmd(
            "Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x + dx, "y": y}
        )


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_draws_fits_and_fetches_nothing(opened, width, scheme):
    set_window(opened, width, scheme)
    wait_until_drawn(opened)
    assert opened.execute_script("return document.querySelectorAll('.canvas').length") == 21
    # Nothing is wider than the window.
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    fetched = opened.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
        ".filter(name => !name.startsWith('data:'))"
    )
    assert fetched == []
    assert complaints(opened) == []


def test_hovering_an_attention_map_says_who_attends_to_whom(page):
    wait_for(page, "return document.querySelector('#map-trees-with .main-svg') !== null")
    box = page.execute_script(
        """const map = document.getElementById('map-trees-with');
           map.scrollIntoView({block: 'center', behavior: 'instant'});
           const {left, top} = map.getBoundingClientRect();
           const {xaxis, yaxis} = map._fullLayout;
           return {x: left + xaxis._offset, y: top + yaxis._offset,
                   w: xaxis._length / 4, h: yaxis._length / 4}"""
    )
    read = "return document.querySelector('#map-trees-with .hoverlayer .hovertext')?.textContent"
    # Row 0, column 2: the panda and the hidden scorpion. Column 3: the dragon, in sight.
    hover(page, box["x"] + 2.5 * box["w"], box["y"] + 0.5 * box["h"])
    assert wait_for(page, read).startswith("panda → scorpionmasked: exactly 0")
    hover(page, box["x"] + 3.5 * box["w"], box["y"] + 0.5 * box["h"])
    wait_for(page, f"{read}?.includes('panda → dragon')")


MATRIX = """const scene = page.attention.find(({id}) => id === 'trees');
            const map = document.getElementById('map-trees-with');
            const drawn = [...document.querySelectorAll(
              '.arrows[data-scene=trees][data-view=chosen] .arrow')].map(
              ({dataset}) => [dataset.from, dataset.to, dataset.weight].map(Number));
            return {cells: map.data[0].z.map(row => [...row]), drawn,
                    hover: map.data[0].hovertext[3][1]}"""


def choose(page, **chosen) -> None:
    for name, value in chosen.items():
        page.execute_script(
            f"document.querySelector('[data-choices] [data-name={name}][data-value=\"{value}\"]')"
            ".click()"
        )


def arrows_of(page, name: str) -> None:
    page.execute_script(
        """const list = document.querySelector('[data-choices] select');
           list.value = arguments[0];
           list.dispatchEvent(new Event('change', {bubbles: true}))""",
        name,
    )


def test_choices_change_maps_and_arrows_to_what_was_recorded(page, panda_live):
    scene = panda_live.scenes[1]
    cases = [("sight", 0, -1), ("sight", 1, 2), ("observer", 1, 0), ("observer", 0, 3)]
    for mask, layer, head in cases:
        choose(page, mask=mask, layer=layer, head=head)
        shown = page.execute_script(MATRIX)
        view = getattr(scene, mask)
        weights = view.weights[layer].mean(0) if head < 0 else view.weights[layer, head]
        permitted = view.permitted[layer]
        cells = np.array([[np.nan if z is None else z for z in row] for row in shown["cells"]])
        assert np.array_equal(np.isnan(cells), ~permitted)
        np.testing.assert_allclose(cells[permitted], weights[permitted], atol=1e-4)
        # the panda's arrows: every entity that it may attend to, and nobody else
        drawn = {int(j): w for i, j, w in shown["drawn"]}
        assert {i for i, _, _ in shown["drawn"]} == {0}
        assert sorted(drawn) == np.flatnonzero(permitted[0]).tolist() == [0, 1, 3]
        assert drawn == pytest.approx({j: weights[0, j] for j in drawn}, abs=1e-4)
    pressed = page.execute_script(
        "return [...document.querySelectorAll(\"[data-choices] [aria-pressed='true']\")]"
        ".map(b => b.textContent)"
    )
    assert pressed == ["the panda's view", "1", "4"]
    choose(page, mask="sight", layer=0, head=-1)
    assert complaints(page) == []


def test_arrows_of_another_and_of_everybody(page, panda_live):
    weights = panda_live.scenes[1].sight.weights[0].mean(0)
    arrows_of(page, "scorpion")  # which sees everybody
    drawn = page.execute_script(MATRIX)["drawn"]
    assert sorted((int(i), int(j)) for i, j, _ in drawn) == [(2, j) for j in range(4)]
    arrows_of(page, "")
    drawn = {(int(i), int(j)) for i, j, _ in page.execute_script(MATRIX)["drawn"]}
    assert drawn == {(i, j) for i, j in np.argwhere(weights >= 0.1).tolist()}
    assert not drawn & {(0, 2), (1, 2), (3, 2)}
    arrows_of(page, "panda")


def test_the_keyboard_chooses(page):
    from selenium.webdriver.common.keys import Keys

    page.execute_script("document.querySelector('[data-choices] [data-name=head]').focus()")
    page.switch_to.active_element.send_keys(Keys.TAB, Keys.NULL)
    page.switch_to.active_element.send_keys(Keys.ENTER)
    shown = "return document.getElementById('map-trees-with').data[0].hovertext[0][0]"
    assert "head 1" in page.execute_script(shown)
    page.execute_script("document.querySelector('[data-choices] select').focus()")
    page.switch_to.active_element.send_keys("dragon")
    assert {i for i, _, _ in page.execute_script(MATRIX)["drawn"]} == {3}
    arrows_of(page, "panda")
    choose(page, head=-1)


def test_pointing_at_an_arrow_and_tapping_an_entity(page):
    stage = ".arrows[data-scene=trees][data-view=chosen]"
    line = f"document.querySelector('{stage}').parentElement.querySelector('.readout')"
    read = f"return {line}.innerText"
    rest = page.execute_script(read)
    assert rest.startswith("panda → ") and "exactly 0 to scorpion" in rest
    place = f"""const part = document.querySelector('{stage} %s');
                part.scrollIntoView({{block: 'center', behavior: 'instant'}});
                const path = part.querySelector('.reach') ?? part;
                const box = path.getBoundingClientRect();
                if (!path.getPointAtLength || path === part)
                  return {{x: box.x + box.width / 2, y: box.y + box.height / 2}};
                const at = path.getPointAtLength(path.getTotalLength() / 2)
                  .matrixTransform(path.getScreenCTM());
                return {{x: at.x, y: at.y}}"""
    watermelon, dragon = place % '.arrow[data-to="1"]', place % '.entity[data-entity="3"] .target'

    def point() -> None:
        at = page.execute_script(watermelon)
        hover(page, at["x"], at["y"])

    def tap(target: str) -> None:
        at = page.execute_script(target)
        for kind, points in (("touchStart", [{"x": at["x"], "y": at["y"]}]), ("touchEnd", [])):
            page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    act_until(page, point, f"{read}.includes('panda → watermelon: ')")
    act_until(page, lambda: hover(page, 2, 2), f"{read} === {rest!r}")
    # a finger: the arrow keeps its number after the finger has left, and an entity its arrows
    act_until(page, lambda: tap(watermelon), f"{read}.includes('panda → watermelon: ')")
    chosen = "return document.querySelector('[data-choices] select').value === 'dragon'"
    act_until(page, lambda: tap(dragon), chosen)
    arrows_of(page, "panda")


def test_arrows_have_the_outlines_of_the_figures(page):
    from maskrl.figures import arrow_shapes

    places = np.array([[0.1, 0.2], [0.8, 0.3], [0.1, 0.2], [0.5, 0.9]])
    unit = page.execute_script("return arrows.unitLength(arguments[0])", places.tolist())
    assert unit == pytest.approx(arrow_shapes.unit_length(places, 1.0))
    apart = page.execute_script("return arrows.spread(...arguments)", places.tolist(), unit)
    np.testing.assert_allclose(apart, arrow_shapes.spread(places, unit), atol=1e-12)
    for weight in (0.001, 0.3, 1.0):
        ends = places[1].tolist(), places[3].tolist()
        script = "return arrows.arrowOutline(...arguments).outline"
        outline = page.execute_script(script, *ends, weight, unit)
        wanted = arrow_shapes.arrow_outline(places[1], places[3], weight, unit)
        np.testing.assert_allclose(outline, wanted, atol=1e-12)
        script = "return arrows.ringOutline(...arguments).outline"
        ring = page.execute_script(script, ends[0], weight, unit)
        np.testing.assert_allclose(
            ring, arrow_shapes.ring_outline(places[1], weight, unit), atol=1e-12
        )


def test_arrows_lie_over_the_picture_of_the_episode(page, panda_live):
    episode = panda_live.episodes[0]
    page.execute_script("document.querySelector('[data-move=first]').click()")
    drawn = """return [...document.querySelectorAll('#viewer .arrow')].map(
                 ({dataset}) => [dataset.from, dataset.to, dataset.weight].map(Number))"""
    for number in range(3):
        weights = episode.steps[number].attention[-1][:, 0].mean(0)
        shown = {int(j): w for _, j, w in page.execute_script(drawn)}
        assert shown == pytest.approx({j: weights[j] for j in (0, 1, 3, 4)}, abs=1e-3)
        page.execute_script("document.querySelector('[data-move=\"1\"]').click()")
    frame, svg = page.execute_script(
        """return ['img.frame', 'svg[data-part=arrows]'].map(part => {
             const {x, y, width, height} = document.querySelector(`#viewer ${part}`)
               .getBoundingClientRect();
             return [x, y, width, height]})"""
    )
    np.testing.assert_allclose(frame, svg, atol=1)
    switch = "document.querySelector('[data-part=toggle] input').click()"
    page.execute_script(switch)
    assert page.execute_script(drawn) == []
    page.execute_script(switch)
    assert len(page.execute_script(drawn)) == 4
    page.execute_script("document.querySelector('[data-move=last]').click()")
    assert page.execute_script(drawn) == []
    page.execute_script("document.querySelector('[data-move=first]').click()")


def test_slider_arrow_keys_and_play_move_through_the_episode(page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    count = "return document.querySelector('[data-part=count]').textContent"
    picture = "return document.querySelector('[data-part=picture]').src"
    rows = "return document.querySelector('[data-part=actions]').textContent"
    assert wait_for(page, count) == "step 0 of 9"
    first = page.execute_script(picture), page.execute_script(rows)
    page.execute_script(
        """const slider = document.querySelector('[data-part=slider]');
           slider.value = 4; slider.dispatchEvent(new Event('input', {bubbles: true}))"""
    )
    assert page.execute_script(count) == "step 4 of 9"
    assert page.execute_script(picture) != first[0] and page.execute_script(rows) != first[1]
    body = page.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.ARROW_RIGHT)
    assert page.execute_script(count) == "step 5 of 9"
    body.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert page.execute_script(count) == "step 3 of 9"
    page.execute_script("document.querySelector('[data-move=first]').click()")
    assert (page.execute_script(picture), page.execute_script(rows)) == first
    page.execute_script("document.querySelector('[data-part=play]').click()")
    wait_for(page, "return document.querySelector('[data-part=slider]').value > 1")
    page.execute_script("document.querySelector('[data-part=play]').click()")
    stopped = page.execute_script(count)
    time.sleep(0.6)  # longer than a step takes: it does not go on
    assert page.execute_script(count) == stopped


def test_each_step_shows_mask_probabilities_and_attention(page):
    wait_for(page, "return document.querySelectorAll('[data-part=actions] tr').length === 6")
    titles = page.execute_script(
        "return [...document.querySelectorAll('[data-part=actions] tr')].map(r => r.title)"
    )
    assert any("disallowed, probability exactly 0" in title for title in titles)
    titles = page.execute_script(
        "return [...document.querySelectorAll('[data-part=entities] tr')].map(r => r.title)"
    )
    assert len(titles) == 5 and "panda does not see scorpion: exactly 0" in titles
    page.execute_script("document.querySelector('[data-episode=\"1\"]').click()")
    count = "return document.querySelector('[data-part=count]').textContent"
    assert page.execute_script(count) == "step 0 of 4"
    height = "return document.querySelector('#viewer').offsetHeight"
    before = page.execute_script(height)
    page.execute_script("document.querySelector('[data-move=last]').click()")
    assert page.execute_script(height) == before  # nothing jumps when the tables go
    assert page.execute_script("return document.querySelector('[data-part=attention]').hidden")


def test_figures_follow_the_colour_scheme(page):
    colour = "return getComputedStyle(document.querySelector('#curve-score .xtick text')).fill"
    light = wait_for(page, colour)
    set_scheme(page, "dark")
    wait_for(page, f"{colour} !== '{light}'")
    assert complaints(page) == []


@pytest.mark.parametrize("kind", ["tree", "multi_binary", "candidates"])
def test_actions_of_another_shape(browser, tmp_path, make_run, make_heads_episode, kind):
    # After the tests of the page that is loaded once: this loads others.
    path = tmp_path / "report.html"
    live = LivePolicy(episodes=(make_heads_episode(kind),))
    path.write_text(render_page(make_run("outpost"), live), encoding="utf-8")
    set_window(browser, 400, "dark")
    browser.get(path.as_uri())
    wait_until_drawn(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 400
    browser.execute_script("document.querySelector('[data-move=\"1\"]').click()")
    rows = browser.execute_script(
        "return [...document.querySelectorAll('[data-part=actions] tr')].map(r => r.innerText)"
    )
    chosen = browser.execute_script("return document.querySelector('[data-part=facts]').innerText")
    if kind == "tree":
        heads = [row.split() for row in rows if row.split()[0] in ("direction", "target")]
        assert heads == [["direction"], ["target", "not", "relevant"]]
        assert len(rows) == 4 + 4 + 4 and "move, east" in chosen
    elif kind == "multi_binary":
        assert len(rows) == 6 and any("must be on" in row for row in rows) and " on" in chosen
    else:
        record = make_heads_episode(kind)
        assert len(rows) == record.steps[1].action_mask.sum()
        more = browser.execute_script("return document.querySelector('[data-part=more]').innerText")
        assert more == f"{len(rows)} of 24 places hold a candidate that can be chosen."
    height = "return document.querySelector('#viewer').offsetHeight"
    browser.execute_script("document.querySelector('[data-move=\"1\"]').click()")
    before = browser.execute_script(height)
    browser.execute_script("document.querySelector('[data-move=last]').click()")
    assert browser.execute_script(height) == before
    assert complaints(browser) == []


def test_a_logit_that_rounds_to_nothing_has_no_sign(page):
    again = """const step = page.episodes.episodes[0].steps[0];
               const kept = step.rows[0][3];
               step.rows[0][3] = arguments[0];
               const press = (move) => document.querySelector(`[data-move="${move}"]`).click();
               press("last"); press("first");
               const shown = document.querySelector('#viewer [data-action="0"]').lastChild;
               step.rows[0][3] = kept;
               return shown.textContent"""
    read = [page.execute_script(again, logit) for logit in (-0.004, 0.004, -0.006, -10.0)]
    assert read == ["0.00", "0.00", "−0.01", "−10.00"]
