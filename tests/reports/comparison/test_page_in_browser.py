"""A comparison's page in a real browser: it draws, sorts, answers, saves, and fetches nothing."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from maskrl.reports.comparison import page as comparison_page
from maskrl.runs.comparison import read_comparison

SINGLE = runpy.run_path(str(Path(__file__).parents[1] / "test_page_in_browser.py"))
set_window, wait_for, hover = (SINGLE[name] for name in ("set_window", "wait_for", "hover"))
complaints, wait_until_drawn = SINGLE["complaints"], SINGLE["wait_until_drawn"]


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory, write_comparison, make_episode) -> Any:
    """The page of a made-up comparison with episodes of two variants, loaded once."""
    env = "mining-10x10"
    variants = [
        {"label": env, "env": env, "tests": [{"mean": m} for m in (39.0, 39.5, 40.0)]},
        {
            "label": f"{env}, naive",
            "env": env,
            "regime": "naive",
            "tests": [{"mean": m} for m in (0.3, 38.0, 39.0)],
        },
        {
            "label": f"{env}, penalty:1",
            "env": env,
            "regime": "penalty:1",
            "tests": [{"mean": m, "training_illegal_actions": 70_000} for m in (0.0, 0.1, 0.2)],
        },
    ]
    place = tmp_path_factory.mktemp("page")
    folder = write_comparison(place / "out", variants, seeds=(0, 1, 2), total=100_000)
    played = [("masked", make_episode()), ("naive", make_episode(steps=4))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maskrl.reports.sections.episode.TILED_FROM", 2)
        section = comparison_page.viewer_section.__globals__["episode_section"](
            [episode for _, episode in played], names=[name for name, _ in played]
        )
        patch.setattr(comparison_page, "viewer_section", lambda variants: (section, []))
        text = comparison_page.render_comparison(read_comparison(folder))
    path = place / "report.html"
    path.write_text(text, encoding="utf-8")
    set_window(browser, 1280, "light")
    browser.get(path.as_uri())
    return browser


@pytest.fixture
def page(opened) -> Any:
    set_window(opened, 1280, "light")
    wait_until_drawn(opened)
    return opened


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_draws_fits_and_fetches_nothing(opened, width, scheme):
    set_window(opened, width, scheme)
    wait_until_drawn(opened)
    assert opened.execute_script("return document.querySelectorAll('.canvas').length") == 9
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    fetched = opened.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
        ".filter(name => !name.startsWith('data:'))"
    )
    assert fetched == []
    assert complaints(opened) == []
    colour = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
    dark = int(colour.split("(")[1].split(",")[0]) < 100
    assert dark == (scheme == "dark")


def names(page: Any) -> list[str]:
    return page.execute_script(
        "return [...document.querySelectorAll('table[data-sortable] tbody tr')]"
        ".map(row => row.cells[0].textContent)"
    )


def click_head(page: Any, k: int) -> str:
    return page.execute_script(
        f"const button = document.querySelector('[data-sort=\"{k}\"]'); button.click();"
        "return button.parentElement.getAttribute('aria-sort')"
    )


def test_the_table_sorts_by_numbers_both_ways(page):
    assert names(page) == ["masked", "naive", "penalty 1"]
    assert click_head(page, 1) == "descending"
    assert names(page) == ["masked", "naive", "penalty 1"]
    assert click_head(page, 1) == "ascending"
    assert names(page) == ["penalty 1", "naive", "masked"]
    # The first variant has no probability of being better than itself: it stays at the end.
    assert click_head(page, 2) == "descending"
    assert names(page)[-1] == "masked"
    click_head(page, 2)
    assert names(page)[-1] == "masked"
    assert click_head(page, 0) == "ascending"
    assert names(page) == ["masked", "naive", "penalty 1"]


@pytest.mark.parametrize(
    ("figure", "names"),
    [("curves-0", ("masked", "naive", "penalty 1")), ("curves-0-1", ("naive", "published"))],
)
def test_hovering_the_curves_shows_what_they_are(page, figure, names):
    found = f"return document.querySelector('#{figure} .hoverlayer').textContent"

    def point() -> None:
        x, y = page.execute_script(
            f"document.getElementById('{figure}')"
            ".scrollIntoView({block: 'center', behavior: 'instant'});"
            f"const b = document.querySelector('#{figure} .nsewdrag').getBoundingClientRect();"
            f"const axis = document.getElementById('{figure}')._fullLayout.xaxis;"
            "return [b.x + axis.d2p(70000), b.y + 0.5 * b.height]"
        )
        hover(page, x, y)

    SINGLE["act_until"](page, point, found)
    text = page.execute_script(found)
    assert all(name in text for name in names)


def test_pictures_are_put_together_from_their_tiles(page):
    # The square of the made-up picture stands at 20 k + 2 in step k.
    pixel = (
        "const i = document.querySelector('#viewer [data-part=picture]');"
        "if (!i.complete || i.naturalWidth !== 140) return null;"
        "const c = document.createElement('canvas'); c.width = c.height = 140;"
        "const b = c.getContext('2d', {willReadFrequently: true}); b.drawImage(i, 0, 0);"
        "return [7, 27, 47, 67].map(x => [...b.getImageData(x, 70, 1, 1).data].slice(0, 3).join())"
    )
    move = "document.querySelector('#viewer [data-move=\"{}\"]').click()"
    page.execute_script("document.querySelector('#viewer [data-episode=\"0\"]').click()")
    square, ground = "40,90,60", "235,235,235"
    for k in range(3):
        expected = [square if place == k else ground for place in range(4)]
        wanted = f"const got = (() => {{ {pixel} }})(); return got && got.join(';') === "
        wait_for(page, f"{wanted}'{';'.join(expected)}'")
        page.execute_script(move.format("1"))
    page.execute_script("document.querySelector('#viewer [data-episode=\"1\"]').click()")
    page.execute_script("document.querySelector('#viewer [data-episode=\"0\"]').click()")


def test_the_slider_and_the_buttons_move_the_episodes(page):
    pressed = (
        "return document.querySelector('#viewer [data-episode][aria-pressed=true]').textContent"
    )
    count = "return document.querySelector('#viewer [data-part=count]').textContent"
    assert page.execute_script(pressed) == "masked"
    page.execute_script(
        "const s = document.querySelector('#viewer [data-part=slider]'); s.value = 2;"
        "s.dispatchEvent(new Event('input'))"
    )
    assert page.execute_script(count).startswith("step 2 of")
    page.execute_script("document.querySelector('#viewer [data-episode=\"1\"]').click()")
    assert page.execute_script(pressed) == "naive"
    assert page.execute_script(count) == "step 0 of 4"


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_figure_is_saved_light_with_a_background(page, kind):
    """What the button would hand to the disk is looked at instead."""
    set_window(page, 1280, "dark")
    page.execute_script(
        "window.saved = null;"
        "Plotly.downloadImage = (figure, options) => { Plotly.toImage(figure, options)"
        ".then(url => { window.saved = url; }); };"
        f"document.querySelector('#waste-0').parentElement.querySelector('[data-save={kind}]').click()"
    )
    url = wait_for(page, "return window.saved")
    assert url.startswith(f"data:image/{kind}")
    if kind == "svg":
        assert "fill%3A%20rgb(255%2C%20255%2C%20255)" in url or "rgb(255" in url
    assert complaints(page) == []
