"""The page on mining is true: its program prints what is shown, its table is what is computed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from maskrl.envs.games.mining.layouts import LAYOUTS
from maskrl.envs.games.mining.reference import reference
from maskrl.envs.games.mining.script import best_orders, best_return
from maskrl.envs.games.mining.settings import COST, FATES, HIT_POINTS, KINDS, PRODUCE_TICKS

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "mining.md"


def _rows(heading: str) -> dict[str, list[str]]:
    """The rows of the first table after a heading, by their first cell."""
    text = PAGE.read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def test_the_program_prints_what_is_shown(program) -> None:
    assert program(PAGE).run().statements == 1


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_most_there_is(name: str) -> None:
    units, best, steps, chance, _ = _rows("The most there is")[name]
    assert units == " + ".join(str(n) for _, n in LAYOUTS[name].mines)
    assert int(best) == best_return(name)
    assert int(steps.split()[0]) == len(best_orders(name))
    if name in ("4x4", "10x10"):  # the others take seconds
        found = reference({"board": name}, [0])["random"][0]
        assert float(chance) == round(found, 1)


def test_units_are_told_as_they_are() -> None:
    rows = _rows("Rules")
    for kind, name in enumerate(KINDS[1:], start=1):
        points, cost, steps = (int(re.findall(r"\d+", cell)[0]) for cell in rows[name][:3])
        assert (points, cost, 10 * steps) == (HIT_POINTS[kind], COST[kind], PRODUCE_TICKS[kind])


def test_every_fate_is_told() -> None:
    text = PAGE.read_text("utf-8")
    assert all(re.search(rf"^\|[^|]*{fate}", text, re.MULTILINE) for fate in FATES)


def test_the_picture_is_the_scripts(tmp_path, monkeypatch) -> None:
    text = PAGE.read_text("utf-8")
    assert "(images/mining.png)" in text
    script = REPOSITORY / "examples" / "mining_scenes.py"
    spec = importlib.util.spec_from_file_location("mining_scenes", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = tmp_path / "mining.png"
    monkeypatch.setattr("sys.argv", ["mining_scenes.py", str(path)])
    module.main()
    assert path.read_bytes() == (REPOSITORY / "docs" / "images" / "mining.png").read_bytes()
    assert np.prod(module.scene("4x4", 0).shape) > 10_000
