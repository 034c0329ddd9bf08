"""The page of an agent by Q-values in a real browser: it draws, steps, fits, and misleads nobody.

Needs chromium and chromedriver, as `test_page_in_browser.py` says.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest

from maskrl.reports.live_policy import LivePolicy
from maskrl.reports.page import render_page


def valued(episode, by_value):
    """The episode with values; the last action is disallowed and worth most at every step."""
    steps = []
    for index, step in enumerate(episode.steps):
        values = np.linspace(-3.0, 1.0, len(step.probs)) - 0.1 * index
        mask = step.action_mask.copy()
        mask[-1], mask[0] = False, True
        best = int(np.where(mask, values, -np.inf).argmax())
        changed = {"q_values": values.astype(np.float32), "action_mask": mask, "action": best}
        steps.append(dataclasses.replace(step, **changed))
    return dataclasses.replace(episode, steps=tuple(steps), by_value=by_value)


@pytest.fixture(params=[True, False], ids=["by value", "beside probabilities"])
def opened(request, browser, tmp_path, make_run, make_episode) -> Any:
    live = LivePolicy(episodes=(valued(make_episode(), request.param),))
    path = tmp_path / "report.html"
    path.write_text(render_page(make_run(), live), encoding="utf-8")
    size = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(path.as_uri())
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if browser.execute_script("return document.querySelector('#q-values .main-svg') !== null"):
            return browser, request.param
        time.sleep(0.05)
    pytest.fail("the figure of Q-values was not drawn")


def rows(browser) -> list[list[str]]:
    return browser.execute_script(
        "return [...document.querySelectorAll('[data-part=actions] tr')]"
        ".map(row => [...row.children].map(cell => cell.textContent))"
    )


def test_values_are_shown_and_those_of_disallowed_actions_struck_out(opened):
    browser, by_value = opened
    shown = rows(browser)
    assert len(shown) == 6
    last = "return document.querySelector('[data-part=actions] tr:last-child')"
    assert browser.execute_script(last + ".classList.contains('blocked')")
    assert browser.execute_script(last + ".querySelector('s').textContent") == "1.00"
    remark = browser.execute_script("return document.querySelector('[data-part=more]').textContent")
    assert "which is disallowed: it is passed over" in remark
    facts = browser.execute_script("return document.querySelector('[data-part=facts]').textContent")
    assert ("Best Q-value" in facts) == by_value
    best = [row for row in shown if row[4] == "best"]
    assert len(best) == (1 if by_value else 0)
    if by_value:
        title = browser.execute_script(last + ".title")
        assert "is never chosen" in title
        first = browser.execute_script(
            "return document.querySelector('[data-part=actions] tr:first-child').title"
        )
        assert "allowed, Q-value \N{MINUS SIGN}3.000" in first and "below the best" in first


def test_stepping_changes_the_values_and_nothing_complains(opened):
    browser, _ = opened
    before = rows(browser)
    browser.execute_script("document.querySelector('[data-move=\"1\"]').click()")
    assert rows(browser) != before
    browser.execute_script("document.querySelector('[data-move=last]').click()")
    assert rows(browser) == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []


@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits(opened, width):
    browser, _ = opened
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(0.3)
    found = browser.execute_script("return document.documentElement.scrollWidth")
    assert found <= width
