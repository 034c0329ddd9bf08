"""Parts of the page: what is plain text is escaped, heights are reserved."""

from __future__ import annotations

import plotly.graph_objects as go

from maskrl.reports.section import figure_place, paragraph, tiles


def test_a_figure_has_its_height_before_it_is_drawn():
    html = figure_place("a", go.Figure(layout={"height": 321}), title="<T>", caption="<b>c</b>")
    assert 'id="a"' in html and "height:321px" in html
    assert "<h3>&lt;T&gt;</h3>" in html and "<figcaption><b>c</b></figcaption>" in html
    bare = figure_place("a", go.Figure())
    assert "h3" not in bare and "figcaption" not in bare


def test_tiles_and_paragraphs_are_escaped():
    assert "<dt>&lt;</dt><dd>&amp;</dd>" in tiles([("<", "&", "")])
    assert 'class="remark">&lt;i&gt;' in tiles([("a", "b", "<i>")])
    assert paragraph("<", kind="lead") == '<p class="lead">&lt;</p>'
