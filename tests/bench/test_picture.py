"""The picture: one dot per shape and contender, a page that opens offline, a PNG if possible."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from maskrl.bench import picture
from maskrl.bench.picture import ratio_figure, screenshot, write_picture
from maskrl.errors import RunFolderError


def test_dots_are_means_over_the_shares_allowed(results):
    figure = ratio_figure(results)
    assert [a.text for a in figure.layout.annotations] == ["acting", "learning"]
    dots = {(t.name, t.xaxis): dict(zip(t.y, t.x, strict=True)) for t in figure.data}
    assert dots["sb3-contrib", "x"] == {"1x6": pytest.approx(4.0), "2048x8": pytest.approx(25.0)}
    assert ("maskrl", "x") not in dots


def test_nothing_to_draw(results):
    results.cells = []
    assert ratio_figure(results) is None


def test_the_page_opens_offline_and_a_missing_browser_is_told(results, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    written, reason = write_picture(ratio_figure(results), tmp_path / "new")
    assert [path.name for path in written] == ["ratios.html"]
    assert "no Chromium was found" in reason
    page = written[0].read_text("utf-8")
    assert 'src="http' not in page and "sb3-contrib" in page


def test_a_browser_is_asked_for_a_picture(results, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/" + name)

    def run(command, **settings):
        (flag,) = [word for word in command if word.startswith("--screenshot=")]
        (tmp_path / flag.rpartition("/")[2]).write_bytes(b"picture")

    monkeypatch.setattr(picture.subprocess, "run", run)
    written, reason = write_picture(ratio_figure(results), tmp_path)
    assert [path.name for path in written] == ["ratios.html", "ratios.png"] and reason is None

    def fail(command, **settings):
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(picture.subprocess, "run", fail)
    assert "left out" in screenshot(written[0], tmp_path / "b.png", width=10, height=10)


def test_a_folder_that_cannot_be_written(results, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="Choose another --out"):
        write_picture(ratio_figure(results), tmp_path / "file")
