"""A comparison as one page: what was found first, everything in one file."""

from __future__ import annotations

import pytest

from maskrl.errors import RunFolderError
from maskrl.reports.comparison.page import render_comparison, write_comparison_report
from maskrl.runs.comparison import read_comparison

VARIANTS = [
    {"label": "<toy>", "env": "<toy>", "tests": [{"mean": 8.0}, {"mean": 9.0}]},
    {
        "label": "<toy>, naive",
        "env": "<toy>",
        "regime": "naive",
        "tests": [{"mean": 1.0}, {"mean": 2.0}],
    },
    {"label": "far", "env": "far", "tests": [{"mean": 1.0}, None]},
]


def test_the_page_opens_with_what_was_found(tmp_path, write_comparison):
    folder = write_comparison(tmp_path / "out", VARIANTS, seeds=(0, 1))
    page = render_comparison(read_comparison(folder), play=False)
    body = page[page.index("<body>") :]
    assert "<h1>&lt;toy&gt;, far</h1>" in body and "<toy>" not in body.split("page-data")[0]
    assert body.index("What was found") < body.index("Learning on &lt;toy&gt;")
    assert "“masked” 1.00 (1.00 to 1.00)" not in body  # far has one run that is not finished
    assert "Over all environments, from 0, chance, to 1, the best run of any" in body
    assert "acts under the mask and learns as if there were none" in body
    assert "2 ways of training on 2 environments" in body
    assert "“masked” did best" in body and "5 of 6 runs are finished" in body
    for anchor in ("learning-0", "results-0", "impossible-0", "learning-1", "settings"):
        assert f'<section id="{anchor}"' in body
    assert "default-src 'none'" in page and "http://" not in page.split("<script>")[0]


def test_it_is_written_beside_the_runs_with_notes(tmp_path, write_comparison):
    folder = write_comparison(tmp_path / "out", VARIANTS[2:], seeds=(0, 1))
    path = write_comparison_report(folder)
    assert path == folder / "report.html"
    assert "No episode of masked could be played" in path.read_text(encoding="utf-8")
    assert write_comparison_report(folder, out=tmp_path / "x.html") == tmp_path / "x.html"
    with pytest.raises(RunFolderError, match="cannot write the report"):
        write_comparison_report(folder, out=tmp_path)
    with pytest.raises(RunFolderError, match="holds no comparison"):
        write_comparison_report(tmp_path)


def test_nothing_finished_is_a_page_too(tmp_path, write_comparison):
    variants = [{"label": "toy", "env": "toy", "tests": [None]}]
    folder = write_comparison(tmp_path / "out", variants, seeds=(0,))
    page = render_comparison(read_comparison(folder))
    assert "No run is finished yet." in page and '<section id="learning-0"' in page
