"""Our runs beside published ones, as tables and a picture, from a comparison's folder."""

from __future__ import annotations

import importlib.util
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "mining_published.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("mining_published", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def folder(tmp_path, write_comparison):
    env = "mining-10x10"
    returns = [0.0, 2.0, 4.0, 8.0, 20.0, 40.0, 40.0, 40.0, 40.0, 38.0]
    masked = {"mean": 40.0, "returns": returns, "without_mask": 10.0}
    variants = [
        {"label": env, "env": env, "tests": [masked, masked]},
        {"label": f"{env}, naive", "env": env, "regime": "naive", "tests": [{"mean": 9.0}, None]},
    ]
    return write_comparison(tmp_path / "a", variants, seeds=(0, 1), total=100_000)


def test_fifths_stand_above_the_published_ones(script, folder, tmp_path, capsys):
    picture = tmp_path / "picture.svg"
    script.main([str(folder), "--picture", str(picture)])
    out, told = capsys.readouterr()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines()]
    assert rows[2][:3] == ["mining-10x10", "masked", "ours"]
    assert rows[2][3:] == ["1.0", "6.0", "30.0", "40.0", "39.0", "39.0 39.0", "23.20"]
    assert rows[3][2:8] == ["published", "0.9", "7.3", "30.8", "39.0", "39.5"]
    assert rows[4][1] == "masked, mask removed" and rows[4][7] == "9.5"  # 10 at the end
    assert "naive: not finished, left out" in told
    assert "naive" not in out.split("\n\n")[0]
    svg = ET.parse(picture).getroot()
    texts = [element.text for element in svg.iter() if element.tag.endswith("text")]
    assert "masked, mask removed" in texts and "mean of the published runs" in texts


def test_what_was_not_trained_is_not_told(script, tmp_path, write_comparison):
    variants = [{"label": "mining-4x4", "env": "mining-4x4", "tests": [{"mean": 9.0}]}]
    folder = write_comparison(tmp_path / "a", variants, seeds=(0,), total=10_000)
    with pytest.raises(SystemExit, match="no regime is finished yet"):
        script.main([str(folder)])
