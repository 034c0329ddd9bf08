"""The pictures of feature masks are what their program draws, and show what the library says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from maskrl.attention import visibility as sight

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = REPOSITORY / "docs" / "images"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def pictures():
    path = REPOSITORY / "examples" / "visibility_pictures.py"
    spec = importlib.util.spec_from_file_location("visibility_pictures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_images_are_what_the_program_draws(pictures, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.argv", ["visibility_pictures.py", str(tmp_path)])
    pictures.main()
    names = ["visibility-builders.svg", "feature-leaks.svg"]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        str(tmp_path / name) for name in names
    ]
    for name in names:
        assert (IMAGES / name).read_text("utf-8") == (tmp_path / name).read_text("utf-8")
    assert sum((IMAGES / name).stat().st_size for name in names) < 200_000


def test_matrices_show_what_the_builders_say(pictures):
    tree = ElementTree.fromstring(pictures.draw_builders())
    kinds = [rect.get("class") for rect in tree.iter(f"{SVG}rect")]
    cells = [kind for kind in kinds if kind in ("sees", "own", "closed", "bad")]
    listed = pictures.builders()
    assert len(cells) == 36 * len(listed) == 396
    for number, (name, _, sees) in enumerate(listed):
        drawn = [kind != "closed" for kind in cells[36 * number : 36 * (number + 1)]]
        assert drawn == sees.flatten().tolist(), name
    shown = {tuple(sees.flatten().tolist()) for _, _, sees in listed}
    assert len(shown) == len(listed), "two builders cannot be told apart in this scene"


def test_pages_and_picture_give_the_same_numbers(pictures):
    picture = pictures.draw_leaks()
    assert "explain_leak: panda 0 reads scorpion 2 through watermelon 1 at layer 2." in picture
    amounts = re.findall(r"moves P by ([^<]+)<", picture)
    assert [amounts[k] for k in (0, 3, 4)] == ["exactly 0"] * 3
    page = (REPOSITORY / "docs" / "concepts" / "feature-leaks.md").read_text("utf-8")
    shown = re.findall(r"print\(.*\)  # (0\.\d\d)", page)
    assert [amounts[k] for k in (1, 2, 5)] == [shown[k] for k in (1, 3, 5)]
    table = (REPOSITORY / "docs" / "concepts" / "feature-masks.md").read_text("utf-8")
    rows = "".join(line for line in table.splitlines() if line.startswith("| "))
    assert re.findall(r"0\.\d\d", rows) == shown
    assert picture.count('class="leak"') == 5
    assert sight.leaks(pictures.GRAPH, 2)[0].nonzero().flatten().tolist() == [2]
    assert not torch.equal(sight.depth_safe(pictures.GRAPH), pictures.GRAPH)


def test_the_introduction_gives_the_command():
    text = (REPOSITORY / "examples" / "visibility_pictures.py").read_text("utf-8")
    assert "python examples/visibility_pictures.py" in text
