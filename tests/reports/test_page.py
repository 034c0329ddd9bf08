"""The page as a document: whole, self-contained, escaped, and never missing what it promised."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from maskrl.errors import RunFolderError
from maskrl.reports import write_report
from maskrl.reports.live_policy import LivePolicy
from maskrl.reports.page import render_page

VOID = {"meta", "link", "img", "input", "br", "path"}


class Structure(HTMLParser):
    """Reads a page: ids, resources, headings, unbalanced tags, the embedded data."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.resources: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.data = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if attributes.get("id"):
            self.ids.append(attributes["id"])
        for name in ("src", "href", "srcset", "poster", "action", "data"):
            if attributes.get(name):
                self.resources.append(attributes[name])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        last = self.tags[-1] if self.tags else ("", {})
        if self.open and self.open[-1] == "script" and last[1].get("id") == "page-data":
            self.data += data


@pytest.fixture
def plotly_stands_aside(monkeypatch):
    """Parsing 5 MB of plotly.js in every test would only be slow; one test keeps it."""
    monkeypatch.setattr("maskrl.reports.document.get_plotlyjs", lambda: "/* plotly */")


@pytest.fixture
def make_page(make_run, panda_live, text_live, plotly_stands_aside):
    """Pages of different runs, by name."""

    def make(name: str) -> str:
        if name == "panda":
            return render_page(make_run(), panda_live)
        if name == "text":
            return render_page(make_run("gymnasium:Taxi-v4", scored=False), text_live)
        return render_page(make_run(metrics={}, evaluation={}, timings={}))

    return make


@pytest.mark.parametrize("name", ["panda", "text", "bare"])
def test_structure(make_page, name):
    page = Structure(make_page(name))
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    headings = [tag for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert headings.count("h1") == 1
    assert {attributes.get("lang") for tag, attributes in page.tags if tag == "html"} == {"en"}
    for tag, attributes in page.tags:
        if tag == "a":
            assert attributes["href"].removeprefix("#") in page.ids
        if tag == "img":
            assert "alt" in attributes
    data = json.loads(page.data)
    assert set(data["figures"]) <= set(page.ids)
    assert set(data["templates"]) == {"light", "dark"}


@pytest.mark.parametrize("name", ["panda", "text", "bare"])
def test_nothing_is_fetched(make_page, name):
    page = make_page(name)
    for resource in Structure(page).resources:
        assert resource.startswith(("data:", "#")), resource
    assert "@import" not in page and "://" not in page
    assert "default-src 'none'" in page


def test_sections_of_a_panda_run(make_page):
    ids = Structure(make_page("panda")).ids
    expected = ["learning", "episode", "head", "attention", "masks", "configuration"]
    assert [i for i in ids if i in expected] == expected


def test_sections_that_do_not_apply_are_left_out(make_page):
    text = Structure(make_page("text")).ids
    assert "attention" not in text and "episode" in text
    bare = Structure(make_page("bare")).ids
    assert "configuration" in bare
    assert not {"learning", "episode", "head", "attention", "masks"} & set(bare)


def test_hostile_names_stay_text(make_run, make_episode, plotly_stands_aside):
    evil = "</script><script>alert(1)</script><!--"
    episode = make_episode(actions=(evil, "b", "c", "d", "e", "f"))
    live = LivePolicy(episodes=(episode,), notes=(evil,))
    page = render_page(make_run(evil, config={"env": evil, evil: evil}), live)
    assert "alert(1)</script>" not in page and "<!--" not in page.replace("<!doctype", "")
    structure = Structure(page)
    assert [tag for tag, _ in structure.tags].count("script") == 3
    assert json.loads(structure.data)["episodes"]["actions"][0] == evil


def test_write_report(run_folder, tmp_path):
    path = write_report(run_folder)
    assert path == run_folder / "report.html"
    page = path.read_text(encoding="utf-8")
    # plotly.js once, and inside a script that it cannot close early
    assert page.count("plotly.js v") == 1
    assert page.lower().count("</script") == 3
    # no checkpoint in this folder: the page says so
    assert "could not be loaded" in page
    elsewhere = tmp_path / "elsewhere.html"
    assert write_report(run_folder, out=elsewhere) == elsewhere
    with pytest.raises(RunFolderError, match="cannot write the report"):
        write_report(run_folder, out=tmp_path / "no" / "such" / "folder.html")
