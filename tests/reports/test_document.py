"""The document around sections: one file, data that may stand in a script, scripts in order."""

from __future__ import annotations

import json

import plotly.graph_objects as go
import pytest

from maskrl.reports.document import embedded_json, render_document
from maskrl.reports.section import Section


def test_embedded_json():
    text = embedded_json({"a": "</script>&<!--\u2028"})
    assert "<" not in text and "&" not in text and "\u2028" not in text
    assert json.loads(text) == {"a": "</script>&<!--\u2028"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded_json(float("nan"))


def test_sections_become_one_file():
    figure = go.Figure(go.Scatter(x=[1], y=[2]))
    sections = [
        Section("first", "First <part>", "<p>here</p>", figures={"one": figure}, data={"own": 7}),
        Section("second", "Second", "<p>there</p>"),
    ]
    page = render_document(
        title="A <title>",
        header="<h1>x</h1>",
        sections=sections,
        footer="y",
        scripts=["figures.js"],
    )
    assert page.startswith("<!doctype html>") and "<title>A &lt;title&gt;</title>" in page
    assert page.index('id="first"') < page.index('id="second"')
    assert '<a href="#first">First &lt;part&gt;</a>' in page
    data = page.split('id="page-data">')[1].split("</script>")[0]
    found = json.loads(data)
    assert found["own"] == 7 and found["figures"]["one"]["data"][0]["y"] == [2]
    assert set(found["templates"]) == {"light", "dark"}
    assert "template" not in found["figures"]["one"]["layout"]
    assert page.count("Plotly.newPlot(id") == 1
